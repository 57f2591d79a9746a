//! Every parser on texts that are nearly right and on any bytes: it ends, never panics, and its
//! problems have places inside the text. What was read without a problem and is written again reads
//! the same.

mod binaries;
mod configuration;
mod lines;
mod records;
mod source;
mod texts;

use guanka_core::facts::Span;

use crate::tape::Tape;
use crate::target::{End, Target};

/// Each as a target.
pub const TARGETS: &[Target] = &[
    target("nginx", 4, configuration::nginx),
    target("nginx-includes", 2, configuration::nginx_includes),
    target("supervisor", 4, configuration::supervisor),
    target("systemd", 4, configuration::systemd),
    target("manifest", 1, configuration::manifest),
    target("script", 3, source::script),
    target("gomod", 3, source::gomod),
    target("go-source", 2, source::go_module),
    target("access-log", 6, lines::access_log),
    target("proc-net", 3, lines::proc_net),
    target("nginx-version", 3, lines::nginx_version),
    target("names", 6, lines::names),
    target("frames", 3, lines::frames),
    target("rows", 3, records::rows),
    target("desired", 3, records::desired),
    target("known-hosts", 3, records::known_hosts),
    target("rewrite-file", 3, records::rewrite_file),
    target("elf", 4, binaries::elf),
    target("build-info", 4, binaries::build_info),
];

const fn target(
    name: &'static str,
    weight: u64,
    run: fn(&mut Tape<'_>) -> Result<End, String>,
) -> Target {
    Target { name, weight, run }
}

/// Returns the end of a reading that had so many problems.
fn end(problems: usize) -> End {
    if problems == 0 { End::Whole } else { End::Refused }
}

/// Holds a span to lie inside its text. A mark of byte order is a letter to some readers only.
fn inside(text: &str, span: &Span) -> Result<(), String> {
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    inside_of(text, span).or_else(|wrong| inside_of(bare, span).map_err(|_| wrong))
}

fn inside_of(text: &str, span: &Span) -> Result<(), String> {
    let at = span.line as usize;
    let Some(line) = at.checked_sub(1).and_then(|at| text.split('\n').nth(at)) else {
        return Err(format!("{span:?} is on no line of {text:?}"));
    };
    let letters = line.chars().count();
    let (column, length) = (span.column as usize, span.length as usize);
    let is_in = column >= 1 && column <= letters + 1 && column - 1 + length <= letters.max(1) + 1;
    if is_in && line.starts_with(&span.excerpt) && length >= 1 {
        return Ok(());
    }
    Err(format!("{span:?} is not inside line {line:?} of {text:?}"))
}

/// Holds all of them.
fn all_inside<'a>(text: &str, spans: impl IntoIterator<Item = &'a Span>) -> Result<(), String> {
    spans.into_iter().try_for_each(|span| inside(text, span))
}
