//! The rounds: a stretch of load with share changes, then one with a reload, each with its own
//! connections and counts, so that no loss of one is counted for the other.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use guanka_core::name::Arm;
use guanka_core::quantity::{Millis, Rate, SharePercent};
use guanka_core::signals::slot::Slot;
use guanka_world::clock;
use guanka_world::load::{
    AnswerSeen, CookieUsers, ErrorKind, GeneratorFault, LoadPlan, LoadRun, Outcome,
    SelfCheckLimits, run_observed,
};
use guanka_world::proxy::share;

use crate::host::{COOKIE, DOMAIN, Host};
use crate::probe::{self, Seen};
use crate::sharing::Sharing;
use crate::{Fallible, SHARES, percent};

/// Requests in a second.
const RATE: Rate = Rate(1000.0);
/// How many users there are, each with a cookie of its own.
const USERS: u32 = 2000;
/// Answers awaited before the first change and after each: every connection has been used then.
const SETTLED: u64 = 128;
/// How long those answers may take.
const LIMIT: Millis = Millis::from_secs(20);

/// What one way of switching cost.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// From the decision to the first answer of the other arm.
    pub(crate) times_ms: Vec<f64>,
    /// Requests of the load.
    pub(crate) requests: u64,
    /// Those of them that failed.
    pub(crate) failed: u64,
    /// Answers of an arm that had no share of the user.
    pub(crate) wrong: u64,
    /// Requests of the probe that were lost.
    pub(crate) probe_lost: u64,
    /// Stretches in which the generator could not send although connections were free: nothing
    /// that is measured then is the server's doing.
    pub(crate) broken: usize,
    /// Stretches in which it sent late. The machine was busy; a loss would be seen all the same.
    late: usize,
    answered: u64,
    seconds: f64,
    kinds: Vec<String>,
}

/// Both ways by turns.
pub(crate) struct Rounds<'a> {
    host: &'a Host,
    users: CookieUsers,
    sharing: Sharing,
    /// A cookie of each slot.
    cookies: Vec<String>,
    answered: Mutex<BTreeSet<u32>>,
    dice: u64,
    share: SharePercent,
    plain: Arm,
    /// Share changes towards green.
    pub(crate) up: usize,
    /// Share changes towards blue.
    pub(crate) down: usize,
    /// Whether nginx kept its worker through every share change.
    pub(crate) is_share_side_untouched: bool,
}

impl Measured {
    /// Returns the median time.
    pub(crate) fn median_ms(&self) -> f64 {
        let mut times = self.times_ms.clone();
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or(f64::INFINITY)
    }

    /// Returns the requests in a second that were really answered.
    pub(crate) fn rate(&self) -> f64 {
        self.answered as f64 / self.seconds
    }

    /// Returns all figures in one line.
    pub(crate) fn sentence(&self) -> String {
        let mut times = self.times_ms.clone();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let index = ((times.len() as f64 * share) as usize).min(times.len() - 1);
            times[index]
        };
        format!(
            "{} in {:.1} s, {:.1} to {:.1} ms, median {:.1}, P95 {:.1}; {:.0} requests/s, {} of {} \
             failed{}, probe lost {}{}",
            times.len(),
            self.seconds,
            at(0.0),
            at(1.0),
            self.median_ms(),
            at(0.95),
            self.rate(),
            self.failed,
            self.requests,
            if self.kinds.is_empty() { String::new() } else { format!(" ({})", self.words()) },
            self.probe_lost,
            if self.late == 0 { String::new() } else { format!("; load late in {}", self.late) },
        )
    }

    fn words(&self) -> String {
        let kinds: BTreeSet<&String> = self.kinds.iter().collect();
        let count = |kind| self.kinds.iter().filter(|other| *other == kind).count();
        let each = kinds.into_iter().map(|kind| format!("{} {kind}", count(kind)));
        each.collect::<Vec<_>>().join(", ")
    }

    fn note(&mut self, (time_ms, seen): (f64, Seen)) {
        self.times_ms.push(time_ms);
        self.probe_lost += seen.lost;
    }

    fn add(&mut self, run: &LoadRun) {
        let total = run.total();
        self.requests += total.requests;
        self.failed += total.bad;
        self.answered += total.statuses.values().sum::<u64>();
        self.seconds += run.measured.as_secs_f64();
        for fault in run.self_check.faults(None, &SelfCheckLimits::default()) {
            match fault {
                GeneratorFault::Late { .. } => self.late += 1,
                _ => self.broken += 1,
            }
        }
        for (kind, count) in &total.errors {
            self.kinds.extend((0..*count).map(|_| word(*kind).to_owned()));
        }
        for (status, count) in total.statuses.range(400..) {
            self.kinds.extend((0..*count).map(|_| format!("status {status}")));
        }
    }
}

