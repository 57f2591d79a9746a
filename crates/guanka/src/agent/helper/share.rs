//! The share's hands: one rename on a driver's order, given back by the host alone when the
//! canary's lease runs out or an arm stops answering. The document is on disk before a candidate
//! loses requests and after it has got them: a kill in between never leaves a candidate with more
//! than the document says.

use std::time::{Duration, Instant};

use guanka_core::name::Arm;
use guanka_core::quantity::{Millis, SharePercent};
use guanka_core::rollout::desired::{CanaryLease, Desired};
use guanka_core::rollout::effect::Hold;
use guanka_core::rollout::eject::{Ejected, all_to};
use guanka_core::rollout::event::Fault;
use guanka_core::rollout::share::{of_candidate, on_disk};
use guanka_core::say::{Said, Text};
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::spec;
use guanka_world::proxy;

use super::super::refusal::{NO_SHARE, stopped};
use super::super::stores::lock;
use super::super::verb::{Away, Reply, ShareOrder};
use super::arms::{self, refusal, unwritten};
use super::service::Kept;
use crate::failure::because;

const NOT_NOW: Text = Text { zh: "现在不能移动流量", en: "nothing may be moved now" };

/// Sets a share that a driver ordered.
pub(super) fn set(host: &HostRoot, service: &Kept, order: ShareOrder) -> Reply {
    let Some(before) = proxy::share::read(host, &service.name) else {
        let why = Said::new("流量份额尚未安装", "the share has never been installed");
        return Reply::Fault(Fault::Other(why));
    };
    let is_none = order.share == SharePercent::NONE;
    let getting = if is_none { order.candidate.other() } else { order.candidate };
    if !arms::owns_its_port(host, service, getting) {
        let fault = if is_none { Fault::StableNotReady } else { Fault::NotReady };
        return Reply::Fault(fault);
    }
    match move_to(host, service, order, before) {
        Ok(()) => Reply::Set { before },
        Err(why) => Reply::Fault(Fault::Other(why)),
    }
}

fn move_to(
    host: &HostRoot,
    service: &Kept,
    order: ShareOrder,
    before: SharePercent,
) -> Result<(), Said> {
    let green = on_disk(order.candidate, order.share);
    let gets_more = order.share.get() > of_candidate(order.candidate, before).get();
    *lock(&service.renewed) = Instant::now();
    let ordered = |desired: &mut Desired| {
        lease(desired, order);
        desired.ejected = None;
    };
    if !gets_more {
        // A full disk must not keep requests with a candidate.
        service.change_at_once(host, |desired| {
            ordered(desired);
            desired.green = Some(green);
        });
        return proxy::share::swap(host, &service.name, green)
            .map(|_| ())
            .map_err(|error| error.said());
    }
    service.change(host, ordered).map_err(|error| because(&error))?;
    proxy::share::swap(host, &service.name, green).map_err(|error| error.said())?;
    let then = service.change(host, |desired| desired.green = Some(green));
    then.map_err(|error| because(&error))
}

/// A candidate's lease is on disk before its share is: a kill in between leaves a lease without a
/// canary, which costs nothing, and never a canary without a lease.
fn lease(desired: &mut Desired, order: ShareOrder) {
    match order.hold {
        Hold::Leased(ttl) => {
            let ShareOrder { candidate: arm, seq, .. } = order;
            desired.canary = Some(CanaryLease { arm, seq, ttl, has_expired: false });
        }
        Hold::Lasting if order.share != SharePercent::NONE => desired.canary = None,
        // Told once the way back is proven.
        Hold::Lasting => {}
    }
}

/// Puts back the share before an order that could not be proven. Going back to the stable arm stays
/// in force even unproven.
pub(super) fn put_back(
    host: &HostRoot,
    service: &Kept,
    order: ShareOrder,
    before: SharePercent,
) -> Reply {
    if order.share == SharePercent::NONE {
        return Reply::Done;
    }
    let swapped = proxy::share::swap(host, &service.name, before);
    let stored = service.change(host, |desired| desired.green = Some(before));
    match (swapped, stored) {
        (Ok(_), Ok(())) => Reply::Done,
        (Err(error), _) => not_moved(&error),
        (_, Err(error)) => unwritten(&error),
    }
}

/// Ends the canary's lease: the way back is proven.
fn end_lease(host: &HostRoot, service: &Kept) -> std::io::Result<()> {
    service.change(host, |desired| desired.canary = None)
}

/// Renews the canary's lease; one that has run out stays so.
pub(super) fn renew(host: &HostRoot, service: &Kept, ttl: Millis) -> Reply {
    *lock(&service.renewed) = Instant::now();
    let done = service.change(host, |desired| {
        if let Some(canary) = desired.canary.as_mut().filter(|canary| !canary.has_expired) {
            canary.ttl = ttl;
        }
    });
    done.map_or_else(|error| unwritten(&error), |()| Reply::Done)
}

