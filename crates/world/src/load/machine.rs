//! What the kernel says about a thread and the machine: time on the processor, time in the run
//! queue, time taken by the host below. Read before and after a run; absent where not offered.

use std::fs;

/// A thread's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ThreadTimes {
    /// On the processor.
    pub(super) cpu_ns: u64,
    /// In the run queue.
    pub(super) queue_ns: u64,
}

/// The machine's times, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MachineTimes {
    total: u64,
    steal: u64,
}

/// Reads the calling thread's times.
pub(super) fn thread_times() -> Option<ThreadTimes> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let mut fields = text.split_ascii_whitespace().map_while(|f| f.parse().ok());
    Some(ThreadTimes { cpu_ns: fields.next()?, queue_ns: fields.next()? })
}

/// Reads the machine's times.
pub(super) fn machine_times() -> Option<MachineTimes> {
    parse_stat(&fs::read_to_string("/proc/stat").ok()?)
}

/// Returns the share of the machine's time that was stolen between two readings.
pub(super) fn steal_share(before: MachineTimes, after: MachineTimes) -> Option<f64> {
    let total = after.total.checked_sub(before.total).filter(|&total| total > 0)?;
    Some(after.steal.saturating_sub(before.steal) as f64 / total as f64)
}

/// Reads the first line of `/proc/stat`. Guest times are already inside user and nice.
fn parse_stat(text: &str) -> Option<MachineTimes> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = line.split_ascii_whitespace().map_while(|f| f.parse().ok()).collect();
    let times = fields.get(..8)?;
    Some(MachineTimes { total: times.iter().sum(), steal: times[7] })
}

#[cfg(test)]
mod tests {
    use super::{parse_stat, steal_share};

    #[test]
    fn steal_is_the_eighth_of_the_machines_times() {
        let before = parse_stat("cpu  100 0 50 800 10 0 5 35 7 0\ncpu0 1").expect("a reading");
        let after = parse_stat("cpu  150 0 60 830 10 0 5 45 9 0\n").expect("a reading");
        assert_eq!(steal_share(before, after), Some(0.1));
        assert_eq!(parse_stat("cpu  1 2 3\n"), None);
        assert_eq!(steal_share(after, after), None);
    }
}
