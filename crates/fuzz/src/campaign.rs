//! Runs many cases on several threads: each case from its own seed, panics caught, a case that does
//! not end told, failures made small. The same plan gives the same cases in any order.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::shrink;
use crate::tape::{self, Tape};
use crate::target::{End, Target};

/// How many cases a thread takes at a time.
const PIECE: u64 = 500;
/// How many failures of one target are made small and told; one fault makes thousands.
const TOLD_MAX: usize = 3;
/// How long one case may take, on a machine that is busy with other things.
const CASE_LIMIT: Duration = Duration::from_secs(20);
/// How often the progress is told.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What is to be run.
#[derive(Clone)]
pub struct Plan {
    /// The targets.
    pub targets: Vec<Target>,
    /// How many cases over all of them.
    pub cases: u64,
    /// The seed that everything follows from.
    pub seed: u64,
    /// On how many threads.
    pub threads: usize,
}

/// A case that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The target's name.
    pub target: &'static str,
    /// The tape, made small.
    pub tape: Vec<u8>,
    /// What is wrong.
    pub what: String,
}

/// How one target went.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Its name.
    pub target: &'static str,
    /// Cases that were read back as the intent or read without a problem.
    pub whole: u64,
    /// Cases that were refused or had problems.
    pub refused: u64,
    /// Cases that failed.
    pub failed: u64,
    /// How long they took together, over all threads.
    pub took: Duration,
}

/// How it all went.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Each target.
    pub tallies: Vec<Tally>,
    /// The failures that are told.
    pub failures: Vec<Failure>,
}

impl Outcome {
    /// Returns how many cases were run.
    pub fn cases(&self) -> u64 {
        self.tallies.iter().map(|t| t.whole + t.refused + t.failed).sum()
    }
}

/// Runs one tape; a panic is a failure.
pub fn live(target: &Target, bytes: &[u8]) -> Result<End, String> {
    let run = || (target.run)(&mut Tape::new(bytes));
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no text");
        Err(format!("panics: {text}"))
    })
}

/// Runs a plan; `hear` is told how many cases are done, every few seconds. It returns early when
/// a case does not end, and leaves that thread behind.
pub fn run(plan: &Plan, hear: &mut dyn FnMut(u64)) -> Outcome {
    let shared = Arc::new(Shared::new(plan));
    let threads: Vec<JoinHandle<()>> = (0..plan.threads.max(1))
        .map(|number| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.work(number))
        })
        .collect();
    let mut told = Instant::now();
    while !threads.iter().all(JoinHandle::is_finished) {
        if let Some(stuck) = shared.stuck() {
            shared.is_over.store(true, Ordering::SeqCst);
            let mut outcome = shared.outcome();
            outcome.failures.push(stuck);
            return outcome;
        }
        if told.elapsed() >= TELL_EVERY {
            hear(shared.outcome().cases());
            told = Instant::now();
        }
        thread::park_timeout(Duration::from_millis(50));
    }
    shared.outcome()
}

/// What all threads see.
struct Shared {
    targets: Vec<Target>,
    /// Each piece: the target's place, its first case, its end.
    pieces: Vec<(usize, u64, u64)>,
    seed: u64,
    next: AtomicU64,
    is_over: AtomicBool,
    /// What each thread is at: since when, which target, which seed.
    at: Vec<Mutex<Option<(Instant, usize, u64)>>>,
    outcome: Mutex<Outcome>,
}

impl Shared {
    fn new(plan: &Plan) -> Self {
        let parts: u64 = plan.targets.iter().map(|t| t.weight).sum::<u64>().max(1);
        let mut pieces = Vec::new();
        for (place, target) in plan.targets.iter().enumerate() {
            let cases = (plan.cases * target.weight).div_ceil(parts);
            let starts = (0..cases).step_by(PIECE as usize);
            pieces.extend(starts.map(|from| (place, from, cases.min(from + PIECE))));
        }
        let none = |t: &Target| Tally {
            target: t.name,
            whole: 0,
            refused: 0,
            failed: 0,
            took: Duration::ZERO,
        };
        let tallies = plan.targets.iter().map(none).collect();
        Self {
            targets: plan.targets.clone(),
            pieces,
            seed: plan.seed,
            next: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            at: (0..plan.threads.max(1)).map(|_| Mutex::new(None)).collect(),
            outcome: Mutex::new(Outcome { tallies, failures: Vec::new() }),
        }
    }

