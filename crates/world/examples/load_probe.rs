//! The load engine by itself, for benchmarks: `load_probe ADDR PATH RATE SECONDS` sends, then
//! prints how many requests were answered and how many failed, as two numbers.

use std::io::{self, Write};
use std::sync::atomic::AtomicBool;

use guanka_core::quantity::{Millis, Rate};
use guanka_world::load::{LoadPlan, run};

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [addr, path, rate, seconds] = words.as_slice() else { return Err(usage()) };
    let addr = addr.parse().map_err(|_| usage())?;
    let rate = rate.parse().map_err(|_| usage())?;
    let seconds = seconds.parse().map_err(|_| usage())?;
    let mut plan = LoadPlan::new(addr, path, Rate(rate), Some(Millis::from_secs(seconds)));
    // Asked for more than any server takes, it always has a request ready, as a closed loop has.
    plan.drain = Millis::ZERO;
    let run = run(&plan, &AtomicBool::new(false), &mut |_| {}).map_err(io::Error::other)?;
    let total = run.total();
    let answered: u64 = total.statuses.values().sum();
    let bad_answers: u64 = total.statuses.range(400..).map(|(_, count)| count).sum();
    let lost: u64 = total.errors.values().sum::<u64>() - run.self_check.unsent;
    writeln!(io::stdout(), "{answered} {}", bad_answers + lost.saturating_sub(64))
}

/// Returns the error that says how this is called.
fn usage() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "usage: load_probe ADDR PATH RATE SECONDS")
}
