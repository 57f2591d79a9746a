//! Which shares were in force when, and so which arm a user may have been answered by. A request
//! that was under way during a change may be answered by either side of it, any other may not.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use guanka_core::name::{Arm, ServiceName};
use guanka_core::quantity::SharePercent;
use guanka_core::signals::slot::Slot;
use guanka_world::load::CookieUsers;

use crate::percent;

/// What the observer may run behind the answer it looks at.
const BEHIND: Duration = Duration::from_millis(20);
/// Stretches of the past that are kept: no request is under way for longer than these last.
const KEPT: usize = 64;

/// A share from the moment its change began to the moment that the next one was done.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    share: SharePercent,
    from: Instant,
    until: Option<Instant>,
}

/// The shares in force, and the slots of all users.
pub(crate) struct Sharing {
    slots: Vec<Slot>,
    stretches: Mutex<Vec<Stretch>>,
}

impl Sharing {
    /// Starts with nothing on green.
    pub(crate) fn new(service: &ServiceName, users: &CookieUsers) -> Self {
        let slot = |user| Slot::of(format!("{service}{}", users.value(user)).as_bytes());
        let first = Stretch { share: percent(0), from: Instant::now(), until: None };
        Self { slots: (0..users.users).map(slot).collect(), stretches: Mutex::new(vec![first]) }
    }

    /// Notes that a change begins.
    pub(crate) fn begin(&self, share: SharePercent, from: Instant) {
        let mut stretches = self.stretches.lock().unwrap_or_else(PoisonError::into_inner);
        stretches.push(Stretch { share, from, until: None });
    }

    /// Notes that it is done: every earlier share has ended.
    pub(crate) fn done(&self) {
        let mut stretches = self.stretches.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = stretches.len() - 1;
        for stretch in stretches[..earlier].iter_mut().filter(|s| s.until.is_none()) {
            stretch.until = Some(Instant::now());
        }
        let old = stretches.len().saturating_sub(KEPT);
        stretches.drain(..old);
    }

    /// Returns whether an arm may have answered a user just now, so long after the due time.
    pub(crate) fn allows(&self, user: u32, arm: Arm, latency: Duration) -> bool {
        let Some(slot) = self.slots.get(user as usize) else { return false };
        let now = Instant::now();
        let since = now.checked_sub(latency + BEHIND).unwrap_or(now);
        let stretches = self.stretches.lock().unwrap_or_else(PoisonError::into_inner);
        let is_in_force =
            |s: &&Stretch| s.from <= now && s.until.is_none_or(|until| until >= since);
        stretches.iter().rev().filter(is_in_force).any(|s| slot.arm(s.share) == arm)
    }
}
