//! GO040: the program serves and does not catch SIGTERM, so every release cuts the requests under
//! way.

use super::judgement::Judgement;
use super::{Check, Example, Expect, Missing, Outcome, subject};
use crate::facts::gosource::{GoListen, GoSource};
use crate::facts::{Facts, Reason};
use crate::finding::{Checkpoint, Confidence, Evidence, FixKind, Severity};
use crate::say::{Said, Text};

/// The check.
pub const CHECK: Check = Check {
    code: "GO040",
    name: "sigterm-unhandled",
    checkpoint: Checkpoint::Process,
    title: Text { zh: "没有处理 SIGTERM", en: "SIGTERM is not caught" },
    why: Text {
        zh: "systemd 和 Supervisor 用 SIGTERM 停止程序;不捕获它的 Go 程序立即退出,处理到一半的请求\
             全部被切断,每次发布都是如此。只捕获 SIGINT 不够。",
        en: "systemd and Supervisor stop a program with SIGTERM, and a Go program that does not \
             catch it ends at once and cuts every request under way, at every release. Catching \
             only SIGINT is not enough.",
    },
    fix: Text {
        zh: "用 signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt),收到后调用带时限的 \
             srv.Shutdown。",
        en: "Use signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt), then call srv.Shutdown \
             with a time limit.",
    },
    base: Severity::High,
    confidence: Confidence::Likely,
    fix_kind: FixKind::Risky,
    why_risky: Text {
        zh: "停止不再是瞬间完成:排空期间进程仍在,停止窗口必须够长(XX046)。",
        en: "Stopping is no longer instant: the process lives on while it drains, and the stop \
             window must be long enough (XX046).",
    },
    is_required: true,
    since: "0.1.0",
    article: Text {
        zh: "文章说守护进程发送 SIGTERM/SIGINT。systemd 只发 SIGTERM(KillSignal=),超过 \
             TimeoutStopSec 再发 SIGKILL;Supervisor 默认也是 TERM。",
        en: "The article says that SIGTERM/SIGINT are sent. systemd sends only SIGTERM \
             (KillSignal=), then SIGKILL after TimeoutStopSec; Supervisor sends TERM too.",
    },
    references: &["https://pkg.go.dev/os/signal#NotifyContext"],
    examples: EXAMPLES,
    run,
};

/// Modules that catch SIGTERM for the program that uses them.
const CATCHERS: &[&str] = &[
    "go.uber.org/fx",
    "github.com/go-kratos/kratos",
    "github.com/zeromicro/go-zero",
    "github.com/fvbock/endless",
    "github.com/oklog/run",
    "github.com/cloudflare/tableflip",
];

fn run(facts: &Facts) -> Outcome {
    let mut judgement = Judgement::default();
    let Some(source) = &facts.source else { return judgement.end() };
    let listens = subject::listens(facts);
    let mut seen: Vec<&str> = Vec::new();
    for listen in &listens {
        judgement.looked();
        // One finding for each folder that serves is enough.
        if !seen.contains(&listen.folder.as_str()) {
            seen.push(&listen.folder);
            judge(facts, source, listen, &mut judgement);
        }
    }
    judgement.end()
}

fn judge(facts: &Facts, source: &GoSource, listen: &GoListen, judgement: &mut Judgement) {
    let caught: Vec<_> = source
        .signals
        .iter()
        .filter(|s| subject::is_ours(facts, &s.folder))
        .filter(|s| subject::share_a_program(source, &s.folder, &listen.folder))
        .collect();
    let is_term = |name: &String| name == "SIGTERM";
    if caught.iter().any(|s| s.signals.is_empty() || s.signals.iter().any(is_term)) {
        return;
    }
    if let Some(missing) = may_catch_unseen(source) {
        judgement.missing(missing);
        return;
    }
    let message = match caught.first() {
        Some(signal) => {
            let names = signal.signals.join(", ");
            Said::new(
                format!("只捕获 {names},没有 SIGTERM:每次停止都切断处理中的请求"),
                format!("only {names} is caught, not SIGTERM: every stop cuts requests under way"),
            )
        }
        None => Said::new(
            "没有捕获 SIGTERM:每次停止都切断处理中的请求",
            "SIGTERM is not caught: every stop cuts the requests under way",
        ),
    };
    let primary = Evidence::at(&listen.span, Said::new("在此提供服务", "serves here"));
    let mut finding = CHECK.finding(message, primary);
    for signal in caught {
        let says = Said::new(
            format!("只捕获 {}", signal.signals.join(", ")),
            format!("catches only {}", signal.signals.join(", ")),
        );
        finding = finding.with(Evidence::at(&signal.span, says));
    }
    judgement.find(finding);
}

/// Returns what may catch the signal where this check cannot see it: another module, or a stretch
/// of the source that was not understood.
fn may_catch_unseen(source: &GoSource) -> Option<Missing> {
    let what = Said::new("SIGTERM 的处理", "the handling of SIGTERM");
    let is_catcher = |path: &str| CATCHERS.iter().any(|c| path.starts_with(c));
    if let Some(import) = source.imports.iter().find(|i| is_catcher(&i.path)) {
        return Some(Missing { what, reason: Reason::OutsideOurSight(import.path.clone()) });
    }
    let problem = source.problems.first()?;
    Some(Missing { what, reason: Reason::NotParsed(problem.span.clone()) })
}

const WITHOUT: &str = r#"package main

import (
	"log"
	"net/http"
)

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", nil))
}
"#;

const ONLY_INT: &str = r#"package main

import (
	"context"
	"net/http"
	"os"
	"os/signal"
)

func main() {
	srv := &http.Server{Addr: "127.0.0.1:8080"}
	errs := make(chan error, 1)
	go func() { errs <- srv.ListenAndServe() }()
	quit := make(chan os.Signal, 1)
	signal.Notify(quit, os.Interrupt)
	select {
	case err := <-errs:
		panic(err)
	case <-quit:
	}
	srv.Shutdown(context.Background())
}
"#;

const WITH: &str = r#"package main

import (
	"context"
	"net/http"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	srv := &http.Server{Addr: "127.0.0.1:8080"}
	errs := make(chan error, 1)
	go func() { errs <- srv.ListenAndServe() }()
	select {
	case err := <-errs:
		panic(err)
	case <-ctx.Done():
	}
	srv.Shutdown(context.Background())
}
"#;

const ALL_SIGNALS: &str = r#"package main

import (
	"context"
	"net/http"
	"os"
	"os/signal"
)

func main() {
	srv := &http.Server{Addr: "127.0.0.1:8080"}
	errs := make(chan error, 1)
	go func() { errs <- srv.ListenAndServe() }()
	quit := make(chan os.Signal, 1)
	signal.Notify(quit)
	select {
	case err := <-errs:
		panic(err)
	case <-quit:
	}
	srv.Shutdown(context.Background())
}
"#;

const EXAMPLES: &[Example] = &[
    Example { expect: Expect::Bad, files: &[("main.go", WITHOUT)] },
    Example { expect: Expect::Bad, files: &[("main.go", ONLY_INT)] },
    Example { expect: Expect::Good, files: &[("main.go", WITH)] },
    Example { expect: Expect::NearMiss, files: &[("main.go", ALL_SIGNALS)] },
];
