//! The loop: perform what is outstanding, judge what is to be judged, renew what is leased, and
//! write down what happened before anything is done about it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use guanka_core::facts::declared::GateSlo;
use guanka_core::gates::{GateKind, guard};
use guanka_core::quantity::Millis;
use guanka_core::rollout::audit::Audit;
use guanka_core::rollout::effect::{Action, Effect, outstanding};
use guanka_core::rollout::ending::Ending;
use guanka_core::rollout::event::{Chore, Event, Fault, StopReason};
use guanka_core::rollout::spec::HostName;
use guanka_core::rollout::state::{Rollout, State};
use guanka_core::rollout::step::step;
use guanka_core::rollout::wants::{Judge, is_news, wants};
use guanka_core::say::Said;
use guanka_world::clock;
use guanka_world::transport::wire::{Answer, Request};
use serde_json::json;

use super::central::Central;
use super::evidence::Judge as Evidence;
use super::foretell;
use super::install;
use super::keeper::{Keeper, RENEW};
use super::ledger::Ledger;
use super::link::{Link, unexpected};
use super::progress::Progress;
use crate::failure::codes::{DAMAGED, PORT_TAKEN};
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// How often the loop turns: a canary's switch is not waited for longer than this.
const TURN: Millis = Millis(100);
/// How often a gate is judged and the host looked at.
const LOOK: Duration = Duration::from_millis(1000);

/// What the person asked beside the release itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Stay until it ends.
    Stay,
    /// Leave once it only waits.
    Leave,
}

/// A rollout being driven.
pub(crate) struct Driver<'a> {
    pub(crate) terminal: &'a Terminal,
    pub(crate) link: Link,
    pub(crate) ledger: Ledger,
    pub(crate) epoch: u64,
    pub(crate) rollout: Rollout,
    pub(crate) central: Central,
    pub(crate) progress: Progress,
    pub(crate) waiting: Waiting,
    is_installed: bool,
    evidence: Evidence,
    looked: Option<Instant>,
    renewed: Option<Instant>,
    has_healed: bool,
}

impl<'a> Driver<'a> {
    /// Takes over a rollout as its journal says it stands.
    pub(crate) fn new(
        terminal: &'a Terminal,
        (link, ledger): (Link, Ledger),
        epoch: u64,
        rollout: Rollout,
        (central, waiting): (Central, Waiting),
    ) -> Self {
        let progress = Progress::new(terminal, &rollout);
        Self {
            terminal,
            link,
            ledger,
            epoch,
            rollout,
            central,
            progress,
            waiting,
            is_installed: false,
            evidence: Evidence::default(),
            looked: None,
            renewed: None,
            has_healed: false,
        }
    }

    /// Drives until the rollout has ended or waits for a person.
    pub(crate) fn run(&mut self) -> Result<Exit, Failure> {
        let _keeper = Keeper::start(self.link.address(), &self.ledger.service, self.epoch);
        // What the host did by itself while nobody drove comes before anything is asked of it.
        if let Some(event) = self.observe()? {
            self.happen(event)?;
        }
        loop {
            if let Some(exit) = self.turn()? {
                return Ok(exit);
            }
            clock::pause(TURN);
        }
    }

    /// Does everything that is to be done now.
    fn turn(&mut self) -> Result<Option<Exit>, Failure> {
        for effect in outstanding(&self.rollout) {
            // Each answer changes what is outstanding; what follows is looked at anew.
            if let Some(event) = self.perform(&effect)? {
                self.happen(event)?;
                return Ok(None);
            }
        }
        let is_quiet = outstanding(&self.rollout).is_empty();
        if let (Some(ending), true) = (self.rollout.ending(), is_quiet)
            && !self.rollout.is_watching()
        {
            return Ok(Some(self.end(ending)));
        }
        if self.waiting == Waiting::Leave && is_quiet && self.only_waits() {
            return Ok(Some(Exit::Waits));
        }
        if self.looked.is_none_or(|at| at.elapsed() >= LOOK) {
            self.looked = Some(Instant::now());
            self.look()?;
        }
        Ok(None)
    }

    /// Returns whether time alone moves it on, and nothing is lost when the driver leaves.
    fn only_waits(&self) -> bool {
        matches!(self.rollout.state, State::Baking { .. })
    }