impl<'a> Rounds<'a> {
    /// Begins with nothing on green.
    pub(crate) fn new(host: &'a Host) -> Fallible<Self> {
        let users = CookieUsers { name: COOKIE.to_owned(), users: USERS };
        let slot = |cookie: &String| Slot::of(format!("{}{cookie}", host.service).as_bytes());
        let tries: Vec<String> = (0..20_000).map(|i| format!("probe{i}")).collect();
        let cookie_of = |number: u8| {
            let found = tries.iter().find(|cookie| slot(cookie).get() == number);
            found.cloned().ok_or("no cookie falls into a slot")
        };
        Ok(Self {
            host,
            sharing: Sharing::new(&host.service, &users),
            users,
            cookies: (0..100).map(cookie_of).collect::<Result<_, _>>()?,
            answered: Mutex::default(),
            dice: 1,
            share: percent(0),
            plain: Arm::Blue,
            up: 0,
            down: 0,
            is_share_side_untouched: true,
        })
    }

    /// Returns how many different users have been answered.
    pub(crate) fn users_answered(&self) -> usize {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Sends load to guanka's site and changes its share so many times.
    pub(crate) fn change_shares(&mut self, changes: usize, sum: &mut Measured) -> Fallible<()> {
        let workers = self.host.workers()?;
        let mut from = self.share;
        let targets: Vec<SharePercent> = (0..changes).map(|_| self.next_share()).collect();
        let ups = std::iter::once(&from).chain(&targets).zip(&targets).filter(|(a, b)| a < b);
        let ups = ups.count();
        (self.up, self.down) = (self.up + ups, self.down + changes - ups);
        let wrong = AtomicU64::new(0);
        let observer = |answer: &AnswerSeen<'_>| {
            let Some((user, arm)) = answer.user.zip(arm_of(answer)) else { return };
            self.answered.lock().unwrap_or_else(PoisonError::into_inner).insert(user);
            let latency = Duration::from_micros(answer.latency_us);
            wrong.fetch_add(u64::from(!self.sharing.allows(user, arm, latency)), Ordering::Relaxed);
        };
        let act = |ended: &AtomicU64| {
            for to in &targets {
                sum.note(self.change(from, *to)?);
                from = *to;
                settle(ended)?;
            }
            Ok(())
        };
        let run = under_load(self.host.shared, &self.users, &observer, act)?;
        sum.add(&run);
        sum.wrong += wrong.into_inner();
        self.is_share_side_untouched &= self.host.workers()? == workers;
        Ok(())
    }

    /// Sends load to the plain site and moves it to the other arm by a reload.
    pub(crate) fn reload(&mut self, sum: &mut Measured) -> Fallible<()> {
        let (from, to) = (self.plain, self.plain.other());
        let act = |ended: &AtomicU64| {
            let move_it = || self.host.reload_onto(to);
            sum.note(timed(self.host.plain, "anybody", from, to, &move_it)?);
            settle(ended)
        };
        let run = under_load(self.host.plain, &self.users, &|_| {}, act)?;
        sum.add(&run);
        self.plain = to;
        Ok(())
    }

