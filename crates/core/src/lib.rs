//! guanka's pure core. Modules stand in the order of the data's path; each uses only those above
//! it (`cargo xtask tidy` holds the order). No clock, file, socket, process, thread or randomness.

pub mod name;
pub mod quantity;
pub mod say;

pub mod cause;
pub mod checks;
pub mod facts;
pub mod finding;
pub mod gates;
pub mod plan;
pub mod report;
pub mod rollout;
pub mod signals;
