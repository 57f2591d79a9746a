//! XX046: the program may drain longer than the process manager waits before it kills.

use super::judgement::{Judgement, from_of};
use super::{Check, Example, Expect, Outcome, subject};
use crate::facts::gosource::GoShutdown;
use crate::facts::{Fact, Facts, Provenance, Reason};
use crate::finding::{Checkpoint, Confidence, Evidence, Finding, FixKind, Severity};
use crate::quantity::Millis;
use crate::say::{Said, Text};

/// The check.
pub const CHECK: Check = Check {
    code: "XX046",
    name: "drain-longer-than-stop-window",
    checkpoint: Checkpoint::Process,
    title: Text {
        zh: "排空时间不小于停止窗口",
        en: "the drain takes as long as the stop window, or longer",
    },
    why: Text {
        zh: "进程守护在停止窗口结束时发 SIGKILL,尚在处理的请求被切断。Supervisor 默认只等 10 秒,与\
             常见的 10 秒 Shutdown 打成平手(实测)。",
        en: "When the stop window ends the process manager sends SIGKILL and the requests under \
             way are cut. Supervisor waits only 10 s by default: a tie with the usual Shutdown of \
             10 s (measured).",
    },
    fix: Text {
        zh: "让停止窗口比 Shutdown 的时限至少长 5 秒(stopwaitsecs、TimeoutStopSec 或 guanka.toml \
             的 stop_grace)。",
        en: "Make the stop window at least 5 s longer than Shutdown's limit (stopwaitsecs, \
             TimeoutStopSec, or stop_grace in guanka.toml).",
    },
    base: Severity::High,
    confidence: Confidence::Certain,
    fix_kind: FixKind::Safe,
    why_risky: Text { zh: "", en: "" },
    is_required: true,
    since: "0.1.0",
    article: Text {
        zh: "文章用 stopwaitsecs/TimeoutStopSec 15 秒对 Shutdown 10 秒,方向正确;但没有说不写时 \
             Supervisor 只等 10 秒。",
        en: "The article sets stopwaitsecs/TimeoutStopSec 15 s against a Shutdown of 10 s, which \
             is right; it does not say that Supervisor waits only 10 s when nothing is written.",
    },
    references: &[
        "https://supervisord.org/configuration.html",
        "https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html",
    ],
    examples: EXAMPLES,
    run,
};

/// What a stop needs beside the drain: closing stores, flushing logs.
const MARGIN: Millis = Millis::from_secs(5);

/// How long one process manager entry waits.
struct Window {
    limit: Millis,
    evidence: Evidence,
}

fn run(facts: &Facts) -> Outcome {
    let mut judgement = Judgement::default();
    let all = facts.source.iter().flat_map(|s| s.shutdowns.iter());
    let drains: Vec<_> = all
        .filter(|s| s.call.ends_with("Shutdown") && subject::is_ours(facts, &s.folder))
        .collect();
    if drains.is_empty() {
        return judgement.end();
    }
    judgement.looked();
    let windows = windows(facts, &mut judgement);
    for drain in drains {
        let what = Said::new("Shutdown 的时限", "Shutdown's time limit");
        let Some(limit) = judgement.need(&drain.limit, &what).copied() else { continue };
        if let Some(found) = finding(drain, limit, &windows) {
            judgement.find(found);
        }
    }
    judgement.end()
}

fn finding(drain: &GoShutdown, limit: Millis, windows: &[Window]) -> Option<Finding> {
    let is_endless = limit == Millis::ZERO;
    let is_close = |w: &&Window| is_endless || limit.0 + MARGIN.0 > w.limit.0;
    let close: Vec<_> = windows.iter().filter(is_close).collect();
    let shortest = close.iter().map(|w| w.limit).min()?;
    let (severity, message) = if is_endless {
        let message = Said::new(
            format!("Shutdown 没有时限,而停止窗口是 {shortest}:更久的请求被 SIGKILL 切断"),
            format!(
                "Shutdown has no limit and the stop window is {shortest}: longer requests are cut"
            ),
        );
        (Severity::Medium, message)
    } else if limit >= shortest {
        let message = Said::new(
            format!("排空最长 {limit},停止窗口只有 {shortest}:请求被 SIGKILL 切断"),
            format!(
                "the drain may take {limit} and the stop window is {shortest}: requests are cut"
            ),
        );
        (Severity::High, message)
    } else {
        let message = Said::new(
            format!("排空最长 {limit},停止窗口 {shortest},余量不足 {MARGIN}"),
            format!(
                "the drain may take {limit} and the stop window is {shortest}: under {MARGIN} left"
            ),
        );
        (Severity::Low, message)
    };
    let here = from_of(&drain.limit, &Provenance::Span(drain.span.clone()));
    let (place, says) = if is_endless {
        let says = Said::new("Shutdown 没有时限", "Shutdown has no time limit");
        (Provenance::Span(drain.span.clone()), says)
    } else {
        let says =
            Said::new(format!("Shutdown 时限 = {limit}"), format!("Shutdown's limit = {limit}"));
        (here, says)
    };
    let wanted = Millis(limit.0 + MARGIN.0);
    let advice = if is_endless {
        Said::new(
            "给 Shutdown 的 context 设时限,并小于停止窗口 5 秒以上",
            "Give Shutdown's context a limit at least 5 s below the stop window",
        )
    } else {
        Said::new(
            format!("把停止窗口设为 {wanted} 以上"),
            format!("Set the stop window to {wanted} or more"),
        )
    };
    let found = CHECK.finding(message, Evidence::new(place, says)).rated(severity).advise(advice);
    Some(close.iter().fold(found, |found, w| found.with(w.evidence.clone())))
}

