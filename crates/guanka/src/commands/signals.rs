//! `guanka signals`: what users' traffic looks like now: requests, bad ones and latency by route
//! and arm over the last minutes, as the gates count them.

use std::collections::BTreeMap;

use guanka_core::quantity::Millis;
use guanka_core::signals::window::{Counts, Key};
use guanka_world::clock;
use guanka_world::store::metrics::Source;
use guanka_world::transport::wire::{Answer, Request};
use serde_json::json;

use super::project::Project;
use crate::drive::link::{Link, unexpected};
use crate::drive::submission;
use crate::failure::{Exit, Failure};
use crate::terminal::{Terminal, pad};

/// Which service, and how far back.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    project: Project,
    /// How far back.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    since: Millis,
    /// The requests that guanka itself sent in a bake, instead of users'.
    #[arg(long)]
    synthetic: bool,
}

fn duration(text: &str) -> Result<Millis, String> {
    Millis::parse(text).map_err(|error| error.to_string())
}

/// Shows the signals.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let declared = args.project.declared(terminal)?;
    let mut link = Link::to(submission::host(&declared)?)?;
    let now = clock::now_ms();
    let request = Request::Windows {
        service: declared.service,
        source: if args.synthetic { Source::Synthetic } else { Source::Live },
        from_ms: now.saturating_sub(args.since.0),
        to_ms: i64::MAX as u64,
    };
    let windows = match link.ask(&request)? {
        Answer::Windows { windows, .. } => windows,
        other => return Err(unexpected(&other)),
    };
    let mut sums: BTreeMap<Key, Counts> = BTreeMap::new();
    for window in &windows {
        for (key, counts) in &window.cells {
            sums.entry(key.clone()).or_default().merge(counts);
        }
    }
    if terminal.json {
        let rows: Vec<_> = sums.iter().map(|(key, counts)| row(key, counts)).collect();
        let object = json!({ "schema": 1, "windows": windows.len(), "rows": rows });
        terminal.line(&object.to_string());
    } else {
        show(terminal, &sums);
    }
    Ok(Exit::Done)
}

fn row(key: &Key, counts: &Counts) -> serde_json::Value {
    json!({
        "route": key.route,
        "arm": key.arm,
        "requests": counts.requests,
        "bad": counts.bad,
        "failed_over": counts.failed_over,
        "bad_by_class": counts.bad_by_class,
        "slow": counts.slow,
        "p50_ms": millis(counts, 0.5),
        "p95_ms": millis(counts, 0.95),
        "p99_ms": millis(counts, 0.99),
    })
}

fn show(terminal: &Terminal, sums: &BTreeMap<Key, Counts>) {
    let (route, arm, requests, bad) = match terminal.lang {
        guanka_core::say::Lang::Zh => ("路由", "臂", "请求", "失败"),
        guanka_core::say::Lang::En => ("route", "arm", "requests", "bad"),
    };
    let cells = |columns: [&str; 7]| {
        let widths = [28, 6, 10, 8, 8, 8, 8];
        let line: Vec<String> =
            columns.iter().zip(widths).map(|(text, width)| pad(text, width)).collect();
        terminal.line(line.join(" ").trim_end());
    };
    cells([route, arm, requests, bad, "P50", "P95", "P99"]);
    for (key, counts) in sums {
        let ms = |q| millis(counts, q).map_or_else(|| "–".to_owned(), |ms| format!("{ms:.0} ms"));
        cells([
            &key.route.0,
            key.arm.as_str(),
            &counts.requests.to_string(),
            &counts.bad.to_string(),
            &ms(0.5),
            &ms(0.95),
            &ms(0.99),
        ]);
    }
}

fn millis(counts: &Counts, quantile: f64) -> Option<f64> {
    counts.histogram.quantile_us(quantile).map(|us| us / 1000.0)
}
