//! What a host does by itself about an arm that has stopped answering: its requests go to the arm
//! that answers, and come back when it answers again. With every arm failing nothing is moved: what
//! they share is down then, and one of them is no better than the other. Nor is anything moved to a
//! candidate: what it gets is a gate's to say, and a stable arm that stands still is started anew.

use serde::{Deserialize, Serialize};

use crate::name::Arm;
use crate::quantity::SharePercent;

/// What an arm's last probes say of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// It passed as many as are asked for.
    pub is_ready: bool,
    /// It failed as many as are asked for.
    pub is_failing: bool,
}

/// An arm whose requests the host has given to the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ejected {
    /// The arm.
    pub arm: Arm,
    /// Green's share before.
    pub before: SharePercent,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// The arm's requests go to the other one.
    Eject(Ejected),
    /// They come back.
    GiveBack(Ejected),
    /// A driver has set another share meanwhile: its word counts.
    Forget,
}

/// Decides from green's share on disk, the arms' health and what was done before. While there is a
/// candidate only its requests may be moved, so that it never gets more than a gate has given it;
/// one that is on a lease loses them for good.
pub fn decide(
    green: SharePercent,
    health: impl Fn(Arm) -> Health,
    ejected: Option<Ejected>,
    candidate: Option<Arm>,
) -> Option<Move> {
    if let Some(ejected) = ejected {
        if green != all_to(ejected.arm.other()) {
            return Some(Move::Forget);
        }
        return health(ejected.arm).is_ready.then_some(Move::GiveBack(ejected));
    }
    let serves = |arm: Arm| green != all_to(arm.other());
    let may_go = |arm: &Arm| {
        serves(*arm)
            && health(*arm).is_failing
            && health(arm.other()).is_ready
            && candidate.is_none_or(|candidate| candidate == *arm)
    };
    let arm = [Arm::Blue, Arm::Green].into_iter().find(may_go)?;
    Some(Move::Eject(Ejected { arm, before: green }))
}

/// Returns green's share when every request goes to an arm.
pub const fn all_to(arm: Arm) -> SharePercent {
    match arm {
        Arm::Blue => SharePercent::NONE,
        Arm::Green => SharePercent::ALL,
    }
}

#[cfg(test)]
mod tests {
    use super::{Ejected, Health, Move, all_to, decide};
    use crate::name::Arm;
    use crate::quantity::SharePercent;

    const READY: Health = Health { is_ready: true, is_failing: false };
    const FAILING: Health = Health { is_ready: false, is_failing: true };
    const UNKNOWN: Health = Health { is_ready: false, is_failing: false };

    fn of(blue: Health, green: Health) -> impl Fn(Arm) -> Health {
        move |arm| if arm == Arm::Blue { blue } else { green }
    }

    #[test]
    fn a_failing_arm_gives_its_requests_to_a_ready_one_and_to_no_other() {
        for share in [0, 10, 100] {
            let green = SharePercent::new(share).expect("a share");
            let moved = decide(green, of(FAILING, READY), None, None);
            let expected = Move::Eject(Ejected { arm: Arm::Blue, before: green });
            assert_eq!(moved, (share < 100).then_some(expected), "{share}");
            for other in [FAILING, UNKNOWN] {
                assert_eq!(decide(green, of(FAILING, other), None, None), None);
                assert_eq!(decide(green, of(other, FAILING), None, None), None);
            }
            assert_eq!(decide(green, of(UNKNOWN, READY), None, None), None);
        }
    }

    #[test]
    fn a_candidate_never_gets_more_than_its_gate_gave() {
        let ten = SharePercent::new(10).expect("a share");
        let stable_fails = of(FAILING, READY);
        assert_eq!(decide(ten, stable_fails, None, Some(Arm::Green)), None);
        let candidate_fails = of(READY, FAILING);
        let expected = Move::Eject(Ejected { arm: Arm::Green, before: ten });
        assert_eq!(decide(ten, candidate_fails, None, Some(Arm::Green)), Some(expected));
    }

    #[test]
    fn they_come_back_when_it_answers_again_and_a_drivers_word_counts() {
        let ejected = Ejected { arm: Arm::Blue, before: SharePercent::NONE };
        let on_disk = all_to(Arm::Green);
        let again = |health| decide(on_disk, of(health, READY), Some(ejected), None);
        assert_eq!(again(FAILING), None);
        assert_eq!(again(UNKNOWN), None);
        assert_eq!(again(READY), Some(Move::GiveBack(ejected)));
        let both_down = decide(on_disk, of(FAILING, FAILING), Some(ejected), None);
        assert_eq!(both_down, None);
        let set = SharePercent::new(50).expect("a share");
        assert_eq!(decide(set, of(FAILING, READY), Some(ejected), None), Some(Move::Forget));
    }

    #[test]
    fn a_round_of_failures_ends_where_it_began() {
        let mut green = SharePercent::new(10).expect("a share");
        let began = green;
        let Some(Move::Eject(ejected)) = decide(green, of(READY, FAILING), None, None) else {
            panic!("green fails");
        };
        green = all_to(ejected.arm.other());
        assert_eq!(green, SharePercent::NONE);
        let back = decide(green, of(READY, READY), Some(ejected), None);
        assert_eq!(back, Some(Move::GiveBack(Ejected { arm: Arm::Green, before: began })));
    }
}
