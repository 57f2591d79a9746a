//! The time a rollout lives by. It is counted from clocks that nobody sets: a jump of the wall
//! clock moves no deadline, and a machine that was off makes a wait longer, never shorter.

use serde::{Deserialize, Serialize};

/// What the clocks of the machine with the journal say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The wall clock, for people.
    pub wall_ms: u64,
    /// The kernel's boot id.
    pub boot: String,
    /// The time since that boot, sleep included.
    pub since_boot_ms: u64,
}

/// Returns the steady time of a rollout's first record: the wall clock's.
pub const fn begin(now: &Reading) -> u64 {
    now.wall_ms
}

/// Returns the steady time now, given the last record's and the reading beside it.
///
/// Within one boot, what passed on the boot clock is added. After another boot only the time since
/// that boot is: so much has passed at least. The journal never moves to another machine alone, so
/// both readings are of one machine.
pub fn steady(last_at: u64, last: &Reading, now: &Reading) -> u64 {
    let passed = if last.boot == now.boot {
        now.since_boot_ms.saturating_sub(last.since_boot_ms)
    } else {
        now.since_boot_ms
    };
    last_at.saturating_add(passed)
}

#[cfg(test)]
mod tests {
    use super::{Reading, steady};

    const HOURS_72: u64 = 72 * 3_600_000;

    fn reading(wall_ms: u64, boot: &str, since_boot_ms: u64) -> Reading {
        Reading { wall_ms, boot: boot.to_owned(), since_boot_ms }
    }

    #[test]
    fn a_jump_of_the_wall_clock_moves_nothing() {
        let last = reading(HOURS_72, "a", 5_000);
        for wall_ms in [0, HOURS_72, 2 * HOURS_72] {
            assert_eq!(steady(100, &last, &reading(wall_ms, "a", 6_000)), 1_100, "{wall_ms}");
        }
    }

    #[test]
    fn a_reboot_counts_only_what_surely_passed() {
        let last = reading(0, "a", 5_000_000);
        assert_eq!(steady(100, &last, &reading(HOURS_72, "b", 2_000)), 2_100);
    }
}
