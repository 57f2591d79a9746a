//! Moves traffic between two running arms behind a real nginx while users with cookies send 1,000
//! requests a second on 64 kept connections: by guanka's share directories, and by turns, as the
//! control that this run can see a loss, by rewriting an upstream and reloading nginx. Both nginx
//! and the arms are real; everything stays on the loopback.

mod arms;
mod host;
mod measure;
mod probe;
mod sharing;

use std::error::Error;
use std::fs;
use std::io::Write;
use std::process::ExitCode;

use guanka_core::quantity::SharePercent;

use crate::host::Host;
use crate::measure::{Measured, Rounds};

/// What may go wrong while measuring.
type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How often both ways are measured by turns.
const ROUNDS: usize = 25;
/// Share changes in one round.
const CHANGES: usize = 10;
/// The fewest share changes that count as a result.
const LEAST_CHANGES: usize = 200;
/// The median time from the decision to the first answer of the other arm must stay below this.
const LIMIT_MS: f64 = 20.0;
/// The fewest requests a second that must really have been sent, of 1,000 asked for.
const LEAST_RATE: f64 = 990.0;
/// The shares moved among, as in a release.
const SHARES: [u8; 9] = [0, 1, 10, 25, 50, 75, 90, 99, 100];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["arm", name, port] => arms::serve(name, port).map(|()| true),
        [] => bench(),
        _ => Err("usage: switch [arm NAME PORT]".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("switch: not measured: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Measures, prints all figures and returns whether they suffice.
fn bench() -> Fallible<bool> {
    let host = Host::start()?;
    let mut rounds = Rounds::new(&host)?;
    let (mut shares, mut reloads) = (Measured::default(), Measured::default());
    for _ in 0..ROUNDS {
        rounds.change_shares(CHANGES, &mut shares)?;
        rounds.reload(&mut reloads)?;
    }
    say(&format!("switch: nginx {}, 1 worker, loopback", host.version()));
    let cores = std::thread::available_parallelism()?;
    let average = fs::read_to_string("/proc/loadavg")?;
    say(&format!("switch: {cores} cores, load average {}", average.trim()));
    say("switch: time is from calling the change to the first answer of the other arm on a kept");
    say("switch: connection that asks every millisecond with a cookie that the change moves");
    say(&format!("switch: share changes: {}", shares.sentence()));
    let (up, down, wrong) = (rounds.up, rounds.down, shares.wrong);
    say(&format!("switch: {up} up, {down} down, {wrong} requests on an arm without their share"));
    say(&format!("switch: reloads: {}", reloads.sentence()));
    let short = shortfalls(&host, &rounds, &shares, &reloads);
    for why in &short {
        say(&format!("switch: SHORT: {why}"));
    }
    say(&format!(
        "switch: {} failed of {} over {} share changes, median {:.1} ms (limit {LIMIT_MS:.0} ms); \
         nginx reload: median {:.1} ms, {} failed",
        shares.failed,
        shares.requests,
        shares.times_ms.len(),
        shares.median_ms(),
        reloads.median_ms(),
        reloads.failed,
    ));
    Ok(short.is_empty())
}

/// Returns what falls short of the claim, or voids the run.
fn shortfalls(host: &Host, rounds: &Rounds, shares: &Measured, reloads: &Measured) -> Vec<String> {
    let mut short = Vec::new();
    let mut hold = |is_so: bool, why: &str| {
        if !is_so {
            short.push(why.to_owned());
        }
    };
    hold(shares.failed + shares.probe_lost == 0, "requests failed at a share change");
    hold(shares.wrong == 0, "requests were answered by an arm that had not their share");
    hold(shares.times_ms.len() >= LEAST_CHANGES, "too few share changes");
    hold(rounds.up > 0 && rounds.down > 0, "the share was moved in one direction only");
    hold(shares.median_ms() < LIMIT_MS, "the median is not below the limit");
    hold(shares.rate() >= LEAST_RATE, "the load was below 1,000 requests a second");
    hold(shares.broken == 0, "the load generator could not send by its own fault");
    hold(rounds.users_answered() >= 1000, "fewer than 1,000 users were answered");
    hold(rounds.is_share_side_untouched, "nginx was reloaded during share changes");
    hold(reloads.failed > 0, "not one request failed at a reload: this run cannot see a loss");
    hold(host.errors() == 0, "nginx wrote errors into its log");
    short
}

/// Returns a share that is a percentage by construction.
fn percent(share: u8) -> SharePercent {
    SharePercent::new(share).expect("all shares here are at most 100")
}

/// Prints a line; a closed pipe is the reader's choice.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
