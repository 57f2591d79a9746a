//! Keeping the service's lease while its driver works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use guanka_core::facts::declared::HostAddress;
use guanka_core::name::ServiceName;
use guanka_core::quantity::Millis;
use guanka_world::clock;
use guanka_world::transport::wire::Request;

use super::link::Link;

/// How often leases are renewed.
pub(super) const RENEW: Duration = Duration::from_secs(5);

/// Renews the service's lease from a thread of its own, so that a long build does not lose it.
pub(super) struct Keeper {
    stop: Arc<AtomicBool>,
}

impl Keeper {
    /// Begins to renew.
    pub(super) fn start(address: &HostAddress, service: &ServiceName, epoch: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, address, service) = (Arc::clone(&stop), address.clone(), service.clone());
        thread::spawn(move || {
            let mut link = None;
            while !stopped.load(Ordering::SeqCst) {
                if link.is_none() {
                    link = Link::to(&address).ok();
                }
                let request = Request::RenewLease { service: service.clone(), epoch };
                if link.as_mut().is_some_and(|link| link.ask(&request).is_err()) {
                    link = None;
                }
                for _ in 0..RENEW.as_millis() / 100 {
                    if stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    clock::pause(Millis(100));
                }
            }
        });
        Self { stop }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}
