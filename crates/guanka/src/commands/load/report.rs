//! What `guanka load` shows: latencies from the due time beside the naive view, failures by kind,
//! how punctual the generator was, and the verdict.

use guanka_core::say::{Lang, Said, Text};
use guanka_world::load::{ErrorKind, GeneratorFault, KindCounts, Latency, LoadRun, SelfCheck};
use serde_json::{Value, json};

use super::gate::Outcome;
use crate::terminal::{pad, width};

/// The version of the JSON form.
const VERSION: u32 = 1;

/// Returns the run as JSON.
pub(super) fn json(url: &str, run: &LoadRun, outcome: &Outcome) -> Value {
    json!({
        "version": VERSION,
        "url": url,
        "verdict": outcome.verdict.map(|verdict| verdict.code()),
        "faults": outcome.faults,
        "judgement": outcome.judgement,
        "total": summary(&run.total()),
        "kinds": run.kinds.iter().map(summary).collect::<Vec<_>>(),
        "run": run,
    })
}

/// Returns counts with the quantiles people ask for; `run` has every bucket.
fn summary(total: &KindCounts) -> Value {
    let quantiles = |latency: &Latency| {
        json!({
            "p50_us": latency.quantile_us(0.50),
            "p90_us": latency.quantile_us(0.90),
            "p95_us": latency.quantile_us(0.95),
            "p99_us": latency.quantile_us(0.99),
            "max_us": latency.max_us(),
        })
    };
    json!({
        "name": total.name,
        "requests": total.requests,
        "bad": total.bad,
        "statuses": total.statuses,
        "errors": total.errors,
        "over": total.over,
        "latency": quantiles(&total.latency),
        "naive": quantiles(&total.naive),
    })
}

/// Returns the run as lines for people.
pub(super) fn lines(
    lang: Lang,
    url: &str,
    is_loopback: bool,
    run: &LoadRun,
    outcome: &Outcome,
) -> Vec<String> {
    let total = run.total();
    let mut said = vec![heading(url, run)];
    if is_loopback {
        said.push(Said::new(
            "压测器与服务在同一台机器上:结果不代表容量。",
            "Generator and server share this machine: this is no statement about capacity.",
        ));
    }
    let mut lines: Vec<String> = said.iter().map(|said| said.get(lang).to_owned()).collect();
    lines.push(String::new());
    lines.extend(table(lang, &total));
    lines.push(String::new());
    let rest = counts(run, &total).into_iter().chain(punctuality(&run.self_check));
    lines.extend(rest.chain(conclusion(outcome)).map(|said| said.get(lang).to_owned()));
    lines
}

/// Says what was sent.
fn heading(url: &str, run: &LoadRun) -> Said {
    let (rate, time, connections) = (run.rate, run.measured, run.connections);
    Said::new(
        format!("压测 {url}:{rate},持续 {time},{connections} 个连接,预热 {}", run.warm_up),
        format!(
            "Loaded {url}: {rate} for {time} on {connections} connections after a warm-up of {}",
            run.warm_up
        ),
    )
}

/// Lays both views of the latencies side by side.
fn table(lang: Lang, total: &KindCounts) -> Vec<String> {
    let due = Text { zh: "从应发时刻起", en: "from due time" }.get(lang);
    let naive = Text { zh: "从实际发送起", en: "from sending" }.get(lang);
    let mut lines = vec![format!("{}{}{}", pad("", 6), right(due, 16), right(naive, 16))];
    for (name, share) in [("P50", 0.50), ("P90", 0.90), ("P95", 0.95), ("P99", 0.99)] {
        let cells = |latency: &Latency| cell(latency, latency.quantile_us(share));
        lines.push(row(name, &cells(&total.latency), &cells(&total.naive)));
    }
    let longest = Text { zh: "最大", en: "max" }.get(lang);
    let cells = |latency: &Latency| cell(latency, latency.max_us());
    lines.push(row(longest, &cells(&total.latency), &cells(&total.naive)));
    lines
}

