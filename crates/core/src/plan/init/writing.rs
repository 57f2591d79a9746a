//! Writes the drafted file: sections of lines, each line with its reason behind it. Values are
//! quoted here, once; comments lose whatever could end their line.

use super::reading::{Listen, Seen};
use super::routes::Picked;
use super::{ENVIRONMENT, Hints};
use crate::facts::Span;
use crate::say::{Lang, Said};

/// Where comments stand, unless a line is longer.
const COMMENT_COLUMN: usize = 34;

/// The most lines of a draft, so that it can be read at one glance; blank ones give way.
const LINES_MAX: usize = 31;

/// A file in the making.
struct Paper {
    lang: Lang,
    rows: Vec<Row>,
}

/// A row of the file.
enum Row {
    Text(String),
    /// A blank line between parts of the file.
    Part,
    /// A blank line between sections of one part.
    Section,
}

impl Paper {
    fn line(&mut self, code: &str, note: &Said) {
        let quiet: String =
            note.get(self.lang).chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let gap = COMMENT_COLUMN.saturating_sub(code.chars().count()).max(2);
        self.rows.push(Row::Text(format!("{code}{}# {quiet}", " ".repeat(gap))));
    }

    fn note(&mut self, code: &str, zh: &str, en: &str) {
        self.line(code, &Said::new(zh, en));
    }

    /// Returns the file; blank lines are left out where it would be too long with them.
    fn text(&self) -> String {
        let texts = self.rows.iter().filter(|row| matches!(row, Row::Text(_))).count();
        let parts = self.rows.iter().filter(|row| matches!(row, Row::Part)).count();
        let has_parts = texts + parts <= LINES_MAX;
        let has_sections = self.rows.len() <= LINES_MAX;
        let mut out = String::new();
        for row in &self.rows {
            match row {
                Row::Text(text) => out.push_str(text),
                Row::Part if has_parts => {}
                Row::Section if has_sections => {}
                Row::Part | Row::Section => continue,
            }
            out.push('\n');
        }
        out
    }
}

/// Returns the text of the file.
pub(super) fn text(seen: &Seen<'_>, hints: &Hints) -> String {
    let mut paper = Paper { lang: hints.lang, rows: Vec::new() };
    app(&mut paper, seen);
    build(&mut paper, hints);
    paper.rows.push(Row::Part);
    environment(&mut paper, seen);
    paper.rows.push(Row::Section);
    proxy(&mut paper, seen, hints);
    process(&mut paper, seen);
    paper.rows.push(Row::Part);
    objectives(&mut paper, seen);
    paper.rows.push(Row::Part);
    gates(&mut paper, seen);
    paper.text()
}

fn build(paper: &mut Paper, hints: &Hints) {
    let patterns: Vec<String> =
        hints.folders.iter().map(|folder| quoted(&format!("{folder}/**"))).collect();
    if !patterns.is_empty() {
        paper.rows.push(Row::Section);
        paper.note("[build]", "如何构建", "how it is built");
        paper.note(
            &format!("include = [{}]", patterns.join(", ")),
            "随程序发布;嵌入程序的可删去",
            "shipped beside the program; leave out what it embeds",
        );
    }
}

fn app(paper: &mut Paper, seen: &Seen<'_>) {
    paper.note(
        "[app]",
        "只写与默认值不同的;全部键见 guanka schema",
        "only what differs from the defaults; guanka schema prints every key",
    );
    paper.note(&pair("name", &seen.name), "取自模块路径", "from the module path");
    let program = &seen.program;
    if seen.source.mains.len() > 1 {
        let others: Vec<&str> = seen.source.mains[1..].iter().map(|m| m.folder.as_str()).collect();
        let others = shortened(&others.join(", "));
        let note = Said::new(format!("另有:{others}"), format!("there are also: {others}"));
        paper.line(&pair("program", program), &note);
    } else if program != "." {
        paper.note(&pair("program", program), "main 包所在目录", "the folder of package main");
    }
    listen(paper, seen);
    if let Some((path, route)) = &seen.health
        && path != "/healthz"
    {
        paper.line(&pair("health", path), &place(seen, &route.span));
    }
}

