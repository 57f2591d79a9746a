//! Effects: each is performed once under its key and answered from memory after that. A lower epoch
//! is refused, and within an epoch an older command of the same kind.

use std::sync::Arc;

use guanka_core::name::Digest;
use guanka_core::rollout::effect::{Action, Effect, Lane};
use guanka_core::rollout::event::Event;
use guanka_core::say::{Said, Text};
use guanka_world::obstacle;
use guanka_world::transport::wire::Answer;

use super::arms::ArmCommand;
use super::hands::UNFIT;
use super::jobs::Progress;
use super::refusal::{could_not, fenced};
use super::service::Service;
use super::stores::{Agent, lock};
use super::verb::{Reply, ShareOrder, Verb};
use super::{arms, bake, lease, load, share};

/// What is said of an effect that no host performs.
const DRIVERS: Text = Text {
    zh: "这一步由驱动者执行,不是主机的事",
    en: "this is the driver's to do, not a host's",
};

/// Performs an effect, or gives the answer it already had.
pub(super) fn perform(
    agent: &Arc<Agent>,
    service: &Arc<Service>,
    effect: Effect,
    release: Digest,
) -> Answer {
    if !lease::allows(service, effect.epoch) {
        return fenced(effect.epoch);
    }
    if let Action::RenewCanaryLease { ttl, .. } = &effect.action {
        let (service, epoch) = (service.name.clone(), effect.epoch);
        return agent.hands.answer(&Verb::Renew { service, epoch, ttl: *ttl });
    }
    let key = effect.key.to_string();
    match agent.journal().answer(&service.name, &key) {
        Ok(Some(known)) => {
            if let Ok(event) = serde_json::from_str(&known) {
                return Answer::Performed { event: Box::new(event) };
            }
        }
        Ok(None) => {}
        Err(error) => return could_not(error.said()),
    }
    if is_older(service, &effect) {
        return fenced(effect.epoch);
    }
    let (agent, service) = (Arc::clone(agent), Arc::clone(service));
    let begin = Said::new("已开始", "begun");
    let jobs = service.jobs.clone();
    let job_key = key.clone();
    let answer = jobs.ask(&job_key, begin, move |progress| {
        let answer = work(&agent, &service, &effect, &release, progress);
        remember(&agent, &service, &key, &answer);
        // Who took over meanwhile asks under the same key, and has been waiting for this very job:
        // what was refused to the driver before is no answer for the present one.
        let is_failed = matches!(answer, Answer::Failed { .. });
        (!is_failed || lease::allows(&service, effect.epoch)).then_some(answer)
    });
    if matches!(answer, Answer::Failed { .. }) {
        // What could not be done is tried again when it is asked again.
        jobs.forget(&job_key);
    }
    answer
}

fn work(
    agent: &Agent,
    service: &Service,
    effect: &Effect,
    release: &Digest,
    progress: &Progress,
) -> Answer {
    let seq = effect.key.seq;
    if let Action::RunLoad { .. } = &effect.action {
        return load::run(agent, service, progress);
    }
    let _doing = lock(&service.doing);
    let done = match &effect.action {
        Action::StageRelease { host } => {
            let verb = Verb::Verify { service: service.name.clone(), release: release.clone() };
            match agent.hands.ask(&verb) {
                Ok(Reply::Done) => Ok(Event::StageDone { host: host.clone(), seq }),
                Ok(Reply::Fault(fault)) => {
                    Ok(Event::StageFailed { host: host.clone(), seq, fault })
                }
                Ok(_) => Err(UNFIT.said()),
                Err(error) => Err(obstacle::said(&error)),
            }
        }
        Action::StartArm { host, arm } => {
            let command = ArmCommand { host: host.clone(), seq, arm: *arm, epoch: effect.epoch };
            match arms::start(agent, service, &command, release, progress) {
                Ok(event) => Ok(event),
                Err(obstacle) => return obstacle,
            }
        }
        Action::BeginBake { host } => {
            bake::begin(agent, service).map(|()| Event::BakeBegun { host: host.clone(), seq })
        }
        Action::SetShare { host, candidate_arm, candidate_share, hold } => {
            bake::end(agent, service);
            let (candidate, share) = (*candidate_arm, *candidate_share);
            let order = ShareOrder { seq, candidate, share, hold: *hold };
            share::set(agent, service, host, effect.epoch, order)
        }
        Action::KeepCandidate { host, arm } => share::keep(agent, service, effect.epoch, *arm)
            .map(|serves| Event::Kept { host: host.clone(), seq, serves }),
        Action::StopArm { host, arm } => {
            bake::end(agent, service);
            let command = ArmCommand { host: host.clone(), seq, arm: *arm, epoch: effect.epoch };
            arms::stop(agent, service, &command, progress)
        }
        _ => Err(DRIVERS.said()),
    };
    match done {
        Ok(event) => Answer::Performed { event: Box::new(event) },
        Err(why) => could_not(why),
    }
}

/// Keeps an answer for who asks again. A failed one is not kept: the rollout counts tries by
/// number.
fn remember(agent: &Agent, service: &Service, key: &str, answer: &Answer) {
    if let Answer::Performed { event } = answer
        && let Ok(text) = serde_json::to_string(event)
    {
        // Without the record a repeat performs the effect again, which is allowed.
        let _ = agent.journal().remember(&service.name, key, &text);
    }
}

/// Returns whether a newer command of the same lane was seen; else this one is the newest. Commands
/// that undo each other stand in one lane: an old start must not come behind a stop.
fn is_older(service: &Service, effect: &Effect) -> bool {
    let lane = effect.key.kind.lane();
    if lane == Lane::Other {
        return false;
    }
    let mut newest = lock(&service.newest);
    let own = (effect.epoch, effect.key.seq);
    let known = newest.entry(lane).or_insert(own);
    if own < *known {
        return true;
    }
    *known = own;
    false
}
