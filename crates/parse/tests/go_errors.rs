//! What becomes of a listen error: every shape of code that a service's main is written in, each
//! with the near misses that look alike.

use guanka_core::facts::gosource::{ErrorFate, GoSource};
use guanka_parse::gosource::read_module;

const HEAD: &str = "package main\nimport (\n\"context\"\n\"errors\"\n\"log\"\n\"net\"\n\
            \"net/http\"\n\
    \"os\"\n\"os/signal\"\n\"syscall\"\n\"golang.org/x/sync/errgroup\"\n)\n";

fn module(body: &str) -> GoSource {
    let text = format!("{HEAD}{body}");
    let source = read_module(".", &[("main.go".to_owned(), text.into_bytes())]);
    assert!(source.problems.is_empty(), "{:?}", source.problems);
    source
}

/// The fate of the last listening call in `func main() { srv := …; <body> }`.
fn fate(body: &str) -> ErrorFate {
    fate_of(&format!("func main() {{\nsrv := &http.Server{{Addr: \":1\"}}\n{body}\n}}\n"))
}

fn fate_of(text: &str) -> ErrorFate {
    let source = module(text);
    source.listens.last().map(|l| l.error.clone()).expect("a listening call")
}

fn how(fate: &ErrorFate) -> &str {
    match fate {
        ErrorFate::Swallowed { how, .. } => how,
        other => panic!("not swallowed: {other:?}"),
    }
}

const WAIT: &str = "quit := make(chan os.Signal, 1)\nsignal.Notify(quit, syscall.SIGTERM)\n<-quit\n\
    ctx, cancel := context.WithTimeout(context.Background(), 10)\ndefer cancel()\n\
            srv.Shutdown(ctx)\n";

#[test]
fn an_error_sent_to_a_channel_that_is_read_after_the_signal_is_swallowed() {
    let sample = format!(
        "done := make(chan error, 1)\ngo func() {{ done <- srv.ListenAndServe() }}()\n\
            {WAIT}<-done\n"
    );
    assert_eq!(how(&fate(&sample)), "sent to done");
    let article = format!(
        "done := make(chan error, 1)\ngo func() {{\nif err := srv.ListenAndServe(); \
         err != http.ErrServerClosed {{\ndone <- err\n}}\n}}()\n{WAIT}"
    );
    assert_eq!(how(&fate(&article)), "sent to done");
}

