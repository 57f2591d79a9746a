//! Users' requests of the stable arm while a candidate runs beside it. They can show that the
//! candidate harms its neighbour; they never show that it is good, and a stable arm that was bad
//! before says nothing about who runs beside it.

use super::Judgement;
use crate::rollout::verdict::Verdict;
use crate::say::Said;

/// Takes what was found on the stable arm during a bake for what it says about the candidate.
/// `before` is what the same gate finds in the time before the bake.
pub fn judge(mut during: Judgement, before: &Judgement) -> Judgement {
    match during.verdict {
        Verdict::Good | Verdict::Invalid => return during,
        Verdict::NotYet => during.warnings.push(Said::new(
            "稳定臂的用户流量太少,看不出候选版本是否影响了它。",
            "users' requests of the stable arm are too few to tell whether the candidate harms it.",
        )),
        Verdict::Bad => {
            let names: Vec<&str> = before
                .objectives
                .iter()
                .filter(|objective| objective.verdict == Verdict::Bad)
                .map(|objective| objective.slo.as_str())
                .collect();
            let is_new = |slo: &str| !names.contains(&slo);
            let worse = during.objectives.iter().filter(|o| o.verdict == Verdict::Bad);
            if worse.clone().any(|objective| is_new(&objective.slo)) {
                return during;
            }
            let list = names.join(", ");
            during.warnings.push(Said::new(
                format!("稳定臂在观察之前就不合格({list}),不归咎于候选版本。"),
                format!(
                    "the stable arm was bad before the bake already ({list}): not held against \
                         the candidate."
                ),
            ));
        }
    }
    during.verdict = Verdict::Good;
    during
}

#[cfg(test)]
mod tests {
    use super::judge;
    use crate::gates::Judgement;
    use crate::gates::load::{LoadRun, LoadSlice, SelfCheckLimits, judge as load};
    use crate::gates::objective::Objective;
    use crate::name::Arm;
    use crate::quantity::Proportion;
    use crate::rollout::verdict::Verdict;

    /// Builds a judgement on two objectives out of counts of 30 slices.
    fn found(requests: u64, errors: u64) -> Judgement {
        let slice = LoadSlice { due: requests, errors, ..LoadSlice::default() };
        let run = LoadRun { slices: vec![slice; 30], ..LoadRun::default() };
        let objective = Objective::on_success("orders", Proportion(0.99), Proportion(0.01));
        load(&[objective], Arm::Blue, &run, &SelfCheckLimits::default())
    }

    #[test]
    fn harm_that_is_new_blocks_and_an_old_fault_does_not() {
        let (bad, good) = (found(200, 20), found(200, 0));
        assert_eq!((bad.verdict, good.verdict), (Verdict::Bad, Verdict::Good));
        assert_eq!(judge(bad.clone(), &good).verdict, Verdict::Bad);
        let old = judge(bad.clone(), &bad);
        assert_eq!(old.verdict, Verdict::Good);
        assert!(old.warnings.iter().any(|said| said.en.contains("before the bake already")));
    }

    #[test]
    fn too_few_requests_of_users_do_not_hold_a_bake() {
        let thin = found(1, 0);
        assert_eq!(thin.verdict, Verdict::NotYet);
        let beside = judge(thin, &found(1, 0));
        assert_eq!(beside.verdict, Verdict::Good);
        assert_eq!(beside.warnings.len(), 1);
    }
}
