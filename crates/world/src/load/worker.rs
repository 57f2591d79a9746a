//! One thread of the generator: an event loop that sends what is due as soon as a connection is
//! free and reads the clock after each receive. It waits only in the event queue.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};
use std::time::Instant;

use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::connection::{Flight, Happened, Slot, State};
use super::machine::{ThreadTimes, thread_times};
use super::observe::{AnswerSeen, Observer, Snapshot};
use super::plan::{LoadError, LoadPlan};
use super::request::{Prepared, prepare};
use super::run::{ErrorKind, Outcome};
use super::schedule::{Random, Schedule};
use super::tally::{Ended, Tally, nanos};

/// How often time limits and the stop flag are looked at.
const TICK_NS: u64 = 10_000_000;
/// How long connections may take to stand before the schedule begins without them.
const CONNECT_NS: u64 = 1_000_000_000;
/// How much one receive takes at most: larger than most answers, small enough for the cache.
const BUFFER: usize = 32 << 10;
/// How much longer than the timer the event queue waits.
const BEHIND_NS: u64 = 1_000_000;
/// How many events one call brings at most.
const EVENTS: usize = 256;
/// How many requests leave before events are looked at again.
const DISPATCH_MAX: usize = 256;
/// How much of each body an observer sees.
const BODY_SEEN: usize = 64;

/// What the threads of a run share.
pub(super) struct Shared<'a> {
    /// Set from outside to end the run.
    pub(super) stop: &'a AtomicBool,
    /// Who looks at each answer.
    pub(super) observer: Option<Observer<'a>>,
    /// Holds all threads until all have their connections.
    pub(super) start: Barrier,
    /// The latest figures of each thread.
    pub(super) snapshots: Vec<Mutex<Snapshot>>,
}

/// One thread's state.
pub(super) struct Worker {
    lane: usize,
    target: SocketAddr,
    queue: OwnedFd,
    base: Instant,
    start_ns: u64,
    end_ns: u64,
    drain_ns: u64,
    timeout_ns: u64,
    schedule: Schedule,
    due_counter: Schedule,
    due: u64,
    users: Option<(u32, Random)>,
    prepared: Vec<Prepared>,
    slots: Vec<Slot>,
    free: VecDeque<usize>,
    in_flight: usize,
    free_until_ns: u64,
    idle_ns: u64,
    next_tick_ns: u64,
    timer: OwnedFd,
    armed_ns: u64,
    lost: u64,
    /// Its counters.
    pub(super) tally: Tally,
    /// Whether it was stopped before its end.
    pub(super) stopped_early: bool,
}

impl Worker {
    /// Builds the thread's state; nothing is connected yet.
    pub(super) fn new(plan: &LoadPlan, lane: usize, keep: KeepBodies) -> Result<Self, LoadError> {
        let (queue, timer) = queue_with_timer().map_err(|errno| LoadError::Queue(errno.into()))?;
        let connections =
            plan.connections / plan.threads + usize::from(lane < plan.connections % plan.threads);
        let keep_body = if keep == KeepBodies::Beginning { BODY_SEEN } else { 0 };
        let end_ns = plan.duration.map_or(u64::MAX, |d| nanos(plan.warm_up) + nanos(d));
        let schedule = Schedule::new(plan, lane);
        let random = |users: u32| (users, Random::new(plan.seed ^ (lane as u64) << 32));
        Ok(Self {
            lane,
            target: plan.target,
            queue,
            base: Instant::now(),
            start_ns: 0,
            end_ns,
            drain_ns: nanos(plan.drain),
            timeout_ns: nanos(plan.timeout),
            due_counter: schedule.clone(),
            schedule,
            due: 0,
            users: plan.cookies.as_ref().map(|c| random(c.users)),
            prepared: plan.requests.iter().map(|spec| prepare(plan, spec)).collect(),
            slots: (0..connections).map(|_| Slot::new(keep_body)).collect(),
            free: VecDeque::with_capacity(connections),
            in_flight: 0,
            free_until_ns: 0,
            idle_ns: 0,
            next_tick_ns: 0,
            timer,
            armed_ns: 0,
            lost: 0,
            tally: Tally::new(plan),
            stopped_early: false,
        })
    }

