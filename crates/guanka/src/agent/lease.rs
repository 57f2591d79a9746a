//! The service's lease: who may change it, until when, with which epoch. A dead holder blocks
//! nobody for longer than the lease's time, and a holder known to be dead on this machine not at
//! all.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use guanka_core::name::ServiceName;
use guanka_world::hostroot::HostRoot;
use guanka_world::store::StoreError;
use guanka_world::transport::wire::{Answer, LeaseView, Taking};
use guanka_world::{clock, files, process};
use serde::{Deserialize, Serialize};

use super::refusal::could_not;
use super::service::Service;
use super::stores::{Agent, lock};
use super::verb::Verb;

/// How long a lease holds without being renewed; it is renewed every 5 s.
const TTL: Duration = Duration::from_secs(30);

/// A lease that is held.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    stored: Stored,
    renewed: Instant,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stored {
    holder: String,
    epoch: u64,
    since_ms: u64,
}

impl Lease {
    /// Reads the lease that an agent before this one kept. How long ago it was renewed is not
    /// known, so it holds for its whole time again.
    pub(super) fn load(host: &HostRoot, service: &ServiceName) -> Option<Self> {
        let text = files::read_text(&path(host, service), 1 << 16).ok()?;
        Some(Self { stored: serde_json::from_str(&text).ok()?, renewed: Instant::now() })
    }

    fn ends_in(&self) -> Duration {
        TTL.saturating_sub(self.renewed.elapsed())
    }

    /// Returns whether it still keeps others out.
    fn is_held(&self) -> bool {
        !self.ends_in().is_zero() && !is_gone(&self.stored.holder)
    }

    /// Returns what people are shown of it.
    pub(super) fn view(&self) -> Option<LeaseView> {
        self.is_held().then(|| LeaseView {
            holder: self.stored.holder.clone(),
            ends_in_ms: self.ends_in().as_millis() as u64,
        })
    }
}

/// Takes the lease with the next epoch, or says who holds it.
pub(super) fn take(
    agent: &Agent,
    service: &Service,
    holder: &str,
    taking: Taking,
) -> Result<Answer, StoreError> {
    let mut lease = lock(&service.lease);
    let others = |held: &&Lease| held.is_held() && held.stored.holder != holder;
    if let (Taking::Free, Some(held)) = (taking, lease.as_ref().filter(others)) {
        return Ok(Answer::Held {
            holder: held.stored.holder.clone(),
            since_ms: held.stored.since_ms,
            ends_in_ms: held.ends_in().as_millis() as u64,
        });
    }
    // The helper keeps the highest epoch by itself: a journal that was lost does not begin anew.
    let known = match agent.hands.view(&service.name) {
        Ok(view) => view.epoch,
        Err(why) => return Ok(could_not(why)),
    };
    let epoch = agent.journal().epoch(&service.name)?.max(known) + 1;
    agent.journal().raise_epoch(&service.name, epoch)?;
    let raise = Verb::Raise { service: service.name.clone(), epoch };
    if let refused @ Answer::Failed { .. } = agent.hands.answer(&raise) {
        return Ok(refused);
    }
    let stored = Stored { holder: holder.to_owned(), epoch, since_ms: clock::now_ms() };
    store(&agent.host, &service.name, &stored)?;
    *lease = Some(Lease { stored, renewed: Instant::now() });
    Ok(Answer::Leased { epoch })
}

/// Keeps the lease, or says that the epoch is not the present one.
pub(super) fn renew(service: &Service, epoch: u64) -> bool {
    let mut lease = lock(&service.lease);
    match lease.as_mut().filter(|lease| lease.stored.epoch == epoch) {
        Some(lease) => {
            lease.renewed = Instant::now();
            true
        }
        None => false,
    }
}

/// Gives the lease back; giving it twice is giving it once.
pub(super) fn give(agent: &Agent, service: &Service, epoch: u64) {
    let mut lease = lock(&service.lease);
    if lease.as_ref().is_some_and(|lease| lease.stored.epoch == epoch) {
        *lease = None;
        // Left behind it ends by itself.
        let _ = files::remove(&path(&agent.host, &service.name));
    }
}

/// Returns whether an epoch may change the service; asking keeps the lease.
pub(super) fn allows(service: &Service, epoch: u64) -> bool {
    renew(service, epoch)
}

/// Returns whether a holder is a process of this machine that has ended. The holder's name ends
/// with ` pid N start T`; another machine's holder has none, and its silence is all that tells.
fn is_gone(holder: &str) -> bool {
    let words: Vec<&str> = holder.split_whitespace().collect();
    let [.., "pid", pid, "start", start] = words.as_slice() else { return false };
    match (pid.parse(), start.parse::<u64>()) {
        (Ok(pid), Ok(start)) => process::started(pid) != Some(start) && !process::is_hidden(pid),
        _ => false,
    }
}

fn path(host: &HostRoot, service: &ServiceName) -> PathBuf {
    host.worker_service(service).join("lease.json")
}

fn store(host: &HostRoot, service: &ServiceName, stored: &Stored) -> Result<(), StoreError> {
    files::make_dir(&host.worker_service(service), 0o700)?;
    let text = serde_json::to_vec(stored).map_err(std::io::Error::other)?;
    files::replace(&path(host, service), &text, 0o600)?;
    Ok(())
}