fn listen(paper: &mut Paper, seen: &Seen<'_>) {
    match &seen.listen {
        Listen::Variable { name, is_port_only, call } => {
            paper.line(&pair("listen_env", name), &place(seen, &call.span));
            if *is_port_only {
                paper.note(
                    &pair("listen", "port"),
                    "程序自己在前面加冒号",
                    "the program puts the colon before it itself",
                );
            }
        }
        Listen::Flag { name, is_port_only, call } => {
            let code = format!("args = [{}]", quoted(&format!("--{name}={{listen}}")));
            let note = if *is_port_only {
                Said::new("该参数须能接受 主机:端口", "the flag must learn to take host:port")
            } else {
                place(seen, &call.span)
            };
            paper.line(&code, &note);
        }
        Listen::Constant { addr, call } => {
            let (addr, at) = (shortened(addr), place(seen, &call.span));
            let note = Said::new(
                format!("程序须读取它;目前写死 {addr}({})", at.zh),
                format!("the program must read it; it is always {addr} ({})", at.en),
            );
            paper.line(&pair("listen_env", "PORT"), &note);
        }
        Listen::Unclear { .. } | Listen::Nothing => paper.note(
            &pair("listen_env", "PORT"),
            "程序须从这里读取 主机:端口",
            "the program must read host:port from it",
        ),
    }
}

fn environment(paper: &mut Paper, seen: &Seen<'_>) {
    paper.note(
        &format!("[env.{ENVIRONMENT}]"),
        &format!("服务 {}.{ENVIRONMENT}", seen.name),
        &format!("the service {}.{ENVIRONMENT}", seen.name),
    );
    paper.note(
        "hosts = [\"local:/\"]",
        "本机;其他主机写 \"root@203.0.113.7\"",
        "this machine; another one is \"root@203.0.113.7\"",
    );
    paper.note("production = false", "允许在此压测", "load may run here");
}

fn proxy(paper: &mut Paper, seen: &Seen<'_>, hints: &Hints) {
    paper.note("[proxy]", "nginx 一侧", "the nginx side");
    match &hints.domain {
        Some(domain) => {
            paper.note(&pair("domain", domain.as_str()), "站点域名", "the site's domain");
        }
        None => paper.note(
            &pair("domain", &format!("{}.example.com", seen.name)),
            "改成你的站点域名",
            "put your site's domain here",
        ),
    }
    if let Some(limit) = seen.read_timeout {
        paper.note(
            &pair("read_timeout", &limit.to_string()),
            "短于程序的 WriteTimeout",
            "shorter than the program's WriteTimeout",
        );
    }
    if let Some(limit) = seen.keepalive {
        paper.note(
            &pair("keepalive", &limit.to_string()),
            "短于程序保留空闲连接的时间",
            "shorter than the program keeps idle connections",
        );
    }
}

fn process(paper: &mut Paper, seen: &Seen<'_>) {
    if let Some(limit) = seen.stop_grace {
        paper.rows.push(Row::Section);
        paper.note("[process]", "进程", "the process");
        paper.note(
            &pair("stop_grace", &limit.to_string()),
            "长于程序自身的收尾时间",
            "longer than the program's own shutdown",
        );
    }
}

fn objectives(paper: &mut Paper, seen: &Seen<'_>) {
    paper.note("[slo]", "目标是起点,请按实际改", "a starting point: set what you promise");
    let picked: Vec<&Picked<'_>> = [&seen.write, &seen.read].into_iter().flatten().collect();
    if picked.is_empty() {
        objective(paper, "all", None);
    }
    for (route, word) in picked.iter().zip(words(&picked)) {
        objective(paper, &word, Some(&route.shown()));
    }
}

