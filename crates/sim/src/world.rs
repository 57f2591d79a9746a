//! The simulated world: one queue of happenings in true time, the hosts, the network between them
//! and the drivers, and the journal. One thread, one generator, no clock: a seed is a whole life.

use std::collections::{BTreeMap, BTreeSet};

use guanka_core::name::Arm;
use guanka_core::rollout::clock::Reading;
use guanka_core::rollout::effect::{Effect, Key};
use guanka_core::rollout::event::{Event, StopReason};
use guanka_core::rollout::journal::Record;
use guanka_core::rollout::state::{Rollout, State, Target};

use crate::agent::{ArmState, Host, Luck, Moment, Outcome, index};
use crate::checker::Checker;
use crate::driver::Driver;
use crate::plant::Plant;
use crate::prng::Prng;
use crate::scenario::{Act, Comeback, Mishap, Scenario, Truth};

/// True time zero, as the wall clock first says it: some day of 2026.
const WALL_START: u64 = 1_790_000_000_000;

/// No life is longer: three hours after everything was healed.
const LIFE_MS: u64 = 3 * 3_600_000;

/// A happening more than this is a loop of our own.
const MAX_HAPPENINGS: u64 = 200_000;

/// What a driver asks of a host.
#[derive(Clone, Debug)]
pub enum Request {
    /// Store an epoch.
    Claim(u64),
    /// Perform a command.
    Do(Effect),
    /// Say what is.
    Look,
}

/// What a host says.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The epoch is stored.
    Claimed,
    /// A higher epoch has the right.
    Fenced,
    /// The answer to a command.
    Answer(Event),
    /// What is.
    Seen {
        /// A lease that ran out.
        expired: Option<u64>,
        /// What no release may do.
        hard: Option<StopReason>,
    },
}

/// Something that happens at a time.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A request arrives.
    ToHost(usize, usize, Request),
    /// A reply arrives, from a host to a driver.
    ToDriver(usize, usize, Reply),
    /// A driver's own work is done.
    Local(usize, Event),
    /// A driver looks.
    Tick(usize),
    /// A driver starts.
    DriverStarts,
    /// An arm's start is over; then its answer goes to the driver.
    ArmUp(usize, usize, Arm, Key, Event),
    /// The candidate crashes on a host.
    Crash(usize),
    /// A lease may have run out on a host.
    LeaseCheck(usize),
    /// Something goes wrong.
    Mishap(Mishap),
    /// A person acts.
    Person(Act),
    /// A person looks whether something waits for them.
    PersonLooks,
}

/// How a life went.
#[derive(Clone, Debug)]
pub struct Life {
    /// What happened, in number.
    pub steps: u64,
    /// The first rule that was broken.
    pub violation: Option<String>,
    /// Where the rollout stood at the end.
    pub end: Option<State>,
}

/// The world.
pub struct World {
    /// What the seed means.
    pub scenario: Scenario,
    /// The planted bug.
    pub plant: Option<Plant>,
    pub(crate) prng: Prng,
    pub(crate) now: u64,
    queue: BTreeMap<(u64, u64), Box<Happening>>,
    order: u64,
    pub(crate) hosts: Vec<Host>,
    pub(crate) journal: Vec<Record>,
    pub(crate) journal_epoch: u64,
    pub(crate) drivers: Vec<Driver>,
    wall_offset: i64,
    boot: u64,
    boot_at: u64,
    pub(crate) telemetry_out_until: u64,
    pub(crate) actions: u64,
    pub(crate) killed_for_good: bool,
    pub(crate) looks: u32,
    pub(crate) checker: Checker,
}

/// Lives a seed to its end.
pub fn live(scenario: Scenario, plant: Option<Plant>) -> Life {
    let mut world = World::new(scenario, plant);
    let mut steps = 0;
    let end = world.scenario.heal_at + LIFE_MS;
    while let Some(((at, _), happening)) = world.queue.pop_first() {
        world.now = at;
        steps += 1;
        if at > end || steps > MAX_HAPPENINGS {
            break;
        }
        world.happen(*happening);
        world.check();
        if world.checker.violation.is_some() || world.is_over() {
            break;
        }
    }
    world.check_end();
    let end = world.checker.shadow.as_ref().map(|rollout| rollout.state.clone());
    Life { steps, violation: world.checker.violation.take(), end }
}

