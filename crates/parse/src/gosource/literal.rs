//! Literals and constant arithmetic: what Go's own constants and a few pure functions give.

use super::fold::Value;
use super::token::Kind;

/// The longest text a constant may grow to.
const TEXT_MAX: usize = 4096;

/// Returns the value of a literal.
pub(super) fn value(kind: Kind, text: &str) -> Option<Value> {
    match kind {
        Kind::Int => int(text).map(Value::Int),
        Kind::Float => text.replace('_', "").parse().ok().map(Value::Float),
        Kind::Str => string(text).map(Value::Text),
        Kind::Char => {
            let unquoted = unescape(text.strip_prefix('\'')?.strip_suffix('\'')?)?;
            let mut chars = unquoted.chars();
            let one = chars.next()?;
            chars.next().is_none().then_some(Value::Int(i128::from(u32::from(one))))
        }
        _ => None,
    }
}

/// Returns `a op b` for two constants.
pub(super) fn apply(op: Kind, a: Value, b: Value) -> Option<Value> {
    Some(match (op, a, b) {
        (Kind::Add, Value::Text(a), Value::Text(b)) if a.len() + b.len() <= TEXT_MAX => {
            Value::Text(a + &b)
        }
        (Kind::Add, Value::Int(a), Value::Int(b)) => Value::Int(a.checked_add(b)?),
        (Kind::Sub, Value::Int(a), Value::Int(b)) => Value::Int(a.checked_sub(b)?),
        (Kind::Mul, Value::Int(a), Value::Int(b)) => Value::Int(a.checked_mul(b)?),
        (Kind::Quo, Value::Int(a), Value::Int(b)) => Value::Int(a.checked_div(b)?),
        (Kind::Rem, Value::Int(a), Value::Int(b)) => Value::Int(a.checked_rem(b)?),
        (Kind::Shl, Value::Int(a), Value::Int(b)) if (0..64).contains(&b) => {
            Value::Int(a.checked_mul(1_i128 << b)?)
        }
        (Kind::Shr, Value::Int(a), Value::Int(b)) if (0..64).contains(&b) => Value::Int(a >> b),
        (op, Value::Int(a), Value::Float(b)) => float(op, a as f64, b)?,
        (op, Value::Float(a), Value::Int(b)) => float(op, a, b as f64)?,
        (op, Value::Float(a), Value::Float(b)) => float(op, a, b)?,
        _ => return None,
    })
}

fn float(op: Kind, a: f64, b: f64) -> Option<Value> {
    let result = match op {
        Kind::Add => a + b,
        Kind::Sub => a - b,
        Kind::Mul => a * b,
        Kind::Quo => a / b,
        _ => return None,
    };
    result.is_finite().then_some(Value::Float(result))
}

/// Returns what a pure function of the language or the standard library gives for constants.
pub(super) fn called(path: &str, name: &str, mut args: Vec<Value>) -> Option<Value> {
    match (path, name, args.as_slice()) {
        ("", "float64" | "float32", [Value::Int(n)]) => Some(Value::Float(*n as f64)),
        ("", "float64" | "float32" | "string", [_]) => args.pop(),
        (
            "",
            "int" | "int8" | "int16" | "int32" | "int64" | "uint" | "uint8" | "uint16" | "uint32"
            | "uint64",
            [one],
        )
        | ("time", "Duration", [one]) => match one {
            Value::Float(n) if n.abs() < 1e30 => Some(Value::Int(n.trunc() as i128)),
            Value::Int(n) => Some(Value::Int(*n)),
            _ => None,
        },
        ("time", "ParseDuration", [Value::Text(text)]) => duration(text).map(Value::Int),
        ("strconv", "Itoa", [Value::Int(n)]) => Some(Value::Text(n.to_string())),
        ("strconv", "Atoi", [Value::Text(text)]) => text.parse().ok().map(Value::Int),
        ("strings", "TrimSpace", [Value::Text(text)]) => Some(Value::Text(text.trim().to_owned())),
        ("net", "JoinHostPort", [Value::Text(host), Value::Text(port)]) => {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            Some(Value::Text(format!("{host}:{port}")))
        }
        ("fmt", "Sprintf", [Value::Text(format), rest @ ..]) => sprintf(format, rest),
        ("fmt", "Sprint", [Value::Text(text)]) => Some(Value::Text(text.clone())),
        _ => None,
    }
}

/// Returns which arguments of a call are put behind a colon: `fmt.Sprintf(":%d", port)`.
pub(super) fn behind_colon(path: &str, name: &str, format: Option<&str>) -> Vec<usize> {
    match (path, name, format) {
        ("net", "JoinHostPort", _) => vec![1],
        ("fmt", "Sprintf", Some(format)) => {
            let pieces: Vec<&str> = format.split('%').collect();
            let verbs = pieces.windows(2).enumerate();
            verbs.filter(|(_, pair)| pair[0].ends_with(':')).map(|(i, _)| i + 1).collect()
        }
        _ => Vec::new(),
    }
}

