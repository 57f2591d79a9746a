//! Releases in a row under all clients: with the gates off, as fast as guanka can, and fully gated.

use std::thread;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::clients::Clients;
use super::ground::{Ground, Service, Shipped};
use super::seen::Seen;
use super::{Part, say};

/// No gate, and the old arm is stopped as soon as the new one has everything.
const UNGATED: &str = "[probe]\nevery = \"200ms\"\nfails = 2\npasses = 1\ntimeout = \"1s\"\n\n\
                       [gates.settle]\nfor = \"0s\"\n";

/// Every gate, each as short as it can decide: windows are ten seconds long.
const GATED: &str = r#"[probe]
every = "500ms"
fails = 2
passes = 2
timeout = "1s"

[slo.plain_success]
indicator = "success"
route     = "GET /plain"
objective = "90%"
limit     = "50%"
bad_when  = ["status >= 500"]

[gates.load]
rate        = "50/s"
for         = "5s"
warm_up     = "1s"
connections = 16
retries     = 5
requests    = ["GET /plain", "POST /orders load"]

[gates.bake]
for      = "10s"
rate     = "20/s"
requests = ["GET /plain"]

[gates.canary]
steps         = ["20% 1s", "60% 1s", "100%"]
deadline      = "2m"
invalid_grace = "1m"
settle        = "1s"
"#;

/// Progress is told after this many.
const TELL: u32 = 10;

/// Ships the services' first releases; before them nobody asks.
pub(super) fn first(ground: &Ground) -> Result<()> {
    for service in Service::BOTH {
        ground.release(service, "first", UNGATED)?;
        served(&ground.ship(service)?, "the first release")?;
    }
    Ok(())
}

/// Ships two releases in turn; each one starts the idle arm, takes all requests and has the other
/// one stopped. Both services do so beside each other, each under half of the clients, so that the
/// host is never without a switch for long.
pub(super) fn cycles(ground: &Ground, count: u32) -> Result<Part> {
    say(&format!("releases: {count} cycles with the gates off, on two services at a time"));
    let halves = [count - count / 2, count / 2];
    let row = |service, count| {
        let clients = ground.half_of_clients(service)?;
        in_a_row("cycles", (ground, service), clients, count, |number| {
            let name = if number % 2 == 1 { "a" } else { "b" };
            ground.release(service, name, UNGATED)
        })
    };
    let [first, second] = thread::scope(|scope| {
        let other = scope.spawn(|| row(Service::Second, halves[1]));
        [row(Service::First, halves[0]), other.join().unwrap_or_else(|_| bail!("a thread failed"))]
    });
    let mut row = first?;
    row.add(second?);
    Ok(row.part("cycles"))
}

/// Ships releases that stand every gate.
pub(super) fn gated(ground: &Ground, count: u32) -> Result<Part> {
    say(&format!("releases: {count} fully gated releases"));
    let service = Service::First;
    let row = in_a_row("gated", (ground, service), ground.clients()?, count, |number| {
        ground.release(service, &format!("gated-{number}"), GATED)
    })?;
    Ok(row.part("gated"))
}

/// What releases in a row showed.
struct Row {
    seen: Seen,
    /// How long each one took.
    took: Vec<f64>,
}

impl Row {
    fn add(&mut self, other: Self) {
        self.seen.add(other.seen);
        self.took.extend(other.took);
    }

    fn part(&self, name: &'static str) -> Part {
        for line in self.seen.table() {
            say(&line);
        }
        let mut figures = self.seen.json();
        figures["releases"] = json!(self.took.len());
        figures["seconds_per_release"] = spread(&self.took);
        Part { name, figures, lacks: self.seen.lacks(name) }
    }
}

fn in_a_row(
    part: &str,
    (ground, service): (&Ground, Service),
    mut clients: Clients,
    count: u32,
    prepare: impl Fn(u32) -> Result<()>,
) -> Result<Row> {
    let mut took = Vec::new();
    for number in 1..=count {
        prepare(number)?;
        let began = Instant::now();
        let shipped = ground.ship(service)?;
        took.push(began.elapsed().as_secs_f64());
        served(&shipped, &format!("release {number}"))?;
        if number % TELL == 0 || number == count {
            tell(part, (number, count), &mut clients, &took, &shipped)?;
        }
    }
    Ok(Row { seen: clients.stop()?, took })
}

/// Holds a release to having taken everything.
fn served(shipped: &Shipped, what: &str) -> Result<()> {
    let (exit, ended) = (shipped.exit, &shipped.report["ended"]);
    let is_good = exit == 0 && ended == "promoted";
    ensure!(is_good, "{what} ended {ended} with exit code {exit}: {}", shipped.report);
    Ok(())
}

fn tell(
    part: &str,
    (number, count): (u32, u32),
    clients: &mut Clients,
    took: &[f64],
    shipped: &Shipped,
) -> Result<()> {
    let seen: Seen = clients.ask()?;
    let lately = &took[took.len().saturating_sub(TELL as usize)..];
    let mean = lately.iter().sum::<f64>() / lately.len().max(1) as f64;
    let (failed, requests) = (seen.failed(), seen.requests());
    say(&format!(
        "releases: {part} {number} of {count}, {mean:.1} s each ({}), {failed} of {requests} \
         requests failed",
        steps(&shipped.report)
    ));
    Ok(())
}

/// Returns where a release's time went.
fn steps(report: &Value) -> String {
    let steps = report["steps"].as_array().into_iter().flatten();
    let step = |step: &Value| {
        Some(format!("{} {:.1}", step["step"].as_str()?, step["took_ms"].as_f64()? / 1000.0))
    };
    steps.filter_map(step).collect::<Vec<_>>().join(", ")
}

/// Returns median, least and greatest.
fn spread(took: &[f64]) -> Value {
    let mut sorted = took.to_vec();
    sorted.sort_by(f64::total_cmp);
    json!({
        "median": sorted.get(sorted.len() / 2), "least": sorted.first(), "most": sorted.last(),
        "first": took.first(), "last": took.last(),
    })
}
