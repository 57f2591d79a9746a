//! The list of tapes that failed once: each is run by every test and before every campaign.

/// The list: target, tape in hexadecimal, why it is kept.
pub const LIST: &str = include_str!("../kept.txt");

/// A kept tape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The target's name.
    pub target: String,
    /// The tape.
    pub tape: Vec<u8>,
    /// Why.
    pub why: String,
}

/// Reads the list; a line that is none is an error that names it.
pub fn read(list: &str) -> Result<Vec<Kept>, String> {
    let lines = list.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(|line| entry(line).ok_or_else(|| format!("not a kept tape: {line}"))).collect()
}

fn entry(line: &str) -> Option<Kept> {
    let mut words = line.splitn(3, ' ');
    let (target, hex, why) = (words.next()?, words.next()?, words.next()?);
    let digits: Vec<u32> = hex.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let tape = digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect();
    let is_whole = digits.len().is_multiple_of(2) && !why.trim().is_empty();
    is_whole.then(|| Kept { target: target.to_owned(), tape, why: why.to_owned() })
}

/// Returns the line of a tape.
pub fn line(target: &str, tape: &[u8], why: &str) -> String {
    let hex: String = tape.iter().map(|byte| format!("{byte:02x}")).collect();
    let why = why.replace(char::is_control, " ");
    format!("{target} {hex} {why}")
}

#[cfg(test)]
mod tests {
    use super::{entry, line};

    #[test]
    fn a_line_reads_back() {
        let written = line("unit", &[0, 255, 16], "a\nreason");
        assert_eq!(written, "unit 00ff10 a reason");
        let read = entry(&written).expect("a kept tape");
        assert_eq!((read.target.as_str(), read.tape.as_slice()), ("unit", [0, 255, 16].as_slice()));
        assert!(entry("unit 0f0 why").is_none() && entry("unit 00").is_none());
    }
}
