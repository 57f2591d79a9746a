//! Numbers with units: durations, sizes, shares, rates. They are parsed once, at the border, from
//! the text a user wrote (`"30s"`, `"512M"`, `"0.06%"`, `"200/s"`) and carry their unit ever after.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::say::Text;

/// A duration in whole milliseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub u64);

/// A size in bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// A share of the whole between 0 and 1, written as a percentage (`"0.06%"` is 0.0006).
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Proportion(pub f64);

/// A rate per second.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rate(pub f64);

/// A whole percentage of requests, 0 to 100: what share the candidate arm gets.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "u8", into = "u8")]
pub struct SharePercent(u8);

/// Processor time as a percentage of one processor: 150 is one and a half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CpuPercent(pub u32);

/// Why a text is not a quantity; the message says what would be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {}", expected.en)]
pub struct QuantityError {
    /// What was written.
    pub text: String,
    /// What would have been right, with an example.
    pub expected: Text,
}

impl Millis {
    /// Zero: in Go's `http.Server` it means "not set".
    pub const ZERO: Self = Self(0);

    /// Builds a duration from whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1000)
    }

    /// Returns the duration in seconds, with its fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// Parses `"250ms"`, `"30s"`, `"5m"`, `"72h"`, `"30d"`. A bare number has no unit and is wrong.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let wrong = || QuantityError {
            text: text.to_owned(),
            expected: Text {
                zh: "带单位的时长:ms、s、m、h 或 d,例如 \"30s\"",
                en: "a duration with a unit: ms, s, m, h or d, like \"30s\"",
            },
        };
        let (number, unit) = split_unit(text).ok_or_else(wrong)?;
        let factor = match unit {
            "ms" => 1.0,
            "s" => 1000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return Err(wrong()),
        };
        let value = number * factor;
        // A century in milliseconds: beyond it is a typing error, and sums stay far from overflow.
        if !(0.0..=3.2e12).contains(&value) {
            return Err(wrong());
        }
        Ok(Self(value.round() as u64))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0;
        if ms == 0 {
            write!(f, "0s")
        } else if ms.is_multiple_of(86_400_000) {
            write!(f, "{}d", ms / 86_400_000)
        } else if ms.is_multiple_of(3_600_000) {
            write!(f, "{}h", ms / 3_600_000)
        } else if ms.is_multiple_of(60_000) {
            write!(f, "{}m", ms / 60_000)
        } else if ms.is_multiple_of(1000) {
            write!(f, "{}s", ms / 1000)
        } else {
            write!(f, "{ms}ms")
        }
    }
}

impl Bytes {
    /// Parses `"512M"`, `"10m"`, `"2G"`, `"64k"`, `"100B"`; steps of 1024, as nginx and systemd do.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let wrong = || QuantityError {
            text: text.to_owned(),
            expected: Text {
                zh: "带单位的大小:B、k、M 或 G,例如 \"512M\"",
                en: "a size with a unit: B, k, M or G, like \"512M\"",
            },
        };
        let (number, unit) = split_unit(text).ok_or_else(wrong)?;
        let factor = match unit {
            "B" | "b" => 1.0,
            "k" | "K" => 1024.0,
            "m" | "M" => 1024.0 * 1024.0,
            "g" | "G" => 1024.0 * 1024.0 * 1024.0,
            _ => return Err(wrong()),
        };
        let value = number * factor;
        if !(0.0..=1e15).contains(&value) {
            return Err(wrong());
        }
        Ok(Self(value.round() as u64))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        for (unit, factor) in [("G", 1u64 << 30), ("M", 1 << 20), ("k", 1 << 10)] {
            if bytes > 0 && bytes.is_multiple_of(factor) {
                return write!(f, "{}{unit}", bytes / factor);
            }
        }
        write!(f, "{bytes}B")
    }
}

impl Proportion {
    /// Parses `"0.06%"`, `"99.95%"`. The percent sign is the unit.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let wrong = || QuantityError {
            text: text.to_owned(),
            expected: Text {
                zh: "0% 到 100% 的百分数,例如 \"0.06%\"",
                en: "a percentage from 0% to 100%, like \"0.06%\"",
            },
        };
        match split_unit(text) {
            Some((number, "%")) if (0.0..=100.0).contains(&number) => Ok(Self(number / 100.0)),
            _ => Err(wrong()),
        }
    }

    /// Returns the rest: the bad share that an objective on good events allows.
    pub fn complement(self) -> Self {
        Self(1.0 - self.0)
    }
}