/// Formats `%s`, `%d`, `%v` and `%%`; anything finer is not folded.
fn sprintf(format: &str, args: &[Value]) -> Option<Value> {
    let mut out = String::new();
    let mut args = args.iter();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        match (letters.next()?, &mut args) {
            ('%', _) => out.push('%'),
            ('s' | 'v', args) if matches!(args.as_slice().first(), Some(Value::Text(_))) => {
                if let Some(Value::Text(text)) = args.next() {
                    out.push_str(text);
                }
            }
            ('d' | 'v', args) => match args.next()? {
                Value::Int(n) => out.push_str(&n.to_string()),
                _ => return None,
            },
            _ => return None,
        }
        if out.len() > TEXT_MAX {
            return None;
        }
    }
    Some(Value::Text(out))
}

/// Reads a duration as `time.ParseDuration` does, in nanoseconds.
fn duration(text: &str) -> Option<i128> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut nanos = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(digits);
        let end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let factor = match unit {
            "ns" => "Nanosecond",
            "us" | "µs" | "μs" => "Microsecond",
            "ms" => "Millisecond",
            "s" => "Second",
            "m" => "Minute",
            "h" => "Hour",
            _ => return None,
        };
        nanos += number.parse::<f64>().ok()? * time_unit(factor)? as f64;
        rest = behind;
    }
    (!text.is_empty() && nanos.is_finite()).then_some((sign * nanos).round() as i128)
}

/// Returns a unit of package `time` in nanoseconds.
pub(super) fn time_unit(name: &str) -> Option<i128> {
    Some(match name {
        "Nanosecond" => 1,
        "Microsecond" => 1_000,
        "Millisecond" => 1_000_000,
        "Second" => 1_000_000_000,
        "Minute" => 60_000_000_000,
        "Hour" => 3_600_000_000_000,
        _ => return None,
    })
}

fn int(text: &str) -> Option<i128> {
    let text = text.replace('_', "").to_ascii_lowercase();
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x', ..] => (&text[2..], 16),
        [b'0', b'b', ..] => (&text[2..], 2),
        [b'0', b'o', ..] => (&text[2..], 8),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text.as_str(), 10),
    };
    i128::from_str_radix(digits, radix).ok()
}

/// Returns what a string literal holds.
pub(super) fn string(text: &str) -> Option<String> {
    if let Some(raw) = text.strip_prefix('`') {
        return Some(raw.strip_suffix('`')?.replace('\r', ""));
    }
    unescape(text.strip_prefix('"')?.strip_suffix('"')?)
}

/// Resolves escapes; bytes that are no character make the text unknown.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = rest[at + 1..].chars().next()?;
        let behind = &rest[at + 1 + escape.len_utf8()..];
        let (letter, length) = match escape {
            'n' => ('\n', 0),
            't' => ('\t', 0),
            'r' => ('\r', 0),
            'a' => ('\u{7}', 0),
            'b' => ('\u{8}', 0),
            'f' => ('\u{c}', 0),
            'v' => ('\u{b}', 0),
            '\\' | '\'' | '"' => (escape, 0),
            'x' => (coded(behind.get(..2)?, 16).filter(char::is_ascii)?, 2),
            'u' => (coded(behind.get(..4)?, 16)?, 4),
            'U' => (coded(behind.get(..8)?, 16)?, 8),
            '0'..='7' => {
                let digits = rest.get(at + 1..at + 4)?;
                (coded(digits, 8).filter(char::is_ascii)?, 2)
            }
            _ => return None,
        };
        out.push(letter);
        rest = &behind[length..];
    }
    out.push_str(rest);
    Some(out)
}

fn coded(digits: &str, radix: u32) -> Option<char> {
    u32::from_str_radix(digits, radix).ok().and_then(char::from_u32)
}

#[cfg(test)]
mod tests {
    use super::super::fold::Value;
    use super::super::token::Kind;
    use super::{called, value};

    #[test]
    fn literals_have_gos_values() {
        let int = |text| value(Kind::Int, text);
        assert_eq!(int("1_000"), Some(Value::Int(1000)));
        assert_eq!(int("0x1F"), Some(Value::Int(31)));
        assert_eq!(int("0755"), Some(Value::Int(493)));
        assert_eq!(int("0"), Some(Value::Int(0)));
        let text = |text: &str| match value(Kind::Str, text) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        };
        assert_eq!(text(r#""a\tb\u4e2d\x41\101""#).as_deref(), Some("a\tb中AA"));
        assert_eq!(text("`a\\n\r\nb`").as_deref(), Some("a\\n\nb"));
        assert_eq!(text(r#""\xff""#), None);
        assert_eq!(text("\"open"), None);
    }

    #[test]
    fn pure_functions_are_folded_and_others_are_not() {
        let text = |t: &str| Value::Text(t.to_owned());
        let parsed = called("time", "ParseDuration", vec![text("1m30.5s")]);
        assert_eq!(parsed, Some(Value::Int(90_500_000_000)));
        assert_eq!(called("time", "ParseDuration", vec![text("5")]), None);
        let format = vec![text("%s:%d"), text("h"), Value::Int(80)];
        assert_eq!(called("fmt", "Sprintf", format), Some(text("h:80")));
        assert_eq!(called("fmt", "Sprintf", vec![text("%08x"), Value::Int(80)]), None);
        let joined = called("net", "JoinHostPort", vec![text("::1"), text("80")]);
        assert_eq!(joined, Some(text("[::1]:80")));
        assert_eq!(called("os", "Hostname", vec![]), None);
    }
}
