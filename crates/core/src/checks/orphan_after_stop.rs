//! SU047: Supervisor starts the program through a shell that stays in between, so a stop reaches
//! the shell only and the program lives on with its port.

use super::judgement::{Judgement, from_of};
use super::{Check, Example, Expect, Outcome, subject};
use crate::facts::supervisor::Program;
use crate::facts::{Fact, Facts, Provenance, Reason};
use crate::finding::{Checkpoint, Confidence, Evidence, Finding, FixKind, Severity};
use crate::say::{Said, Text};

/// The check.
pub const CHECK: Check = Check {
    code: "SU047",
    name: "orphan-after-stop",
    checkpoint: Checkpoint::Process,
    title: Text {
        zh: "停止后留下占着端口的孤儿进程",
        en: "a stop leaves an orphan that holds the port",
    },
    why: Text {
        zh: "命令经由没有 exec 的 shell 启动且 stopasgroup=false:TERM 只到 shell,程序成为孤儿并继\
             续占着端口(实测),新实例起不来。killasgroup 只作用于 SIGKILL,救不了这条路径。",
        en: "The command runs through a shell without exec and stopasgroup is false: TERM reaches \
             only the shell, the program becomes an orphan and keeps the port (measured), and the \
             next instance cannot start. killasgroup acts on SIGKILL only and does not help here.",
    },
    fix: Text {
        zh: "在脚本里用 exec 启动程序,或设 stopasgroup=true。",
        en: "Start the program with exec in the wrapper, or set stopasgroup=true.",
    },
    base: Severity::High,
    confidence: Confidence::Certain,
    fix_kind: FixKind::Safe,
    why_risky: Text { zh: "", en: "" },
    is_required: true,
    since: "0.1.0",
    article: Text {
        zh: "文章认为 killasgroup=true 就够了。不够:孤儿在 TERM 路径上存活(实测)。",
        en: "The article takes killasgroup=true to be enough. It is not: the orphan survives the \
             TERM path (measured).",
    },
    references: &["https://supervisord.org/configuration.html#program-x-section-settings"],
    examples: EXAMPLES,
    run,
};

/// How a command starts the program.
enum Start {
    /// Directly, or through something that makes way.
    Direct,
    /// Through a shell that stays in between.
    Wrapped(Confidence),
    /// Through a script.
    Script(String),
}

fn run(facts: &Facts) -> Outcome {
    let mut judgement = Judgement::default();
    let kept = subject::kept(facts);
    if let Some(missing) = kept.unclear {
        judgement.missing(missing);
    }
    for program in kept.programs {
        judgement.looked();
        let what = Said::new("stopasgroup", "stopasgroup");
        let command = program.command();
        let Some(command) = command.known() else { continue };
        let start = match start_of(command) {
            Start::Direct => by_script(facts, command),
            start => start,
        };
        if matches!(start, Start::Direct) {
            continue;
        }
        if judgement.need(&program.stops_group(), &what).copied() != Some(false) {
            continue;
        }
        match start {
            Start::Direct => {}
            Start::Wrapped(confidence) => judgement.find(finding(program).sure(confidence)),
            Start::Script(path) => judge_script(facts, program, &path, &mut judgement),
        }
    }
    judgement.end()
}

fn judge_script(facts: &Facts, program: &Program, path: &str, judgement: &mut Judgement) {
    let what = Said::new(
        format!("脚本 {path} 是否以 exec 启动程序"),
        format!("whether the script {path} starts the program with exec"),
    );
    let Some(script) = facts.scripts.iter().find(|s| s.path == path) else {
        judgement.miss(what, Reason::NotThere(path.to_owned()));
        return;
    };
    let Some(last) = judgement.need(&script.last, &what) else { return };
    if !last.is_exec {
        let says = Said::new("没有 exec:shell 留在中间", "no exec: the shell stays in between");
        judgement.find(finding(program).with(Evidence::at(&last.span, says)));
    }
}

