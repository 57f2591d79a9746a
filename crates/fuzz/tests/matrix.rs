//! The twenty-four hostile strings through every field of every renderer, bare and in the frame in
//! which they get furthest: refused with a reason, or written so that both guanka's parser and the
//! reader it is written for find the intent there. There is no third end.

mod readers;

use std::collections::BTreeSet;

use guanka_fuzz::corpus::{self, KINDS};
use guanka_fuzz::renderers::{self, Field, Renderer, Texts, Trouble, markdown, page};
use guanka_fuzz::tape::Tape;

/// Renderers, their fields, and the trials of all: a new one joins here.
const RENDERERS: usize = 19;
const FIELDS: usize = 103;
const TRIALS: usize = FIELDS * KINDS.len() * 2;

/// The fields that take Chinese, on purpose: what a program is told, JSON, a draft of a source,
/// paths of a request, files of a person whose home has such a name. All others refuse it.
const TAKES_CHINESE: &[(&str, &str)] = &[
    ("unit", "argument"),
    ("unit", "value"),
    ("panel-list", "program"),
    ("panel-list", "command"),
    ("panel-list", "user"),
    ("panel-list", "another program"),
    ("arm-file", "program"),
    ("arm-file", "argument"),
    ("arm-file", "variable"),
    ("arm-file", "value"),
    ("arm-file", "user"),
    ("arm-file", "data folder"),
    ("arm-file", "launcher"),
    ("arm-file", "folder"),
    ("arm-file", "credential"),
    ("draft", "module"),
    ("draft", "variable"),
    ("draft", "flag"),
    ("draft", "address"),
    ("draft", "health"),
    ("draft", "read"),
    ("draft", "write"),
    ("message", "holder"),
    ("ssh-command", "key's file"),
    ("ssh-command", "known hosts"),
    ("question", "host"),
    ("question", "path"),
    ("question", "header's value"),
];

/// The renderers of what only people read: every field takes it.
const PAGES: [&Renderer; 3] = [&page::PAGE, &markdown::MARKDOWN, &markdown::LINES];

/// Returns the values of a renderer with one of them replaced.
fn values(renderer: &Renderer, at: usize, value: &str) -> Vec<String> {
    let plain = renderer.fields.iter().map(|field| field.plain.to_owned());
    let mut values: Vec<String> = plain.collect();
    values[at] = value.to_owned();
    values
}

fn tried(renderer: &Renderer, values: &[String]) -> Result<Texts, Trouble> {
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    (renderer.trial)(&values, &mut Tape::new(&[]))
}

/// The two forms in which a field is tried.
fn forms(field: &Field, text: &str) -> [String; 2] {
    [text.to_owned(), field.frame.replace("{}", text)]
}

#[test]
fn every_field_takes_its_plain_value() {
    assert_eq!(renderers::ALL.len(), RENDERERS);
    assert_eq!(renderers::ALL.iter().map(|r| r.fields.len()).sum::<usize>(), FIELDS);
    for renderer in renderers::ALL {
        let values: Vec<String> = renderer.fields.iter().map(|f| f.plain.to_owned()).collect();
        let texts = tried(renderer, &values);
        let texts = texts.unwrap_or_else(|trouble| panic!("{}: {trouble:?}", renderer.name));
        readers::hold(renderer.name, &values, &texts)
            .unwrap_or_else(|what| panic!("{}: {what}", renderer.name));
    }
}

#[test]
fn every_hostile_string_is_refused_or_read_back_as_itself() {
    let (mut trials, mut written) = (0, 0);
    let mut wrong = Vec::new();
    for renderer in renderers::ALL {
        for (at, field) in renderer.fields.iter().enumerate() {
            for kind in &KINDS {
                for text in forms(field, &corpus::written(kind)) {
                    trials += 1;
                    let values = values(renderer, at, &text);
                    let end = match tried(renderer, &values) {
                        Err(Trouble::Refused(why)) if why.is_empty() => Err("no reason".to_owned()),
                        Err(Trouble::Refused(_)) => continue,
                        Err(Trouble::Differs(what)) => Err(what),
                        Ok(texts) => readers::hold(renderer.name, &values, &texts),
                    };
                    written += 1;
                    if let Err(what) = end {
                        let (name, field, kind) = (renderer.name, field.name, kind.0);
                        wrong.push(format!("{name}, {field}, {kind}: {what}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {trials}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(trials, TRIALS);
    assert!(written > 200, "only {written} of {trials} were written at all");
}

#[test]
fn chinese_is_taken_where_it_is_meant_to_be_and_refused_elsewhere() {
    let mut meant: BTreeSet<(&str, &str)> = TAKES_CHINESE.iter().copied().collect();
    for renderer in PAGES {
        meant.extend(renderer.fields.iter().map(|field| (renderer.name, field.name)));
    }
    let mut found = BTreeSet::new();
    for renderer in renderers::ALL {
        for (at, field) in renderer.fields.iter().enumerate() {
            let text = field.frame.replace("{}", "中文服务");
            if tried(renderer, &values(renderer, at, &text)).is_ok() {
                found.insert((renderer.name, field.name));
            }
        }
    }
    assert_eq!(found, meant);
}
