//! What stays on a host and what goes: when a log is due for its rotation, which archives and which
//! releases are beyond their budget. Sizes and times come in, choices go out.

use crate::facts::declared::{Logs, Releases};
use crate::quantity::{Bytes, Millis};

/// An archive of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archive {
    /// What it takes.
    pub size: Bytes,
    /// When it was written last, milliseconds since 1970.
    pub written_ms: u64,
}

/// How much is free where logs lie, and how much should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Free for guanka.
    pub free: Bytes,
    /// The size of the file system.
    pub total: Bytes,
}

/// A release on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What it takes.
    pub size: Bytes,
    /// An arm points at it, it is the stable one, or a rollout is about it.
    pub is_in_use: bool,
}

/// The least that archives leave free on a disk: what a busy access log writes in a quarter of an
/// hour at 1,000 requests a second; on small disks a fiftieth.
const RESERVE: Bytes = Bytes(256 << 20);

impl Room {
    /// Returns how much is missing of the reserve that logs leave to others.
    pub fn missing(self) -> Bytes {
        let reserve = RESERVE.0.min(self.total.0 / 50);
        Bytes(reserve.saturating_sub(self.free.0))
    }
}

/// Returns whether a log is due: at its size, or after its time once it holds anything. A clock
/// that was set back counts as well as one that went on: at worst a log is rotated once too early.
pub fn is_due(logs: &Logs, size: Bytes, last_ms: u64, now_ms: u64) -> bool {
    let since = Millis(now_ms.abs_diff(last_ms));
    size.0 > 0 && (size >= logs.rotate || logs.every.is_some_and(|every| since >= every))
}

/// Returns the places of the archives that go: oldest first, until all logs together are within
/// their budget and the disk has its reserve. Live logs are counted and never go.
pub fn archives_to_go(archives: &[Archive], live: Bytes, budget: Bytes, room: Room) -> Vec<usize> {
    let all = archives.iter().fold(live.0, |sum, archive| sum.saturating_add(archive.size.0));
    let beyond = all.saturating_sub(budget.0).max(room.missing().0);
    let mut oldest_first: Vec<usize> = (0..archives.len()).collect();
    oldest_first.sort_by_key(|place| (archives[*place].written_ms, *place));
    let mut freed = 0;
    oldest_first
        .into_iter()
        .take_while(|place| {
            let goes = freed < beyond;
            freed += archives[*place].size.0;
            goes
        })
        .collect()
}

/// Returns the places of the releases that go; `newest_first` is in order of age. One in use never
/// goes; of the others those stay that are among the newest and fit into what the budget leaves.
pub fn releases_to_go(newest_first: &[Kept], limits: &Releases) -> Vec<usize> {
    let in_use = newest_first.iter().filter(|kept| kept.is_in_use);
    let mut sum = in_use.fold(0_u64, |sum, kept| sum.saturating_add(kept.size.0));
    let mut gone = Vec::new();
    for (place, kept) in newest_first.iter().enumerate() {
        if kept.is_in_use {
            continue;
        }
        sum = sum.saturating_add(kept.size.0);
        // Behind one that does not fit an older, smaller one does not stay either.
        if place >= limits.keep as usize || sum > limits.budget.0 || !gone.is_empty() {
            gone.push(place);
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::{Archive, Kept, Room, archives_to_go, is_due, releases_to_go};
    use crate::facts::declared::{LogPlace, Logs, Releases};
    use crate::quantity::{Bytes, Millis};

    const WIDE: Room = Room { free: Bytes(1 << 40), total: Bytes(1 << 41) };

    fn archives(sizes: &[u64]) -> Vec<Archive> {
        let made = |(age, size): (usize, &u64)| Archive {
            size: Bytes(*size),
            written_ms: 1000 - age as u64,
        };
        sizes.iter().enumerate().map(made).collect()
    }

    #[test]
    fn a_log_is_due_at_its_size_or_after_its_time_and_never_while_empty() {
        let mut logs = Logs {
            rotate: Bytes(100),
            every: None,
            keep: 7,
            budget: Bytes(1000),
            place: LogPlace::File,
        };
        assert!(is_due(&logs, Bytes(100), 0, 1));
        assert!(!is_due(&logs, Bytes(99), 0, u64::MAX));
        logs.every = Some(Millis(50));
        assert!(is_due(&logs, Bytes(1), 10, 60));
        assert!(!is_due(&logs, Bytes(1), 11, 60));
        assert!(!is_due(&logs, Bytes(0), 0, 60));
        assert!(is_due(&logs, Bytes(1), 1000, 60), "the clock was set back");
    }

    #[test]
    fn the_oldest_archives_go_until_all_fits() {
        let all = archives(&[10, 20, 30, 40]);
        let go = |budget, room| archives_to_go(&all, Bytes(100), Bytes(budget), room);
        assert_eq!(go(200, WIDE), Vec::<usize>::new());
        assert_eq!(go(199, WIDE), [3]);
        assert_eq!(go(159, WIDE), [3, 2]);
        assert_eq!(go(0, WIDE), [3, 2, 1, 0], "and the live ones stay");
        // 2 % of 1000 are wanted and 5 are there: 15 are missing.
        let tight = Room { free: Bytes(5), total: Bytes(1000) };
        assert_eq!(go(1 << 30, tight), [3]);
    }

    #[test]
    fn a_release_in_use_never_goes_and_the_others_by_age() {
        let kept = |size, is_in_use| Kept { size: Bytes(size), is_in_use };
        let all = [kept(5, false), kept(5, true), kept(5, false), kept(1, false), kept(5, true)];
        let go = |keep, budget| releases_to_go(&all, &Releases { keep, budget: Bytes(budget) });
        assert_eq!(go(5, 100), Vec::<usize>::new());
        assert_eq!(go(3, 100), [3]);
        assert_eq!(go(5, 19), [2, 3]);
        assert_eq!(go(5, 0), [0, 2, 3]);
    }
}