    /// Runs to the end of the schedule and its drain, or until stopped.
    pub(super) fn run(mut self, shared: &Shared<'_>) -> Self {
        // Without this the kernel may wake the thread 50 us late; where it is refused, it shows as
        // lateness.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        let mut buffer = vec![0; BUFFER];
        let mut events = Vec::with_capacity(EVENTS);
        self.connect_all(&mut events, &mut buffer, shared);
        shared.start.wait();
        let before = thread_times();
        self.start_ns = self.base.elapsed().as_nanos() as u64;
        (self.idle_ns, self.armed_ns) = (0, 0);
        loop {
            let now = self.now();
            self.dispatch(now, shared.observer);
            if now >= self.next_tick_ns {
                self.tick(now, shared);
            }
            let is_drained = self.in_flight == 0 && self.schedule.due_ns() >= self.end_ns;
            if now >= self.end_ns && (is_drained || now - self.end_ns >= self.drain_ns) {
                break;
            }
            let now = self.wait(&mut events);
            for event in events.drain(..) {
                self.react(event, now, &mut buffer, shared.observer);
            }
        }
        self.finish(before, shared);
        self
    }

    /// Returns the time since the start; before the start, since the base.
    fn now(&self) -> u64 {
        (self.base.elapsed().as_nanos() as u64).saturating_sub(self.start_ns)
    }

    /// Opens every connection before the clock of the schedule runs.
    fn connect_all(&mut self, events: &mut Vec<Event>, buffer: &mut [u8], shared: &Shared<'_>) {
        for index in 0..self.slots.len() {
            self.tally.self_check.opened += 1;
            if self.slots[index].open(&self.queue, index, self.target) != Happened::Nothing {
                self.free.push_back(index);
            }
        }
        self.next_tick_ns = TICK_NS;
        while self.free.len() < self.slots.len() {
            let now = self.wait(events);
            for event in events.drain(..) {
                self.settle(event, now, buffer);
            }
            self.next_tick_ns = now + TICK_NS;
            if now >= CONNECT_NS || shared.stop.load(Ordering::Relaxed) {
                break;
            }
        }
        // What does not stand by now is tried again by the first request it gets.
        for index in 0..self.slots.len() {
            if self.slots[index].state == State::Connecting {
                self.slots[index].close();
                self.free.push_back(index);
            }
        }
        self.next_tick_ns = 0;
        self.free_until_ns = u64::MAX;
    }

    /// Sends what is due while connections are free.
    fn dispatch(&mut self, mut now: u64, observer: Option<Observer<'_>>) {
        // Bounded, because a refused connection is free again at once: ticks must not starve.
        for _ in 0..DISPATCH_MAX {
            if self.schedule.due_ns() > now || self.schedule.due_ns() >= self.end_ns {
                if !self.free.is_empty() {
                    self.free_until_ns = u64::MAX;
                }
                return;
            }
            let Some(index) = self.free.pop_front() else { return };
            if self.free.is_empty() && self.free_until_ns == u64::MAX {
                self.free_until_ns = now;
            }
            let happened = self.take_off(index, now);
            self.follow(index, happened, now, observer);
            if self.free.is_empty() {
                return;
            }
            now = self.now();
        }
    }

    /// Puts the next request onto a free slot; a slot without a socket begins to connect.
    fn take_off(&mut self, index: usize, now: u64) -> Happened {
        let due_ns = self.schedule.due_ns();
        self.tally.left(due_ns, self.late_ns(due_ns, now));
        let kind = (self.schedule.number() % self.prepared.len() as u64) as usize;
        let user = self.users.as_mut().map(|(users, random)| random.below(*users));
        self.schedule.advance();
        self.in_flight += 1;
        let slot = &mut self.slots[index];
        slot.flight = Some(Flight { kind, user, due_ns, sent_ns: now });
        slot.response.reset(self.prepared[kind].to);
        if slot.state != State::Closed {
            return Happened::Connected;
        }
        self.lost += 1;
        self.tally.self_check.opened += 1;
        slot.open(&self.queue, index, self.target)
    }

    /// Returns for how long a request was due while a connection stood free; `None` if none did.
    fn late_ns(&self, due_ns: u64, now: u64) -> Option<u64> {
        self.free_until_ns.min(now).checked_sub(due_ns)
    }

