//! The first `guanka.toml` of a module, drafted from its source: only what differs from the
//! defaults, each line with the reason for it, and beside it what a person still has to fill in.
//! Whether the text is accepted is the parser's affair; the command asks it before writing.

mod gaps;
pub(super) mod reading;
pub(super) mod routes;
mod writing;

use crate::facts::gomod::GoMod;
use crate::facts::gosource::{GoRoute, GoSignal, GoSource};
use crate::facts::{Fact, Span};
use crate::name::{Domain, ServiceName};
use crate::quantity::Millis;
use crate::say::{Lang, Said};
use reading::{Listen, Seen};

/// The environment that a draft declares: load may run there.
pub const ENVIRONMENT: &str = "test";

/// Folders that by custom hold no Go source but files that a program reads while it runs.
pub const DATA_FOLDERS: &[&str] = &["conf", "static", "templates", "views", "public", "assets"];

/// What the source cannot say.
#[derive(Clone, Debug)]
pub struct Hints {
    /// The language of the comments.
    pub lang: Lang,
    /// The main package asked for, `./cmd/api`.
    pub program: Option<String>,
    /// The site's domain.
    pub domain: Option<Domain>,
    /// The folders of the module that hold files for the program to read, out of `DATA_FOLDERS`.
    pub folders: Vec<&'static str>,
}

/// A drafted file and what stands behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The text of `guanka.toml`.
    pub text: String,
    /// The service it declares.
    pub service: ServiceName,
    /// What was found in the source.
    pub found: Vec<FoundLine>,
    /// What a person must fill in or mend.
    pub gaps: Vec<Said>,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundLine {
    /// What it is.
    pub what: Said,
    /// Where it stands.
    pub span: Option<Span>,
}

/// Drafts a module's `guanka.toml`.
pub fn draft(source: &GoSource, module: Option<&GoMod>, hints: &Hints) -> Draft {
    let own = reading::of_program(source, hints.program.as_deref());
    let seen = Seen::of(&own, module, hints.program.as_deref());
    let service = ServiceName::new(&seen.name, ENVIRONMENT)
        .expect("an app's name is made of allowed letters, and the environment is a constant");
    Draft {
        text: writing::text(&seen, hints),
        service,
        found: found(&seen, module),
        gaps: gaps::gaps(&seen, module, hints),
    }
}

/// Returns the folder of a main package in one form: `.` or `cmd/api`.
pub fn program_folder(text: &str) -> String {
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

fn found(seen: &Seen<'_>, module: Option<&GoMod>) -> Vec<FoundLine> {
    let mut lines: Vec<FoundLine> = module.map(of_module).into_iter().collect();
    if let Some(main) = seen.main {
        let program = &seen.program;
        let what = Said::new(format!("程序 {program}"), format!("program {program}"));
        lines.push(at(what, &main.span));
    }
    lines.extend(of_listen(&seen.listen));
    if let Some((path, route)) = &seen.health {
        let what = Said::new(format!("健康检查 {path}"), format!("health {path}"));
        lines.push(at(what, &route.span));
    }
    if let Some((path, route)) = &seen.metrics {
        let what = Said::new(format!("指标 {path}"), format!("metrics {path}"));
        lines.push(at(what, &route.span));
    }
    lines.extend(
        seen.source
            .signals
            .iter()
            .find(|s| is_term(s))
            .map(|signal| at(Said::new("会处理 SIGTERM", "SIGTERM is caught"), &signal.span)),
    );
    for picked in [&seen.write, &seen.read].into_iter().flatten() {
        lines.push(for_gates(&picked.shown(), picked.route));
    }
    lines
}

fn of_module(module: &GoMod) -> FoundLine {
    let path = module.module.known().map_or("?", String::as_str);
    let go = module.go.known().map(|go| format!("go {go} ")).unwrap_or_default();
    FoundLine {
        what: Said::new(format!("{go}模块 {path}"), format!("{go}module {path}")),
        span: module.module.span().cloned(),
    }
}

fn of_listen(listen: &Listen<'_>) -> Option<FoundLine> {
    let (by, is_port_only, call) = match listen {
        Listen::Variable { name, is_port_only, call } => (format!("${name}"), *is_port_only, call),
        Listen::Flag { name, is_port_only, call } => (format!("-{name}"), *is_port_only, call),
        Listen::Constant { .. } | Listen::Unclear { .. } | Listen::Nothing => return None,
    };
    let what = if is_port_only {
        Said::new(format!("监听端口取自 {by}"), format!("listens on the port that {by} says"))
    } else {
        Said::new(format!("监听地址取自 {by}"), format!("listens where {by} says"))
    };
    Some(at(what, &call.span))
}

fn for_gates(shown: &str, route: &GoRoute) -> FoundLine {
    let what = Said::new(
        format!("{shown} 用于目标与关卡"),
        format!("{shown}, taken for the objectives and gates"),
    );
    at(what, &route.span)
}

fn at(what: Said, span: &Span) -> FoundLine {
    FoundLine { what, span: Some(span.clone()) }
}

/// Returns whether a call catches SIGTERM; one without names catches every signal.
fn is_term(signal: &GoSignal) -> bool {
    signal.signals.is_empty() || signal.signals.iter().any(|name| name == "SIGTERM")
}

/// Returns a limit that is known and set: in Go's servers zero means none.
fn above_zero(fact: &Fact<Millis>) -> Option<Millis> {
    fact.known().copied().filter(|limit| limit.0 > 0)
}