/// Makes an arm that has every request the stable one; the arm's own process must be the one that
/// gets them.
pub(super) fn keep(host: &HostRoot, service: &Kept, arm: Arm) -> Reply {
    let Some(green) = proxy::share::read(host, &service.name) else {
        return refusal(NO_SHARE);
    };
    let got = of_candidate(arm, green);
    if got != SharePercent::ALL {
        return refusal(Said::new(
            format!("{arm} 只得到 {got} 的请求,不是全部"),
            format!("{arm} has {got} of the requests, not all"),
        ));
    }
    if !arms::owns_its_port(host, service, arm) {
        return refusal(not_running(arm));
    }
    let kept = || service.change(host, |desired| desired.keep(arm));
    let done = spec::mark_active(host, &service.name, arm).and_then(|()| kept());
    if let Err(error) = done {
        return unwritten(&error);
    }
    // Older releases beyond these go; those that an arm points to never do.
    let limits = service.settings().map(|settings| settings.declared.releases.clone());
    let _ = service.store(host).prune(&limits.unwrap_or_default(), &[]);
    Reply::Done
}

/// Ends the lease where the share is none: the worker has proven it.
pub(super) fn proven(host: &HostRoot, service: &Kept, order: ShareOrder) -> Reply {
    if order.share != SharePercent::NONE {
        return Reply::Done;
    }
    end_lease(host, service).map_or_else(|error| unwritten(&error), |()| Reply::Done)
}

/// Takes all requests from a candidate whose driver is silent. The driver hears of it when it is
/// back.
pub(super) fn expire(host: &HostRoot, service: &Kept) {
    let is_over = || {
        let Ok(desired) = service.desired() else { return false };
        let canary = desired.canary.filter(|canary| !canary.has_expired);
        let since = lock(&service.renewed).elapsed();
        canary.is_some_and(|canary| since >= Duration::from_millis(canary.ttl.0))
    };
    if !is_over() {
        return;
    }
    let _doing = lock(&service.doing);
    if is_over() {
        give_up(host, service, "canary-lease-expired");
    }
}

/// Takes all requests from a candidate and ends its lease; the caller sees to it that no verb is
/// under way. The share comes first: a disk that is full must not keep it.
fn give_up(host: &HostRoot, service: &Kept, action: &str) {
    let Ok(mut after) = service.desired() else { return };
    let Some((arm, green)) = after.give_up_canary() else { return };
    if proxy::share::swap(host, &service.name, green).is_err() {
        return;
    }
    let detail = serde_json::json!({ "arm": arm, "green": green }).to_string();
    service.change_at_once(host, |desired| {
        desired.give_up_canary();
        desired.note(action, detail);
    });
}

/// Moves the requests of an arm that the worker found not to answer, or back. What may be moved is
/// decided here again from the document: a candidate on a lease gives up for good, nobody's
/// requests ever go to a candidate.
pub(super) fn shift(host: &HostRoot, service: &Kept, to: Away) -> Reply {
    let (desired, green) = match (service.desired(), proxy::share::read(host, &service.name)) {
        (Ok(desired), Some(green)) => (desired, green),
        (Err(answer), _) => return Reply::Answer(Box::new(answer)),
        (_, None) => return refusal(NO_SHARE),
    };
    match (to, desired.ejected) {
        (Away::From(arm), None) if desired.leased() == Some(arm) => {
            give_up(host, service, "candidate-not-answering");
            Reply::Done
        }
        (Away::From(arm), None) if desired.candidate().is_none_or(|one| one == arm) => {
            away(host, service, arm, green)
        }
        (Away::Back(arm), Some(ejected)) if ejected.arm == arm => back(host, service, ejected),
        (Away::Forget, Some(_)) => {
            let done = service.change(host, |desired| desired.ejected = None);
            done.map_or_else(|error| unwritten(&error), |()| Reply::Done)
        }
        _ => refusal(NOT_NOW),
    }
}

fn away(host: &HostRoot, service: &Kept, arm: Arm, before: SharePercent) -> Reply {
    if !arms::owns_its_port(host, service, arm.other()) {
        return refusal(not_running(arm.other()));
    }
    let green = all_to(arm.other());
    let detail = serde_json::json!({ "arm": arm, "green": green }).to_string();
    // What was stands on disk first: a kill in between leaves a document that the share
    // contradicts, which is put right, and never a share that nobody gives back.
    let stored = service.change(host, |desired| {
        desired.ejected = Some(Ejected { arm, before });
        desired.green = Some(green);
        desired.note("arm-out-of-traffic", detail);
    });
    if let Err(error) = stored {
        return unwritten(&error);
    }
    swapped(host, service, green)
}

fn back(host: &HostRoot, service: &Kept, ejected: Ejected) -> Reply {
    let Ejected { arm, before } = ejected;
    if let refused @ Reply::Answer(_) = swapped(host, service, before) {
        return refused;
    }
    let detail = serde_json::json!({ "arm": arm, "green": before }).to_string();
    let stored = service.change(host, |desired| {
        desired.ejected = None;
        desired.green = Some(before);
        desired.note("arm-back-in-traffic", detail);
    });
    stored.map_or_else(|error| unwritten(&error), |()| Reply::Done)
}

fn not_running(arm: Arm) -> Said {
    Said::new(format!("{arm} 没有运行"), format!("{arm} does not run"))
}

fn not_moved(error: &proxy::share::ShareError) -> Reply {
    Reply::Answer(Box::new(stopped(error.said())))
}

fn swapped(host: &HostRoot, service: &Kept, green: SharePercent) -> Reply {
    match proxy::share::swap(host, &service.name, green) {
        Ok(_) => Reply::Done,
        Err(error) => not_moved(&error),
    }
}
