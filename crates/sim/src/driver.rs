//! A simulated driver: it writes an event to the journal, then acts; it can be killed before any
//! single action, and what it knows it has from the journal alone.

use std::collections::{BTreeMap, BTreeSet};

use guanka_core::rollout::clock;
use guanka_core::rollout::effect::{Action, Effect, Key, RENEW_EVERY, outstanding};
use guanka_core::rollout::event::{CheckResult, Chore, Event};
use guanka_core::rollout::host::Exposure;
use guanka_core::rollout::journal::{Record, SCHEMA};
use guanka_core::rollout::spec::{HostName, Past};
use guanka_core::rollout::state::{HeldReason, Rollout, State};
use guanka_core::rollout::verdict::Verdict;
use guanka_core::rollout::wants::{Judge, is_news, wants};

use crate::machine;
use crate::plant::Plant;
use crate::scenario::{Act, NEWER, digest};
use crate::telemetry::{Gate, verdict};
use crate::world::{Happening, Reply, Request, World};

/// How often a driver looks.
const TICK_MS: u64 = 5_000;
/// How often it looks while a person is waited for.
const SLOW_TICK_MS: u64 = 20_000;
/// An unanswered command is repeated after this time.
const REPEAT_MS: u64 = 8_000;
/// A host that says nothing for this long is silent.
const SILENT_MS: u64 = 60_000;

/// A driver.
#[derive(Debug)]
pub struct Driver {
    /// Whether it lives.
    pub alive: bool,
    /// Whether its epoch is stored on every host.
    pub acting: bool,
    /// Until when it is stopped without knowing.
    pub stalled_until: u64,
    /// Whether there is nothing left to do.
    pub finished: bool,
    /// What it knows.
    pub rollout: Option<Rollout>,
    epoch: u64,
    restarted: bool,
    claimed: BTreeSet<usize>,
    sent: BTreeMap<Key, u64>,
    heard: Vec<u64>,
    silence_said: BTreeSet<(usize, u64)>,
    renewed: u64,
}

impl World {
    /// Starts a driver on the journal as it is.
    pub(crate) fn start_driver(&mut self) {
        // An older driver that was stalled may still live; it only does not know that it lost.
        if self.drivers.last().is_some_and(|last| last.alive && last.stalled_until <= self.now) {
            return;
        }
        let rollout = machine::refold(self.plant, &self.journal);
        let restarted = rollout.is_some();
        let session = self.drivers.len();
        self.drivers.push(Driver {
            alive: true,
            acting: false,
            stalled_until: 0,
            finished: false,
            rollout,
            epoch: self.journal_epoch + 1,
            restarted,
            claimed: BTreeSet::new(),
            sent: BTreeMap::new(),
            heard: vec![self.now; self.hosts.len()],
            silence_said: BTreeSet::new(),
            renewed: 0,
        });
        self.journal_epoch += 1;
        if restarted {
            let epoch = self.journal_epoch;
            self.write(session, Event::TakenOver { epoch, actor: "ops".to_owned() });
        }
        self.at(self.now, Happening::Tick(session));
    }

    /// Returns whether a driver still lives when it is about to act.
    fn may_act(&mut self, session: usize) -> bool {
        if !self.drivers[session].alive {
            return false;
        }
        self.actions += 1;
        if self.scenario.kills.contains(&self.actions) {
            self.kill(session);
            return false;
        }
        true
    }

    /// Returns the steady time, as the driver counts it.
    fn steady(&self) -> u64 {
        let reading = self.reading();
        match self.journal.last() {
            _ if self.plant == Some(Plant::WallClock) => reading.wall_ms,
            Some(last) => clock::steady(last.at, &last.clock, &reading),
            None => clock::begin(&reading),
        }
    }

