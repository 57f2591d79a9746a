//! `guanka explain`: a check by code or name, or an error of guanka's own by its GK code.

use guanka_core::checks::{self, ALL};
use guanka_core::report::explanation;
use guanka_core::say::{Said, Text};
use serde_json::json;

use crate::failure::codes::USAGE;
use crate::failure::{self, ErrorCode, Exit, Failure};
use crate::terminal::Terminal;

/// What to explain.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A check's code or name, or an error's GK code.
    code: String,
}

/// Prints the explanation.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let word = args.code.trim();
    if let Some(check) = checks::find(word) {
        if terminal.json {
            terminal.line(&check_json(check).to_string());
        } else {
            terminal.line(explanation::text(check, terminal.lang).trim_end());
        }
        return Ok(Exit::Done);
    }
    if let Some(error) = failure::ALL.iter().find(|e| e.code.eq_ignore_ascii_case(word)) {
        if terminal.json {
            terminal.line(&error_json(error).to_string());
        } else {
            show_error(terminal, error);
        }
        return Ok(Exit::Done);
    }
    Err(unknown(word))
}

fn unknown(word: &str) -> Failure {
    let doing = Said::new(format!("正在查找 {word}"), format!("looking for {word}"));
    let why = Said::new("没有这个检查或错误码", "there is no such check or error code");
    let codes = failure::ALL.iter().map(|e| e.code);
    let words = ALL.iter().flat_map(|c| [c.code, c.name]).chain(codes);
    let failed = Failure::new(&USAGE, doing, why);
    match checks::nearest(word, words) {
        Some(near) => failed.next(Said::new(
            format!("是否指 `guanka explain {near}`?"),
            format!("did you mean `guanka explain {near}`?"),
        )),
        None => {
            let all: Vec<_> = ALL.iter().map(|c| c.code).collect();
            let all = all.join(", ");
            failed.next(Said::new(format!("全部检查:{all}"), format!("the checks are {all}")))
        }
    }
}

fn show_error(terminal: &Terminal, error: &ErrorCode) {
    terminal.line(&format!("# {} {}", error.code, terminal.text(&error.title)));
    terminal.line("");
    let label = |zh, en| terminal.text(&Text { zh, en });
    terminal.line(&format!("**{}** {}", label("为什么:", "Why."), terminal.text(&error.why)));
    terminal.line("");
    terminal.line(&format!("**{}** {}", label("怎么改:", "Fix."), terminal.text(&error.fix)));
    terminal.line("");
    terminal.line(&format!("- {}: {}", label("退出码", "exit code"), error.exit as u8));
}

fn check_json(check: &checks::Check) -> serde_json::Value {
    let examples: Vec<_> = check
        .examples
        .iter()
        .map(|example| {
            let files: Vec<_> = example
                .files
                .iter()
                .map(|(name, text)| json!({"name": name, "text": text}))
                .collect();
            json!({"expect": example.expect.title(), "files": files})
        })
        .collect();
    json!({
        "schema": 1,
        "code": check.code,
        "name": check.name,
        "checkpoint": check.checkpoint,
        "title": check.title,
        "why": check.why,
        "fix": check.fix,
        "why_risky": check.why_risky,
        "article": check.article,
        "severity": check.base,
        "confidence": check.confidence,
        "fix_kind": check.fix_kind,
        "is_required": check.is_required,
        "since": check.since,
        "references": check.references,
        "examples": examples,
    })
}

fn error_json(error: &ErrorCode) -> serde_json::Value {
    json!({
        "schema": 1,
        "code": error.code,
        "exit": error.exit as u8,
        "title": error.title,
        "why": error.why,
        "fix": error.fix,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use guanka_core::checks::ALL;
    use guanka_core::report::explanation;

    use super::unknown;

    /// Writes what differs and returns the names of the files that were repaired.
    fn repair(path: &Path, wanted: &str, repaired: &mut Vec<String>) {
        if fs::read_to_string(path).unwrap_or_default() != wanted {
            fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("made");
            fs::write(path, wanted).expect("written");
            repaired.push(path.display().to_string());
        }
    }

    #[test]
    fn the_pages_under_docs_are_the_checks_own_words() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/checks");
        let mut repaired = Vec::new();
        for check in ALL {
            let path = folder.join(format!("{}.md", check.code));
            repair(&path, &explanation::page(check), &mut repaired);
        }
        let mut index = String::from(
            "<!-- Generated from the checks' constants; a test rebuilds it. -->\n\
             # 检查 · Checks\n\n| code | name | 关卡 | 问题 | fault |\n|---|---|---|---|---|\n",
        );
        for c in ALL {
            let (code, point) = (c.code, c.checkpoint.title());
            index.push_str(&format!(
                "| [{code}]({code}.md) | `{}` | {} {} | {} | {} |\n",
                c.name, point.zh, point.en, c.title.zh, c.title.en
            ));
        }
        repair(&folder.join("README.md"), &index, &mut repaired);
        assert!(repaired.is_empty(), "these were stale and are repaired: {repaired:?}");
    }

    #[test]
    fn the_list_of_checks_names_every_file_and_is_sorted_by_code() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src/checks");
        let mut by_code = Vec::new();
        for entry in fs::read_dir(&folder).expect("the folder of checks").flatten() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            let Some(at) = text.find("    code: \"").filter(|_| text.contains("pub const CHECK"))
            else {
                continue;
            };
            let code: String = text[at + 11..].chars().take_while(|c| *c != '"').collect();
            let file = entry.file_name().to_string_lossy().trim_end_matches(".rs").to_owned();
            by_code.push((code, file));
        }
        by_code.sort();
        let path = folder.join("mod.rs");
        let text = fs::read_to_string(&path).expect("the list");
        let list: String =
            by_code.iter().map(|(_, file)| format!("    &{file}::CHECK,\n")).collect();
        let mut files: Vec<_> = by_code.iter().map(|(_, file)| file).collect();
        files.sort();
        let mods: String = files.iter().map(|file| format!("pub mod {file};\n")).collect();
        let wanted = between(&text, "    // BEGIN checks\n", "    // END checks\n", &list);
        let wanted = between(&wanted, "// BEGIN modules\n", "// END modules\n", &mods);
        let mut repaired = Vec::new();
        repair(&path, &wanted, &mut repaired);
        assert!(repaired.is_empty(), "the list was stale and is repaired");
        assert_eq!(by_code.len(), ALL.len());
    }

    fn between(text: &str, begin: &str, end: &str, inside: &str) -> String {
        let from = text.find(begin).expect("the opening marker") + begin.len();
        let to = text.find(end).expect("the closing marker");
        format!("{}{inside}{}", &text[..from], &text[to..])
    }

    #[test]
    fn a_typing_error_gets_the_nearest_name() {
        let failed = unknown("keepalive-rase");
        assert_eq!(failed.kind.exit, crate::failure::Exit::Usage);
        assert!(failed.next.en.contains("guanka explain keepalive-race"), "{}", failed.next.en);
        assert!(unknown("GK1009").next.en.contains("GK100"));
    }
}
