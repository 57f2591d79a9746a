//! The one place where the candidate's share and the share on disk meet. The files on a host hold
//! green's share; everywhere else guanka speaks of the candidate's. Either arm may be either, and
//! a wrong conversion here would make "none" mean "all".

use crate::name::Arm;
use crate::quantity::SharePercent;

/// Returns green's share, as it is written on disk, for a share of the candidate arm.
pub const fn on_disk(candidate: Arm, share: SharePercent) -> SharePercent {
    match candidate {
        Arm::Green => share,
        Arm::Blue => share.rest(),
    }
}

/// Returns the candidate's share for green's share as it is read from disk.
pub const fn of_candidate(candidate: Arm, green: SharePercent) -> SharePercent {
    match candidate {
        Arm::Green => green,
        Arm::Blue => green.rest(),
    }
}

#[cfg(test)]
mod tests {
    use super::{of_candidate, on_disk};
    use crate::name::Arm;
    use crate::quantity::SharePercent;

    fn share(percent: u8) -> SharePercent {
        SharePercent::new(percent).expect("at most 100")
    }

    #[test]
    fn no_share_for_a_blue_candidate_is_all_for_green() {
        assert_eq!(on_disk(Arm::Blue, SharePercent::NONE), SharePercent::ALL);
        assert_eq!(on_disk(Arm::Blue, share(10)), share(90));
        assert_eq!(on_disk(Arm::Green, share(10)), share(10));
        assert_eq!(on_disk(Arm::Green, SharePercent::NONE), SharePercent::NONE);
    }

    #[test]
    fn every_share_comes_back_from_disk() {
        for arm in [Arm::Blue, Arm::Green] {
            for percent in 0..=100 {
                assert_eq!(of_candidate(arm, on_disk(arm, share(percent))), share(percent));
            }
        }
    }
}
