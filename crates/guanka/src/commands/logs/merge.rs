//! Two arms' lines as one text: by the time each line carries. A line without a time belongs to the
//! one before it of its own arm. While an arm has more to come, nothing younger than its next line
//! is given.

use std::collections::{BTreeMap, VecDeque};

use guanka_core::name::Arm;
use guanka_world::logs::Line;

/// A line and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Merged {
    pub(super) arm: Arm,
    pub(super) line: Line,
}

/// Lines of some arms that wait for their turn.
pub(super) struct Merge {
    arms: BTreeMap<Arm, Waiting>,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<(u64, Line)>,
    /// The last time that a line carried.
    at_ms: u64,
    has_more: bool,
}

impl Merge {
    /// Begins with nothing known of any arm.
    pub(super) fn new(arms: &[Arm]) -> Self {
        let waiting = || Waiting { has_more: true, ..Waiting::default() };
        Self { arms: arms.iter().map(|arm| (*arm, waiting())).collect() }
    }

    /// Returns whether lines of an arm wait.
    pub(super) fn has_lines(&self, arm: Arm) -> bool {
        self.arms.get(&arm).is_some_and(|waiting| !waiting.lines.is_empty())
    }

    /// Adds the next lines of an arm.
    pub(super) fn add(&mut self, arm: Arm, lines: Vec<Line>, has_more: bool) {
        let Some(waiting) = self.arms.get_mut(&arm) else { return };
        for line in lines {
            waiting.at_ms = line.at_ms.unwrap_or(waiting.at_ms);
            waiting.lines.push_back((waiting.at_ms, line));
        }
        waiting.has_more = has_more;
    }

    /// Returns the line whose turn it is.
    pub(super) fn next(&mut self) -> Option<Merged> {
        if self.arms.values().any(|waiting| waiting.lines.is_empty() && waiting.has_more) {
            return None;
        }
        let heads = self.arms.iter().filter_map(|(arm, w)| Some((w.lines.front()?.0, *arm)));
        let (_, arm) = heads.min()?;
        let (_, line) = self.arms.get_mut(&arm)?.lines.pop_front()?;
        Some(Merged { arm, line })
    }
}

#[cfg(test)]
mod tests {
    use guanka_core::name::Arm::{self, Blue, Green};
    use guanka_world::logs::Line;

    use super::Merge;

    fn lines(all: &[(u64, &str)]) -> Vec<Line> {
        let line = |(at, text): &(u64, &str)| Line {
            at_ms: (*at > 0).then_some(*at),
            text: (*text).to_owned(),
        };
        all.iter().map(line).collect()
    }

    fn drain(merge: &mut Merge) -> Vec<String> {
        std::iter::from_fn(|| merge.next()).map(|merged| merged.line.text).collect()
    }

    #[test]
    fn lines_come_by_time_and_a_trace_stays_with_its_line() {
        let mut merge = Merge::new(&[Blue, Green]);
        merge.add(Blue, lines(&[(1, "b1"), (5, "b5"), (0, "b5 trace"), (9, "b9")]), false);
        merge.add(Green, lines(&[(2, "g2"), (5, "g5"), (6, "g6")]), false);
        assert_eq!(drain(&mut merge), ["b1", "g2", "b5", "b5 trace", "g5", "g6", "b9"]);
    }

    #[test]
    fn nothing_younger_than_what_an_arm_still_has_is_given() {
        let mut merge = Merge::new(&[Blue, Green]);
        merge.add(Blue, lines(&[(1, "b1"), (2, "b2")]), true);
        assert_eq!(drain(&mut merge), [""; 0], "nothing is known of green");
        merge.add(Green, lines(&[(9, "g9")]), false);
        assert_eq!(drain(&mut merge), ["b1", "b2"]);
        merge.add(Blue, lines(&[(3, "b3")]), false);
        assert_eq!(drain(&mut merge), ["b3", "g9"]);
        let none: &[Arm] = &[];
        assert_eq!(Merge::new(none).next(), None);
    }
}
