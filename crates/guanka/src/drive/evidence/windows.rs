//! Windows fetched from the agent into a timeline that the gates read.

use guanka_core::gates::objective::{Objective, thresholds_ms};
use guanka_core::name::ServiceName;
use guanka_core::signals::series::Timeline;
use guanka_core::signals::window::{WINDOW, Window};
use guanka_world::store::metrics::Source;
use guanka_world::transport::wire::{Answer, Request};

use crate::drive::link::{Link, unexpected};
use crate::failure::Failure;

/// The host's name in a rollout of one host.
const HOST: &str = "local";

/// A stretch of windows, and up to where the log was read.
pub(super) struct Fetched {
    pub(super) timeline: Timeline,
    pub(super) windows: Vec<Window>,
    /// Windows that began before this moment are whole.
    pub(super) whole_to_ms: u64,
}

/// Fetches the windows of one kind since a time.
pub(super) fn fetch(
    link: &mut Link,
    service: &ServiceName,
    source: Source,
    objectives: &[Objective],
    from_ms: u64,
) -> Result<Fetched, Failure> {
    let from_ms = from_ms - from_ms % WINDOW.0;
    let request =
        Request::Windows { service: service.clone(), source, from_ms, to_ms: i64::MAX as u64 };
    let (windows, read_to_ms) = match link.ask(&request)? {
        Answer::Windows { windows, read_to_ms } => (windows, read_to_ms),
        other => return Err(unexpected(&other)),
    };
    let whole_to_ms = (read_to_ms - read_to_ms % WINDOW.0).max(from_ms);
    let mut timeline =
        Timeline::new(from_ms, WINDOW, &[HOST.to_owned()], &thresholds_ms(objectives));
    for window in windows.iter().filter(|window| window.start_ms < whole_to_ms) {
        timeline.add(HOST, window);
    }
    Ok(Fetched { timeline, windows, whole_to_ms })
}
