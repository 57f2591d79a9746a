//! A half of the agent that cannot come up yet: its disk is full or takes nothing. It tries again
//! and, until then, answers everybody with what stands in the way, so that whoever asks hears it at
//! once and not that nobody is there.

use std::sync::{Arc, Mutex};
use std::thread;

use guanka_core::quantity::Millis;
use guanka_core::say::Said;
use guanka_world::clock;

use super::stores::lock;

/// How often it tries again.
const AGAIN: Millis = Millis::from_secs(1);

/// A half of the agent, or why it is not up.
pub(super) struct Opening<T>(Mutex<Result<Arc<T>, Said>>);

impl<T: Send + Sync + 'static> Opening<T> {
    /// Opens it; where that fails, again and again until it succeeds.
    pub(super) fn begin(open: impl Fn() -> Result<Arc<T>, Said> + Send + 'static) -> Arc<Self> {
        let first = open();
        let is_open = first.is_ok();
        let opening = Arc::new(Self(Mutex::new(first)));
        if !is_open {
            let opening = Arc::clone(&opening);
            thread::spawn(move || {
                while lock(&opening.0).is_err() {
                    clock::pause(AGAIN);
                    let next = open();
                    *lock(&opening.0) = next;
                }
            });
        }
        opening
    }

    /// Returns it, or what stands in the way.
    pub(super) fn get(&self) -> Result<Arc<T>, Said> {
        lock(&self.0).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use guanka_core::quantity::Millis;
    use guanka_core::say::Said;
    use guanka_world::clock;

    use super::Opening;

    #[test]
    fn what_stands_in_the_way_is_told_until_it_is_gone() {
        let (tries, obstacles) = (AtomicU32::new(0), Arc::new(AtomicU32::new(1)));
        let left = Arc::clone(&obstacles);
        let opening = Opening::begin(move || {
            let number = tries.fetch_add(1, Ordering::SeqCst);
            match left.load(Ordering::SeqCst) {
                0 => Ok(Arc::new(number)),
                _ => Err(Said::new("磁盘已满", "the disk is full")),
            }
        });
        assert_eq!(opening.get().expect_err("not yet").en, "the disk is full");
        obstacles.store(0, Ordering::SeqCst);
        let opened = clock::wait_for(Millis::from_secs(20), Millis(10), || opening.get().ok());
        assert!(opened.is_some_and(|number| *number > 0), "it was tried again");
    }
}
