//! What people do to a rollout: stop it, take it back, let it go on, hand in a newer one.

use super::audit::Topic;
use super::describe;
use super::event::Event;
use super::state::{Cause, State};
use super::turn::Turn;
use crate::name::Digest;

impl Turn {
    /// Stops the rollout and gives the stable arm back what it lost, if it lost anything.
    pub(super) fn give_back(&mut self, event: &Event) {
        if self.rollout.state.is_final() || self.rollout.state == State::Draft {
            return self.note(Topic::Refused, describe::nothing_to_stop());
        }
        if self.has_no_way_back() {
            return self.note(Topic::Refused, describe::no_way_back());
        }
        self.note(Topic::Asked, describe::asked(event));
        match &self.rollout.state {
            State::RollingBack { .. } => {}
            State::RollbackFailed { cause } => {
                let cause = cause.clone();
                self.roll_back(cause);
            }
            _ if self.rollout.attempt > 0 => self.roll_back(Cause::Person),
            _ => self.enter(State::Cancelled),
        }
    }

    /// Lets a held rollout go on, or a failed rollback try again.
    pub(super) fn resume(&mut self) {
        match &self.rollout.state {
            State::Held { resume_to, .. } => {
                let target = *resume_to;
                self.note(Topic::Asked, describe::resumed());
                self.go(target);
            }
            State::RollbackFailed { cause } => {
                let cause = cause.clone();
                self.note(Topic::Asked, describe::resumed());
                self.roll_back(cause);
            }
            _ => self.note(Topic::Refused, describe::nothing_held()),
        }
    }

    /// Makes room for a newer release, at a point where no host is half way.
    pub(super) fn new_release(&mut self, by: &Digest) {
        let by = by.clone();
        if self.rollout.state.is_final() || by == self.rollout.release().release {
            return;
        }
        match &self.rollout.state {
            State::Draft => {}
            // The switch is decided or already taken back: it ends first.
            State::Promoting { .. }
            | State::Settling { .. }
            | State::Keeping
            | State::RollingBack { .. }
            | State::RollbackFailed { .. } => self.rollout.waiting = Some(by),
            _ if self.has_no_way_back() => self.rollout.waiting = Some(by),
            _ if self.rollout.attempt > 0 => self.roll_back(Cause::Superseded(by)),
            _ => self.enter(State::Superseded { by }),
        }
    }
}
