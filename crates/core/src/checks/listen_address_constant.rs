//! GO110: the program's listen address cannot be told from outside, so two arms cannot run beside
//! one another.

use super::judgement::Judgement;
use super::{Check, Example, Expect, Outcome, subject};
use crate::facts::declared::{Declared, ListenBy};
use crate::facts::gosource::GoListen;
use crate::facts::{Fact, Facts, Reason};
use crate::finding::{Checkpoint, Confidence, Evidence, Finding, FixKind, Severity};
use crate::say::{Said, Text};

/// The check.
pub const CHECK: Check = Check {
    code: "GO110",
    name: "listen-address-constant",
    checkpoint: Checkpoint::Process,
    title: Text { zh: "监听地址写死", en: "the listen address is a constant" },
    why: Text {
        zh: "新旧两个实例要同时运行,各用一个端口。地址写死时第二个实例起不来,只能原地重启,中间有真\
             实的中断。",
        en: "The old and the new instance must run side by side, each on its own port. With a \
             constant address the second cannot start, and only a restart in place is left, with \
             a real gap.",
    },
    fix: Text {
        zh: "从环境变量或命令行参数读取监听地址,并写进 guanka.toml 的 listen_env 或 args。",
        en: "Read the address from the environment or a flag, and name it in guanka.toml's \
             listen_env or args.",
    },
    base: Severity::Medium,
    confidence: Confidence::Certain,
    fix_kind: FixKind::Risky,
    why_risky: Text {
        zh: "未设置变量的启动方式会改用默认值。",
        en: "Whatever starts the program without the variable will get the default.",
    },
    is_required: false,
    since: "0.1.0",
    article: Text {
        zh: "文章的示例把地址写成 \":8080\"。",
        en: "The article's samples write the address as \":8080\".",
    },
    references: &["https://12factor.net/port-binding"],
    examples: EXAMPLES,
    run,
};

fn run(facts: &Facts) -> Outcome {
    let mut judgement = Judgement::default();
    let listens = subject::listens(facts);
    if listens.is_empty() {
        return judgement.end();
    }
    judgement.looked();
    if let Some(declared) = &facts.declared
        && let Some(found) = not_what_is_declared(declared, &listens)
    {
        judgement.find(found);
        return judgement.end();
    }
    let is_told = listens.iter().any(|l| !l.addr_from.is_empty());
    for listen in &listens {
        match &listen.addr {
            Fact::Known(addr) if is_fixed(&addr.value) && listen.addr_from.is_empty() => {
                let severity = if is_told { Severity::Low } else { Severity::Medium };
                let message = Said::new(
                    format!("监听地址写死为 {}:两个实例不能同时运行", addr.value),
                    format!("the address is always {}: two arms cannot run", addr.value),
                );
                let says =
                    Said::new(format!("监听 {}", addr.value), format!("listens on {}", addr.value));
                let place = Evidence::new(addr.from.clone(), says);
                judgement.find(CHECK.finding(message, place).rated(severity));
            }
            Fact::Known(_) => {}
            Fact::Unknown(_) | Fact::Conflict(_) if !listen.addr_from.is_empty() || is_told => {}
            Fact::Unknown(reason) => judgement.miss(address_of(listen), reason.clone()),
            Fact::Conflict(_) => {
                let place = Reason::NotThere(listen.span.place());
                judgement.miss(address_of(listen), place);
            }
        }
    }
    judgement.end()
}

/// Returns the fault that the program reads its address from something else than guanka.toml says.
fn not_what_is_declared(declared: &Declared, listens: &[&GoListen]) -> Option<Finding> {
    let read: Vec<&String> = listens.iter().flat_map(|l| l.addr_from.iter()).collect();
    let first = listens.iter().find(|l| !l.addr_from.is_empty())?;
    let (is_read, key, wanted) = match &declared.app.listen {
        ListenBy::Env { name, .. } => {
            let wanted = format!("${name}");
            (read.iter().any(|r| **r == wanted), "app.listen_env", wanted)
        }
        ListenBy::Args => {
            let wanted = declared.app.args.join(" ");
            let bare = |text: &str| {
                text.trim_start_matches('-').split('=').next().unwrap_or_default().to_owned()
            };
            let given: Vec<String> = declared.app.args.iter().map(|a| bare(a)).collect();
            let is_read = read.iter().any(|r| r.starts_with('-') && given.contains(&bare(r)));
            (is_read, "app.args", wanted)
        }
    };
    if is_read {
        return None;
    }
    let names = read.iter().map(|r| r.as_str()).collect::<Vec<_>>().join(", ");
    let message = Said::new(
        format!("guanka.toml 用 {wanted} 告知监听地址,程序读的是 {names}"),
        format!("guanka.toml tells the address by {wanted}, and the program reads {names}"),
    );
    let says = Said::new(format!("地址来自 {names}"), format!("the address comes from {names}"));
    let found = CHECK.finding(message, Evidence::at(&first.span, says));
    let Some(span) = declared.spans.get(key) else { return Some(found) };
    let says = Said::new(format!("声明为 {wanted}"), format!("declared as {wanted}"));
    Some(found.with(Evidence::at(span, says)))
}

/// A port of 0 is chosen by the kernel, and a unix socket has none.
fn is_fixed(addr: &str) -> bool {
    subject::port_of(addr).is_some_and(|port| port != 0)
}

fn address_of(listen: &GoListen) -> Said {
    Said::new(
        format!("{} 的监听地址", listen.call),
        format!("the address that {} listens on", listen.call),
    )
}

const CONSTANT: &str = r#"package main

import (
	"log"
	"net/http"
)

func main() {
	log.Fatal(http.ListenAndServe(":8080", nil))
}
"#;

const FROM_ENV: &str = r#"package main

import (
	"log"
	"net/http"
	"os"
)

func main() {
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), nil))
}
"#;

const WITH_DEFAULT: &str = r#"package main

import (
	"log"
	"net/http"
	"os"
)

func main() {
	addr := os.Getenv("LISTEN")
	if addr == "" {
		addr = "127.0.0.1:8080"
	}
	log.Fatal(http.ListenAndServe(addr, nil))
}
"#;

const TELLS_ANOTHER: &str = r#"[app]
name = "shop"
program = "."
listen_env = "LISTEN_ADDR"

[env.prod]
hosts = ["local:/"]

[proxy]
domain = "shop.example.com"
"#;

const EXAMPLES: &[Example] = &[
    Example { expect: Expect::Bad, files: &[("main.go", CONSTANT)] },
    Example {
        expect: Expect::Bad,
        files: &[("main.go", FROM_ENV), ("guanka.toml", TELLS_ANOTHER)],
    },
    Example { expect: Expect::Good, files: &[("main.go", FROM_ENV)] },
    Example { expect: Expect::NearMiss, files: &[("main.go", WITH_DEFAULT)] },
];
