//! The rollout: a pure step function over journaled events, and the verdict that gates give it.

pub mod verdict;
