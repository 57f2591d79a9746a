//! What a driver in the controller has told, kept for those who follow: every lasting line, the
//! newest of each passing kind. Bounded: a follower that is slow or a rollout that takes days loses
//! old lines and never memory.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use guanka_core::quantity::Millis;

use super::message::End;
use crate::drive::told::{Ear, Told};

/// The most lines kept: a rollout of the longest kind has some dozens of lasting ones.
const LINES_MAX: usize = 1024;

/// One thing told, with its number and its time.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) at_ms: u64,
    pub(super) told: Told,
}

/// The lines of one drive.
pub(super) struct Feed {
    began: Instant,
    kept: Mutex<Kept>,
    changed: Condvar,
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<Line>,
    next: u64,
    end: Option<End>,
}

impl Feed {
    /// Begins with nothing told.
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), kept: Mutex::default(), changed: Condvar::new() }
    }

    /// Ends it: what comes after is nobody's.
    pub(super) fn end(&self, end: End) {
        self.kept().end.get_or_insert(end);
        self.changed.notify_all();
    }

    /// Returns the lines from a number on, waiting for one; with the end when all were given.
    pub(super) fn after(&self, number: u64, limit: Millis) -> (Vec<Line>, Option<End>) {
        let nothing = |kept: &mut Kept| kept.next <= number && kept.end.is_none();
        let limit = Duration::from_millis(limit.0);
        let waited = self.changed.wait_timeout_while(self.kept(), limit, nothing);
        let (kept, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let lines = kept.lines.iter().filter(|line| line.number >= number).cloned().collect();
        (lines, kept.end.clone())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ear for Feed {
    fn hear(&self, told: Told) {
        let at_ms = self.began.elapsed().as_millis() as u64;
        let mut kept = self.kept();
        if kept.end.is_some() {
            return;
        }
        if told.is_passing() {
            let kind = std::mem::discriminant(&told);
            kept.lines.retain(|line| std::mem::discriminant(&line.told) != kind);
        }
        let number = kept.next;
        kept.next += 1;
        kept.lines.push_back(Line { number, at_ms, told });
        if kept.lines.len() > LINES_MAX {
            kept.lines.pop_front();
        }
        drop(kept);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use guanka_core::quantity::Millis;
    use guanka_core::say::Said;

    use super::{Feed, LINES_MAX};
    use crate::drive::told::{Ear, Told};
    use crate::serve::message::End;

    fn line(number: usize) -> Told {
        let text = number.to_string();
        let says = Said::new(text.clone(), text);
        Told::Line { event: "note".to_owned(), state: "note".to_owned(), says }
    }

    fn working(number: usize) -> Told {
        let text = number.to_string();
        Told::Working { says: Said::new(text.clone(), text) }
    }

    fn words(feed: &Feed, from: u64) -> Vec<String> {
        let (lines, _) = feed.after(from, Millis(1));
        let word = |told: &Told| match told {
            Told::Line { says, .. } => says.en.clone(),
            Told::Working { says } => format!("~{}", says.en),
            _ => String::new(),
        };
        lines.iter().map(|line| word(&line.told)).collect()
    }

    #[test]
    fn days_of_judging_keep_every_lasting_line_and_one_passing_one() {
        let feed = Feed::new();
        for day in 0..3 {
            feed.hear(line(day));
            for second in 0..86_400 {
                feed.hear(working(second));
            }
        }
        assert_eq!(words(&feed, 0), ["0", "1", "2", "~86399"]);
    }

    #[test]
    fn lasting_lines_without_end_lose_the_oldest() {
        let feed = Feed::new();
        for number in 0..LINES_MAX + 7 {
            feed.hear(line(number));
        }
        let words = words(&feed, 0);
        assert_eq!(words.len(), LINES_MAX);
        assert_eq!(words.first().map(String::as_str), Some("7"));
    }

    #[test]
    fn a_follower_gets_each_line_once_and_then_the_end() {
        let feed = Feed::new();
        feed.hear(line(1));
        let (lines, end) = feed.after(0, Millis(1));
        assert_eq!((lines.len(), end), (1, None));
        let next = lines[0].number + 1;
        assert!(words(&feed, next).is_empty());
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| feed.after(next, Millis::from_secs(30)));
            feed.hear(line(2));
            let (lines, _) = waits.join().expect("no panic");
            assert_eq!(lines.len(), 1);
        });
        feed.end(End::Over);
        feed.end(End::Leaving);
        feed.hear(line(3));
        let (lines, end) = feed.after(next + 1, Millis(1));
        assert_eq!((lines.len(), end), (0, Some(End::Over)), "the first end stays");
    }
}
