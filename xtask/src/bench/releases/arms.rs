//! An arm killed and an arm frozen while both are warm, under all clients, with the driver gone:
//! the host is alone. What the dead arm had in its hands may be lost, and nothing that came after
//! it.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::ground::{Ground, SERVICE, Service};
use super::seen::Seen;
use super::{Part, say};
use crate::process;

/// What both parts declare: probes of their own, and an old arm that stays.
const WARM: &str = "[probe]\nevery = \"500ms\"\nfails = 2\npasses = 2\ntimeout = \"1s\"\n\n\
                    [gates.settle]\nfor = \"10m\"\n";
/// `every` times `fails` plus `timeout`.
const PROBE_SPAN: Duration = Duration::from_millis(500 * 2 + 1000);
/// The agent looks twenty times a second for what is due and on a busy machine waits for its turn.
const MARGIN: Duration = Duration::from_millis(250);
/// A request that began this long after the kill met nothing but a dead arm. The clock is read
/// before the signal is sent, and a busy machine may take the processor away in between.
const AT_ONCE_MS: u64 = 100;
/// Well above what a state takes to come.
const LIMIT: Duration = Duration::from_secs(60);
/// How long the clients go on once all is well again: the proxy gives up on what hangs after 2 s.
const AFTERWARDS: Duration = Duration::from_secs(4);
/// A look at the share costs one system call.
const LOOK: Duration = Duration::from_millis(2);

/// Kills the arm that has everything.
pub(super) fn killed(ground: &Ground) -> Result<Part> {
    say("releases: the serving arm killed, the other one warm");
    let (arm, pid) = both_warm(ground, "killed")?;
    let clients = ground.clients()?;
    thread::sleep(AFTERWARDS);
    let at_ms = now_ms();
    kill_process(pid, Signal::KILL).context("kill the arm")?;
    process::wait_for("the killed arm is back", LIMIT, || {
        let arms = ground.status().ok()?["host"]["arms"].clone();
        let other = arms[&arm]["pid"].as_i64().is_some_and(|found| found != raw(pid));
        (other && arms[&arm]["is_ready"] == true).then_some(())
    })?;
    thread::sleep(AFTERWARDS);
    let seen = clients.stop()?;
    ground.call(&["abort"], 5)?;
    let late = after(&seen, at_ms);
    let mut lacks = seen.load_lacks("killed");
    lacks.extend(late.lacks("killed", AT_ONCE_MS));
    Ok(part("killed", &seen, &late, json!({}), lacks))
}

/// Freezes the arm that has everything.
pub(super) fn frozen(ground: &Ground) -> Result<Part> {
    say("releases: the serving arm frozen, the other one warm");
    let (_, pid) = both_warm(ground, "frozen")?;
    let clients = ground.clients()?;
    thread::sleep(AFTERWARDS);
    let live = ground.root().join("var/lib/guanka").join(SERVICE).join("live");
    let before = link(&live)?;
    let (began, at_ms) = (Instant::now(), now_ms());
    kill_process(pid, Signal::STOP).context("freeze the arm")?;
    let moved = moved(&live, &before, began);
    let out_ms = now_ms();
    // Woken only once what hangs on it has been given up.
    thread::sleep(AFTERWARDS);
    kill_process(pid, Signal::CONT).context("wake the arm")?;
    let took = moved?;
    let seen = clients.stop()?;
    ground.call(&["abort"], 5)?;
    let late = after(&seen, at_ms);
    let mut lacks = seen.load_lacks("frozen");
    lacks.extend(late.lacks("frozen", out_ms - at_ms + AT_ONCE_MS));
    if took > PROBE_SPAN + MARGIN {
        lacks.push(format!("frozen: out after {took:?}; {PROBE_SPAN:?} is declared"));
    }
    let (out, span) = (took.as_secs_f64(), PROBE_SPAN.as_secs_f64());
    say(&format!("releases: out of traffic after {out:.2} s (declared {span:.2} s)"));
    let figures = json!({"out_seconds": out, "declared_seconds": span});
    Ok(part("frozen", &seen, &late, figures, lacks))
}

