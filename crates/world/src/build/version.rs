//! Go's version numbers and their order, as `go version` prints them and go.mod writes them.

use std::fmt;

/// A Go version. Ordered as Go orders them: the language `1.22` stands before its release
/// candidates, those before `1.22.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoVersion {
    major: u32,
    minor: u32,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// The language alone, `1.22` in go.mod: every toolchain of 1.22 speaks it.
    Language,
    Beta(u32),
    Candidate(u32),
    Release(u32),
}

/// How many of a version's numbers were written, when one is asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precision {
    /// `1.22`: any of its releases.
    Minor,
    /// `1.22.5`: just this one.
    Patch,
}

impl GoVersion {
    /// Builds the language version `major.minor`.
    pub(super) const fn language(major: u32, minor: u32) -> Self {
        Self { major, minor, stage: Stage::Language }
    }

    /// Reads go.mod's `go` line or guanka.toml's `[build] go`: `1.22`, `1.22.5`, `1.23rc1`.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, rest) = text.split_once('.')?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (minor, rest) = rest.split_at(end);
        let number = |text: &str| {
            (text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit()))
                .then(|| text.parse::<u32>().ok())
                .flatten()
        };
        let stage = if rest.is_empty() {
            Stage::Language
        } else if let Some(patch) = rest.strip_prefix('.') {
            Stage::Release(number(patch)?)
        } else if let Some(candidate) = rest.strip_prefix("rc") {
            Stage::Candidate(number(candidate)?)
        } else {
            Stage::Beta(number(rest.strip_prefix("beta")?)?)
        };
        Some(Self { major: number(major)?, minor: number(minor)?, stage })
    }

    /// Reads a toolchain's own name, `go1.26.8`. Before 1.21 the first release had no patch number.
    pub fn of_toolchain(text: &str) -> Option<Self> {
        let mut version = Self::parse(text.strip_prefix("go")?)?;
        if version.stage == Stage::Language {
            version.stage = Stage::Release(0);
        }
        Some(version)
    }

    /// Reads the line that `go version` prints, `go version go1.26.8 linux/amd64`.
    pub(super) fn of_answer(text: &str) -> Option<Self> {
        let mut words = text.lines().next()?.strip_prefix("go version ")?.split(' ');
        let version = Self::of_toolchain(words.next()?)?;
        // The platform stands last, behind the experiments that the toolchain was built with.
        words.next_back()?.contains('/').then_some(version)
    }

    /// Returns whether it is a release, not a beta or a candidate.
    pub(super) fn is_release(self) -> bool {
        matches!(self.stage, Stage::Release(_))
    }

    /// Returns how exactly it is written.
    pub(super) fn precision(self) -> Precision {
        if self.stage == Stage::Language { Precision::Minor } else { Precision::Patch }
    }

    /// Returns whether two versions belong to the same `major.minor`.
    pub(super) fn is_same_minor(self, other: Self) -> bool {
        (self.major, self.minor) == (other.major, other.minor)
    }
}

impl fmt::Display for GoVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        match self.stage {
            Stage::Language => Ok(()),
            Stage::Beta(n) => write!(f, "beta{n}"),
            Stage::Candidate(n) => write!(f, "rc{n}"),
            Stage::Release(n) => write!(f, ".{n}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::GoVersion;

    fn version(text: &str) -> GoVersion {
        GoVersion::parse(text).expect(text)
    }

    #[test]
    fn versions_stand_in_the_order_that_go_gives_them() {
        let ordered = ["1.9", "1.21", "1.22", "1.22rc1", "1.22rc2", "1.22.0", "1.22.10", "1.23"];
        for pair in ordered.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        assert!(GoVersion::of_toolchain("go1.19") > GoVersion::parse("1.19rc2"));
    }

    #[test]
    fn the_answer_of_a_toolchain_is_read_and_other_texts_are_not() {
        let read = |text| GoVersion::of_answer(text).map(|v| v.to_string());
        assert_eq!(read("go version go1.26.8 linux/amd64\n").as_deref(), Some("1.26.8"));
        assert_eq!(
            read("go version go1.25.1 X:nocoverageredesign linux/arm64").as_deref(),
            Some("1.25.1")
        );
        assert_eq!(read("go version go1.19 linux/amd64").as_deref(), Some("1.19.0"));
        for text in ["", "go version", "usage: go", "go version devel go1.99", "go1.26.8", "1.2.3"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "1", "1.", ".22", "1.x", "1.22.", "1.22.x", "1.22-x", "1.999999", "v1.22"]
        {
            assert_eq!(GoVersion::parse(text), None, "{text}");
        }
    }
}