    /// Writes an event and acts on it.
    pub(crate) fn write(&mut self, session: usize, event: Event) {
        let draft = || Rollout::draft(self.scenario.spec.clone(), self.drivers[session].epoch, 0);
        let rollout = self.drivers[session].rollout.clone().unwrap_or_else(draft);
        let at = self.steady();
        let step = machine::advance(self.plant, &rollout, at, &event);
        let hasty = self.plant == Some(Plant::EffectsBeforeJournal);
        if hasty {
            self.send_all(session, &step.effects);
        }
        if !self.may_act(session) {
            return;
        }
        if self.drivers[session].epoch < self.journal_epoch {
            // The journal's own fence: another driver has taken over.
            self.drivers[session].alive = false;
            return;
        }
        let seq = self.journal.last().map_or(0, |record| record.seq) + 1;
        let epoch = self.drivers[session].epoch;
        let clock = self.reading();
        self.journal.push(Record { schema: SCHEMA, seq, epoch, at, clock, event });
        self.drivers[session].rollout = Some(step.rollout);
        self.check_written(session);
        if self.drivers[session].acting && !hasty {
            let effects = self.hurried(session, step.effects);
            self.send_all(session, &effects);
        }
    }

    /// Returns the effects, with the candidate stopped first where that bug is planted.
    fn hurried(&self, session: usize, effects: Vec<Effect>) -> Vec<Effect> {
        let Some(rollout) = &self.drivers[session].rollout else { return effects };
        let taken_back = matches!(rollout.state, State::RollingBack { .. });
        if self.plant != Some(Plant::StopBeforeShare) || !taken_back {
            return effects;
        }
        let stops = effects.iter().filter_map(|effect| match &effect.action {
            Action::SetShare { host, candidate_arm, .. } => Some(Effect {
                action: Action::StopArm { host: host.clone(), arm: *candidate_arm },
                ..effect.clone()
            }),
            _ => None,
        });
        stops.chain(effects.iter().cloned()).collect()
    }

    fn send_all(&mut self, session: usize, effects: &[Effect]) {
        for effect in effects {
            self.send(session, effect);
        }
    }

    fn send(&mut self, session: usize, effect: &Effect) {
        if !self.may_act(session) {
            return;
        }
        self.check_sent(effect);
        self.drivers[session].sent.insert(effect.key.clone(), self.now);
        match &effect.key.host {
            Some(name) if !matches!(effect.action, Action::RunLoad { .. }) => {
                if let Some(host) = self.hosts.iter().position(|host| host.name == *name) {
                    let request = Request::Do(effect.clone());
                    self.transmit(Happening::ToHost(host, session, request));
                }
            }
            _ => self.work(session, effect),
        }
    }

    /// Does what the driver does itself.
    fn work(&mut self, session: usize, effect: &Effect) {
        let chore = |chore| (10, Event::ChoreDone { chore, seq: effect.key.seq });
        let (takes, event) = match &effect.action {
            Action::RunChecks => {
                (2_000, Event::ChecksDone { result: CheckResult::Passed, evidence: None })
            }
            Action::BuildRelease => {
                let release = self.scenario.spec.release.clone();
                (8_000, Event::BuildDone { release, past: Past::Clean })
            }
            Action::RunLoad { attempt, .. } => {
                let broken = self.is_rough() && self.prng.percent(self.scenario.invalid_load);
                let verdict = match broken {
                    true => Verdict::Invalid,
                    false => verdict(self.scenario.truth, Gate::Load, 0, 0),
                };
                let evidence = digest(self.now);
                (20_000, Event::LoadJudged { attempt: *attempt, verdict, evidence })
            }
            Action::MarkBad => chore(Chore::MarkBad),
            Action::WriteReport => chore(Chore::Report),
            Action::ReleaseServiceLease => chore(Chore::ServiceLease),
            _ => return,
        };
        self.at(self.now + takes, Happening::Local(session, event));
    }

    /// Takes the end of the driver's own work.
    pub(crate) fn finished(&mut self, session: usize, event: Event) {
        let driver = &self.drivers[session];
        if driver.stalled_until > self.now {
            return self.at(driver.stalled_until, Happening::Local(session, event));
        }
        if driver.alive {
            if let Event::LoadJudged { verdict: Verdict::Good, .. } = event {
                self.checker.issued.insert(Gate::Load);
            }
            self.write(session, event);
        }
    }

