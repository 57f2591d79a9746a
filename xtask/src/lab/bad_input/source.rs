//! What can be wrong with the source: told by `build` and by `ship`, with the compiler's place.

use std::fs;

use anyhow::{Context, Result};

use super::ground::Ground;
use super::program::Expected;
use super::{Case, Outcome};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    ("source that does not compile", broken_source),
    ("a go.mod newer than any toolchain", newer_go),
    ("a folder without go.mod", no_module),
];

/// Holds `build` and `ship` to the same error; `ship` keeps a blocked rollout in its journal.
fn tried(ground: &Ground, expected: &Expected) -> Result<Outcome> {
    ground.refuses(&["build"], expected)?;
    ground.refuses(&["ship"], expected)?;
    Ok(Outcome::Clear)
}

fn broken_source(ground: &mut Ground) -> Result<Outcome> {
    let path = ground.project.join("broken.go");
    fs::write(&path, "package main\n\nvar broken int = \"text\"\n").context("write broken.go")?;
    let expected = Expected {
        exit: 1,
        code: "GK1301",
        both: vec!["broken.go:3:18".to_owned(), "cannot use \"text\"".to_owned()],
        zh: "正在构建",
        en: "building",
        ..Expected::default()
    };
    let outcome = tried(ground, &expected);
    fs::remove_file(&path).context("remove broken.go")?;
    outcome
}

fn newer_go(ground: &mut Ground) -> Result<Outcome> {
    let path = ground.project.join("go.mod");
    let before = fs::read_to_string(&path).context("read go.mod")?;
    let line = before.lines().position(|line| line.starts_with("go ")).context("a go line")?;
    let text: Vec<&str> =
        before.lines().enumerate().map(|(i, l)| if i == line { "go 1.99" } else { l }).collect();
    fs::write(&path, text.join("\n") + "\n").context("write go.mod")?;
    let expected = Expected {
        exit: 1,
        code: "GK1301",
        both: vec![format!("go.mod:{}:", line + 1), "1.99".to_owned()],
        zh: "安装 Go 1.99",
        en: "install Go 1.99",
        ..Expected::default()
    };
    let outcome = tried(ground, &expected);
    fs::write(&path, before).context("write go.mod")?;
    outcome
}

fn no_module(ground: &mut Ground) -> Result<Outcome> {
    let (path, aside) = (ground.project.join("go.mod"), ground.folder.join("go.mod"));
    fs::rename(&path, &aside).context("move go.mod")?;
    let expected = Expected {
        exit: 1,
        code: "GK1301",
        both: vec!["go.mod".to_owned()],
        zh: "不是 Go 模块",
        en: "no Go module",
        ..Expected::default()
    };
    let outcome = ground.refuses(&["build"], &expected);
    fs::rename(&aside, &path).context("move go.mod")?;
    outcome.map(|()| Outcome::Clear)
}