#[test]
fn the_place_where_the_error_gets_lost_is_named() {
    let text = format!(
        "done := make(chan error, 1)\ngo func() {{\nerr := srv.ListenAndServe()\ndone <- err\n\
            }}()\n{WAIT}"
    );
    match fate(&text) {
        ErrorFate::Swallowed { span, .. } => assert_eq!(span.excerpt, "done <- err"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_channel_read_beside_or_before_the_signal_is_read() {
    let start = "errCh := make(chan error, 1)\ngo func() { errCh <- srv.ListenAndServe() }()\n\
        ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)\ndefer stop()\n";
    let beside = "select {\ncase err := <-errCh:\nlog.Print(err)\ncase <-ctx.Done():\n}\n";
    assert_eq!(fate(&format!("{start}{beside}")), ErrorFate::ReadWithSignal);
    let first = "go func() { <-ctx.Done(); srv.Shutdown(context.Background()) }()\n\
        if err := <-errCh; err != nil { log.Fatal(err) }\n";
    assert_eq!(fate(&format!("{start}{first}")), ErrorFate::ReadWithSignal);
}

#[test]
fn a_select_that_does_not_wait_or_comes_too_late_does_not_save_the_error() {
    let start = "errCh := make(chan error, 1)\ngo func() { errCh <- srv.ListenAndServe() }()\n";
    let once =
        format!("{start}select {{\ncase err := <-errCh:\nlog.Fatal(err)\ndefault:\n}}\n{WAIT}");
    assert_eq!(how(&fate(&once)), "sent to errCh");
    let late = format!("{start}{WAIT}select {{\ncase <-errCh:\ncase <-ctx.Done():\n}}\n");
    assert_eq!(how(&fate(&late)), "sent to errCh");
}

#[test]
fn a_fatal_log_ends_the_program_from_anywhere() {
    for text in [
        "log.Fatal(srv.ListenAndServe())",
        "go func() { log.Fatal(srv.ListenAndServe()) }()\nselect {}",
        "go func() {\nif err := srv.ListenAndServe(); err != nil && err != http.ErrServerClosed {\n\
         log.Fatal(err)\n}\n}()\nselect {}",
        "go func() {\nerr := srv.ListenAndServe()\nif !errors.Is(err, http.ErrServerClosed) {\n\
         log.Fatalf(\"x: %v\", err)\n}\n}()\nselect {}",
        "err := srv.ListenAndServe()\nif errors.Is(err, http.ErrServerClosed) {\nreturn\n}\n\
         log.Fatal(err)",
        "if err := srv.ListenAndServe(); err != nil { panic(err) }",
        "if err := srv.ListenAndServe(); err != nil {\nlog.Print(err)\nos.Exit(1)\n}",
        "go func() {\nswitch err := srv.ListenAndServe(); {\n\
            case errors.Is(err, http.ErrServerClosed):\n\
         default:\nlog.Fatal(err)\n}\n}()\nselect {}",
        "log.Fatal(errors.Join(srv.ListenAndServe(), nil))",
        "logger.Fatal().Err(srv.ListenAndServe()).Msg(\"x\")",
    ] {
        assert_eq!(fate(text), ErrorFate::EndsProgram, "{text}");
    }
}

#[test]
fn an_error_only_logged_or_ignored_in_a_goroutine_is_swallowed() {
    for (text, expected) in [
        (format!("go srv.ListenAndServe()\n{WAIT}"), "ignored"),
        (format!("go func() {{ srv.ListenAndServe() }}()\n{WAIT}"), "ignored"),
        (format!("go func() {{ _ = srv.ListenAndServe() }}()\n{WAIT}"), "ignored"),
        (format!("go func() {{ log.Println(srv.ListenAndServe()) }}()\n{WAIT}"), "only logged"),
        (
            format!(
                "go func() {{\nif err := srv.ListenAndServe(); err != nil {{\nlog.Print(err)\n\
            }}\n}}()\n{WAIT}"
            ),
            "only logged",
        ),
        (
            format!(
                "go func() {{\nerr := srv.ListenAndServe()\nif err != nil {{\nlog.Print(err)\n\
            return\n}}\n}}()\n{WAIT}"
            ),
            "only logged",
        ),
    ] {
        assert_eq!(how(&fate(&text)), expected, "{text}");
    }
}

#[test]
fn a_main_that_falls_off_its_end_ends_the_program() {
    assert_eq!(fate("srv.ListenAndServe()"), ErrorFate::EndsProgram);
    let logged = "if err := srv.ListenAndServe(); err != nil { log.Print(err) }";
    assert_eq!(fate(logged), ErrorFate::EndsProgram);
    let waits = format!("go other()\nlog.Print(srv.ListenAndServe())\n{WAIT}");
    assert_eq!(how(&fate(&waits)), "only logged");
}

#[test]
fn cancelling_the_context_that_main_waits_on_is_reading() {
    let text = "ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)\n\
        go func() {\nif err := srv.ListenAndServe(); err != nil {\nlog.Print(err)\nstop()\n}\n}()\n\
        <-ctx.Done()";
    assert_eq!(fate(text), ErrorFate::ReadWithSignal);
    let other = text.replace("\nstop()\n", "\nhalt()\n");
    assert_eq!(how(&fate(&other)), "only logged");
}

#[test]
fn an_error_returned_is_followed_to_the_callers() {
    let run = "func run() error {\nl, err := net.Listen(\"tcp\", \":1\")\nif err != nil {\n\
        return err\n}\nreturn http.Serve(l, nil)\n}\n";
    let fatal = "func main() { if err := run(); err != nil { log.Fatal(err) } }\n";
    assert_eq!(fate_of(&format!("{run}{fatal}")), ErrorFate::EndsProgram);
    let lost = "func main() { go run(); select {} }\n";
    let source = module(&format!("{run}{lost}"));
    assert_eq!(source.listens.len(), 2);
    assert!(source.listens.iter().all(|l| how(&l.error) == "ignored"), "{:?}", source.listens);
    assert!(matches!(fate_of(run), ErrorFate::Unclear(_)));
}

#[test]
fn channels_are_followed_through_parameters_and_fields() {
    let param = "func serve(s *http.Server, out chan<- error) { out <- s.ListenAndServe() }\n\
        func main() {\nerrs := make(chan error)\nsig := make(chan os.Signal, 1)\n\
        signal.Notify(sig, os.Interrupt)\ngo serve(&http.Server{}, errs)\n";
    let good = format!("{param}select {{\ncase <-errs:\ncase <-sig:\n}}\n}}\n");
    assert_eq!(fate_of(&good), ErrorFate::ReadWithSignal);
    let bad = format!("{param}<-sig\n<-errs\n}}\n");
    assert_eq!(how(&fate_of(&bad)), "sent to out");
    let waiter = format!(
        "func wait(errs chan error) error {{ return <-errs }}\n{}",
        param.replace("sig := ", "var sig chan os.Signal = ")
    );
    assert_eq!(fate_of(&format!("{waiter}wait(errs)\n<-sig\n}}\n")), ErrorFate::ReadWithSignal);
    assert_eq!(how(&fate_of(&format!("{waiter}<-sig\nwait(errs)\n}}\n"))), "sent to out");
    let elsewhere = fate_of(&format!("{waiter}go wait(errs)\n<-sig\n}}\n"));
    assert!(matches!(elsewhere, ErrorFate::Unclear(_)), "{elsewhere:?}");
    let field = "type S struct { srv *http.Server; notify chan error }\n\
        func (s *S) Start() { go func() { s.notify <- s.srv.ListenAndServe() }() }\n\
        func (s *S) Notify() <-chan error { return s.notify }\n\
        func main() {\ns := &S{srv: &http.Server{}}\ns.Start()\nsig := make(chan os.Signal, 1)\n";
    let good = format!("{field}select {{\ncase <-s.Notify():\ncase <-sig:\n}}\n}}\n");
    assert_eq!(fate_of(&good), ErrorFate::ReadWithSignal);
    let bad = format!("{field}<-sig\n}}\n");
    assert!(matches!(fate_of(&bad), ErrorFate::Unclear(_)));
}

#[test]
fn an_error_group_with_a_context_reads_the_error() {
    let text = "g, ctx := errgroup.WithContext(context.Background())\n\
        g.Go(func() error { return srv.ListenAndServe() })\n\
        g.Go(func() error { <-ctx.Done(); return srv.Shutdown(ctx) })\n_ = g.Wait()\n";
    assert_eq!(fate(text), ErrorFate::ReadWithSignal);
    let plain =
        text.replace("g, ctx := errgroup.WithContext(context.Background())", "g := group()");
    assert!(matches!(fate(&plain), ErrorFate::Unclear(_)));
}

#[test]
fn a_fatal_error_that_may_be_the_shutdown_itself_is_listed() {
    let bad = "func main() {\nsrv := &http.Server{}\nlog.Fatal(srv.ListenAndServe())\n}\n";
    assert_eq!(module(bad).fatal_on_closed.len(), 1);
    let good = "func main() {\nsrv := &http.Server{}\nif err := srv.ListenAndServe(); \
        !errors.Is(err, http.ErrServerClosed) {\nlog.Fatal(err)\n}\n}\n";
    assert_eq!(module(good).fatal_on_closed.len(), 0);
    let listen = "func main() {\n_, err := net.Listen(\"tcp\", \":1\")\nif err != nil {\n\
        log.Fatal(err)\n}\n}\n";
    assert_eq!(module(listen).fatal_on_closed.len(), 0);
}