    /// Takes what a host says.
    pub(crate) fn replied(&mut self, session: usize, host: usize, reply: Reply) {
        let driver = &mut self.drivers[session];
        if driver.stalled_until > self.now {
            let until = driver.stalled_until;
            return self.at(until, Happening::ToDriver(session, host, reply));
        }
        if !driver.alive {
            return;
        }
        driver.heard[host] = self.now;
        match reply {
            Reply::Fenced => driver.alive = false,
            Reply::Claimed => {
                driver.claimed.insert(host);
                if driver.claimed.len() == self.hosts.len() && !driver.acting {
                    driver.acting = true;
                    self.begin(session);
                }
            }
            Reply::Answer(event) => self.write(session, event),
            Reply::Seen { expired, hard } => {
                let name = self.hosts[host].name.clone();
                let Some(rollout) = &self.drivers[session].rollout else { return };
                let Some(known) = rollout.hosts.get(&name) else { return };
                let lost = expired.filter(|seq| {
                    *seq == known.exposed_seq && known.exposure == Exposure::Possible
                });
                let stops = known.may_run() && (rollout.is_watching() || rollout.state.is_moving());
                if let Some(seq) = lost {
                    self.write(session, Event::LeaseExpired { host: name.clone(), seq });
                }
                if let Some(reason) = hard.filter(|_| stops) {
                    self.write(session, Event::HardStop { host: name, reason });
                }
            }
        }
    }

    /// Begins to act: hands the release in, or goes on where the journal ends.
    fn begin(&mut self, session: usize) {
        let now = self.now;
        self.drivers[session].heard.fill(now);
        if self.drivers[session].rollout.is_some() {
            self.resend(session);
        } else {
            let spec = Box::new(self.scenario.spec.clone());
            self.write(session, Event::Submitted { spec, actor: "dev".to_owned() });
        }
    }

    /// Looks at everything once.
    pub(crate) fn tick(&mut self, session: usize) {
        let driver = &self.drivers[session];
        if !driver.alive {
            return;
        }
        if driver.stalled_until > self.now {
            return self.at(driver.stalled_until, Happening::Tick(session));
        }
        if driver.acting {
            self.resend(session);
            self.renew(session);
            self.look(session);
            self.judge(session);
            self.due(session);
        } else {
            let epoch = driver.epoch;
            for host in 0..self.hosts.len() {
                if !self.drivers[session].claimed.contains(&host) && self.may_act(session) {
                    self.transmit(Happening::ToHost(host, session, Request::Claim(epoch)));
                }
            }
        }
        let driver = &mut self.drivers[session];
        let Some(rollout) = driver.rollout.as_ref() else {
            return self.at(self.now + TICK_MS, Happening::Tick(session));
        };
        let rests = rollout.state.is_final() && outstanding(rollout).is_empty();
        let moving = rollout.state.is_moving() || rollout.is_watching();
        driver.finished = rests && driver.acting;
        if driver.alive && !driver.finished {
            let wait = match (rollout.is_watching() || !driver.acting, moving) {
                (true, _) => TICK_MS,
                (false, true) => 2 * TICK_MS,
                (false, false) => SLOW_TICK_MS,
            };
            self.at(self.now + wait, Happening::Tick(session));
        }
    }

    fn resend(&mut self, session: usize) {
        let driver = &self.drivers[session];
        let Some(rollout) = &driver.rollout else { return };
        let due: Vec<Effect> = outstanding(rollout)
            .into_iter()
            .filter(|effect| {
                // The driver's own work is only lost with the driver.
                let own =
                    effect.key.host.is_none() || matches!(effect.action, Action::RunLoad { .. });
                match driver.sent.get(&effect.key) {
                    Some(sent) => !own && self.now >= sent + REPEAT_MS,
                    None => true,
                }
            })
            .collect();
        self.send_all(session, &due);
    }

    fn renew(&mut self, session: usize) {
        let driver = &self.drivers[session];
        let Some(rollout) = &driver.rollout else { return };
        if self.now < driver.renewed + RENEW_EVERY.0 {
            return;
        }
        let renewals = wants(rollout, self.steady()).renew;
        self.drivers[session].renewed = self.now;
        self.send_all(session, &renewals);
    }