    /// Looks at the host, judges the gate, renews the leases, and lets time pass.
    fn look(&mut self) -> Result<(), Failure> {
        if let Some(event) = self.observe()? {
            return self.happen(event);
        }
        let reading = self.link.reading()?;
        let now = self.ledger.steady(&reading);
        let wanted = wants(&self.rollout, now);
        if let Some(judge) = wanted.judge
            && let Some(event) = self.judge(judge, now)?
        {
            return self.happen(event);
        }
        if wanted.next.is_some_and(|next| next <= now) {
            return self.happen(Event::Tick);
        }
        if self.renewed.is_none_or(|at| at.elapsed() >= RENEW) {
            self.renewed = Some(Instant::now());
            for effect in wanted.renew {
                self.ask_host(&effect)?;
            }
        }
        Ok(())
    }

    /// Writes an event down, then takes what it leads to as the present.
    pub(crate) fn happen(&mut self, event: Event) -> Result<(), Failure> {
        let led = self.ledger.happen(&mut self.link, self.epoch, &self.rollout, event)?;
        let number = self.ledger.newest().map_or(0, |chapter| chapter.number);
        for audit in &led.audit {
            self.tell(number, &led.rollout, audit)?;
        }
        self.progress.moved(&self.rollout, &led.rollout);
        let began = gate_begun(&self.rollout.state, &led.rollout.state);
        self.rollout = led.rollout;
        if let Some(gate) = began {
            self.foretell(gate)?;
        }
        self.looked = None;
        Ok(())
    }

    /// Writes one entry of the audit log.
    fn tell(&mut self, number: u64, rollout: &Rollout, audit: &Audit) -> Result<(), Failure> {
        let record = json!({
            "rollout": number,
            "release": rollout.release().release,
            "epoch": self.epoch,
            "audit": audit,
        });
        let (service, record) = (self.ledger.service.clone(), record.to_string());
        self.link.ask(&Request::Audit { service, epoch: self.epoch, record })?;
        Ok(())
    }

    /// Writes the entries of the audit log that a killed driver had journaled and not told: each
    /// journal record has its entries, however often drivers were killed in between.
    pub(crate) fn tell_missing(&mut self) -> Result<(), Failure> {
        let Some(chapter) = self.ledger.newest().cloned() else { return Ok(()) };
        let entries = self.link.audit_log()?;
        let service = self.ledger.service.to_string();
        let told: BTreeSet<String> = entries
            .iter()
            .filter(|entry| entry.service == service)
            .filter_map(|entry| serde_json::from_str::<serde_json::Value>(&entry.record).ok())
            .filter_map(|record| record.get("audit").map(ToString::to_string))
            .collect();
        let Some(first) = chapter.records.first() else { return Ok(()) };
        let Event::Submitted { spec, .. } = &first.event else { return Ok(()) };
        let mut rollout = Rollout::draft((**spec).clone(), first.epoch, first.seq - 1);
        for record in &chapter.records {
            let led = step(&rollout, record.at, &record.event);
            rollout = led.rollout;
            for audit in &led.audit {
                if !told.contains(&json!(audit).to_string()) {
                    self.tell(chapter.number, &rollout, audit)?;
                }
            }
        }
        Ok(())
    }

    /// Tells at the start of a gate what it needs before it can prove anything.
    fn foretell(&mut self, gate: GateKind) -> Result<(), Failure> {
        let rates = match gate {
            GateKind::Canary => self.evidence.live_rates(&mut self.link, &self.central.declared)?,
            GateKind::Load | GateKind::Bake => BTreeMap::new(),
        };
        let declared = &self.central.declared;
        let of_route = |slo: &GateSlo| {
            let route = declared.slos.get(&slo.name)?.route.clone();
            rates.get(&route).copied()
        };
        for said in foretell::gate(declared, gate, &of_route) {
            self.progress.foretold(&said);
        }
        Ok(())
    }

    /// Performs one effect as far as it goes now; an event when it is done.
    fn perform(&mut self, effect: &Effect) -> Result<Option<Event>, Failure> {
        let seq = effect.key.seq;
        match &effect.action {
            Action::RunChecks => self.central.check(&mut self.link, &self.progress).map(Some),
            Action::BuildRelease => {
                let arch = self.link.arch()?;
                self.central.build(&self.ledger, &arch, &self.progress).map(Some)
            }
            Action::StageRelease { host } => {
                self.install()?;
                match self.send() {
                    Ok(()) => self.ask_host(effect),
                    Err(failed) => Ok(Some(Event::StageFailed {
                        host: host.clone(),
                        seq,
                        fault: Fault::Other(failed.why.clone()),
                    })),
                }
            }
            Action::MarkBad => Ok(Some(Event::ChoreDone { chore: Chore::MarkBad, seq })),
            Action::WriteReport => {
                self.write_report()?;
                Ok(Some(Event::ChoreDone { chore: Chore::Report, seq }))
            }
            // The lease is given back when this driver ends; until then the record needs it.
            Action::ReleaseServiceLease => {
                Ok(Some(Event::ChoreDone { chore: Chore::ServiceLease, seq }))
            }
            _ => self.ask_host(effect),
        }
    }

