//! The rollout: a pure, total step function over journaled events, and the verdict that gates give
//! it. The shell writes an event to the journal, synced, and only then performs the effects; after
//! a crash it folds the journal and performs what is still outstanding.

pub mod audit;
pub mod clock;
pub mod describe;
pub mod desired;
pub mod effect;
pub mod eject;
pub mod ending;
pub mod event;
pub mod host;
pub mod journal;
pub mod liveness;
pub mod share;
pub mod spec;
pub mod state;
pub mod step;
pub mod verdict;
pub mod wants;

mod answers;
mod due;
mod judged;
mod people;
mod turn;
