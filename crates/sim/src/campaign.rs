//! Many lives: fresh seeds, kept seeds, and planted bugs that must each be seen.

use std::collections::BTreeMap;

use guanka_core::rollout::state::State;

use crate::plant::Plant;
use crate::scenario::{Comeback, Truth, scenario};
use crate::world::{Life, live};

/// Seeds that once failed, each with the reason why it is kept.
const KEPT: &str = include_str!("../seeds.txt");

/// A planted bug is looked for in so many seeds.
const PLANTED_SEEDS: u64 = 2_000;

/// The rate over rough seeds is looked at in so many seeds.
const BAND_SEEDS: u64 = 1_000;

/// How many of the good releases in rough seeds reach Done, in percent. Thirty bases of 1,000 seeds
/// gave 65 to 75, and 34 to 39 where a host may fail only once; the band keeps clear of both.
const BAND: (u64, u64) = (52, 88);

/// How many lives went.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Lives.
    pub seeds: u64,
    /// What happened in them.
    pub steps: u64,
    /// Good releases in rough seeds that no person stops and whose driver comes back.
    pub good: u64,
    /// How many of them reached Done.
    pub done: u64,
    /// Where lives ended.
    pub ends: BTreeMap<&'static str, u64>,
    /// What was broken, with its seed.
    pub violations: Vec<(u64, String)>,
}

impl Tally {
    /// Adds one life.
    fn add(&mut self, seed: u64, life: Life) {
        self.seeds += 1;
        self.steps += life.steps;
        let end = life.end.as_ref().map_or("nothing", State::code);
        *self.ends.entry(end).or_default() += 1;
        let scenario = scenario(seed);
        let left_alone = scenario.act.is_none() && scenario.comeback != Comeback::Never;
        if !scenario.calm && scenario.truth == Truth::Good && left_alone {
            self.good += 1;
            self.done += u64::from(life.end == Some(State::Done));
        }
        if let Some(violation) = life.violation {
            self.violations.push((seed, violation));
        }
    }

    /// Returns the percentage of good releases in rough seeds that reached Done.
    pub fn done_percent(&self) -> u64 {
        (self.done * 100).checked_div(self.good).unwrap_or(100)
    }

    /// Adds a violation when the rate of Done over enough seeds lies outside its band.
    fn judge_rate(&mut self) {
        let rate = self.done_percent();
        if self.seeds >= BAND_SEEDS && !(BAND.0..=BAND.1).contains(&rate) {
            let rule = format!("rate: {rate} % of the good releases reached Done, not {BAND:?}");
            self.violations.push((0, rule));
        }
    }
}

/// Lives the seeds of a range; stops after ten broken ones.
pub fn run(from: u64, seeds: u64, plant: Option<Plant>) -> Tally {
    let mut tally = Tally::default();
    for seed in from..from.saturating_add(seeds) {
        tally.add(seed, live(scenario(seed), plant));
        if tally.violations.len() >= 10 {
            return tally;
        }
    }
    tally.judge_rate();
    tally
}

/// Lives the kept seeds.
pub fn run_kept() -> Tally {
    let mut tally = Tally::default();
    for seed in kept() {
        tally.add(seed, live(scenario(seed), None));
    }
    tally
}

/// Returns the kept seeds.
fn kept() -> impl Iterator<Item = u64> {
    KEPT.lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter_map(|word| word.parse().ok())
}

/// Returns the first seed that sees a planted bug, with the rule it breaks.
pub fn find(plant: Plant, from: u64) -> Option<(u64, String)> {
    let mut tally = Tally::default();
    for seed in from..from.saturating_add(PLANTED_SEEDS) {
        tally.add(seed, live(scenario(seed), Some(plant)));
        if tally.seeds == BAND_SEEDS {
            tally.judge_rate();
        }
        if let Some((_, rule)) = tally.violations.pop() {
            return Some((seed - from, rule));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::{find, run, run_kept};
    use crate::plant::Plant;
    use crate::scenario::scenario;
    use crate::world::live;

    /// Returns a fresh base, a multiple of four so that the calm seeds stay where they are. It is
    /// printed, so a failure is lived again with `guanka-sim --seeds 1 --from SEED`.
    fn fresh() -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
        (since.as_millis() as u64) & !3
    }

    #[test]
    fn two_thousand_fresh_seeds_and_the_kept_ones_break_no_rule() {
        let from = fresh();
        let tally = run(from, 2_000, None);
        assert_eq!(tally.violations, Vec::new(), "from seed {from}");
        assert_eq!(tally.seeds, 2_000);
        assert_eq!(run_kept().violations, Vec::new());
        for end in ["done", "rolled_back", "blocked", "held", "superseded", "cancelled"] {
            assert!(tally.ends.contains_key(end), "no life ended {end}, from seed {from}");
        }
    }

    #[test]
    fn every_planted_bug_is_seen() {
        let from = fresh();
        for plant in Plant::ALL {
            assert!(find(plant, from).is_some(), "{}, from seed {from}", plant.name());
        }
    }

    #[test]
    fn planted_fencing_and_silence_bugs_are_seen_among_the_first_seeds() {
        // Fixed seeds: whether one among so few sees a bug is chance for fresh ones.
        for plant in [Plant::LowerEpochAccepted, Plant::NobodyAsksAgain] {
            let (after, rule) = find(plant, 0).expect("seen at all");
            assert!(after < 72, "{}: only seed {after}, {rule}", plant.name());
        }
    }

    #[test]
    fn the_same_seed_is_the_same_life() {
        for seed in 0..40 {
            let (one, two) = (live(scenario(seed), None), live(scenario(seed), None));
            assert_eq!((one.steps, one.end), (two.steps, two.end), "seed {seed}");
        }
    }
}
