//! Drives a rollout: event into the journal, effects performed, their ends back as events. The
//! driver holds the service's lease; killed at any moment, another one goes on where it stood.

mod audit;
pub(crate) mod central;
pub(crate) mod driver;
pub(crate) mod evidence;
pub(crate) mod foretell;
pub(crate) mod install;
mod keeper;
pub(crate) mod ledger;
pub(crate) mod link;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod screen;
pub(crate) mod seat;
pub(crate) mod submission;
pub(crate) mod takeover;
pub(crate) mod told;