    /// Puts the service behind nginx where it is not yet. What stands in the way says nothing about
    /// the release: the drive ends, the rollout stays.
    fn install(&mut self) -> Result<(), Failure> {
        if self.central.can_send() && !self.is_installed {
            install::apply(&mut self.link, &self.progress, self.epoch, &self.central)?;
            self.is_installed = true;
        }
        Ok(())
    }

    /// Sends the release of this rollout to the host.
    fn send(&mut self) -> Result<(), Failure> {
        let release = self.rollout.release().release.clone();
        self.central.send(&mut self.link, self.epoch, &release)
    }

    /// Asks the host to perform an effect.
    fn ask_host(&mut self, effect: &Effect) -> Result<Option<Event>, Failure> {
        let request = Request::Perform {
            service: self.ledger.service.clone(),
            effect: Box::new(effect.clone()),
            release: self.rollout.release().release.clone(),
        };
        match self.link.ask(&request) {
            Ok(Answer::Performed { event }) => Ok(Some(*event)),
            Ok(Answer::Working { progress }) => {
                self.progress.working(&progress);
                Ok(None)
            }
            Ok(Answer::Loaded { run, stopped_for }) => {
                self.loaded(effect, (&run, stopped_for)).map(Some)
            }
            Ok(Answer::Done) => Ok(None),
            Ok(other) => Err(unexpected(&other)),
            Err(failed) if self.may_heal(effect, &failed) => {
                // Where the source cannot give it again, the damage is what a person must hear of.
                if self.send().is_err() {
                    return Err(failed);
                }
                let (zh, en) = (&failed.why.zh, &failed.why.en);
                self.progress.note(&Said::new(
                    format!("{zh}。未启动,已重新送达"),
                    format!("{en}; not started, sent anew"),
                ));
                Ok(None)
            }
            Err(failed) => match could_not(effect, &failed) {
                Some(event) => Ok(Some(event)),
                None => Err(failed),
            },
        }
    }

    /// Returns whether a damaged release may be written anew: once per drive, and only where this
    /// driver has the source. Damage that comes back is a person's to look into.
    fn may_heal(&mut self, effect: &Effect, failed: &Failure) -> bool {
        let is_start = matches!(effect.action, Action::StartArm { .. });
        is_start
            && failed.kind.code == DAMAGED.code
            && self.central.can_send()
            && !std::mem::replace(&mut self.has_healed, true)
    }

    fn loaded(
        &mut self,
        effect: &Effect,
        run: (&guanka_world::load::LoadRun, Option<guard::Fault>),
    ) -> Result<Event, Failure> {
        let attempt = match &effect.action {
            Action::RunLoad { attempt, .. } => *attempt,
            _ => 1,
        };
        let declared = &self.central.declared;
        let judged = self.evidence.load(declared, self.rollout.spec.candidate, run)?;
        self.progress.judged(&judged.judgement);
        let (verdict, evidence) = (judged.judgement.verdict, judged.digest.clone());
        self.central.keep(judged);
        Ok(Event::LoadJudged { attempt, verdict, evidence })
    }

    /// Judges the gate at work; an event when there is news.
    fn judge(&mut self, judge: Judge, now: u64) -> Result<Option<Event>, Failure> {
        let chapter = self.ledger.newest().cloned();
        let Some(chapter) = chapter else { return Ok(None) };
        let judged = match judge {
            Judge::Bake => self.evidence.bake(&mut self.link, &chapter, &self.rollout, now)?,
            Judge::Canary { .. } | Judge::Settle { .. } => {
                self.evidence.canary(&mut self.link, &chapter, &self.rollout)?
            }
        };
        let Some(judged) = judged else { return Ok(None) };
        self.progress.judged(&judged.judgement);
        let (verdict, evidence) = (judged.judgement.verdict, judged.digest.clone());
        self.central.keep(judged);
        let event = match judge {
            Judge::Bake => Event::BakeJudged { verdict, evidence },
            Judge::Canary { step, attempt } => {
                Event::CanaryJudged { step, attempt, verdict, evidence }
            }
            Judge::Settle { attempt } => Event::SettleJudged { attempt, verdict, evidence },
        };
        Ok(is_news(&self.rollout, now, &event).then_some(event))
    }

