//! Where in a ship the kills fall: every state of the main line gets its share of the points,
//! spread over the time that the state takes, with jitter from a seed, and every victim in every
//! state.

use std::collections::BTreeMap;
use std::time::Duration;

/// The stretches of a ship, in order: from the command to the first state, then each state up to
/// the next one, the last up to the end of the process.
pub(crate) const SPANS: [&str; 11] = [
    "start",
    "checking",
    "building",
    "staging",
    "staged",
    "canary_starting",
    "canary",
    "promoting",
    "settling",
    "keeping",
    "done",
];

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    /// The process that drives.
    Ship,
    /// The host's agent.
    Agent,
    /// The half of the agent without privileges; the other one starts it again.
    Worker,
    /// The root half of the agent, which takes the other one along.
    Helper,
    /// One at once after the other.
    Both,
}

/// One kill.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// Its number, from 1.
    pub(crate) number: usize,
    /// Which stretch, in `SPANS`.
    pub(crate) span: usize,
    /// How far into it, from 0 to 1.
    pub(crate) part: f64,
    /// Who.
    pub(crate) victim: Victim,
}

/// How long each stretch takes, in milliseconds, of each rehearsal.
pub(crate) type Rehearsals = BTreeMap<&'static str, Vec<u64>>;

impl Victim {
    const ALL: [Self; 5] = [Self::Ship, Self::Agent, Self::Worker, Self::Helper, Self::Both];

    /// Returns the word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Ship => "ship",
            Self::Agent => "agent",
            Self::Worker => "worker",
            Self::Helper => "helper",
            Self::Both => "both",
        }
    }
}

/// Spreads kills over the stretches.
pub(crate) fn spread(count: usize, seed: u64) -> Vec<Point> {
    let rows = count.div_ceil(SPANS.len());
    let mut dice = Dice(seed);
    let point = |index: usize| {
        let (row, span) = (index / SPANS.len(), index % SPANS.len());
        let part = (row as f64 + dice.part()) / rows as f64;
        let victim = Victim::ALL[(row + span) % Victim::ALL.len()];
        Point { number: index + 1, span, part, victim }
    };
    (0..count).map(point).collect()
}

/// Returns how long after the start of its stretch a kill comes.
pub(crate) fn delay(point: &Point, rehearsals: &Rehearsals) -> Duration {
    let took = rehearsals.get(SPANS[point.span]).map_or(0, |took| median(took));
    Duration::from_micros((took as f64 * 1000.0 * point.part) as u64)
}

/// Returns the middle of some values; of none, 0.
pub(crate) fn median(values: &[u64]) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

/// A SplitMix64 generator: small, and the same on every machine.
struct Dice(u64);

impl Dice {
    /// Returns a number from 0 up to but not including 1.
    fn part(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Point, Rehearsals, SPANS, Victim, delay, spread};

    #[test]
    fn every_state_is_hit_by_every_victim_in_its_whole_length() {
        let points = spread(200, 7);
        for (span, name) in SPANS.iter().enumerate() {
            let here: Vec<&Point> = points.iter().filter(|point| point.span == span).collect();
            let victims: BTreeSet<&str> = here.iter().map(|point| point.victim.word()).collect();
            assert_eq!(victims.len(), Victim::ALL.len(), "{name}");
            let early = here.iter().any(|point| point.part < 0.1);
            let late = here.iter().any(|point| point.part > 0.85);
            assert!(early && late && here.iter().all(|point| point.part < 1.0));
        }
        assert_eq!(points, spread(200, 7), "the seed says it all");
        assert!(points != spread(200, 8));
    }

    #[test]
    fn a_kill_comes_after_its_part_of_the_middle_rehearsal() {
        let took = Rehearsals::from([("staging", vec![900, 100, 400])]);
        let point = Point { number: 1, span: 3, part: 0.5, victim: Victim::Ship };
        assert_eq!(delay(&point, &took).as_millis(), 200);
        assert_eq!(delay(&Point { span: 4, ..point }, &took).as_millis(), 0);
    }
}
