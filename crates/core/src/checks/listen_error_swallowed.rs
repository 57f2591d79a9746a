//! GO045: the program cannot listen and lives on, so the process manager says RUNNING and nothing
//! answers. The article's own sample does this.

use super::judgement::Judgement;
use super::{Check, Example, Expect, Outcome, proxying, subject};
use crate::facts::gosource::{ErrorFate, GoListen};
use crate::facts::{Fact, Facts, Provenance, Reason};
use crate::finding::{Checkpoint, Confidence, Evidence, Finding, FixKind, Severity};
use crate::say::{Said, Text};

/// The check.
pub const CHECK: Check = Check {
    code: "GO045",
    name: "listen-error-swallowed",
    checkpoint: Checkpoint::Process,
    title: Text { zh: "监听错误被吞掉", en: "the error of listening is swallowed" },
    why: Text {
        zh: "端口被占用时程序不退出:守护进程显示 RUNNING,却没有任何监听(实测)。没有重启,没有告警\
             ,nginx 只回 502。",
        en: "When the port is taken the program does not end: its process manager says RUNNING \
             and nothing listens (measured). No restart, no alarm; nginx answers 502.",
    },
    fix: Text {
        zh: "在同一个 select 里同时等待监听错误和退出信号;出错就退出。",
        en: "Wait for the listen error and the signal in one select; end the program on an error.",
    },
    base: Severity::Critical,
    confidence: Confidence::Certain,
    fix_kind: FixKind::Risky,
    why_risky: Text {
        zh: "程序将在监听失败时退出并被重启,以前它会留在内存里。",
        en: "The program will end and be restarted when it cannot listen; before, it stayed alive.",
    },
    is_required: true,
    since: "0.1.0",
    article: Text {
        zh: "文章的优雅退出示例把错误送进 done 通道,却只等信号:端口被占用时 main 永远挂起(已复现\
             )。",
        en: "The article's graceful-exit sample sends the error into the channel done and then \
             waits only for a signal: with the port taken, main hangs for ever (reproduced).",
    },
    references: &["https://pkg.go.dev/net/http#Server.ListenAndServe"],
    examples: EXAMPLES,
    run,
};

fn run(facts: &Facts) -> Outcome {
    let mut judgement = Judgement::default();
    let listens = subject::listens(facts);
    for listen in &listens {
        judgement.looked();
        // A port that is taken shows in net.Listen, not in the Serve that is given its listener.
        if is_given_a_listener(listen) {
            continue;
        }
        match &listen.error {
            ErrorFate::EndsProgram | ErrorFate::ReadWithSignal => {}
            ErrorFate::Swallowed { span, how } => {
                let lost = Evidence::at(span, how_lost(how));
                judgement.find(finding(facts, listen, lost, is_side(listen, &listens)));
            }
            ErrorFate::Unclear(what) => judgement.miss(
                Said::new(
                    format!("{} 的错误去向", listen.call),
                    format!("what becomes of the error of {}", listen.call),
                ),
                Reason::NotConstant { what: what.clone(), span: listen.span.clone() },
            ),
        }
    }
    judgement.end()
}

fn finding(facts: &Facts, listen: &GoListen, lost: Evidence, is_side: Side) -> Finding {
    let message = Said::new(
        format!("{} 的错误被吞掉:端口被占用时进程仍在,却没有监听", listen.call),
        format!("the error of {} is lost: with the port taken nothing listens", listen.call),
    );
    let says = Said::new("在此监听", "listens here");
    let mut found = CHECK.finding(message, Evidence::at(&listen.span, says)).with(lost);
    if let Side::Debug = is_side {
        found = found.rated(Severity::Medium);
    }
    let listeners = facts.host.as_ref().and_then(|h| h.listeners.known());
    let deaf = subject::running(facts).into_iter().find(|p| p.ports.is_empty());
    if let (Some(_), Some(program)) = (listeners, deaf) {
        let says = Said::new(
            format!("进程 {} 正在运行,却不监听任何端口", program.pid),
            format!("process {} runs and listens on no port", program.pid),
        );
        found = found.with(Evidence::new(Provenance::Path(program.program.clone()), says));
    }
    found
}

fn is_given_a_listener(listen: &GoListen) -> bool {
    let name = listen.call.rsplit('.').next().unwrap_or_default();
    matches!(name, "Serve" | "ServeTLS" | "RunListener" | "Listener")
}

/// What a listener is for.
#[derive(Clone, Copy)]
enum Side {
    /// The service itself.
    Service,
    /// A second, loopback-only listener (pprof) beside one whose error ends the program.
    Debug,
}

fn is_side(listen: &GoListen, all: &[&GoListen]) -> Side {
    let is_loopback = match &listen.addr {
        Fact::Known(addr) => proxying::is_loopback(subject::host_of(&addr.value)),
        _ => false,
    };
    let other_ends =
        all.iter().any(|l| matches!(l.error, ErrorFate::EndsProgram | ErrorFate::ReadWithSignal));
    if is_loopback && other_ends { Side::Debug } else { Side::Service }
}

fn how_lost(how: &str) -> Said {
    let zh = match how {
        "only logged" => "错误只写了日志".to_owned(),
        "ignored" => "错误被忽略".to_owned(),
        _ => match how.strip_prefix("sent to ") {
            Some(channel) => format!("错误送进 {channel},信号到来之前没有人读"),
            None => format!("错误在此丢失:{how}"),
        },
    };
    let en = match how.strip_prefix("sent to ") {
        Some(channel) => format!("sent to {channel}, which nobody reads before a signal comes"),
        None => format!("the error is {how}"),
    };
    Said::new(zh, en)
}

const ARTICLE: &str = r#"package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	srv := &http.Server{Addr: ":8080"}
	done := make(chan error, 1)
	go func() {
		if err := srv.ListenAndServe(); err != http.ErrServerClosed {
			done <- err
		}
	}()
	sigChan := make(chan os.Signal, 1)
	signal.Notify(sigChan, syscall.SIGTERM, syscall.SIGINT)
	<-sigChan
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		log.Printf("shutdown: %v", err)
	}
}
"#;

const SELECTS: &str = r#"package main

import (
	"context"
	"log"
	"net/http"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	srv := &http.Server{Addr: ":8080"}
	errCh := make(chan error, 1)
	go func() { errCh <- srv.ListenAndServe() }()
	select {
	case err := <-errCh:
		log.Fatal(err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	srv.Shutdown(drain)
}
"#;

const FATAL_IN_GOROUTINE: &str = r#"package main

import (
	"context"
	"log"
	"net/http"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	srv := &http.Server{Addr: ":8080"}
	go func() {
		if err := srv.ListenAndServe(); err != nil && err != http.ErrServerClosed {
			log.Fatal(err)
		}
	}()
	<-ctx.Done()
	srv.Shutdown(context.Background())
}
"#;

const SERVES_A_LISTENER: &str = r#"package main

import (
	"context"
	"log"
	"net"
	"net/http"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	l, err := net.Listen("tcp", "127.0.0.1:8080")
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{}
	go srv.Serve(l)
	<-ctx.Done()
	srv.Shutdown(context.Background())
}
"#;

const EXAMPLES: &[Example] = &[
    Example { expect: Expect::Bad, files: &[("main.go", ARTICLE)] },
    Example { expect: Expect::Good, files: &[("main.go", SELECTS)] },
    Example { expect: Expect::NearMiss, files: &[("main.go", FATAL_IN_GOROUTINE)] },
    Example { expect: Expect::NearMiss, files: &[("main.go", SERVES_A_LISTENER)] },
];
