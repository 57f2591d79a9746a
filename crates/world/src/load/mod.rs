//! The open-loop load engine: HTTP/1.1 over plain TCP whose due times never wait for answers, so
//! that a server that stands still is seen standing still. It counts; judging is the gate's part.
//! TLS and HTTP/2 are left out.

mod connection;
pub(crate) mod framing;
mod latency;
mod machine;
mod observe;
pub(crate) mod plan;
mod request;
mod run;
mod schedule;
mod selfcheck;
mod tally;
mod worker;

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Barrier, Mutex, PoisonError};
use std::time::{Duration, Instant};

use guanka_core::quantity::Millis;

pub use latency::Latency;
pub use observe::{AnswerSeen, Observer, Progress};
pub use plan::{Arrivals, CookieUsers, LoadError, LoadPlan, Nonce, RequestSpec};
pub use run::{ErrorKind, KindCounts, LoadRun, MergeError, Outcome, Over, SliceCounts};
pub use selfcheck::{GeneratorFault, SelfCheck, SelfCheckLimits};

use observe::Snapshot;
use worker::{KeepBodies, Shared, Worker};

/// Carries out a plan; `progress` hears the running totals at the plan's interval and once at the
/// end. Setting `stop` ends the schedule; what is due by then is still drained.
pub fn run(
    plan: &LoadPlan,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress),
) -> Result<LoadRun, LoadError> {
    run_with(plan, stop, progress, None)
}

/// Carries out a plan as `run` does, and shows each request that ended to an observer.
pub fn run_observed(
    plan: &LoadPlan,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress),
    observer: Observer<'_>,
) -> Result<LoadRun, LoadError> {
    run_with(plan, stop, progress, Some(observer))
}

/// Builds the threads, waits for them and adds up what they counted.
fn run_with(
    plan: &LoadPlan,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress),
    observer: Option<Observer<'_>>,
) -> Result<LoadRun, LoadError> {
    plan.check()?;
    let keep = if observer.is_some() { KeepBodies::Beginning } else { KeepBodies::No };
    let lanes = 0..plan.threads;
    let workers = lanes.map(|lane| Worker::new(plan, lane, keep)).collect::<Result<Vec<_>, _>>()?;
    let shared = Shared {
        stop,
        observer,
        start: Barrier::new(plan.threads),
        snapshots: (0..plan.threads).map(|_| Mutex::default()).collect(),
    };
    let before = machine::machine_times();
    let done = carry_out(plan, workers, &shared, progress);
    let mut run = result(plan, &done);
    let steal = before.zip(machine::machine_times());
    run.self_check.steal_share = steal.and_then(|(a, b)| machine::steal_share(a, b));
    Ok(run)
}

/// Runs the threads and reports progress until all have ended.
fn carry_out(
    plan: &LoadPlan,
    workers: Vec<Worker>,
    shared: &Shared<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Vec<Worker> {
    let start = Instant::now();
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for worker in workers {
            let sender = sender.clone();
            // The receiver outlives every sender; nobody listening would mean nobody waiting.
            scope.spawn(move || drop(sender.send(worker.run(shared))));
        }
        drop(sender);
        let every = Duration::from_millis(plan.snapshot_every.0);
        let mut next = start + every;
        let mut done = Vec::new();
        loop {
            match receiver.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(worker) => done.push(worker),
                Err(RecvTimeoutError::Timeout) => {
                    progress(so_far(start, shared));
                    next += every;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        progress(so_far(start, shared));
        done
    })
}

/// Adds up the latest figures of all threads.
fn so_far(start: Instant, shared: &Shared<'_>) -> Progress {
    let mut sum = Snapshot::default();
    for place in &shared.snapshots {
        let one = *place.lock().unwrap_or_else(PoisonError::into_inner);
        sum.due += one.due;
        sum.ended += one.ended;
        sum.bad += one.bad;
        sum.in_flight += one.in_flight;
    }
    Progress {
        elapsed: Millis(start.elapsed().as_millis() as u64),
        due: sum.due,
        ended: sum.ended,
        bad: sum.bad,
        in_flight: sum.in_flight,
        backlog: sum.due.saturating_sub(sum.ended + sum.in_flight),
    }
}

/// Adds up what the threads counted.
fn result(plan: &LoadPlan, done: &[Worker]) -> LoadRun {
    let of = |worker: Option<&Worker>| {
        let tally = worker.map(|w| &w.tally);
        LoadRun {
            generator: concat!("guanka/", env!("CARGO_PKG_VERSION")).to_owned(),
            rate: plan.rate,
            measured: Millis(
                worker.map_or(0, |w| w.end_ns() / 1_000_000).saturating_sub(plan.warm_up.0),
            ),
            warm_up: plan.warm_up,
            connections: plan.connections,
            stopped_early: worker.is_some_and(|w| w.stopped_early),
            thresholds: plan.thresholds.clone(),
            kinds: tally.map(|t| t.kinds.clone()).unwrap_or_default(),
            slice: plan.slice,
            slices: tally.map(|t| t.slices.clone()).unwrap_or_default(),
            self_check: tally.map_or_else(SelfCheck::new, |t| t.self_check.clone()),
        }
    };
    let mut run = of(done.first());
    for worker in done.iter().skip(1) {
        run.merge(&of(Some(worker))).expect("threads of one plan count the same things");
    }
    (run.rate, run.connections) = (plan.rate, plan.connections);
    run
}