impl fmt::Display for Proportion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = format!("{:.6}", self.0 * 100.0);
        let trimmed = rounded.trim_end_matches('0').trim_end_matches('.');
        write!(f, "{trimmed}%")
    }
}

impl Rate {
    /// Parses `"200/s"`, `"30/m"`.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let wrong = || QuantityError {
            text: text.to_owned(),
            expected: Text {
                zh: "每秒或每分钟的速率,例如 \"200/s\"",
                en: "a rate per second or minute, like \"200/s\"",
            },
        };
        let (number, unit) = split_unit(text).ok_or_else(wrong)?;
        let per_second = match unit {
            "/s" => number,
            "/m" => number / 60.0,
            _ => return Err(wrong()),
        };
        if per_second > 0.0 && per_second <= 1e7 { Ok(Self(per_second)) } else { Err(wrong()) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

impl SharePercent {
    /// No request.
    pub const NONE: Self = Self(0);
    /// All requests.
    pub const ALL: Self = Self(100);

    /// Accepts 0 to 100.
    pub const fn new(percent: u8) -> Option<Self> {
        if percent <= 100 { Some(Self(percent)) } else { None }
    }

    /// Returns the whole percentage.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Returns what is left for the other arm.
    pub const fn rest(self) -> Self {
        Self(100 - self.0)
    }
}

impl CpuPercent {
    /// Parses `"50%"`, `"150%"`: from a hundredth of a processor to a thousand processors.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let digits = text.strip_suffix('%').filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
        match digits.and_then(|digits| digits.parse().ok()) {
            Some(percent @ 1..=100_000) => Ok(Self(percent)),
            _ => Err(QuantityError {
                text: text.to_owned(),
                expected: Text {
                    zh: "单个处理器的整数百分比,例如 \"150%\" 即一个半",
                    en: "a whole percentage of one processor, like \"150%\" for one and a half",
                },
            }),
        }
    }

    /// Returns the whole processors that hold it.
    pub const fn processors(self) -> u32 {
        self.0.div_ceil(100)
    }
}

impl fmt::Display for CpuPercent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl TryFrom<u8> for SharePercent {
    type Error = String;

    fn try_from(percent: u8) -> Result<Self, String> {
        Self::new(percent).ok_or_else(|| format!("{percent} is not a percentage from 0 to 100"))
    }
}

impl From<SharePercent> for u8 {
    fn from(share: SharePercent) -> Self {
        share.0
    }
}

impl fmt::Display for SharePercent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

/// Splits `"12.5ms"` into its number and the unit behind it; nothing else is accepted.
fn split_unit(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let value: f64 = number.parse().ok()?;
    value.is_finite().then_some((value, unit))
}

#[cfg(test)]
mod tests {
    use super::{Bytes, CpuPercent, Millis, Proportion, Rate, SharePercent};

    #[test]
    fn quantities_read_what_people_write() {
        assert_eq!(Millis::parse("2500ms"), Ok(Millis(2500)));
        assert_eq!(Millis::parse("72h"), Ok(Millis::from_secs(259_200)));
        assert_eq!(Bytes::parse("512M"), Ok(Bytes(512 << 20)));
        assert_eq!(Proportion::parse("0.06%").map(|p| p.0), Ok(0.06 / 100.0));
        assert_eq!(Rate::parse("200/s"), Ok(Rate(200.0)));
        assert_eq!(SharePercent::new(101), None);
    }

    #[test]
    fn processor_time_is_a_whole_percentage_of_one_processor() {
        assert_eq!(CpuPercent::parse("150%"), Ok(CpuPercent(150)));
        assert_eq!([50, 100, 101, 250].map(|p| CpuPercent(p).processors()), [1, 1, 2, 3]);
        for text in ["", "%", "0%", "1.5%", "150", "-1%", "+1%", "100001%", "99999999999%"] {
            assert!(CpuPercent::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused() {
        for text in ["30", "", "s", "30 s", "-1s", "1e3s", "nan", "30ss", "101%"] {
            assert!(Millis::parse(text).is_err(), "{text}");
            assert!(Proportion::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn quantities_print_shortly() {
        assert_eq!(Millis(90_000).to_string(), "90s");
        assert_eq!(Millis(1500).to_string(), "1500ms");
        assert_eq!(Proportion(0.0006).to_string(), "0.06%");
        assert_eq!(Bytes(10 << 20).to_string(), "10M");
    }
}