    /// Looks at the host for what it did or saw by itself.
    fn observe(&mut self) -> Result<Option<Event>, Failure> {
        if !self.rollout.state.is_moving() && !self.rollout.is_watching() {
            return Ok(None);
        }
        let service = self.ledger.service.clone();
        let view = match self.link.ask(&Request::Observe { service })? {
            Answer::Observed { view } => view,
            other => return Err(unexpected(&other)),
        };
        let Some(host) = self.rollout.spec.hosts.first().cloned() else { return Ok(None) };
        if let Some(canary) = &view.canary
            && canary.has_expired
            && self.rollout.is_exposed()
        {
            return Ok(Some(Event::LeaseExpired { host, seq: canary.seq }));
        }
        let candidate = view.arms.get(&self.rollout.spec.candidate);
        let is_started = self.rollout.hosts.values().any(|state| state.may_run())
            && !matches!(self.rollout.state, State::CanaryStarting | State::Staged { .. });
        if let Some(arm) = candidate.filter(|_| is_started) {
            if arm.is_crashing {
                return Ok(Some(Event::HardStop { host, reason: StopReason::CrashLoop }));
            }
            if self.progress.lost_readiness(arm) {
                return Ok(Some(Event::HardStop { host, reason: StopReason::ReadinessLost }));
            }
        }
        Ok(None)
    }

    fn write_report(&mut self) -> Result<(), Failure> {
        let report = super::report::assemble(self)?;
        let text = serde_json::to_string(&report).unwrap_or_default();
        let service = self.ledger.service.clone();
        let number = report.number;
        self.link.ask(&Request::StoreReport { service, number, report: text })?;
        self.central.reported = Some(report);
        Ok(())
    }

    /// Ends the drive: the lease goes back, the report is shown.
    fn end(&mut self, ending: Ending) -> Exit {
        let service = self.ledger.service.clone();
        // Left behind it ends by itself.
        let _ = self.link.ask(&Request::GiveLease { service, epoch: self.epoch });
        self.progress.done();
        if let (Some(failed), false) = (&self.central.build_failed, self.terminal.json) {
            crate::terminal::failure::show(self.terminal, failed);
        }
        if let Some(report) = &self.central.reported {
            super::report::show(self.terminal, report);
        }
        exit_of(ending)
    }
}

/// Returns the gate that a step of the rollout begins.
fn gate_begun(before: &State, after: &State) -> Option<GateKind> {
    let gate = |state: &State| match state {
        State::Staged { .. } => Some(GateKind::Load),
        State::Baking { .. } => Some(GateKind::Bake),
        State::CanaryStarting | State::Canary { .. } => Some(GateKind::Canary),
        _ => None,
    };
    gate(after).filter(|begun| gate(before) != Some(*begun))
}

/// Turns what a host could not do into the event that the rollout counts as a try. A port of
/// somebody else's and a changed release say nothing about the candidate: the drive ends, and the
/// rollout stays where it is.
fn could_not(effect: &Effect, failed: &Failure) -> Option<Event> {
    let is_obstacle = [PORT_TAKEN.code, DAMAGED.code].contains(&failed.kind.code);
    if failed.kind.exit != Exit::CouldNot || is_obstacle {
        return None;
    }
    let seq = effect.key.seq;
    let fault = Fault::Other(failed.why.clone());
    let event = |host: &HostName| host.clone();
    match &effect.action {
        Action::StageRelease { host } => Some(Event::StageFailed { host: event(host), seq, fault }),
        Action::StartArm { host, .. } => Some(Event::ArmFailed { host: event(host), seq, fault }),
        Action::SetShare { host, .. } => Some(Event::ShareFailed { host: event(host), seq, fault }),
        _ => None,
    }
}

/// Returns the exit code of an ending.
pub(crate) const fn exit_of(ending: Ending) -> Exit {
    match ending {
        Ending::Promoted | Ending::HeldAsked => Exit::Done,
        Ending::CouldNot | Ending::Cancelled => Exit::CouldNot,
        Ending::BlockedByGate => Exit::Blocked,
        Ending::TakenBack => Exit::TakenBack,
        Ending::NeedsHuman => Exit::NeedsHuman,
        Ending::NotProven => Exit::NotProven,
    }
}