impl World {
    fn new(scenario: Scenario, plant: Option<Plant>) -> Self {
        let stable = scenario.spec.stable.as_ref().map(|stable| stable.arm);
        let hosts = scenario.spec.hosts.iter().map(|name| Host::new(name.clone(), stable));
        let mut world = Self {
            prng: Prng::new(scenario.seed ^ 0x5eed),
            plant,
            now: 0,
            queue: BTreeMap::new(),
            order: 0,
            hosts: hosts.collect(),
            journal: Vec::new(),
            journal_epoch: 0,
            drivers: Vec::new(),
            wall_offset: 0,
            boot: 0,
            boot_at: 0,
            telemetry_out_until: 0,
            actions: 0,
            killed_for_good: false,
            looks: 0,
            checker: Checker::new(scenario.spec.hosts.len()),
            scenario,
        };
        world.at(1_000, Happening::DriverStarts);
        for (when, mishap) in world.scenario.mishaps.clone() {
            world.at(when, Happening::Mishap(mishap));
        }
        if let Some((when, act)) = world.scenario.act {
            world.at(when, Happening::Person(act));
        }
        if !world.scenario.calm {
            world.at(120_000, Happening::PersonLooks);
        }
        world
    }

    /// Lets something happen at a true time.
    pub(crate) fn at(&mut self, when: u64, happening: Happening) {
        self.order += 1;
        self.queue.insert((when.max(self.now), self.order), Box::new(happening));
    }

    /// Returns whether things still go wrong.
    pub(crate) fn is_rough(&self) -> bool {
        self.now < self.scenario.heal_at
    }

    /// Returns what the clocks of the driver's machine say.
    pub(crate) fn reading(&self) -> Reading {
        let wall = WALL_START.saturating_add(self.now).saturating_add_signed(self.wall_offset);
        Reading {
            wall_ms: wall,
            boot: format!("boot-{}", self.boot),
            since_boot_ms: self.now - self.boot_at,
        }
    }

    /// Sends a message through the network, which may lose, delay or repeat it.
    pub(crate) fn transmit(&mut self, happening: Happening) {
        let (drop, duplicate) = (self.scenario.drop, self.scenario.duplicate);
        if self.is_rough() && self.prng.percent(drop) {
            return;
        }
        if self.is_rough() && self.prng.percent(duplicate) {
            let delay = self.delay();
            self.at(self.now + delay, happening.clone());
        }
        let delay = self.delay();
        self.at(self.now + delay, happening);
    }

    fn delay(&mut self) -> u64 {
        let slow = self.scenario.slow;
        if self.is_rough() && self.prng.percent(slow) {
            self.prng.between(200, 60_000)
        } else {
            self.prng.between(1, 200)
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::ToHost(host, session, request) => self.arrive(host, session, request),
            Happening::ToDriver(session, host, reply) => self.replied(session, host, reply),
            Happening::Local(session, event) => self.finished(session, event),
            Happening::Tick(session) => self.tick(session),
            Happening::DriverStarts => self.start_driver(),
            Happening::ArmUp(host, session, arm, key, answer) => {
                self.arm_up(host, session, arm, &key, answer);
            }
            Happening::Crash(host) => {
                let arm = index(self.scenario.spec.candidate);
                if self.hosts[host].arms[arm] == ArmState::Ready && self.percent(host) > 0 {
                    self.hosts[host].arms[arm] = ArmState::Crashed;
                }
            }
            Happening::LeaseCheck(host) => self.lease_check(host),
            Happening::Mishap(mishap) => self.mishap(mishap),
            Happening::Person(act) => self.person(act),
            Happening::PersonLooks => self.person_looks(),
        }
    }

    fn arrive(&mut self, index: usize, session: usize, request: Request) {
        if self.now < self.hosts[index].down_until {
            return;
        }
        let reply = match request {
            Request::Claim(epoch) => {
                let host = &mut self.hosts[index];
                if epoch < host.epoch {
                    Reply::Fenced
                } else {
                    host.epoch = epoch;
                    Reply::Claimed
                }
            }
            Request::Look => {
                let host = &self.hosts[index];
                let hard = host.hard_stop(self.scenario.spec.candidate);
                Reply::Seen { expired: host.expired, hard }
            }
            Request::Do(effect) => match self.perform(index, &effect) {
                Outcome::Answer(event) => Reply::Answer(event),
                Outcome::Later(delay, arm, event) => {
                    let up = Happening::ArmUp(index, session, arm, effect.key, event);
                    return self.at(self.now + delay, up);
                }
                Outcome::Fenced => Reply::Fenced,
                Outcome::Nothing => return,
            },
        };
        self.transmit(Happening::ToDriver(session, index, reply));
    }

