//! The clock: wall time for records, monotonic time for leases.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use guanka_core::quantity::Millis;
use guanka_core::rollout::clock::Reading;

/// Returns the milliseconds since 1970 in UTC.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// Returns a monotonic instant.
pub fn monotonic() -> Instant {
    Instant::now()
}

/// Reads every clock that a rollout counts by.
pub fn reading() -> std::io::Result<Reading> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
    let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let since_boot_ms = since.tv_sec as u64 * 1000 + since.tv_nsec as u64 / 1_000_000;
    Ok(Reading { wall_ms: now_ms(), boot, since_boot_ms })
}

/// Waits; the only place where guanka sleeps.
pub fn pause(time: Millis) {
    std::thread::sleep(Duration::from_millis(time.0));
}

/// Asks again and again until an answer comes or the time is over.
pub fn wait_for<T>(limit: Millis, every: Millis, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + Duration::from_millis(limit.0);
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        pause(every);
    }
}

/// Returns how far this machine's own time is east of UTC just now.
pub fn local_offset_secs() -> i64 {
    i64::from(jiff::Zoned::now().offset().seconds())
}

/// Reads a time as a person writes it, `2026-11-24`, `2026-11-24T15:04`, with a zone or without
/// one: then it is this machine's own. Returns milliseconds since 1970.
pub fn read_time(text: &str) -> Option<u64> {
    let with_zone = text.parse::<jiff::Timestamp>().ok();
    let here = || {
        let civil = text.parse::<jiff::civil::DateTime>().ok()?;
        civil.to_zoned(jiff::tz::TimeZone::system()).ok().map(|zoned| zoned.timestamp())
    };
    let time = with_zone.or_else(here)?;
    u64::try_from(time.as_millisecond()).ok()
}

/// Returns a time as `2026-11-24T08:00:00Z`, for records and reports.
pub fn rfc3339(ms: u64) -> String {
    jiff::Timestamp::from_millisecond(ms as i64)
        .map(|t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_default()
}