    fn look(&mut self, session: usize) {
        let Some(rollout) = &self.drivers[session].rollout else { return };
        let entered = rollout.entered;
        let quiet = matches!(rollout.state, State::Checking | State::Building);
        if quiet || rollout.state == State::Done {
            let now = self.now;
            return self.drivers[session].heard.fill(now);
        }
        for host in 0..self.hosts.len() {
            if !self.may_act(session) {
                return;
            }
            self.transmit(Happening::ToHost(host, session, Request::Look));
            let driver = &mut self.drivers[session];
            let silent = self.now >= driver.heard[host] + SILENT_MS;
            if silent && driver.silence_said.insert((host, entered)) {
                let name: HostName = self.hosts[host].name.clone();
                self.write(session, Event::HostSilent { host: name });
            }
        }
    }

    fn judge(&mut self, session: usize) {
        let driver = &self.drivers[session];
        let Some(rollout) = driver.rollout.as_ref().filter(|_| driver.alive) else { return };
        let forgets = self.plant == Some(Plant::NobodyAsksAgain) && driver.restarted;
        let now = self.steady();
        let Some(judge) = wants(rollout, now).judge.filter(|_| !forgets) else { return };
        let gate = match judge {
            Judge::Bake => Gate::Bake,
            Judge::Canary { step, .. } => Gate::Canary(step),
            Judge::Settle { .. } => Gate::Settle,
        };
        let watched = self.now - self.checker.state_since;
        let mut seen = verdict(self.scenario.truth, gate, watched, self.scenario.proof_ms);
        if self.now < self.telemetry_out_until {
            seen = Verdict::Invalid;
        }
        let said = match (self.plant, seen) {
            (Some(Plant::NotYetPromotes), Verdict::NotYet) => Verdict::Good,
            _ => seen,
        };
        let evidence = digest(self.now);
        let event = match judge {
            Judge::Bake => Event::BakeJudged { verdict: said, evidence },
            Judge::Canary { step, attempt } => {
                Event::CanaryJudged { step, attempt, verdict: said, evidence }
            }
            Judge::Settle { attempt } => Event::SettleJudged { attempt, verdict: said, evidence },
        };
        if is_news(rollout, now, &event) {
            if seen == Verdict::Good {
                self.checker.issued.insert(gate);
            }
            self.write(session, event);
        }
    }

    fn due(&mut self, session: usize) {
        let driver = &self.drivers[session];
        let Some(rollout) = driver.rollout.as_ref().filter(|_| driver.alive) else { return };
        let now = self.steady();
        if wants(rollout, now).next.is_some_and(|next| next <= now) {
            self.write(session, Event::Tick);
        }
    }

    /// Lets a person act as soon as a driver listens.
    pub(crate) fn person(&mut self, act: Act) {
        let Some((session, _)) = self.acting() else {
            let over = self.killed_for_good || self.drivers.iter().any(|driver| driver.finished);
            if !over {
                self.at(self.now + 5_000, Happening::Person(act));
            }
            return;
        };
        let actor = "ops".to_owned();
        self.write(
            session,
            match act {
                Act::Abort => Event::Abort { actor, reason: "a hunch".to_owned() },
                Act::Rollback => Event::RollbackAsked { actor },
                Act::NewRelease => Event::NewRelease { release: digest(NEWER), actor },
            },
        );
    }

    /// Lets a person answer what waits for them: three times on, then stop.
    pub(crate) fn person_looks(&mut self) {
        if let Some((session, rollout)) = self.acting()
            && matches!(rollout.state, State::Held { .. } | State::RollbackFailed { .. })
        {
            let asked = matches!(rollout.state, State::Held { reason: HeldReason::Asked(_), .. });
            let actor = "ops".to_owned();
            self.looks += u32::from(!asked);
            if self.looks <= 3 {
                self.write(session, Event::Resume { actor });
            } else {
                let reason = "it does not get better".to_owned();
                self.write(session, Event::Abort { actor, reason });
            }
        }
        let over = self.killed_for_good || self.drivers.last().is_some_and(|d| d.finished);
        if !over {
            self.at(self.now + 60_000, Happening::PersonLooks);
        }
    }
}