/// Ships a release and ends its driver while the old arm is still warm; returns the arm that has
/// everything, and its process.
fn both_warm(ground: &Ground, name: &str) -> Result<(String, Pid)> {
    ground.release(Service::First, name, WARM)?;
    let mut driver = ground.driver()?;
    let settling = process::wait_for("the release settles", LIMIT, || {
        let status = ground.status().ok()?;
        let settles = status["rollout"]["state"].to_string().contains("settling");
        settles.then_some(status)
    });
    driver.kill().context("end the driver")?;
    driver.wait().context("wait for the driver")?;
    let status = settling?;
    let arm = match status["host"]["green"].as_u64() {
        Some(0) => "blue",
        Some(100) => "green",
        other => bail!("green's share is {other:?}"),
    };
    let pid = status["host"]["arms"][arm]["pid"].as_i64().context("a process")?;
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("a process")?;
    Ok((arm.to_owned(), pid))
}

fn raw(pid: Pid) -> i64 {
    i64::from(pid.as_raw_nonzero().get())
}

fn link(live: &Path) -> Result<std::path::PathBuf> {
    fs::read_link(live).with_context(|| format!("read {}", live.display()))
}

/// Waits until the share is another one; returns how long it took.
fn moved(live: &Path, before: &Path, began: Instant) -> Result<Duration> {
    while began.elapsed() < LIMIT {
        if link(live)? != before {
            return Ok(began.elapsed());
        }
        thread::sleep(LOOK);
    }
    bail!("the frozen arm still has its share after {} s", LIMIT.as_secs())
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The failures beside the moment at which something was done to an arm.
struct Late {
    /// How many requests failed that were under way at that moment.
    held: u64,
    /// How long after it each other one began, in milliseconds.
    began: Vec<(u64, String)>,
}

impl Late {
    /// Returns the failures that began later than is allowed.
    fn lacks(&self, part: &str, allowed_ms: u64) -> Vec<String> {
        let late = self.began.iter().filter(|(ms, _)| *ms > allowed_ms);
        late.map(|(ms, what)| format!("{part}: failed, begun {ms} ms after it: {what}")).collect()
    }

    fn last_ms(&self) -> u64 {
        self.began.iter().map(|(ms, _)| *ms).max().unwrap_or(0)
    }
}

fn after(seen: &Seen, at_ms: u64) -> Late {
    let mut late = Late { held: 0, began: Vec::new() };
    for failure in &seen.failures {
        let what = format!("{} {}", failure.class, failure.what);
        // What failed before it had another cause, and is no less late than anything.
        if failure.ended_ms < at_ms {
            late.began.push((u64::MAX, what));
        } else if failure.began_ms <= at_ms {
            late.held += 1;
        } else {
            late.began.push((failure.began_ms - at_ms, what));
        }
    }
    late
}

fn part(
    name: &'static str,
    seen: &Seen,
    late: &Late,
    more: serde_json::Value,
    lacks: Vec<String>,
) -> Part {
    for line in seen.table() {
        say(&line);
    }
    let (held, met, last) = (late.held, late.began.len(), late.last_ms());
    say(&format!(
        "releases: {name}: {held} were in its hands, {met} came after, the last {last} ms later"
    ));
    let mut figures = seen.json();
    figures["held"] = json!(held);
    figures["met"] = json!(met);
    figures["last_ms"] = json!(last);
    for (key, value) in more.as_object().into_iter().flatten() {
        figures[key] = value.clone();
    }
    Part { name, figures, lacks }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::after;
    use crate::bench::releases::seen::{Failure, Seen};

    #[test]
    fn what_began_well_after_the_kill_or_failed_before_it_is_no_victim_of_it() {
        let failure = |began_ms, ended_ms| Failure {
            class: "post".to_owned(),
            what: "eof".to_owned(),
            began_ms,
            ended_ms,
        };
        let failures = vec![failure(990, 1001), failure(1002, 1003), failure(1500, 1501)];
        let mut seen = Seen { seconds: 1.0, classes: BTreeMap::new(), failures };
        let late = after(&seen, 1000);
        assert_eq!((late.held, late.began.len(), late.last_ms()), (1, 2, 500));
        assert_eq!(late.lacks("x", 100), ["x: failed, begun 500 ms after it: post eof"]);
        assert!(late.lacks("x", 500).is_empty());
        seen.failures = vec![failure(900, 950)];
        assert_eq!(after(&seen, 1000).lacks("x", 500).len(), 1);
    }
}
