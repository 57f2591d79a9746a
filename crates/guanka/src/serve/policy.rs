//! What becomes of a drive that failed: decided from the kind of failure alone.

use guanka_core::quantity::Millis;

use crate::failure::Failure;
use crate::failure::codes::{AGENT, FENCED, LOCKED, SSH};

/// The longest time between two tries to reach a host: it may be away for days.
const LONGEST: Millis = Millis::from_secs(60);
/// How often a service that somebody else drives is looked at.
pub(super) const LOOK: Millis = Millis::from_secs(5);

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The host is away: try again, ever more slowly, for as long as it takes.
    Again,
    /// Another driver has taken over: let go, and come back when it has left the rollout unended.
    LetGo,
    /// Somebody still holds the lease: wait for it.
    Wait,
    /// A person must look at it.
    Stop,
}

/// Decides what to do after a failure.
pub(super) fn after(failure: &Failure) -> Next {
    let is = |codes: &[&str]| codes.contains(&failure.kind.code);
    if is(&[AGENT.code, SSH.code]) {
        Next::Again
    } else if is(&[FENCED.code]) {
        Next::LetGo
    } else if is(&[LOCKED.code]) {
        Next::Wait
    } else {
        Next::Stop
    }
}

/// Returns how long to wait before the next try, after so many in a row.
pub(super) fn pause(tries: u32) -> Millis {
    let doubled = 1000_u64.saturating_mul(1_u64.checked_shl(tries).unwrap_or(u64::MAX));
    Millis(doubled).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use guanka_core::quantity::Millis;
    use guanka_core::say::Said;

    use super::{LONGEST, Next, after, pause};
    use crate::failure::Failure;
    use crate::failure::codes::ALL;

    #[test]
    fn only_a_host_that_is_away_is_tried_again_and_only_a_driver_makes_way() {
        for kind in ALL {
            let failed = Failure::new(kind, Said::new("a", "a"), Said::new("b", "b"));
            let expected = match kind.code {
                "GK1201" | "GK1213" => Next::Again,
                "GK1203" => Next::LetGo,
                "GK1207" => Next::Wait,
                _ => Next::Stop,
            };
            assert_eq!(after(&failed), expected, "{}", kind.code);
        }
    }

    #[test]
    fn tries_come_ever_more_slowly_and_never_cease() {
        let pauses: Vec<u64> = (0..8).map(|tries| pause(tries).0 / 1000).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        for tries in [63, 64, 1_000, u32::MAX] {
            assert_eq!(pause(tries), LONGEST, "{tries}");
        }
        assert!(pause(0) > Millis::ZERO);
    }
}
