//! When a program that runs and answers nothing at all is started anew. Off for a while after a
//! start, under a limit, and never where every arm that runs is silent: what they share is down
//! then, and a restart would only cost what they hold.

use serde::{Deserialize, Serialize};

use crate::facts::declared::Liveness;
use crate::name::Arm;
use crate::quantity::Millis;

/// What is known of an arm whose program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alive {
    /// How long its process has been watched.
    pub up: Millis,
    /// Questions in a row that found no answer; 0 when the last one did.
    pub silent: u32,
}

/// A restart that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarted {
    /// The arm.
    pub arm: Arm,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
}

/// What is to be done about a silent arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revival {
    /// Its program is ended; its manager starts it anew.
    Restart(Arm),
    /// It was started anew as often as is allowed: a person has to look.
    Spent(Arm),
}

/// Decides from what is declared, what is known of the arms that run, and what was done before.
pub fn decide(
    declared: &Liveness,
    now_ms: u64,
    alive: impl Fn(Arm) -> Option<Alive>,
    past: &[Restarted],
) -> Option<Revival> {
    if !declared.is_on {
        return None;
    }
    let is_hung = |arm: &Arm| {
        // An arm that runs beside it must have answered its very last question: one that has only
        // begun to be silent may be silent for the same reason.
        let beside_answers = alive(arm.other()).is_none_or(|other| other.silent == 0);
        let found = alive(*arm);
        beside_answers
            && found.is_some_and(|a| a.silent >= declared.fails && a.up >= declared.after)
    };
    let arm = [Arm::Blue, Arm::Green].into_iter().find(is_hung)?;
    if restarts(declared, now_ms, arm, past) >= declared.restarts {
        return Some(Revival::Spent(arm));
    }
    Some(Revival::Restart(arm))
}

/// Returns how often an arm was started anew within the declared time. What is dated in the future,
/// before a clock was put back, counts.
pub fn restarts(declared: &Liveness, now_ms: u64, arm: Arm, past: &[Restarted]) -> u32 {
    let since = now_ms.saturating_sub(declared.within.0);
    let counted = past.iter().filter(|done| done.arm == arm && done.at_ms >= since).count();
    u32::try_from(counted).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Alive, Restarted, Revival, decide};
    use crate::facts::declared::Liveness;
    use crate::name::Arm;
    use crate::quantity::Millis;

    const NOW: u64 = 1_000_000_000;
    const HOUR: Millis = Millis::from_secs(3600);
    const ANSWERS: Option<Alive> = Some(Alive { up: HOUR, silent: 0 });
    const HUNG: Option<Alive> = Some(Alive { up: HOUR, silent: 3 });

    fn of(blue: Option<Alive>, green: Option<Alive>, past: &[Restarted]) -> Option<Revival> {
        let alive = |arm| if arm == Arm::Blue { blue } else { green };
        decide(&Liveness::default(), NOW, alive, past)
    }

    #[test]
    fn a_hung_arm_is_started_anew_alone_or_beside_one_that_answers() {
        assert_eq!(of(HUNG, None, &[]), Some(Revival::Restart(Arm::Blue)));
        assert_eq!(of(ANSWERS, HUNG, &[]), Some(Revival::Restart(Arm::Green)));
        assert_eq!(of(ANSWERS, ANSWERS, &[]), None);
        assert_eq!(of(None, None, &[]), None);
        let off = Liveness { is_on: false, ..Liveness::default() };
        assert_eq!(decide(&off, NOW, |_| HUNG, &[]), None);
    }

    #[test]
    fn with_every_arm_silent_nothing_is_restarted() {
        assert_eq!(of(HUNG, HUNG, &[]), None);
        let begins = Some(Alive { up: HOUR, silent: 1 });
        assert_eq!(of(HUNG, begins, &[]), None, "the other one may go the same way");
        assert_eq!(of(begins, HUNG, &[]), None);
    }

    #[test]
    fn the_first_minute_is_its_own_and_so_are_too_few_questions() {
        let young = |secs| Some(Alive { up: Millis::from_secs(secs), silent: 9 });
        assert_eq!(of(young(59), None, &[]), None);
        assert_eq!(of(young(60), None, &[]), Some(Revival::Restart(Arm::Blue)));
        assert_eq!(of(Some(Alive { up: HOUR, silent: 2 }), None, &[]), None);
    }

    #[test]
    fn restarts_end_at_their_limit_and_old_ones_do_not_count() {
        let done = |arm, secs_ago: u64| Restarted { arm, at_ms: NOW - secs_ago * 1000 };
        let blue = |ago: [u64; 3]| ago.map(|secs| done(Arm::Blue, secs));
        assert_eq!(of(HUNG, None, &blue([1, 2, 600])), Some(Revival::Spent(Arm::Blue)));
        assert_eq!(of(HUNG, None, &blue([1, 2, 601])), Some(Revival::Restart(Arm::Blue)));
        let green = [1, 2, 3].map(|secs| done(Arm::Green, secs));
        assert_eq!(of(HUNG, None, &green), Some(Revival::Restart(Arm::Blue)));
        let future = Restarted { arm: Arm::Blue, at_ms: NOW + 5 };
        assert_eq!(of(HUNG, None, &[future; 3]), Some(Revival::Spent(Arm::Blue)));
    }
}
