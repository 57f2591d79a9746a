//! What `systemd-analyze verify` and `security` print. The first ends with 0 for a key that it does
//! not know and says so on its error stream, once for each time it reads the unit.

use guanka_core::facts::systemd::{Complaint, Exposure};

/// Returns what `verify` says of one unit, each complaint once; what it says of others is not ours.
pub fn complaints(unit: &str, stderr: &str) -> Vec<Complaint> {
    let mut found: Vec<Complaint> = Vec::new();
    for line in stderr.lines() {
        // `/dir/x.service:5: Unknown key` or `x.service: Command /x is not executable`.
        let Some((_, rest)) = line.split_once(unit) else { continue };
        let Some(rest) = rest.strip_prefix(':') else { continue };
        let numbered = rest
            .split_once(':')
            .and_then(|(number, says)| Some((number.parse::<u32>().ok()?, says)));
        let complaint = match numbered {
            Some((line, says)) => Complaint { line: Some(line), says: says.trim().to_owned() },
            None => Complaint { line: None, says: rest.trim().to_owned() },
        };
        if !found.contains(&complaint) {
            found.push(complaint);
        }
    }
    found
}

/// Returns the overall score that `security` prints.
pub fn exposure(stdout: &str) -> Option<Exposure> {
    let line = stdout.lines().find(|line| line.contains("Overall exposure level"))?;
    let (_, rest) = line.rsplit_once(": ")?;
    let (whole, tenth) = rest.split_whitespace().next()?.split_once('.')?;
    let tenths = whole.parse::<u16>().ok()?.checked_mul(10)?.checked_add(tenth.parse().ok()?)?;
    (tenth.len() == 1 && tenths <= 100).then_some(Exposure(tenths))
}

#[cfg(test)]
mod tests {
    use guanka_core::facts::systemd::{Complaint, Exposure};

    use super::{complaints, exposure};

    #[test]
    fn a_complaint_is_told_once_with_its_line_and_others_units_are_not_ours() {
        let unit = "guanka-shop.prod@blue.service";
        let text = format!(
            "/run/guanka/verify/{unit}:5: Unknown key 'FooBar' in section [Service], ignoring.\n\
             /run/guanka/verify/{unit}:5: Unknown key 'FooBar' in section [Service], ignoring.\n\
             /lib/systemd/system/other.service:3: Special user nobody configured\n\
             {unit}: Command /opt/x is not executable: No such file or directory\n"
        );
        let expected = [
            (Some(5), "Unknown key 'FooBar' in section [Service], ignoring."),
            (None, "Command /opt/x is not executable: No such file or directory"),
        ];
        let expected = expected.map(|(line, says)| Complaint { line, says: says.to_owned() });
        assert_eq!(complaints(unit, &text), expected);
        assert_eq!(complaints(unit, ""), []);
    }

    #[test]
    fn the_score_is_read_and_nothing_else_is_taken_for_one() {
        let line = "→ Overall exposure level for x@blue.service: ";
        assert_eq!(exposure(&format!("x\n{line}1.8 OK 🙂\n")), Some(Exposure(18)));
        assert_eq!(exposure(&format!("{line}10.0 UNSAFE")), Some(Exposure(100)));
        assert_eq!(Exposure(18).to_string(), "1.8");
        for bad in ["", "18 OK", "1.85 OK", "10.1 X", "x.1", "-1.0"] {
            assert_eq!(exposure(&format!("{line}{bad}")), None, "{bad}");
        }
    }

    #[test]
    fn any_text_is_taken() {
        arbtest::arbtest(|u| {
            let text: String = u.arbitrary()?;
            complaints("x", &text);
            exposure(&format!("Overall exposure level{text}"));
            Ok(())
        });
    }
}