    fn work(&self, number: usize) {
        while !self.is_over.load(Ordering::SeqCst) {
            let at = self.next.fetch_add(1, Ordering::SeqCst) as usize;
            let Some((place, from, to)) = self.pieces.get(at).copied() else { return };
            let target = &self.targets[place];
            let began = Instant::now();
            let (mut whole, mut refused) = (0, 0);
            let mut wrong = Vec::new();
            for case in from..to {
                let seed = self.seed ^ ((place as u64) << 48) ^ case.wrapping_mul(0x2545_f491);
                self.note(number, Some((Instant::now(), place, seed)));
                let bytes = tape::fresh(seed);
                match live(target, &bytes) {
                    Ok(End::Whole) => whole += 1,
                    Ok(End::Refused) => refused += 1,
                    Err(_) => wrong.push(bytes),
                }
            }
            self.note(number, None);
            let took = began.elapsed();
            self.tell(target, &wrong);
            let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
            let tally = &mut outcome.tallies[place];
            tally.whole += whole;
            tally.refused += refused;
            tally.failed += wrong.len() as u64;
            tally.took += took;
        }
    }

    fn note(&self, number: usize, what: Option<(Instant, usize, u64)>) {
        *self.at[number].lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    /// Makes the first failures of a target small and keeps them.
    fn tell(&self, target: &Target, wrong: &[Vec<u8>]) {
        for bytes in wrong {
            let told = |outcome: &Outcome| {
                outcome.failures.iter().filter(|f| f.target == target.name).count()
            };
            if told(&self.outcome.lock().unwrap_or_else(PoisonError::into_inner)) >= TOLD_MAX {
                return;
            }
            let tape = shrink::smallest(bytes, &|tried| live(target, tried).is_err());
            let Err(what) = live(target, &tape) else { continue };
            let failure = Failure { target: target.name, tape, what };
            let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
            if told(&outcome) < TOLD_MAX && !outcome.failures.contains(&failure) {
                outcome.failures.push(failure);
            }
        }
    }

    /// Returns a case that does not end.
    fn stuck(&self) -> Option<Failure> {
        let at = self.at.iter().find_map(|at| {
            let at = *at.lock().unwrap_or_else(PoisonError::into_inner);
            at.filter(|(since, _, _)| since.elapsed() > CASE_LIMIT)
        });
        let (_, place, seed) = at?;
        let what = format!("does not end within {} s", CASE_LIMIT.as_secs());
        Some(Failure { target: self.targets[place].name, tape: tape::fresh(seed), what })
    }

    fn outcome(&self) -> Outcome {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::{Plan, run};
    use crate::tape::Tape;
    use crate::target::{End, Target};

    fn faulty(tape: &mut Tape<'_>) -> Result<End, String> {
        let sum: usize = (0..4).map(|_| tape.below(256)).sum();
        match sum {
            990.. => Err("too much".to_owned()),
            900..990 => std::panic::panic_any("far too much".to_owned()),
            _ => Ok(End::Whole),
        }
    }

    #[test]
    fn every_case_is_counted_and_a_fault_is_found_and_made_small() {
        let targets = vec![Target { name: "faulty", weight: 1, run: faulty }];
        let outcome = run(&Plan { targets, cases: 20_000, seed: 3, threads: 2 }, &mut |_: u64| ());
        assert_eq!(outcome.cases(), 20_000);
        assert!(outcome.tallies[0].failed > 10, "{:?}", outcome.tallies);
        assert!(!outcome.failures.is_empty() && outcome.failures.len() <= 3);
        for failure in &outcome.failures {
            let sum: u32 = failure.tape.iter().map(|byte| u32::from(*byte)).sum();
            assert_eq!((failure.tape.len(), sum), (4, 900), "{failure:?}");
        }
    }
}
