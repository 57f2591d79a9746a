//! Keeps the service's pieces of nginx where they were put: the panel, its updates and people work
//! in the same folders. What is missing or changed is put back; what cannot be is said once.

use std::time::{Duration, Instant};

use guanka_core::say::Said;
use guanka_world::hostroot::HostRoot;
use guanka_world::proxy::drift::{self, Drift, Looked, PutBack};
use guanka_world::{clock, ports};

use super::super::stores::lock;
use super::service::Kept;

/// How often the whole is looked at although no piece has changed: a rule of the panel's may have
/// come before guanka's location.
const WHOLE_EVERY: Duration = Duration::from_secs(30);

/// The least time between two whole looks: nginx's own test of a large host takes seconds, and
/// somebody else's tool that keeps taking pieces away must not reload nginx at every turn.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// How a service's pieces were found.
#[derive(Default)]
pub(super) struct Wired {
    pub(super) drift: Option<Drift>,
    pub(super) put_back: Option<PutBack>,
    /// When the whole was last looked at.
    looked: Option<Instant>,
}

impl Wired {
    /// Returns what is not as it should be, and what was put back last.
    pub(super) fn found(&self) -> (Option<Drift>, Option<PutBack>) {
        (self.drift.clone(), self.put_back.clone())
    }
}

/// Looks at one service, and puts right what can be.
pub(super) fn tick(host: &HostRoot, service: &Kept) {
    // An effect, an install or a removal under way changes the same files.
    let Ok(_doing) = service.doing.try_lock() else { return };
    let Some(settings) = service.settings() else { return };
    let Ok(Some(allotted)) = ports::allotted(host, &service.name) else { return };
    if !is_due(host, service) {
        return;
    }
    let proxy = &settings.declared.proxy;
    let found = drift::reconcile(host, &service.name, proxy, allotted);
    let mut wired = lock(&service.wired);
    wired.looked = Some(clock::monotonic());
    let before = wired.drift.take();
    match found {
        Looked::InPlace => {
            if let Some(over) = before {
                let was = over.said();
                let says = Said::new(format!("已解除:{}", was.zh), format!("over: {}", was.en));
                note(host, service, "nginx-in-place-again", &says);
            }
        }
        Looked::PutBack { files } => {
            let says = Looked::put_back_said(&files);
            note(host, service, "nginx-pieces-put-back", &says);
            wired.put_back = Some(PutBack { at_ms: clock::now_ms(), says });
        }
        Looked::Stands(drift) => {
            // Said once and not at every look.
            if before.as_ref() != Some(&drift) {
                note(host, service, "nginx-pieces-drifted", &drift.said());
            }
            wired.drift = Some(drift);
        }
    }
}

fn is_due(host: &HostRoot, service: &Kept) -> bool {
    let (since, stands) = {
        let wired = lock(&service.wired);
        (wired.looked.map(|looked| looked.elapsed()), wired.drift.is_some())
    };
    let Some(since) = since else { return true };
    let has_lost = || !drift::lost(host, &service.name).is_empty();
    since >= AGAIN_AFTER && (stands || since >= WHOLE_EVERY || has_lost())
}

fn note(host: &HostRoot, service: &Kept, action: &str, says: &Said) {
    service.note(host, action, &serde_json::json!({ "says": says }));
}
