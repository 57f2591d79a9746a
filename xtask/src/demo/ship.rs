//! One `guanka ship --json`: its events become lines as they come, its last line is the report.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::program::Program;
use super::words::Lang;
use crate::process;
use crate::tidy::source::columns;

/// The longest a release may take: three tries at the load gate, bake, canary and some air.
const LIMIT: Duration = Duration::from_secs(240);
/// Without a terminal, how often a gate's figures are told.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How a release ended.
pub(crate) struct Shipped {
    /// guanka's exit code.
    pub(crate) exit: i32,
    /// guanka's report, or the error that it ended with.
    pub(crate) report: Value,
}

/// Tells what happens while it happens.
struct Teller {
    lang: Lang,
    began: Instant,
    is_live: bool,
    /// What goes on now, and since when.
    now: (String, Instant),
    told: Option<Instant>,
    shown: usize,
}

/// A child that is ended whatever happens.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ships the project as it lies there.
pub(crate) fn ship(
    program: &Program,
    lang: Lang,
    project: &Path,
    folder: &Path,
) -> Result<Shipped> {
    let shown = project.display().to_string();
    let errors = File::create(folder.join("ship.log")).context("write ship.log")?;
    let mut command = program.command(&["ship", "--json", "--project", &shown]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
    let mut child = Guarded(command.spawn().context("start guanka ship")?);
    let lines = lines(&mut child.0)?;
    let mut teller = Teller::new(lang);
    let report = listen(&lines, &mut teller);
    teller.clear();
    let report = report?;
    let status =
        process::wait_for("guanka ship ends", TELL_EVERY, || child.0.try_wait().transpose())?;
    let exit = status.context("wait for guanka ship")?.code().unwrap_or(-1);
    Ok(Shipped { exit, report })
}

/// Reads the child's lines in a thread of its own, so that waiting for one has a limit.
fn lines(child: &mut Child) -> Result<Receiver<String>> {
    let stdout = child.stdout.take().context("guanka's output")?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// Tells the events until the output ends; returns its last line.
fn listen(lines: &Receiver<String>, teller: &mut Teller) -> Result<Value> {
    let end = Instant::now() + LIMIT;
    let mut last = Value::Null;
    loop {
        if Instant::now() >= end {
            bail!("guanka ship: not ended within {} s", LIMIT.as_secs());
        }
        match lines.recv_timeout(Duration::from_secs(1)) {
            Ok(line) => {
                last = serde_json::from_str(&line)
                    .with_context(|| format!("guanka ship --json said no JSON: {line}"))?;
                teller.event(&last);
            }
            Err(RecvTimeoutError::Timeout) => teller.tick(),
            Err(RecvTimeoutError::Disconnected) => return Ok(last),
        }
    }
}

impl Teller {
    fn new(lang: Lang) -> Self {
        let began = Instant::now();
        let is_live = std::io::stdout().is_terminal();
        Self { lang, began, is_live, now: (String::new(), began), told: None, shown: 0 }
    }

    fn event(&mut self, event: &Value) {
        let says = self.lang.said(&event["says"]).to_owned();
        match event["event"].as_str() {
            Some("judged") => self.gate(event),
            // How it stands before anything was asked is no news.
            Some("state") if event["state"] == "draft" => {}
            Some("state") => {
                self.line(&says);
                self.now = (says, Instant::now());
                self.told = Some(Instant::now());
            }
            Some(_) => self.line(&says),
            None => {}
        }
    }

    /// Tells what a gate sees: a line of its own once it has decided or cannot, else as what goes
    /// on.
    fn gate(&mut self, event: &Value) {
        let verdict = event["verdict"].as_str();
        let fault = self.lang.said(&event["faults"][0]).to_owned();
        let Some(mut text) = judged(self.lang, event).filter(|_| fault.is_empty()).or(Some(fault))
        else {
            return;
        };
        let title = match verdict {
            Some("bad") => self.lang.pick("已证明不合格", "proven bad"),
            Some("invalid") => self.lang.pick("数据无效", "invalid"),
            _ => "",
        };
        // The load gate speaks once a run; the others once a second, and count again and again.
        let is_once = event["gate"] == "load" || verdict == Some("bad");
        if is_once {
            if !title.is_empty() {
                text = format!("{text} → {title}");
            }
            self.line(&format!("  {text}"));
        } else {
            self.now.0 = text;
            self.tick();
        }
    }

    /// Tells what goes on now: over the last line on a terminal, else now and then.
    fn tick(&mut self) {
        if self.now.0.is_empty() {
            return;
        }
        let seconds = self.now.1.elapsed().as_secs();
        let (open, close) = (self.lang.pick("(", " ("), self.lang.pick(" 秒)", " s)"));
        let text = format!("  {}{open}{seconds}{close}", self.now.0);
        if self.is_live {
            let line = self.timed(&text);
            self.clear();
            self.shown = line.chars().map(columns).sum();
            print!("{line}");
            // A terminal that is gone is no reason to stop.
            let _ = std::io::stdout().flush();
        } else if self.told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            self.told = Some(Instant::now());
            println!("{}", self.timed(&text));
        }
    }

    fn line(&mut self, text: &str) {
        self.clear();
        println!("{}", self.timed(text));
    }

    fn timed(&self, text: &str) -> String {
        format!("  {:6.1} s  {text}", self.began.elapsed().as_secs_f64())
    }

    fn clear(&mut self) {
        if self.shown > 0 {
            print!("\r{}\r", " ".repeat(self.shown));
            self.shown = 0;
        }
    }
}

/// Says what a gate knows of the objective that stands worst.
fn judged(lang: Lang, event: &Value) -> Option<String> {
    let rank = |objective: &&Value| match objective["verdict"].as_str() {
        Some("bad") => 3,
        Some("invalid") => 2,
        Some("not_yet") => 1,
        _ => 0,
    };
    let worst = event["objectives"].as_array()?.iter().max_by_key(rank)?;
    let percent = |key: &str| worst[key].as_f64().map(|share| format!("{:.2}%", share * 100.0));
    let (slo, bad, all) = (worst["slo"].as_str()?, worst["x"].as_u64()?, worst["n"].as_u64()?);
    let (lower, upper, limit) = (percent("lower")?, percent("upper")?, percent("limit")?);
    let route = worst["route"].as_str().map(|route| format!("{route} ")).unwrap_or_default();
    Some(match lang {
        Lang::Zh => {
            format!("{route}{slo}:{all} 个中 {bad} 个不合格,区间 {lower}–{upper},限值 {limit}")
        }
        Lang::En => {
            format!("{route}{slo}: {bad} bad of {all}, between {lower} and {upper}, limit {limit}")
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use serde_json::json;

    use super::{Teller, judged, listen};
    use crate::demo::words::Lang;

    #[test]
    fn the_objective_that_stands_worst_is_told() {
        let objective = |verdict: &str, bad: u64| {
            json!({"slo": "ok", "route": "GET /a", "n": 100, "x": bad, "lower": 0.0,
                   "upper": 0.05, "limit": 0.01, "verdict": verdict})
        };
        let event = json!({"objectives": [objective("good", 0), objective("bad", 7)]});
        let said = judged(Lang::En, &event).expect("a sentence");
        assert_eq!(said, "GET /a ok: 7 bad of 100, between 0.00% and 5.00%, limit 1.00%");
        assert_eq!(judged(Lang::Zh, &json!({"objectives": []})), None);
    }

    #[test]
    fn the_last_line_is_the_report_and_what_is_no_json_is_an_error() {
        let said = |lines: &[&str]| {
            let (sender, receiver) = mpsc::channel();
            lines.iter().for_each(|line| sender.send((*line).to_owned()).expect("a listener"));
            drop(sender);
            listen(&receiver, &mut Teller::new(Lang::En))
        };
        let report = said(&[r#"{"event":"x"}"#, r#"{"ended":"promoted"}"#]).expect("a report");
        assert_eq!(report["ended"], "promoted");
        assert!(said(&["panicked"]).is_err());
    }
}
