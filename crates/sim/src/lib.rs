//! The simulator: a deterministic world around the rollout. Hosts, agents, drivers, people,
//! telemetry and a network that all fail by a seed; checkers that look at the world and not at the
//! driver's opinion; and planted bugs that prove the checkers see. Uses nothing but core.

pub mod agent;
pub mod campaign;
pub mod checker;
pub mod driver;
pub mod machine;
pub mod plant;
pub mod prng;
pub mod scenario;
pub mod telemetry;
pub mod world;
