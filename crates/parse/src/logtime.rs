//! The time that a program's own log line carries, in the forms Go programs write: slog and logrus
//! (JSON and text), zap's numbers, the standard logger. No other form is guessed at.

/// How far into a line a time is looked for.
const LOOK: usize = 400;
/// How far from its start a bare date may stand: behind a prefix or a level.
const LEAD: usize = 64;
/// The keys under which loggers write the time.
const KEYS: [&str; 5] = ["time", "ts", "timestamp", "@timestamp", "t"];

/// Returns a line's time in milliseconds since 1970. A time without a zone is of the zone that is
/// `offset_secs` east of UTC.
pub fn of_line(line: &str, offset_secs: i64) -> Option<u64> {
    let mut end = line.len().min(LOOK);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let line = &line[..end];
    keyed(line, offset_secs).or_else(|| leading(line, offset_secs))
}

/// Finds `"time":…` of JSON and `time=…` of text.
fn keyed(line: &str, offset_secs: i64) -> Option<u64> {
    let is_json = line.trim_start().starts_with('{');
    KEYS.iter().find_map(|key| {
        let value = if is_json {
            let behind = line.split_once(&format!("\"{key}\""))?.1.trim_start();
            behind.strip_prefix(':')?.trim_start()
        } else {
            let sign = format!("{key}=");
            let at = line
                .match_indices(&sign)
                .map(|(at, _)| at)
                .find(|at| *at == 0 || line.as_bytes()[at - 1] == b' ')?;
            &line[at + sign.len()..]
        };
        let value = value.strip_prefix('"').unwrap_or(value);
        date(value.as_bytes(), offset_secs).or_else(|| number(value))
    })
}

/// Finds a date near the start of a line.
fn leading(line: &str, offset_secs: i64) -> Option<u64> {
    let bytes = line.as_bytes();
    let starts = 0..bytes.len().min(LEAD);
    starts
        .filter(|at| *at == 0 || !bytes[at - 1].is_ascii_digit())
        .find_map(|at| date(&bytes[at..], offset_secs))
}

/// Reads a count since 1970; its size tells the unit.
fn number(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let value: f64 = text[..end].parse().ok()?;
    let ms = match value {
        v if v < 1e9 => return None,
        v if v < 1e11 => v * 1e3,
        v if v < 1e14 => v,
        v if v < 1e17 => v / 1e3,
        v => v / 1e6,
    };
    Some(ms as u64)
}

/// Reads `2026-11-24T15:04:05.123+08:00`, `2026-11-24 15:04:05`, `2026/11/24 15:04:05.123456`.
fn date(text: &[u8], offset_secs: i64) -> Option<u64> {
    let digits = |from: usize, count: usize| -> Option<i64> {
        let part = text.get(from..from + count)?;
        part.iter()
            .try_fold(0_i64, |sum, b| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0')))
    };
    let is_at = |at: usize, signs: &[u8]| text.get(at).is_some_and(|b| signs.contains(b));
    let is_form = is_at(4, b"-/")
        && text.get(4) == text.get(7)
        && is_at(10, b"T ")
        && is_at(13, b":")
        && is_at(16, b":");
    if !is_form {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 2)?, digits(8, 2)?);
    let (hour, minute, second) = (digits(11, 2)?, digits(14, 2)?, digits(17, 2)?);
    let is_date = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut at = 19;
    let mut ms = 0;
    if is_at(at, b".,") {
        let count = text[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        let known = count.min(3);
        ms = digits(at + 1, known)? * 10_i64.pow(3 - known as u32);
        at += 1 + count;
    }
    let zone = match text.get(at) {
        Some(b'Z') => 0,
        Some(sign @ (b'+' | b'-')) => {
            let minutes = if is_at(at + 3, b":") { at + 4 } else { at + 3 };
            let secs = digits(at + 1, 2)? * 3600 + digits(minutes, 2)? * 60;
            if *sign == b'-' { -secs } else { secs }
        }
        _ => offset_secs,
    };
    let secs = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - zone;
    u64::try_from(secs * 1000 + ms).ok()
}

/// Returns the days from 1970 to a date. The year is taken to begin in March, so that a leap day is
/// its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year / 4 - year / 100 + year / 400;
    year * 365 + leaps + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::of_line;

    /// 2026-11-24T07:04:05Z.
    const TIME: u64 = 1_795_503_845_000;

    #[test]
    fn every_form_is_the_same_moment() {
        for line in [
            r#"{"time":"2026-11-24T15:04:05.123456789+08:00","level":"INFO","msg":"x"}"#,
            r#"{"level":"info","ts":1795503845.123,"msg":"x"}"#,
            r#"{"level":"info", "@timestamp" : "2026-11-24T07:04:05.123Z"}"#,
            r#"{"ts":1795503845123}"#,
            r#"{"ts":1795503845123456789}"#,
            "time=2026-11-24T15:04:05.123+08:00 level=INFO msg=x",
            r#"level=info time="2026-11-24T15:04:05.123+0800" msg=x"#,
            "2026/11/24 15:04:05.123456 listening",
            "shop: 2026/11/24 15:04:05.123 listening",
            "[INFO] 2026-11-24 15:04:05,123 x",
        ] {
            assert_eq!(of_line(line, 8 * 3600), Some(TIME + 123), "{line}");
        }
        assert_eq!(of_line("2026/11/24 07:04:05 x", 0), Some(TIME));
        assert_eq!(of_line("2024-02-29T00:00:00Z", 0), Some(1_709_164_800_000));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for line in [
            "",
            "goroutine 1 [running]:",
            "2026-13-24 15:04:05",
            "2026-11/24 15:04:05",
            "x=2026-11-24T15",
            r#"{"time":12}"#,
            "timeout=2026",
            "2026-11-24T15:04:05+9",
            "ééééé2026",
        ] {
            assert_eq!(of_line(line, 0), None, "{line}");
        }
    }
}