fn row(name: &str, due: &str, naive: &str) -> String {
    format!("{}{}{}", pad(name, 6), right(due, 16), right(naive, 16))
}

/// Shows a latency of a set; of an empty set there is none.
fn cell(latency: &Latency, us: u64) -> String {
    if latency.count() == 0 { "-".to_owned() } else { millis(us) }
}

fn right(text: &str, columns: usize) -> String {
    format!("{}{text}", " ".repeat(columns.saturating_sub(width(text))))
}

/// Shows microseconds as milliseconds, with a digit more where they are few.
fn millis(us: u64) -> String {
    let ms = us as f64 / 1000.0;
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}

/// Says how many requests there were, how they ended and how many were over each threshold.
fn counts(run: &LoadRun, total: &KindCounts) -> Vec<Said> {
    let share = |count: u64| count as f64 / total.requests.max(1) as f64 * 100.0;
    let (requests, bad, percent) = (total.requests, total.bad, share(total.bad));
    let statuses: Vec<String> =
        total.statuses.iter().map(|(status, count)| format!("{status} × {count}")).collect();
    let statuses = statuses.join(", ");
    let mut said = vec![Said::new(
        format!("请求 {requests},失败 {bad}({percent:.2}%);状态码 {statuses}"),
        format!("{requests} requests, {bad} bad ({percent:.2} %); statuses {statuses}"),
    )];
    if run.kinds.len() > 1 {
        said.extend(run.kinds.iter().map(by_kind));
    }
    for (kind, count) in &total.errors {
        let kind = error_name(*kind);
        said.push(Said::new(
            format!("  {} {count}", pad(kind.zh, 36)),
            format!("  {} {count}", pad(kind.en, 36)),
        ));
    }
    for over in &total.over {
        let (threshold, count, percent) = (over.threshold, over.count, share(over.count));
        said.push(Said::new(
            format!("慢于 {threshold}:{count}({percent:.2}%)"),
            format!("slower than {threshold}: {count} ({percent:.2} %)"),
        ));
    }
    if run.stopped_early {
        said.push(Said::new("提前停止。", "Stopped early."));
    }
    said
}

/// Says how many requests of one kind there were and how they ended.
fn by_kind(kind: &KindCounts) -> Said {
    let (name, requests, bad) = (pad(&kind.name, 24), kind.requests, kind.bad);
    let statuses: Vec<String> =
        kind.statuses.iter().map(|(status, count)| format!("{status} × {count}")).collect();
    let statuses = statuses.join(", ");
    Said::new(
        format!("  {name} {requests},失败 {bad};状态码 {statuses}"),
        format!("  {name} {requests}, {bad} bad; statuses {statuses}"),
    )
}

/// Returns a failure's name.
const fn error_name(kind: ErrorKind) -> Text {
    match kind {
        ErrorKind::Refused => Text { zh: "连接被拒绝", en: "connection refused" },
        ErrorKind::NoConnection => Text { zh: "无法建立连接", en: "no connection" },
        ErrorKind::OutOfSockets => {
            Text { zh: "本机套接字或端口耗尽", en: "out of sockets or ports here" }
        }
        ErrorKind::Reset => Text { zh: "连接被重置", en: "connection reset" },
        ErrorKind::EofReused => Text {
            zh: "复用的连接在首字节前被关闭",
            en: "kept connection closed before an answer",
        },
        ErrorKind::EofFresh => Text {
            zh: "新连接在首字节前被关闭",
            en: "new connection closed before an answer",
        },
        ErrorKind::Truncated => Text { zh: "应答中途断开", en: "answer cut off" },
        ErrorKind::BadFraming => {
            Text { zh: "应答不是合法的 HTTP/1.1", en: "not an HTTP/1.1 answer" }
        }
        ErrorKind::Timeout => Text { zh: "超时", en: "timed out" },
        ErrorKind::Unsent => {
            Text { zh: "始终没有空闲连接,未发出", en: "never sent, no connection" }
        }
        ErrorKind::Unfinished => {
            Text { zh: "到结束时仍无完整应答", en: "no whole answer by the end" }
        }
    }
}