fn finding(program: &Program) -> Finding {
    let name = &program.name;
    let message = Said::new(
        format!("停止 {name} 只会停掉 shell,程序成为孤儿并占着端口"),
        format!("stopping {name} stops only the shell: the program lives on and keeps the port"),
    );
    let here = Provenance::Span(program.span.clone());
    let command = program.command();
    let says = Said::new("经由 shell 启动", "starts through a shell");
    let mut found = CHECK.finding(message, Evidence::new(from_of(&command, &here), says));
    let stops = program.stops_group();
    let says =
        if stops.is_written() { "stopasgroup = false" } else { "stopasgroup: false (default)" };
    let from = if stops.is_written() { from_of(&stops, &here) } else { here };
    found = found.with(Evidence::new(from, Said::new(says, says)));
    if let Fact::Known(kills) = program.switch("killasgroup", false)
        && kills.value
    {
        let says = Said::new("killasgroup 只作用于 SIGKILL", "killasgroup acts on SIGKILL only");
        found = found.with(Evidence::new(kills.from, says));
    }
    found
}

/// A program without an ending may be a script all the same; the collector has looked.
fn by_script(facts: &Facts, command: &str) -> Start {
    let first = command.split_whitespace().next().unwrap_or_default();
    match facts.scripts.iter().find(|s| s.path == first) {
        Some(script) => Start::Script(script.path.clone()),
        None => Start::Direct,
    }
}

/// Tells how a command line starts the program. bash replaces itself with the last plain command of
/// `-c` unless a pipe or a redirection keeps it; dash, the `sh` of Debian, stays (both measured).
fn start_of(command: &str) -> Start {
    let words: Vec<&str> = command.split_whitespace().collect();
    let Some(first) = words.first() else { return Start::Direct };
    let shell = subject::base(first);
    if !matches!(shell, "sh" | "bash" | "dash" | "ash" | "zsh" | "ksh") {
        return if first.ends_with(".sh") {
            Start::Script((*first).to_owned())
        } else {
            Start::Direct
        };
    }
    // A login shell in one word, `-lc`, hands over a command as well.
    let flag = words.iter().position(|w| w.starts_with('-') && w.ends_with('c'));
    let Some(flag) = flag else {
        let script = words.iter().skip(1).find(|w| !w.starts_with('-'));
        return script.map_or(Start::Direct, |path| Start::Script((*path).to_owned()));
    };
    let text = words[flag + 1..].join(" ");
    if subject::words(&text).any(|word| word == "exec") {
        return Start::Direct;
    }
    let is_kept =
        text.contains(['|', '>', '<']) || text.trim_end_matches(['"', '\'']).ends_with('&');
    match (shell, is_kept) {
        ("bash", false) => Start::Direct,
        (_, true) => Start::Wrapped(Confidence::Certain),
        _ => Start::Wrapped(Confidence::Likely),
    }
}

const WRAPPED: &str = "[program:shop]\n\
    command=bash -c \"cd /srv/shop && ./shop >> shop.log 2>&1\"\n\
    killasgroup=true\n";

const EXEC: &str = "[program:shop]\ncommand=bash -c \"cd /srv/shop && exec ./shop >> shop.log\"\n";

const GROUP: &str = "[program:shop]\n\
    command=bash -c \"cd /srv/shop && ./shop >> shop.log 2>&1\"\n\
    stopasgroup=true\n\
    killasgroup=true\n";

const SCRIPT: &str = "[program:shop]\ncommand=/srv/shop/start.sh\n";

const WITHOUT_EXEC: &str = "#!/bin/bash\ncd /srv/shop\n./shop -listen 127.0.0.1:8080\n";

const EXAMPLES: &[Example] = &[
    Example { expect: Expect::Bad, files: &[("shop.ini", WRAPPED)] },
    Example { expect: Expect::Bad, files: &[("shop.ini", SCRIPT), ("start.sh", WITHOUT_EXEC)] },
    Example {
        expect: Expect::Good,
        files: &[("shop.ini", "[program:shop]\ncommand=/srv/shop/shop\n")],
    },
    Example { expect: Expect::NearMiss, files: &[("shop.ini", EXEC)] },
    Example { expect: Expect::NearMiss, files: &[("shop.ini", GROUP)] },
    Example { expect: Expect::Unknown, files: &[("shop.ini", SCRIPT)] },
];