/// Returns a name for each route; two routes with the same last element are told apart.
fn words(picked: &[&Picked<'_>]) -> Vec<String> {
    let plain: Vec<String> = picked.iter().map(|p| p.word()).collect();
    let is_double = |word: &String| plain.iter().filter(|other| *other == word).count() > 1;
    let method = |p: &Picked<'_>| p.method.to_ascii_lowercase();
    picked
        .iter()
        .zip(&plain)
        .map(
            |(p, word)| {
                if is_double(word) { format!("{}_{word}", method(p)) } else { word.clone() }
            },
        )
        .collect()
}

fn objective(paper: &mut Paper, word: &str, route: Option<&str>) {
    let route = route.map(|route| format!("route = {}, ", quoted(route))).unwrap_or_default();
    paper.note(
        &format!("{word}_latency = {{ indicator = \"p95\", {route}objective = \"800ms\" }}"),
        "95% 的请求更快",
        "95% are faster",
    );
    paper.note(
        &format!("{word}_success = {{ {route}objective = \"99%\" }}"),
        "状态码低于 500 的占比",
        "share below status 500",
    );
}

fn gates(paper: &mut Paper, seen: &Seen<'_>) {
    let requests = format!("requests = {}", requests(seen));
    let body = if seen.write.is_some() {
        Said::new("填入真实的请求体", "put a real body in")
    } else {
        Said::new("轮流发送", "sent in turn")
    };
    paper.note(
        "[gates.load]",
        "切流量之前,在空闲臂上压测",
        "on the idle arm, before any user's request",
    );
    paper.note("rate = \"20/s\"", "真实高峰的速率更有说服力", "your real peak proves more");
    paper.line(&requests, &body);
    paper.rows.push(Row::Section);
    paper.note("[gates.bake]", "观察一段时间", "watched for a while");
    paper.note(
        "for = \"30m\"",
        "默认 72h;生产之前请延长",
        "the default is 72h; longer for production",
    );
    paper.note(
        "traffic = \"synthetic\"",
        "guanka 自己发送;有用户时用 \"live\"",
        "guanka sends it; \"live\" where there are users",
    );
    paper.line(&requests, &body);
    paper.rows.push(Row::Section);
    paper.note(
        "[gates.canary]",
        "与稳定臂对比,需要用户流量",
        "against the stable arm, on users' traffic",
    );
    paper.note(
        "steps = [\"10% 2m\", \"100%\"]",
        "候选占比与最短停留",
        "the candidate's share, and the least time at it",
    );
}

fn requests(seen: &Seen<'_>) -> String {
    let mut lines = Vec::new();
    lines.extend(seen.write.iter().map(|p| format!("{} {{}}", p.shown())));
    lines.extend(seen.read.iter().map(Picked::shown));
    if lines.is_empty() {
        let health = seen.health.as_ref().map_or("/healthz", |(path, _)| path.as_str());
        lines.push(format!("GET {health}"));
    }
    let quoted: Vec<String> = lines.iter().map(|line| quoted(line)).collect();
    format!("[{}]", quoted.join(", "))
}

/// Returns a place as the user names it from the module's folder: `cmd/api/main.go:31`.
pub(super) fn place(seen: &Seen<'_>, span: &Span) -> Said {
    let place = span.place();
    let root = seen.source.root.trim_end_matches('/');
    let shown = place.strip_prefix(root).and_then(|rest| rest.strip_prefix('/')).unwrap_or(&place);
    Said::new(shown, shown)
}

fn pair(key: &str, value: &str) -> String {
    format!("{key} = {}", quoted(value))
}

/// Returns a TOML string that means exactly this text.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Cuts a text that only a comment shows.
fn shortened(text: &str) -> String {
    if text.chars().count() <= 60 {
        return text.to_owned();
    }
    let cut: String = text.chars().take(59).collect();
    format!("{cut}…")
}
