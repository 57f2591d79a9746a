//! The arithmetic of signals: windows of counts, latency histograms, the slot of a key, and the
//! prefix sums by which a gate reads three days in a moment. Counts add over time and hosts;
//! percentiles never do, so none is kept.

pub mod histogram;
pub mod request;
pub mod route;
pub mod series;
pub mod slot;
pub mod window;
