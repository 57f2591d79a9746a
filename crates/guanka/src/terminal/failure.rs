//! How a failure is shown: what was being done, the place with its line, why, what to do next; the
//! same in JSON.

use guanka_core::facts::Span;
use serde_json::json;

use super::{Terminal, width};
use crate::failure::{Exit, Failure};

/// Shows a failure and returns its exit code.
pub(crate) fn show(terminal: &Terminal, failure: &Failure) -> Exit {
    if terminal.json {
        terminal.line(&as_json(failure).to_string());
        return failure.kind.exit;
    }
    let (error, cause, next) = match terminal.lang {
        guanka_core::say::Lang::Zh => ("错误", "原因", "下一步"),
        guanka_core::say::Lang::En => ("error", "why", "next"),
    };
    let code = failure.kind.code;
    terminal.note(&format!("{error}[{code}]: {}", terminal.said(&failure.doing)));
    if let Some(span) = &failure.span {
        place(terminal, span);
    }
    terminal.note(&format!("  {cause}: {}", indented(terminal.said(&failure.why))));
    terminal.note(&format!("  {next}: {}", indented(terminal.said(&failure.next))));
    failure.kind.exit
}

/// Shows a line of a file with the place marked below it.
pub(crate) fn place(terminal: &Terminal, span: &Span) {
    terminal.note(&format!("  --> {}:{}:{}", span.file, span.line, span.column));
    if span.excerpt.is_empty() {
        return;
    }
    let before: String = span.excerpt.chars().take(span.column as usize - 1).collect();
    let marked: String =
        span.excerpt.chars().skip(span.column as usize - 1).take(span.length as usize).collect();
    let number = span.line.to_string();
    let margin = " ".repeat(number.len());
    terminal.note(&format!("  {margin} |"));
    terminal.note(&format!("  {number} | {}", span.excerpt.replace('\t', " ")));
    let blank = " ".repeat(width(&before.replace('\t', " ")));
    let caret = "^".repeat(width(&marked).max(1));
    terminal.note(&format!("  {margin} | {blank}{caret}"));
}

/// Returns a failure as one JSON object.
pub(crate) fn as_json(failure: &Failure) -> serde_json::Value {
    json!({
        "schema": 1,
        "error": {
            "code": failure.kind.code,
            "exit": failure.kind.exit as u8,
            "doing": failure.doing,
            "why": failure.why,
            "next": failure.next,
            "span": failure.span,
        },
    })
}

/// Keeps the lines of a longer text (a compiler's, nginx's) below one another.
fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n       ")
}