/// Returns how long each entry of a process manager waits for the service.
fn windows(facts: &Facts, judgement: &mut Judgement) -> Vec<Window> {
    let kept = subject::kept(facts);
    let mut found = Vec::new();
    if let Some(missing) = kept.unclear {
        judgement.missing(missing);
        return found;
    }
    if let Some(declared) = kept.rendered.or(kept.renewed) {
        let limit = declared.process.stop_grace;
        let from = match declared.spans.get("process.stop_grace") {
            Some(span) => Provenance::Span(span.clone()),
            None => Provenance::Default {
                software: "guanka.toml".to_owned(),
                key: "process.stop_grace".to_owned(),
            },
        };
        let says = Said::new(format!("stop_grace = {limit}"), format!("stop_grace = {limit}"));
        found.push(Window { limit, evidence: Evidence::new(from, says) });
    }
    if kept.renewed.is_some() {
        return found;
    }
    for program in &kept.programs {
        add(&mut found, judgement, &program.stop_wait(), "stopwaitsecs", &program.span);
    }
    for unit in &kept.units {
        let place = unit.last("Service", "ExecStart").map(|entry| &entry.span);
        let span = place.cloned().unwrap_or_default();
        add(&mut found, judgement, &unit.stop_wait(), "TimeoutStopSec", &span);
    }
    if kept.programs.is_empty() && kept.units.is_empty() && kept.rendered.is_none() {
        judgement.miss(
            Said::new("停止窗口", "the stop window"),
            Reason::NotThere("--root DIR / guanka.toml".to_owned()),
        );
    }
    found
}

fn add(
    found: &mut Vec<Window>,
    judgement: &mut Judgement,
    limit: &Fact<Millis>,
    key: &str,
    section: &crate::facts::Span,
) {
    let Some(value) = judgement.need(limit, &Said::new(key, key)).copied() else { return };
    let evidence = match limit {
        Fact::Known(known) if limit.is_written() => {
            let says = format!("{key} = {value}");
            Evidence::new(known.from.clone(), Said::new(says.clone(), says))
        }
        _ => Evidence::at(
            section,
            Said::new(format!("未写 {key},默认 {value}"), format!("no {key}, {value} by default")),
        ),
    };
    found.push(Window { limit: value, evidence });
}

const DRAINS_10S: &str = r#"package main

import (
	"context"
	"net/http"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	srv := &http.Server{Addr: "127.0.0.1:8080"}
	errs := make(chan error, 1)
	go func() { errs <- srv.ListenAndServe() }()
	select {
	case err := <-errs:
		panic(err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	srv.Shutdown(drain)
}
"#;

/// A guanka.toml with a stop window.
macro_rules! graced {
    ($grace:literal) => {
        concat!(
            "[app]\nname = \"shop\"\nprogram = \".\"\nlisten_env = \"LISTEN\"\n\n",
            "[env.prod]\nhosts = [\"local:/\"]\n\n[process]\nstop_grace = \"",
            $grace,
            "\"\n\n[proxy]\ndomain = \"shop.example.com\"\n"
        )
    };
}

const EXAMPLES: &[Example] = &[
    Example {
        expect: Expect::Bad,
        files: &[
            ("main.go", DRAINS_10S),
            ("shop.ini", "[program:shop]\ncommand=/srv/shop/shop\nautorestart=true\n"),
        ],
    },
    Example {
        expect: Expect::Bad,
        files: &[
            ("main.go", DRAINS_10S),
            ("shop.service", "[Service]\nExecStart=/srv/shop/shop\nUser=shop\nTimeoutStopSec=8\n"),
        ],
    },
    // The next release writes guanka's own entry anew: what is installed says nothing about it.
    Example {
        expect: Expect::Bad,
        files: &[
            ("main.go", DRAINS_10S),
            ("guanka.toml", graced!("12s")),
            (
                "guanka.ini",
                "[program:guanka-shop.prod-blue]\ncommand=/srv/shop/shop\nstopwaitsecs=30\n",
            ),
        ],
    },
    Example {
        expect: Expect::Good,
        files: &[
            ("main.go", DRAINS_10S),
            ("guanka.toml", graced!("15s")),
            (
                "guanka.ini",
                "[program:guanka-shop.prod-blue]\ncommand=/srv/shop/shop\nstopwaitsecs=5\n",
            ),
        ],
    },
    Example {
        expect: Expect::Good,
        files: &[
            ("main.go", DRAINS_10S),
            ("shop.ini", "[program:shop]\ncommand=/srv/shop/shop\nstopwaitsecs=15\n"),
        ],
    },
    Example {
        expect: Expect::NearMiss,
        files: &[
            ("main.go", DRAINS_10S),
            ("shop.service", "[Service]\nExecStart=/srv/shop/shop\nUser=shop\n"),
        ],
    },
];