/// Says how punctual the generator was.
fn punctuality(check: &SelfCheck) -> Vec<Said> {
    let of = |share: f64| millis(check.lateness.quantile_us(share));
    let (p50, p99, max) = (of(0.5), of(0.99), millis(check.lateness.max_us()));
    let sent = check.achieved_share * 100.0;
    let (opened, reconnects, waited) = (check.opened, check.reconnects, check.waited_for_busy);
    let percent = |share: Option<f64>, unknown: &str| {
        share.map_or(unknown.to_owned(), |share| format!("{:.1}%", share * 100.0))
    };
    vec![
        Said::new(
            format!("压测器自身迟发 P50 {p50}、P99 {p99}、最大 {max};有空闲连接时发出 {sent:.1}%"),
            format!(
                "generator's own lateness P50 {p50}, P99 {p99}, max {max}; sent {sent:.1} % of \
                 what free connections allowed"
            ),
        ),
        Said::new(
            format!("连接 {opened}(重连 {reconnects});等待忙连接的请求 {waited}"),
            format!("{opened} connections ({reconnects} again); {waited} requests waited for one"),
        ),
        Said::new(
            format!(
                "CPU 排队 {},被宿主机占用 {}",
                percent(check.run_queue_share, "未知"),
                percent(check.steal_share, "未知")
            ),
            format!(
                "run queue {}, steal {}",
                percent(check.run_queue_share, "unknown"),
                percent(check.steal_share, "unknown")
            ),
        ),
    ]
}

/// Says what the run proves.
fn conclusion(outcome: &Outcome) -> Vec<Said> {
    let mut said: Vec<Said> = outcome.faults.iter().map(fault).collect();
    if let Some(judgement) = outcome.judgement.as_ref().filter(|_| said.is_empty()) {
        said.extend(judgement.objectives.iter().map(|judged| judged.sentence.clone()));
        said.extend(judgement.warnings.iter().cloned());
    }
    if let Some(verdict) = outcome.verdict {
        let title = verdict.title();
        said.push(Said::new(format!("结论:{}", title.zh), format!("verdict: {}", title.en)));
    }
    said
}

/// Says why a run is void.
fn fault(fault: &GeneratorFault) -> Said {
    match fault {
        GeneratorFault::Late { p99_us, limit_us } => {
            let (p99, limit) = (millis(*p99_us), millis(*limit_us));
            Said::new(
                format!(
                    "数据无效:连接空闲时压测器自身迟发 P99 {p99},超过 {limit};请换空闲机器重试。"
                ),
                format!(
                    "Void: with connections free the generator was late, P99 {p99}, more than \
                     {limit}; try again on a quieter machine."
                ),
            )
        }
        GeneratorFault::Behind { achieved_share } => {
            let sent = achieved_share * 100.0;
            Said::new(
                format!("数据无效:连接空闲时压测器只发出了 {sent:.1}% 的请求。"),
                format!("Void: the generator sent only {sent:.1} % of what connections allowed."),
            )
        }
        GeneratorFault::Saturated { busy_share } => {
            let busy = busy_share * 100.0;
            Said::new(
                format!("数据无效:压测器 {busy:.1}% 的时间都在忙,应答来不及读;请加 --threads。"),
                format!(
                    "Void: the generator was busy {busy:.1} % of the time and left answers \
                     unread; give it more --threads."
                ),
            )
        }
        GeneratorFault::OutOfSockets { requests } => Said::new(
            format!(
                "数据无效:本机套接字或端口耗尽,影响 {requests} 个请求;请减少连接或提高 ulimit -n。"
            ),
            format!(
                "Void: this machine ran out of sockets or ports for {requests} requests; use \
                 fewer connections or raise ulimit -n."
            ),
        ),
    }
}
