//! What can be wrong in guanka.toml: told with file and line before anything is asked of the host.

use std::fs;

use anyhow::{Context, Result};

use super::ground::Ground;
use super::program::Expected;
use super::{Case, Outcome};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    ("guanka.toml: an unknown key", unknown_key),
    ("guanka.toml: a wrong unit", wrong_unit),
    ("guanka.toml: a name with a semicolon", name_with_semicolon),
    ("guanka.toml: a name with a line break", name_with_line_break),
    ("guanka.toml: a name with a percent sign", name_with_percent),
    ("guanka.toml: a domain with a semicolon", domain_with_semicolon),
    ("guanka.toml: no TOML at all", no_toml),
    ("guanka.toml: a host that SSH cannot reach", ssh_host),
    ("guanka.toml: two hosts", two_hosts),
    ("guanka.toml: not there", no_file),
    ("--env: not declared", unknown_env),
];

/// One change of guanka.toml and what must be said about it.
struct Wrong {
    from: &'static str,
    to: &'static str,
    /// A text of the line that must be named.
    at: &'static str,
    code: &'static str,
    both: &'static str,
    zh: &'static str,
    en: &'static str,
}

fn tried(ground: &Ground, wrong: &Wrong) -> Result<Outcome> {
    ground.rewrite("guanka.toml", wrong.from, wrong.to)?;
    let text = fs::read_to_string(ground.project.join("guanka.toml")).context("guanka.toml")?;
    let line = text.lines().position(|line| line.contains(wrong.at)).context("the line")? + 1;
    let expected = Expected {
        exit: 2,
        code: wrong.code,
        both: vec![format!("guanka.toml:{line}:"), wrong.both.to_owned()],
        zh: wrong.zh,
        en: wrong.en,
        ..Expected::default()
    };
    for words in [["ship"], ["plan"]] {
        ground.refuses(&words, &expected)?;
    }
    Ok(Outcome::Clear)
}

fn unknown_key(ground: &mut Ground) -> Result<Outcome> {
    let wrong = Wrong {
        from: "every   = \"500ms\"",
        to: "evry    = \"500ms\"",
        at: "evry",
        code: "GK1001",
        both: "every",
        zh: "未知",
        en: "unknown",
    };
    tried(ground, &wrong)
}

fn wrong_unit(ground: &mut Ground) -> Result<Outcome> {
    let wrong = Wrong {
        from: "stop_grace = \"15s\"",
        to: "stop_grace = \"15 bananas\"",
        at: "bananas",
        code: "GK1001",
        both: "stop_grace",
        zh: "时长",
        en: "duration",
    };
    tried(ground, &wrong)
}

fn name_with(ground: &Ground, name: &'static str) -> Result<Outcome> {
    let to = format!("name       = \"{name}\"");
    ground.rewrite("guanka.toml", "name       = \"shop\"", &to)?;
    let wrong = Wrong {
        from: "kind       = \"http\"",
        to: "kind       = \"http\"",
        at: "name       =",
        code: "GK1001",
        both: "name",
        zh: "应用名",
        en: "is not an app name",
    };
    tried(ground, &wrong)
}

fn name_with_semicolon(ground: &mut Ground) -> Result<Outcome> {
    name_with(ground, "sh;op")
}

fn name_with_line_break(ground: &mut Ground) -> Result<Outcome> {
    name_with(ground, "sh\\nop")
}

fn name_with_percent(ground: &mut Ground) -> Result<Outcome> {
    name_with(ground, "sh%op")
}

fn domain_with_semicolon(ground: &mut Ground) -> Result<Outcome> {
    let wrong = Wrong {
        from: "domain       = \"shop.example.com\"",
        to: "domain       = \"shop.example.com; return 200\"",
        at: "return 200",
        code: "GK1001",
        both: "domain",
        zh: "域名",
        en: "domain",
    };
    tried(ground, &wrong)
}

fn no_toml(ground: &mut Ground) -> Result<Outcome> {
    let wrong = Wrong {
        from: "[probe]",
        to: "[probe",
        at: "[probe",
        code: "GK1001",
        both: "TOML",
        zh: "TOML",
        en: "TOML",
    };
    tried(ground, &wrong)
}

fn hosts(
    ground: &Ground,
    to: &str,
    code: &'static str,
    says: [&'static str; 3],
) -> Result<Outcome> {
    let root = ground.host.root.display();
    ground.rewrite("guanka.toml", &format!("[\"local:{root}\"]"), to)?;
    let [both, zh, en] = says;
    let wrong = Wrong {
        from: "production = false",
        to: "production = false",
        at: "hosts ",
        code,
        both,
        zh,
        en,
    };
    tried(ground, &wrong)
}

fn ssh_host(ground: &mut Ground) -> Result<Outcome> {
    let root = ground.host.root.display();
    ground.rewrite("guanka.toml", &format!("[\"local:{root}\"]"), "[\"deploy@127.0.0.1\"]")?;
    let expected = Expected {
        exit: 1,
        code: "GK1213",
        both: vec!["deploy@127.0.0.1".to_owned(), "guanka host ".to_owned()],
        zh: "正在经 SSH 连接",
        en: "over SSH",
        ..Expected::default()
    };
    for word in ["ship", "status"] {
        ground.refuses(&[word], &expected)?;
    }
    Ok(Outcome::Clear)
}

fn two_hosts(ground: &mut Ground) -> Result<Outcome> {
    let says = ["2", "台主机", "hosts are declared"];
    hosts(ground, "[\"local:/a\", \"local:/b\"]", "GK1001", says)
}

fn no_file(ground: &mut Ground) -> Result<Outcome> {
    fs::remove_file(ground.project.join("guanka.toml")).context("remove guanka.toml")?;
    let expected = Expected {
        exit: 1,
        code: "GK1003",
        both: vec!["guanka init".to_owned(), "guanka.toml".to_owned()],
        zh: "文件不存在",
        en: "no such file",
        ..Expected::default()
    };
    ground.refuses(&["ship"], &expected)?;
    Ok(Outcome::Clear)
}

fn unknown_env(ground: &mut Ground) -> Result<Outcome> {
    let expected = Expected {
        exit: 2,
        code: "GK1001",
        both: vec!["prod".to_owned(), "demo".to_owned()],
        zh: "环境",
        en: "environment",
        ..Expected::default()
    };
    ground.refuses(&["ship", "--env", "prod"], &expected)?;
    Ok(Outcome::Clear)
}
