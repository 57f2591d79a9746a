//! What load does to users: the stable arm's latency while the load gate runs, beside the minutes
//! before it. Where it has worsened the run is stopped, and says nothing about the release.

use super::compare::Segment;
use super::guard::{Fault, Guard};
use crate::name::Arm;
use crate::quantity::Millis;
use crate::say::Said;
use crate::signals::window::Window;

/// How far back users' requests are looked at.
pub const BEFORE: Millis = Millis::from_secs(300);
/// How many times as many slow requests may be chance of the hour.
const ALLOWED_RATIO: f64 = 2.0;
/// How often a run may be stopped without a cause, all thresholds and looks together.
const ALPHA: f64 = 0.01;

/// Compares users' requests on an arm while load runs with those before, by every threshold that an
/// objective counts; looked at as often as one likes. Without users before there is nothing to
/// compare with, and nobody to hurt that was served well.
pub fn hurt(
    before: &[Window],
    during: &[Window],
    stable: Arm,
    thresholds_ms: &[u64],
) -> Option<Fault> {
    let limit = (thresholds_ms.len() as f64 / ALPHA).ln();
    thresholds_ms.iter().find_map(|threshold| {
        let (stable_n, stable_x) = slow(before, stable, *threshold);
        let (candidate_n, candidate_x) = slow(during, stable, *threshold);
        let segment = Segment { candidate_n, candidate_x, stable_n, stable_x };
        (segment.ln_e(ALLOWED_RATIO) >= limit).then(|| fault(*threshold, &segment))
    })
}

/// Returns an arm's requests, and those of them over the threshold.
fn slow(windows: &[Window], arm: Arm, threshold_ms: u64) -> (u64, u64) {
    let cells = windows.iter().flat_map(|window| &window.cells).filter(|(key, _)| key.arm == arm);
    cells.fold((0, 0), |(n, x), (_, counts)| {
        let over = counts.slow.get(&threshold_ms).copied().unwrap_or(0);
        (n + counts.requests, x + over.min(counts.requests))
    })
}

fn fault(threshold_ms: u64, segment: &Segment) -> Fault {
    let Segment { candidate_n, candidate_x, stable_n, stable_x } = segment;
    let over = Millis(threshold_ms);
    Fault {
        guard: Guard::Bystanders,
        said: Said::new(
            format!(
                "压测使在线用户变慢:压测中 {candidate_n} 个请求有 {candidate_x} 个超过 {over},此前 \
                 {stable_n} 个中有 {stable_x} 个;压测已停止。"
            ),
            format!(
                "load made users' requests slow: {candidate_x} of {candidate_n} took over {over} \
                 while it ran, {stable_x} of {stable_n} before; it was stopped."
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::hurt;
    use crate::gates::dice::Dice;
    use crate::gates::guard::Guard;
    use crate::name::{Arm, Route};
    use crate::signals::window::{Counts, Key, Window};

    fn window(arm: Arm, requests: u64, over_800: u64) -> Window {
        let key = Key { route: Route("GET /".to_owned()), arm };
        let slow = BTreeMap::from([(800, over_800)]);
        let counts = Counts { requests, slow, ..Counts::default() };
        Window { cells: BTreeMap::from([(key, counts)]), ..Window::default() }
    }

    #[test]
    fn users_who_become_slow_under_load_stop_it_within_one_window() {
        let before = vec![window(Arm::Blue, 3000, 15); 30];
        let during = [window(Arm::Blue, 3000, 300)];
        let fault = hurt(&before, &during, Arm::Blue, &[800]).expect("ten times as many");
        assert_eq!(fault.guard, Guard::Bystanders);
        assert!(fault.said.en.contains("300 of 3000"), "{}", fault.said.en);
        let none_before = vec![window(Arm::Blue, 300, 0); 30];
        assert!(hurt(&none_before, &[window(Arm::Blue, 300, 30)], Arm::Blue, &[800]).is_some());
    }

    #[test]
    fn nobody_before_the_other_arm_or_a_busier_hour_stop_nothing() {
        let slow = [window(Arm::Blue, 3000, 300)];
        assert_eq!(hurt(&[], &slow, Arm::Blue, &[800]), None);
        let before = vec![window(Arm::Blue, 3000, 15); 30];
        assert_eq!(hurt(&before, &[window(Arm::Green, 3000, 300)], Arm::Blue, &[800]), None);
        assert_eq!(hurt(&before, &[window(Arm::Blue, 30_000, 150)], Arm::Blue, &[800]), None);
        assert_eq!(hurt(&before, &slow, Arm::Blue, &[]), None);
    }

    #[test]
    fn twice_as_many_by_chance_of_the_hour_are_rarely_held_against_it() {
        let mut dice = Dice::new(20);
        let stopped = (0..1000).filter(|_| {
            let before = [window(Arm::Blue, 9000, dice.poisson(45.0))];
            let mut during = Vec::new();
            (0..30).any(|_| {
                during.push(window(Arm::Blue, 3000, dice.poisson(30.0)));
                hurt(&before, &during, Arm::Blue, &[800]).is_some()
            })
        });
        let stopped = stopped.count();
        assert!(stopped <= 20, "{stopped} of 1000 stopped without a cause");
    }
}
