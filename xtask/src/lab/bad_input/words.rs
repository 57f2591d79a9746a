//! What can be wrong on the command line, and what no output may hold: a colour where none was
//! asked for, a question where nobody can answer.

use anyhow::{Context, Result, ensure};

use super::ground::Ground;
use super::program::{Expected, Lang};
use super::{Case, Outcome};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    ("an unknown verb: the nearest one is named", unknown_verb),
    ("an unknown flag", unknown_flag),
    ("prove: more bad ones than there are", prove_more_bad),
    ("prove: a limit without its percent sign", prove_limit),
    ("--json: the same error as one object", as_json),
    ("on a terminal: colour, and none with NO_COLOR or TERM=dumb", on_a_terminal),
];

/// Holds a call to a usage error that says these words.
fn usage(ground: &Ground, words: &[&str], both: &[&str]) -> Result<Outcome> {
    let expected = Expected {
        exit: 2,
        code: "GK1002",
        both: both.iter().map(|word| (*word).to_owned()).collect(),
        zh: "正在读取",
        en: "reading",
        ..Expected::default()
    };
    for lang in [Lang::En, Lang::Zh] {
        expected.holds(lang, &ground.guanka.call(lang, words)?)?;
    }
    ground.still_serves()?;
    Ok(Outcome::Clear)
}

fn unknown_verb(ground: &mut Ground) -> Result<Outcome> {
    usage(ground, &["shpi"], &["shpi", "ship"])
}

fn unknown_flag(ground: &mut Ground) -> Result<Outcome> {
    usage(ground, &["ship", "--untill", "stage"], &["--untill", "--until"])
}

fn prove_more_bad(ground: &mut Ground) -> Result<Outcome> {
    usage(ground, &["prove", "--bad", "5", "--total", "3", "--limit", "1%"], &["5", "3"])
}

fn prove_limit(ground: &mut Ground) -> Result<Outcome> {
    usage(ground, &["prove", "--bad", "1", "--total", "3", "--limit", "1"], &["\"1\"", "0.06%"])
}

fn as_json(ground: &mut Ground) -> Result<Outcome> {
    ground.rewrite("guanka.toml", "every   =", "evry    =")?;
    for lang in [Lang::En, Lang::Zh] {
        let answer = ground.guanka.call(lang, &ground.words(&["ship", "--json"]))?.exits(2)?;
        let value: serde_json::Value = serde_json::from_str(answer.out.trim())
            .with_context(|| format!("one JSON object: {}", answer.shown()))?;
        let error = &value["error"];
        let is_whole = value["schema"] == 1
            && error["code"] == "GK1001"
            && error["exit"] == 2
            && error["span"]["line"].is_number()
            && ["doing", "why", "next"].iter().all(|key| error[key]["zh"].is_string());
        ensure!(is_whole, "something is missing: {}", answer.shown());
        ensure!(answer.talk.is_empty(), "the talk is not empty: {}", answer.shown());
    }
    Ok(Outcome::Clear)
}

/// Runs its arguments on a terminal of their own and ends as they end.
const ON_A_TERMINAL: &str = "import os, pty, sys\n\
     sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

fn on_a_terminal(ground: &mut Ground) -> Result<Outcome> {
    ground.rewrite("guanka.toml", "stop_grace = \"15s\"", "stop_grace = \"2s\"")?;
    let guanka = ground.guanka.path.display().to_string();
    let project = ground.project.display().to_string();
    let escapes = |name: &str, value: &str| -> Result<bool> {
        let mut python = crate::process::clean("/usr/bin/python3".as_ref());
        python.env("TERM", "xterm").env(name, value);
        python.args(["-c", ON_A_TERMINAL, &guanka, "check", &project]);
        let log = ground.folder.join("terminal.log");
        // `check` ends with 3 here, which is right; what it printed is in the error then.
        let said = crate::process::run(&mut python, &log, std::time::Duration::from_secs(60));
        let text = std::fs::read_to_string(&log).context("read the terminal")?;
        ensure!(said.is_err() && text.contains("stop_grace"), "check finds nothing: {text}");
        Ok(text.contains('\u{1b}'))
    };
    ensure!(
        escapes("LANG", "C.UTF-8")?,
        "on a terminal nothing is coloured, so this proves nothing"
    );
    ensure!(!escapes("NO_COLOR", "1")?, "NO_COLOR is not honoured");
    ensure!(!escapes("TERM", "dumb")?, "TERM=dumb is not honoured");
    Ok(Outcome::Clear)
}