    /// Changes the share once, watched with a cookie of the last slot that moves.
    fn change(&self, from: SharePercent, to: SharePercent) -> Fallible<(f64, Seen)> {
        let moved = usize::from(from.get().max(to.get()) - 1);
        let cookie = self.cookies.get(moved).ok_or("a slot without a cookie")?;
        let (before, after) =
            if to > from { (Arm::Blue, Arm::Green) } else { (Arm::Green, Arm::Blue) };
        let move_it = || {
            self.sharing.begin(to, Instant::now());
            share::swap(&self.host.root, &self.host.service, to)?;
            self.sharing.done();
            Ok(())
        };
        timed(self.host.shared, cookie, before, after, &move_it)
    }

    /// Returns another share than the last, by Knuth's linear congruential generator.
    fn next_share(&mut self) -> SharePercent {
        let last = self.share;
        while self.share == last {
            self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            self.share = percent(SHARES[(self.dice >> 33) as usize % SHARES.len()]);
        }
        self.share
    }
}

/// Returns what a failure is called.
fn word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::EofReused => "closed before the answer",
        ErrorKind::Reset => "reset",
        _ => "of another kind",
    }
}

/// Returns the arm that an answer names.
fn arm_of(answer: &AnswerSeen<'_>) -> Option<Arm> {
    let is_good = answer.outcome == Outcome::Status(200);
    let named = |arm: &Arm| answer.body_start == arm.as_str().as_bytes();
    [Arm::Blue, Arm::Green].into_iter().find(|arm| is_good && named(arm))
}

/// Makes a change under a running probe; returns the milliseconds from the decision to the first
/// answer of the other arm.
fn timed(
    addr: SocketAddr,
    cookie: &str,
    from: Arm,
    to: Arm,
    change: &dyn Fn() -> Fallible<()>,
) -> Fallible<(f64, Seen)> {
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let probe = scope.spawn(move || probe::watch(addr, cookie, from, to, &sender));
        // The probe's own error says more than that it never ran.
        let decided = Instant::now();
        let (decided, changed) = match receiver.recv_timeout(Duration::from_millis(LIMIT.0)) {
            Ok(()) => (Instant::now(), change()),
            Err(_) => (decided, Ok(())),
        };
        let seen = probe.join().map_err(|_| "the probe broke down")??;
        changed?;
        Ok((seen.at.saturating_duration_since(decided).as_secs_f64() * 1000.0, seen))
    })
}

/// Runs the load beside `act` and ends it when that is done.
fn under_load(
    target: SocketAddr,
    users: &CookieUsers,
    observer: &(dyn Fn(&AnswerSeen<'_>) + Sync),
    act: impl FnOnce(&AtomicU64) -> Fallible<()>,
) -> Fallible<LoadRun> {
    let mut plan = LoadPlan::new(target, "/", RATE, None);
    plan.host = DOMAIN.to_owned();
    plan.cookies = Some(users.clone());
    let (stop, ended) = (AtomicBool::new(false), AtomicU64::new(0));
    let observer = |answer: &AnswerSeen<'_>| {
        ended.fetch_add(1, Ordering::Relaxed);
        observer(answer);
    };
    thread::scope(|scope| {
        let load = scope.spawn(|| run_observed(&plan, &stop, &mut |_| {}, &observer));
        let acted = settle(&ended).and_then(|()| act(&ended));
        stop.store(true, Ordering::Relaxed);
        let run = load.join().map_err(|_| "the load engine broke down")?;
        acted?;
        Ok(run?)
    })
}

/// Waits until all connections have been used again, so that each change is felt before the next.
fn settle(ended: &AtomicU64) -> Fallible<()> {
    let before = ended.load(Ordering::Relaxed);
    let is_settled = || (ended.load(Ordering::Relaxed) >= before + SETTLED).then_some(());
    Ok(clock::wait_for(LIMIT, Millis(1), is_settled).ok_or("the load stands still")?)
}
