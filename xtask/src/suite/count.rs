//! How many tests passed and failed, read from what cargo's tests say.

/// Tests that passed and that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// How many passed.
    pub(super) passed: u64,
    /// How many failed.
    pub(super) failed: u64,
}

impl Count {
    /// Counts a stage that is one test.
    pub(super) fn one(is_good: bool) -> Self {
        Self { passed: u64::from(is_good), failed: u64::from(!is_good) }
    }

    /// Adds others.
    pub(super) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// Reads a line; `None` for any but a test program's closing line.
    pub(super) fn of_line(line: &str) -> Option<Self> {
        let (_, rest) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let number = |word: &str| {
            let field = rest.split(';').find(|field| field.ends_with(word))?;
            field.trim().split(' ').next()?.parse().ok()
        };
        Some(Self { passed: number(" passed")?, failed: number(" failed")? })
    }
}

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn a_test_programs_closing_line_is_read_and_no_other() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered \
                    out; finished in 0.01s";
        assert_eq!(Count::of_line(line), Some(Count { passed: 12, failed: 3 }));
        let line = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured";
        assert_eq!(Count::of_line(line), Some(Count::default()));
        for line in ["", "test a ... ok", "test result: ok", "12 passed, 3 failed"] {
            assert_eq!(Count::of_line(line), None, "{line}");
        }
    }
}
