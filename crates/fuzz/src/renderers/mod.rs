//! Every renderer with the fields whose text comes from outside. A trial renders plain values with
//! some of them replaced, reads the text back by rules of its reader and compares; a new field of
//! the types it renders does not compile until it has its place here.

pub mod draft;
pub mod json;
pub mod markdown;
pub mod nginx;
pub mod page;
pub mod question;
pub mod routes;
pub mod secure_shell;
pub mod supervisor;
pub mod unit;

use std::path::PathBuf;

use guanka_core::facts::declared::{LogPlace, Logs};
use guanka_core::name::{Arm, ServiceName};
use guanka_core::quantity::{Bytes, Millis};
use guanka_world::managers::spec::{ArmSpec, RunAs};

use crate::corpus;
use crate::tape::Tape;
use crate::target::{End, Target};

/// A field that reaches a renderer's text.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// A value that is accepted.
    pub plain: &'static str,
    /// The form in which a hostile string gets furthest, with `{}` for it.
    pub frame: &'static str,
}

/// Why there is no text, or a wrong one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It was refused, for this reason.
    Refused(String),
    /// It was written and means something else.
    Differs(String),
}

/// The texts that were written and found to mean the intent.
pub type Texts = Vec<String>;

/// All of them.
pub const ALL: [&Renderer; 19] = [
    &nginx::HTTP,
    &nginx::SERVER,
    &nginx::FORMAT,
    &routes::ROUTES,
    &routes::METRICS,
    &routes::SOURCE,
    &routes::PASSES,
    &unit::UNIT,
    &supervisor::INI,
    &json::PANEL_LIST,
    &json::ARM_FILE,
    &json::MESSAGE,
    &secure_shell::KEY_LINE,
    &secure_shell::COMMAND,
    &question::QUESTION,
    &draft::DRAFT,
    &page::PAGE,
    &markdown::MARKDOWN,
    &markdown::LINES,
];

/// A renderer.
pub struct Renderer {
    /// Its name, the target's too.
    pub name: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
    /// Renders the values of the fields, in their order; the tape chooses numbers and forms.
    pub trial: fn(&[&str], &mut Tape<'_>) -> Result<Texts, Trouble>,
}

/// Each as a target; those that write more text get fewer cases.
pub const TARGETS: &[Target] = &[
    target("nginx-http", 2, |tape| fuzz(&nginx::HTTP, tape)),
    target("nginx-server", 2, |tape| fuzz(&nginx::SERVER, tape)),
    target("nginx-routes", 2, |tape| fuzz(&routes::ROUTES, tape)),
    target("nginx-metrics", 2, |tape| fuzz(&routes::METRICS, tape)),
    target("nginx-source", 2, |tape| fuzz(&routes::SOURCE, tape)),
    target("pass-file", 3, |tape| fuzz(&routes::PASSES, tape)),
    target("unit", 4, |tape| fuzz(&unit::UNIT, tape)),
    target("ini", 4, |tape| fuzz(&supervisor::INI, tape)),
    target("panel-list", 4, |tape| fuzz(&json::PANEL_LIST, tape)),
    target("arm-file", 4, |tape| fuzz(&json::ARM_FILE, tape)),
    target("message", 4, |tape| fuzz(&json::MESSAGE, tape)),
    target("key-line", 4, |tape| fuzz(&secure_shell::KEY_LINE, tape)),
    target("ssh-command", 4, |tape| fuzz(&secure_shell::COMMAND, tape)),
    target("question", 4, |tape| fuzz(&question::QUESTION, tape)),
    target("draft", 1, |tape| fuzz(&draft::DRAFT, tape)),
    target("page", 2, |tape| fuzz(&page::PAGE, tape)),
    target("markdown", 2, |tape| fuzz(&markdown::MARKDOWN, tape)),
    target("report-lines", 2, |tape| fuzz(&markdown::LINES, tape)),
];

const fn target(
    name: &'static str,
    weight: u64,
    run: fn(&mut Tape<'_>) -> Result<End, String>,
) -> Target {
    Target { name, weight, run }
}

/// Runs a trial with values of the tape's choice.
fn fuzz(renderer: &Renderer, tape: &mut Tape<'_>) -> Result<End, String> {
    let values: Vec<String> = renderer
        .fields
        .iter()
        .map(|field| match tape.below(3) {
            1 => corpus::text(tape, field.frame),
            _ => field.plain.to_owned(),
        })
        .collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    match (renderer.trial)(&values, tape) {
        Ok(_) => Ok(End::Whole),
        Err(Trouble::Refused(why)) if why.is_empty() => Err("refused without a reason".to_owned()),
        Err(Trouble::Refused(_)) => Ok(End::Refused),
        Err(Trouble::Differs(what)) => Err(format!("{what}, from {values:?}")),
    }
}

/// Builds a refusal.
fn refused(why: impl std::fmt::Display) -> Trouble {
    Trouble::Refused(why.to_string())
}

/// Holds what was read to what was meant.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, read: &T, meant: &T) -> Result<(), Trouble> {
    if read == meant {
        return Ok(());
    }
    Err(Trouble::Differs(format!("{what} reads {read:?} for {meant:?}")))
}

/// What an arm's start is made of.
struct ArmWords<'a> {
    app: &'a str,
    env: &'a str,
    program: &'a str,
    arg: &'a str,
    variable: &'a str,
    value: &'a str,
    user: &'a str,
    data_dir: &'a str,
    folder: &'a str,
    credential: &'a str,
    launcher: &'a str,
}

/// Plain words, for renderers that write only some of them.
const PLAIN: ArmWords<'static> = ArmWords {
    app: "shop",
    env: "prod",
    program: "shop",
    arg: "-v",
    variable: "PORT",
    value: "18001",
    user: "gk_shop_prod",
    data_dir: "/var/tmp/guanka-fuzz/data",
    folder: "/var/tmp/guanka-fuzz/folder",
    credential: "db",
    launcher: "/opt/guanka/bin/guanka",
};

/// Builds an arm's start; every field of the type stands here.
fn arm(words: &ArmWords<'_>, tape: &mut Tape<'_>) -> Result<ArmSpec, Trouble> {
    let service = ServiceName::new(words.app, words.env).map_err(refused)?;
    Ok(ArmSpec {
        schema: 1,
        service,
        arm: if tape.below(2) == 0 { Arm::Blue } else { Arm::Green },
        program: words.program.to_owned(),
        args: vec!["-v".to_owned(), words.arg.to_owned()],
        env: [(words.variable.to_owned(), words.value.to_owned())].into(),
        port: 18001,
        nofile: tape.number(),
        memory: (tape.below(2) == 1).then(|| Bytes(tape.number())),
        soft_memory: None,
        cpu: None,
        reads_quota: true,
        notifies: tape.below(2) == 1,
        low_ports: tape.below(2) == 1,
        credentials: vec![words.credential.to_owned()],
        folder: Some(PathBuf::from(words.folder)),
        run_as: RunAs::User { name: words.user.to_owned(), uid: 990, gid: 990 },
        data_dirs: vec![PathBuf::from(words.data_dir)],
        stop_grace: Millis(tape.number() >> 20),
        logs: Logs {
            rotate: Bytes(tape.number()),
            every: None,
            keep: 3,
            budget: Bytes(tape.number()),
            place: LogPlace::File,
        },
        launcher: PathBuf::from(words.launcher),
    })
}