    /// Hands an event to a slot before the schedule runs: connections are made or lost.
    fn settle(&mut self, event: Event, now: u64, buffer: &mut [u8]) {
        let index = (event.data.u64() & 0xffff_ffff) as usize;
        let Some(slot) = self.slots.get_mut(index) else { return };
        let happened = slot.react(event.flags, buffer);
        self.follow(index, happened, now, None);
    }

    /// Hands an event to its slot, and the slot to the next request.
    fn react(&mut self, event: Event, now: u64, buffer: &mut [u8], observer: Option<Observer<'_>>) {
        let data = event.data.u64();
        let index = (data & 0xffff_ffff) as usize;
        let Some(slot) = self.slots.get_mut(index) else { return };
        if slot.generation != (data >> 32) as u32 {
            return;
        }
        let happened = slot.react(event.flags, buffer);
        // The clock is read after each receive, not once for all events.
        let now = if matches!(happened, Happened::Ended(_)) { self.now() } else { now };
        self.follow(index, happened, now, observer);
        self.dispatch(now, observer);
    }

    /// Does what follows from what happened on a slot.
    fn follow(
        &mut self,
        index: usize,
        happened: Happened,
        now: u64,
        observer: Option<Observer<'_>>,
    ) {
        let mut happened = happened;
        if happened == Happened::Connected {
            let slot = &mut self.slots[index];
            let Some(flight) = slot.flight else { return self.free.push_back(index) };
            happened = slot.send(self.prepared[flight.kind].of_user(flight.user.unwrap_or(0)));
        }
        match happened {
            Happened::Ended(outcome) => {
                self.end_flight(index, outcome, now, observer);
                self.free.push_back(index);
            }
            // A slot without a request is in the free list already, unless it was connecting.
            Happened::Gone if !self.free.contains(&index) => self.free.push_back(index),
            Happened::Gone | Happened::Nothing | Happened::Connected => {}
        }
    }

    /// Counts the request on a slot as ended.
    fn end_flight(
        &mut self,
        index: usize,
        outcome: Outcome,
        now: u64,
        observer: Option<Observer<'_>>,
    ) {
        let slot = &mut self.slots[index];
        let Some(flight) = slot.flight.take() else { return };
        self.in_flight -= 1;
        let is_bad = match outcome {
            Outcome::Status(status) => status >= self.prepared[flight.kind].bad_from_status,
            Outcome::Error(_) => true,
        };
        self.tally.count(&Ended {
            kind: flight.kind,
            due_ns: flight.due_ns,
            sent_ns: Some(flight.sent_ns),
            end_ns: now,
            outcome,
            is_bad,
        });
        if let Some(observe) = observer {
            observe(&AnswerSeen {
                outcome,
                is_bad,
                latency_us: now.saturating_sub(flight.due_ns) / 1000,
                kind: flight.kind,
                user: flight.user,
                body_start: &slot.response.body,
            });
        }
    }

    /// Looks at time limits, the stop flag and the figures for others.
    fn tick(&mut self, now: u64, shared: &Shared<'_>) {
        self.next_tick_ns = now + TICK_NS;
        if shared.stop.load(Ordering::Relaxed) && now < self.end_ns {
            self.end_ns = now;
            self.stopped_early = true;
        }
        for index in 0..self.slots.len() {
            let waits_since = self.slots[index].flight.map_or(u64::MAX, |f| f.sent_ns);
            if now.saturating_sub(waits_since) >= self.timeout_ns {
                let outcome = Outcome::Error(ErrorKind::Timeout);
                self.slots[index].close();
                self.follow(index, Happened::Ended(outcome), now, shared.observer);
            }
        }
        self.give_up_before(now.saturating_sub(self.timeout_ns), now, shared.observer);
        self.publish(now, shared);
    }

