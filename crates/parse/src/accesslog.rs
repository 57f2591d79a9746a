//! Parses the lines of guanka's own access log: one JSON object each, as nginx writes them with
//! `escape=json`. A line that is cut, binary or of another format gives nothing, and is counted.

use guanka_core::name::Arm;
use guanka_core::signals::request::LogLine;
use guanka_core::signals::slot::Slot;
use serde::Deserialize;

/// The names of the log format's fields, in the order in which the format writes them.
#[derive(Deserialize)]
struct Raw<'a> {
    time: f64,
    #[serde(borrow)]
    arm: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    slot: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    method: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    uri: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    status: std::borrow::Cow<'a, str>,
    request_time: f64,
    #[serde(borrow, default)]
    upstream_addr: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    upstream_status: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    nonce: std::borrow::Cow<'a, str>,
}

/// Reads one line, without its newline.
pub fn read_line(line: &[u8]) -> Option<LogLine> {
    // A truncating rotation under a writer without O_APPEND leaves a hole of NULs before the line.
    let start = line.iter().position(|byte| *byte != 0)?;
    let raw: Raw<'_> = serde_json::from_slice(&line[start..]).ok()?;
    let tries = list(&raw.upstream_addr);
    let statuses = list(&raw.upstream_status);
    Some(LogLine {
        at_ms: millis(raw.time)?,
        arm: Arm::parse(&raw.arm),
        slot: raw.slot.strip_prefix('s').and_then(|n| n.parse().ok()).and_then(Slot::new),
        method: raw.method.into_owned(),
        path: raw.uri.into_owned(),
        status: raw.status.parse().ok()?,
        latency_ms: millis(raw.request_time)?,
        first_address: tries.first().map(|first| (*first).to_owned()),
        first_status: statuses.first().and_then(|first| first.parse().ok()),
        tries: tries.len() as u32,
        nonce: (!raw.nonce.is_empty()).then(|| raw.nonce.into_owned()),
    })
}

/// Splits nginx's list of tries: `a, b` and, after an internal redirect, `a, b : c`. An empty value
/// or `-` means that no upstream was asked.
fn list(text: &str) -> Vec<&str> {
    text.split(", ")
        .flat_map(|part| part.split(" : "))
        .map(str::trim)
        .filter(|part| !part.is_empty() && *part != "-")
        .collect()
}

/// Turns seconds with three decimals, as `$msec` and `$request_time` are written, into
/// milliseconds. A double holds milliseconds since 1970 exactly, so rounding gives back what nginx
/// wrote.
fn millis(seconds: f64) -> Option<u64> {
    let ms = (seconds * 1000.0).round();
    (0.0..1e15).contains(&ms).then_some(ms as u64)
}

#[cfg(test)]
mod tests {
    use guanka_core::name::Arm;

    use super::read_line;

    const LINE: &str = concat!(
        r#"{"time":1764000000.123,"arm":"green","slot":"s07","method":"POST","uri":"/orders","#,
        r#""status":"200","request_time":0.012,"#,
        r#""upstream_addr":"127.0.0.1:18002, 127.0.0.1:18001","#,
        r#""upstream_status":"502, 200","upstream_response_time":"0.001, 0.010","#,
        r#""request_id":"ab","bytes":12,"nonce":""}"#
    );

    #[test]
    fn a_line_gives_the_first_try_and_exact_times() {
        let line = read_line(LINE.as_bytes()).expect("a whole line");
        assert_eq!((line.at_ms, line.latency_ms), (1_764_000_000_123, 12));
        assert_eq!(line.arm, Some(Arm::Green));
        assert_eq!(line.slot.map(|s| s.get()), Some(7));
        assert_eq!(line.first_address.as_deref(), Some("127.0.0.1:18002"));
        assert_eq!((line.first_status, line.tries), (Some(502), 2));
        assert_eq!(line.nonce, None);
    }

    #[test]
    fn a_hole_before_the_line_is_passed_over_and_a_cut_line_gives_nothing() {
        let mut holed = vec![0; 4096];
        holed.extend(LINE.as_bytes());
        assert!(read_line(&holed).is_some());
        for cut in 0..LINE.len() {
            assert_eq!(read_line(&LINE.as_bytes()[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        arbtest::arbtest(|u| {
            let bytes: Vec<u8> = u.arbitrary()?;
            let _ = read_line(&bytes);
            let mut mixed = LINE.as_bytes().to_vec();
            let at = u.choose_index(mixed.len())?;
            mixed.splice(at..at, bytes);
            let _ = read_line(&mixed);
            Ok(())
        });
    }
}
