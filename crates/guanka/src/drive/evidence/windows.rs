//! Windows fetched from the agent into a timeline that the gates read.

use std::collections::BTreeMap;

use guanka_core::gates::objective::{Objective, thresholds_ms};
use guanka_core::name::{Route, ServiceName};
use guanka_core::quantity::Rate;
use guanka_core::signals::series::Timeline;
use guanka_core::signals::window::{WINDOW, Window};
use guanka_world::clock;
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

/// Returns users' requests per second over the last minute of whole windows, by route.
pub(super) fn live_rates(
    link: &mut Link,
    service: &ServiceName,
) -> Result<BTreeMap<Option<Route>, Rate>, Failure> {
    const BACK_MS: u64 = 60_000;
    let from_ms = clock::now_ms().saturating_sub(BACK_MS + WINDOW.0);
    let fetched = fetch(link, service, Source::Live, &[], from_ms)?;
    let whole = fetched.windows.iter().filter(|w| w.start_ms < fetched.whole_to_ms);
    let mut rates: BTreeMap<Option<Route>, Rate> = BTreeMap::new();
    let mut seconds = 0.0;
    for window in whole {
        seconds += WINDOW.as_secs_f64();
        for (key, counts) in &window.cells {
            for route in [None, Some(key.route.clone())] {
                rates.entry(route).or_insert(Rate(0.0)).0 += counts.requests as f64;
            }
        }
    }
    for rate in rates.values_mut() {
        rate.0 /= f64::max(seconds, 1.0);
    }
    Ok(rates)
}