    fn perform(&mut self, index: usize, effect: &Effect) -> Outcome {
        let fails = self.is_rough() && self.prng.percent(self.scenario.fail);
        let moment = Moment {
            now: self.now,
            luck: if fails { Luck::Fails } else { Luck::Works },
            start_ms: self.prng.between(500, 3_000),
            plant: self.plant,
        };
        let before = self.before(index, effect);
        let outcome = self.hosts[index].perform(effect, &moment);
        self.after(index, effect, &before, &outcome);
        if let Some(lease) = self.hosts[index].lease {
            self.at(lease.until, Happening::LeaseCheck(index));
        }
        if self.scenario.truth == Truth::Crashes && self.percent(index) > 0 {
            let when = self.now + self.prng.between(2_000, 20_000);
            self.at(when, Happening::Crash(index));
        }
        outcome
    }

    fn arm_up(&mut self, index: usize, session: usize, arm: Arm, key: &Key, answer: Event) {
        let host = &mut self.hosts[index];
        let slot = crate::agent::index(arm);
        if host.arms[slot] == ArmState::Starting {
            host.arms[slot] = ArmState::Ready;
        }
        // The agent that was to answer may have died meanwhile; the arm runs on.
        if self.now < host.down_until || !host.doing.contains(key) {
            return;
        }
        if host.arms[slot] == ArmState::Ready {
            host.remember(key, &answer);
            self.transmit(Happening::ToDriver(session, index, Reply::Answer(answer)));
        } else {
            host.doing.remove(key);
        }
    }

    fn lease_check(&mut self, index: usize) {
        let now = self.now;
        let plant = self.plant;
        let host = &mut self.hosts[index];
        if now >= host.down_until {
            host.expire(now, plant);
        }
    }

    fn mishap(&mut self, mishap: Mishap) {
        match mishap {
            Mishap::AgentDies { host, for_ms } => {
                let until = self.now + for_ms;
                self.hosts[host].down_until = self.hosts[host].down_until.max(until);
                self.hosts[host].doing = BTreeSet::new();
                self.at(until, Happening::LeaseCheck(host));
            }
            Mishap::ClockJumps { by_ms } => self.wall_offset += by_ms,
            Mishap::StableUnwell { host, for_ms } => {
                let until = self.now + for_ms;
                self.hosts[host].unwell_until = until;
                self.at(until, Happening::LeaseCheck(host));
            }
            Mishap::DriverStalls { for_ms } => {
                if let Some(session) = self.living() {
                    self.drivers[session].stalled_until = self.now + for_ms;
                    // The takeover waits until the service's lease has run out.
                    self.at(self.now + 31_000, Happening::DriverStarts);
                }
            }
            Mishap::Reboot => {
                self.boot += 1;
                self.boot_at = self.now;
                while let Some(session) = self.living() {
                    self.kill(session);
                }
            }
            Mishap::TelemetryOut { for_ms } => self.telemetry_out_until = self.now + for_ms,
        }
    }

    /// Returns the newest driver that lives.
    pub(crate) fn living(&self) -> Option<usize> {
        self.drivers.iter().rposition(|driver| driver.alive)
    }

    /// Returns the newest driver's view, if it acts and is not stalled.
    pub(crate) fn acting(&self) -> Option<(usize, &Rollout)> {
        let driver = self.drivers.last()?;
        let acts = driver.alive && driver.acting && driver.stalled_until <= self.now;
        let rollout = driver.rollout.as_ref().filter(|_| acts)?;
        Some((self.drivers.len() - 1, rollout))
    }

    /// Kills a driver; what it had under way is lost.
    pub(crate) fn kill(&mut self, session: usize) {
        self.drivers[session].alive = false;
        match self.scenario.comeback {
            Comeback::Never if !self.is_first_decided() => self.killed_for_good = true,
            Comeback::Never | Comeback::Later => {
                let when = self.now + self.prng.between(25_000, 120_000);
                self.at(when, Happening::DriverStarts);
            }
            Comeback::Soon => {
                let when = self.now + self.prng.between(1_000, 5_000);
                self.at(when, Happening::DriverStarts);
            }
        }
    }

    /// Returns whether a dead driver may leave the candidate with requests: a first release has
    /// nowhere to send them, and a switch that is decided is finished by a person, also where a
    /// host that could not make the candidate its stable arm holds it up.
    pub(crate) fn is_first_decided(&self) -> bool {
        let decided = self.checker.shadow.as_ref().is_some_and(|rollout| {
            matches!(
                rollout.state,
                State::Keeping | State::Done | State::Held { resume_to: Target::Keeping, .. }
            )
        });
        self.scenario.spec.is_first() || decided
    }

    /// Returns whether nothing more can come: otherwise a life ends when its queue is empty.
    fn is_over(&self) -> bool {
        // Every lease has run out by then, also behind the longest death of an agent.
        self.killed_for_good && self.now > self.scenario.heal_at + 200_000
    }
}