    /// Gives up what was due before a time and still has no connection.
    fn give_up_before(&mut self, before_ns: u64, now: u64, observer: Option<Observer<'_>>) {
        while self.schedule.due_ns() < before_ns.min(self.end_ns) {
            let due_ns = self.schedule.due_ns();
            let kind = (self.schedule.number() % self.prepared.len() as u64) as usize;
            self.schedule.advance();
            self.tally.gave_up(due_ns, self.late_ns(due_ns, now));
            let outcome = Outcome::Error(ErrorKind::Unsent);
            let is_bad = true;
            self.tally.count(&Ended { kind, due_ns, sent_ns: None, end_ns: now, outcome, is_bad });
            if let Some(observe) = observer {
                let latency_us = now.saturating_sub(due_ns) / 1000;
                let (user, body_start) = (None, &[][..]);
                observe(&AnswerSeen { outcome, is_bad, latency_us, kind, user, body_start });
            }
        }
    }

    /// Lays the latest figures out for others.
    fn publish(&mut self, now: u64, shared: &Shared<'_>) {
        self.due += self.due_counter.skip_to(now.min(self.end_ns));
        let snapshot = Snapshot {
            due: self.due,
            ended: self.tally.ended,
            bad: self.tally.ended_badly,
            in_flight: self.in_flight as u64,
        };
        let mut place = shared.snapshots[self.lane].lock().unwrap_or_else(PoisonError::into_inner);
        *place = snapshot;
    }

    /// Waits for events, the next due time or the next tick, whichever comes first; returns the
    /// time afterwards.
    fn wait(&mut self, events: &mut Vec<Event>) -> u64 {
        let before = self.now();
        let mut until = self.next_tick_ns;
        if !self.free.is_empty() && self.start_ns > 0 && self.schedule.due_ns() < self.end_ns {
            until = until.min(self.schedule.due_ns());
        }
        if before < self.end_ns {
            until = until.min(self.end_ns);
        }
        let left = until.saturating_sub(before);
        if left > 0 && until != self.armed_ns {
            let it_interval = timespec(0);
            let alarm = Itimerspec { it_interval, it_value: timespec(left) };
            // The wait below ends without the alarm too, a little later; that shows as lateness.
            let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &alarm);
            self.armed_ns = until;
        }
        // The queue's own limit has whole milliseconds only; it stands behind the timer.
        let limit = timespec(if left == 0 { 0 } else { left + BEHIND_NS });
        events.clear();
        let room = rustix::buffer::spare_capacity(events);
        // A wait broken off by a signal is a wait without events.
        let _ = epoll::wait(&self.queue, room, Some(&limit));
        let after = self.now();
        self.idle_ns += after - before;
        after
    }

    /// Counts what is left and closes the books.
    fn finish(&mut self, before: Option<ThreadTimes>, shared: &Shared<'_>) {
        let now = self.now();
        for index in 0..self.slots.len() {
            self.end_flight(index, Outcome::Error(ErrorKind::Unfinished), now, shared.observer);
        }
        self.give_up_before(u64::MAX, now, shared.observer);
        self.publish(now, shared);
        let check = &mut self.tally.self_check;
        check.reconnects = self.lost;
        check.busy_share = 1.0 - self.idle_ns as f64 / now.max(1) as f64;
        if let Some((before, after)) = before.zip(thread_times()) {
            check.cpu_us = Some((after.cpu_ns - before.cpu_ns) / 1000);
            check.run_queue_share =
                Some((after.queue_ns - before.queue_ns) as f64 / now.max(1) as f64);
        }
        check.settle();
    }

    /// Returns how long the schedule ran.
    pub(super) fn end_ns(&self) -> u64 {
        self.end_ns
    }
}

/// Makes an event queue with a timer in it whose event carries no slot's number.
fn queue_with_timer() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let queue = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
    // Edge-triggered, so that the timer never has to be read.
    let edges = EventFlags::IN | EventFlags::ET;
    epoll::add(&queue, &timer, EventData::new_u64(u64::MAX), edges)?;
    Ok((queue, timer))
}

/// Returns nanoseconds as the kernel takes them.
fn timespec(ns: u64) -> Timespec {
    let (seconds, rest) = (ns / 1_000_000_000, ns % 1_000_000_000);
    Timespec { tv_sec: seconds as i64, tv_nsec: rest as i64 }
}

/// Whether the beginnings of bodies are kept for an observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeepBodies {
    /// The first bytes of each.
    Beginning,
    /// None.
    No,
}
