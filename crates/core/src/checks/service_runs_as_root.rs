//! SY007: the service runs as root, by its process manager's entry or as the live process shows.

use super::judgement::{Judgement, from_of};
use super::{Check, Example, Expect, Outcome, subject};
use crate::facts::declared::Declared;
use crate::facts::supervisor::Program;
use crate::facts::systemd::Unit;
use crate::facts::{Fact, Facts, Provenance, Reason, Span};
use crate::finding::{Checkpoint, Confidence, Evidence, FixKind, Severity};
use crate::say::{Said, Text};

/// The check.
pub const CHECK: Check = Check {
    code: "SY007",
    name: "service-runs-as-root",
    checkpoint: Checkpoint::Process,
    title: Text { zh: "服务以 root 运行", en: "the service runs as root" },
    why: Text {
        zh: "程序里的任何漏洞都直接得到整台机器。面板生成的 Supervisor 配置默认写 user=root,Go 项\
             目的运行用户列表里也有 root。",
        en: "Any hole in the program gives away the whole machine. The panel's Supervisor entries \
             say user=root by default, and its Go project offers root among the users.",
    },
    fix: Text {
        zh: "新建无登录 shell 的系统用户,用 User= / user= 指定;日志与上传目录改归它所有。",
        en: "Create a system user without a login shell, name it by User= or user=, and give it \
             the log and upload folders.",
    },
    base: Severity::High,
    confidence: Confidence::Certain,
    fix_kind: FixKind::Risky,
    why_risky: Text {
        zh: "换用户后,它可能读不到配置、写不了日志,或绑不了 1024 以下的端口。",
        en: "The new user may not be able to read its configuration, write its logs, or bind a \
             port below 1024.",
    },
    is_required: true,
    since: "0.1.0",
    article: Text {
        zh: "文章说以 root 运行会“安全审计失败,端口冲突”。后半句不成立(NG003);useradd -r -s \
             /bin/false 可用,nologin 更好。",
        en: "The article says root means \"audit failure, port conflict\". The second does not \
             follow (NG003); useradd -r -s /bin/false works, nologin is better.",
    },
    references: &[
        "https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#User=",
    ],
    examples: EXAMPLES,
    run,
};

fn run(facts: &Facts) -> Outcome {
    let mut judgement = Judgement::default();
    let kept = subject::kept(facts);
    if let Some(missing) = kept.unclear {
        judgement.missing(missing);
    }
    if let Some(declared) = kept.rendered {
        judgement.looked();
        judge_declared(&mut judgement, declared);
    }
    for program in &kept.programs {
        judgement.looked();
        if is_launched(program) {
            judge_launched(&mut judgement, facts, program);
            continue;
        }
        let user = program.text("user", "root");
        judge(&mut judgement, &program.name, &user, &program.span, "user");
    }
    for unit in &kept.units {
        judgement.looked();
        if !is_dynamic(unit) {
            let place = unit.last("Service", "ExecStart").map(|e| e.span.clone());
            judge(&mut judgement, &unit.name, &unit.user(), &place.unwrap_or_default(), "User");
        }
    }
    for program in subject::running(facts).into_iter().filter(|_| kept.rendered.is_none()) {
        judgement.looked();
        if program.uid == 0 {
            let message = said(&program.program);
            let live = Said::new(
                format!("进程 {} 的 uid 是 0({})", program.pid, program.kept_by),
                format!("process {} has uid 0 ({})", program.pid, program.kept_by),
            );
            let from = Provenance::Path(format!("/proc/{}/status", program.pid));
            judgement.find(CHECK.finding(message, Evidence::new(from, live)));
        }
    }
    judgement.end()
}

fn judge(judgement: &mut Judgement, name: &str, user: &Fact<String>, section: &Span, key: &str) {
    let Some(value) = judgement.need(user, &Said::new(key, key)) else { return };
    if value != "root" && value != "0" {
        return;
    }
    if user.is_written() {
        let place = from_of(user, &Provenance::Span(section.clone()));
        let says = format!("{key} = {value}");
        let evidence = Evidence::new(place, Said::new(says.clone(), says));
        judgement.find(CHECK.finding(said(name), evidence));
    } else {
        let says = Said::new(
            format!("没有写 {key},即以 root 运行"),
            format!("no {key}, so it runs as root"),
        );
        judgement.find(CHECK.finding(said(name), Evidence::at(section, says)));
    }
}

fn judge_declared(judgement: &mut Judgement, declared: &Declared) {
    let Some(user @ ("root" | "0")) = declared.process.user.as_deref() else { return };
    let from = match declared.spans.get("process.user") {
        Some(span) => Provenance::Span(span.clone()),
        None => Provenance::Path(declared.file.clone()),
    };
    let says = format!("process.user = {user}");
    let message = said(&declared.service.to_string());
    judgement.find(CHECK.finding(message, Evidence::new(from, Said::new(says.clone(), says))));
}

/// guanka's launcher takes the declared user or the service's own before it becomes the program, so
/// the entry in the ini names none.
fn judge_launched(judgement: &mut Judgement, facts: &Facts, program: &Program) {
    if let Some(declared) = &facts.declared {
        judge_declared(judgement, declared);
    } else if subject::running(facts).is_empty() {
        let what = Said::new(
            format!("{} 以哪个用户运行", program.name),
            format!("the user of {}", program.name),
        );
        judgement.miss(what, Reason::NotThere("guanka.toml".to_owned()));
    }
}

fn is_launched(program: &Program) -> bool {
    let command = program.command();
    let mut words = command.known().map_or("", String::as_str).split_whitespace();
    words.next().is_some_and(|first| subject::base(first) == "guanka")
        && words.next() == Some("exec")
}

fn said(name: &str) -> Said {
    Said::new(format!("{name} 以 root 运行"), format!("{name} runs as root"))
}

/// systemd makes up a user for such a unit.
fn is_dynamic(unit: &Unit) -> bool {
    let entry = unit.last("Service", "DynamicUser");
    entry.is_some_and(|e| {
        matches!(e.value.to_ascii_lowercase().as_str(), "yes" | "true" | "1" | "on")
    })
}

const EXAMPLES: &[Example] = &[
    Example {
        expect: Expect::Bad,
        files: &[("shop.ini", "[program:shop]\ncommand=/srv/shop/shop\nuser=root\n")],
    },
    Example {
        expect: Expect::Bad,
        files: &[("shop.service", "[Service]\nExecStart=/srv/shop/shop\nRestart=always\n")],
    },
    Example {
        expect: Expect::Good,
        files: &[("shop.service", "[Service]\nExecStart=/srv/shop/shop\nUser=shop\n")],
    },
    Example {
        expect: Expect::NearMiss,
        files: &[("shop.service", "[Service]\nExecStart=/srv/shop/shop\nDynamicUser=yes\n")],
    },
];
