//! Servers, their limits and addresses: what is folded, what is followed and what stays unknown.

use guanka_core::facts::gosource::{GoHandler, GoListen, GoServer, GoSource};
use guanka_core::facts::{Fact, Provenance, Reason};
use guanka_core::quantity::Millis;
use guanka_parse::gosource::read_module;

fn read(files: &[(&str, &str)]) -> GoSource {
    let files: Vec<_> =
        files.iter().map(|(p, t)| ((*p).to_owned(), t.as_bytes().to_vec())).collect();
    let source = read_module("shop", &files);
    assert!(source.problems.is_empty(), "{:?}", source.problems);
    source
}

fn main_file(body: &str) -> GoSource {
    let head = "package main\nimport (\n\"context\"\n\"cmp\"\n\"flag\"\n\"fmt\"\n\"net\"\n\
            \"net/http\"\n\
        \"os\"\n\"time\"\n\"github.com/gin-gonic/gin\"\n\"github.com/labstack/echo/v4\"\n\
        \"github.com/gofiber/fiber/v2\"\n)\n";
    read(&[("main.go", &format!("{head}{body}"))])
}

fn server(body: &str) -> GoServer {
    let mut source = main_file(body);
    assert_eq!(source.servers.len(), 1, "{:?}", source.servers);
    source.servers.remove(0)
}

/// The last listening call of a main.
fn listen(body: &str) -> GoListen {
    main_file(body).listens.pop().expect("a listening call")
}

fn secs(fact: &Fact<Millis>) -> Option<u64> {
    fact.known().map(|m| m.0 / 1000)
}

#[test]
fn limits_are_folded_over_constants_variables_and_conversions() {
    let found = server(
        "const (\nbase = 10\nread = base * time.Second\n)\nvar idle = 2 * read\nfunc main() {\n\
         write := time.Duration(5) * time.Second\nsrv := &http.Server{\nReadTimeout: read,\n\
         WriteTimeout: write,\nIdleTimeout: idle + time.Minute,\n}\n_ = srv\n}\n",
    );
    assert_eq!(secs(&found.read_timeout), Some(10));
    assert_eq!(secs(&found.write_timeout), Some(5));
    assert_eq!(secs(&found.idle_timeout), Some(80));
    assert!(!found.read_header_timeout.is_written());
    assert_eq!(found.read_header_timeout.known(), Some(&Millis::ZERO));
    assert_eq!(found.variable.as_deref(), Some("srv"));
    let span = found.read_timeout.span().expect("written");
    assert_eq!((span.file.as_str(), span.excerpt.trim()), ("shop/main.go", "ReadTimeout: read,"));
}

#[test]
fn a_limit_from_elsewhere_is_unknown_and_names_its_place() {
    let found = server(
        "func main() {\nd, _ := time.ParseDuration(os.Getenv(\"IDLE\"))\n\
         srv := http.Server{IdleTimeout: d, ReadTimeout: cfg.Read}\n_ = srv\n}\n",
    );
    match &found.idle_timeout {
        Fact::Unknown(Reason::NotConstant { what, span }) => {
            assert_eq!(what, "$IDLE");
            assert!(span.excerpt.contains("Getenv"), "{span:?}");
        }
        other => panic!("{other:?}"),
    }
    match &found.read_timeout {
        Fact::Unknown(Reason::NotConstant { what, .. }) => assert_eq!(what, "cfg.Read"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_variable_that_is_set_again_is_no_constant() {
    let found = server(
        "var idle = 5 * time.Second\nfunc init() { idle = time.Hour }\n\
         func main() { _ = http.Server{IdleTimeout: idle} }\n",
    );
    assert_eq!(found.idle_timeout.known(), None);
    let shadowed = server(
        "var idle = 5 * time.Second\nfunc init() { idle := time.Hour; _ = idle }\n\
         func main() { _ = http.Server{IdleTimeout: idle} }\n",
    );
    assert_eq!(secs(&shadowed.idle_timeout), Some(5));
}

#[test]
fn later_assignments_count_and_conditional_ones_conflict() {
    let found = server(
        "func main() {\nsrv := &http.Server{Addr: \":1\", WriteTimeout: time.Second}\n\
         srv.ReadTimeout = 5 * time.Second\nif slow {\nsrv.WriteTimeout = time.Minute\n}\n\
         other.IdleTimeout = time.Second\n}\nvar other T\ntype T struct{}\n",
    );
    assert_eq!(secs(&found.read_timeout), Some(5));
    assert!(matches!(&found.write_timeout, Fact::Conflict(list) if list.len() == 2));
    assert_eq!(secs(&found.idle_timeout), Some(0));
}

#[test]
fn zero_values_and_new_are_servers_too() {
    let zero =
        server("func main() {\nvar srv http.Server\nsrv.Addr = \":9\"\nsrv.ListenAndServe()\n}\n");
    assert_eq!(zero.addr.known().map(String::as_str), Some(":9"));
    let made = server("func main() {\nsrv := new(http.Server)\nsrv.ReadTimeout = time.Second\n}\n");
    assert_eq!(secs(&made.read_timeout), Some(1));
    let none = main_file("type http2 struct{}\nfunc main() { _ = Server{}; _ = x.Server{} }\n");
    assert!(none.servers.is_empty());
}

#[test]
fn negative_limits_mean_none_and_never_zero() {
    let found = server("func main() { _ = http.Server{IdleTimeout: -1, ReadTimeout: 1} }\n");
    assert!(found.idle_timeout.known().is_some_and(|m| *m > Millis::from_secs(86_400)));
    assert_eq!(found.read_timeout.known(), Some(&Millis(1)));
}

#[test]
fn constants_are_found_in_other_packages_of_the_module() {
    let source = read(&[
        ("go.mod", "module example.com/shop\n\ngo 1.22\n"),
        (
            "conf/conf.go",
            "package conf\nimport \"time\"\nconst Read = 7 * time.Second\nvar Addr = \":70\"\n",
        ),
        (
            "main.go",
            "package main\nimport (\n\"net/http\"\n\"example.com/shop/conf\"\n)\nfunc main() {\n\
             s := http.Server{Addr: conf.Addr, ReadTimeout: conf.Read}\ns.ListenAndServe()\n}\n",
        ),
        ("main_test.go", "package main\nvar _ = http.Server{}\n"),
        ("vendor/x/x.go", "package x\nimport \"net/http\"\nvar S = http.Server{}\n"),
        (
            "gen.go",
            "// Code generated by x. DO NOT EDIT.\npackage main\nimport \"net/http\"\n\
            var G = http.Server{}\n",
        ),
    ]);
    assert_eq!((source.servers.len(), source.files), (1, 2));
    assert_eq!(secs(&source.servers[0].read_timeout), Some(7));
    assert_eq!(source.listens[0].addr.known().map(String::as_str), Some(":70"));
    assert_eq!(source.mains[0].folder, ".");
}

#[test]
fn a_constant_address_is_known() {
    for (body, expected) in [
        (
            "const port = \"80\" + \"80\"\nfunc main() { http.ListenAndServe(\":\"+port, nil) }",
            ":8080",
        ),
        ("func main() { http.ListenAndServe(fmt.Sprintf(\":%d\", 81), nil) }", ":81"),
        ("func main() { http.ListenAndServe(net.JoinHostPort(\"\", \"82\"), nil) }", ":82"),
        (
            "func serve(addr string) { http.ListenAndServe(addr, nil) }\n\
            func main() { serve(\":83\") }",
            ":83",
        ),
        ("func main() {\nl, _ := net.Listen(\"tcp\", \":84\")\nhttp.Serve(l, nil)\n}", ":84"),
        ("func main() { net.Listen(\"unix\", \"/run/a.sock\") }", "unix:/run/a.sock"),
        (
            "func main() {\nvar lc net.ListenConfig\n\
            lc.Listen(context.Background(), \"tcp\", \":85\")\n}",
            ":85",
        ),
        ("func main() { r := gin.Default(); r.Run(\":86\") }", ":86"),
        ("func main() { e := echo.New(); e.Logger.Fatal(e.Start(\":87\")) }", ":87"),
        ("func main() { app := fiber.New(); app.Listen(\":88\") }", ":88"),
        ("func main() { http.ListenAndServe(\"\", nil) }", ":80"),
        (
            "type A struct{ srv *http.Server }\n\
            func New() *A { return &A{srv: &http.Server{Addr: \":89\"}} }\n\
          func (a *A) Run() error { return a.srv.ListenAndServe() }",
            ":89",
        ),
    ] {
        let found = listen(body);
        assert_eq!(found.addr.known().map(String::as_str), Some(expected), "{body}");
        assert!(found.addr_from.is_empty(), "{body}");
    }
}

#[test]
fn an_address_made_at_run_time_names_what_it_is_made_from() {
    for (body, expected) in [
        ("func main() { http.ListenAndServe(\":\"+os.Getenv(\"PORT\"), nil) }", "$PORT"),
        (
            "func main() {\naddr := os.Getenv(\"LISTEN\")\nif addr == \"\" {\n\
            addr = \"127.0.0.1:8080\"\n}\n\
             srv := &http.Server{Addr: addr}\nsrv.ListenAndServe()\n}",
            "$LISTEN",
        ),
        (
            "func main() {\naddr := \":1\"\nif v, ok := os.LookupEnv(\"ADDR\"); ok {\naddr = v\n}\n\
             http.ListenAndServe(addr, nil)\n}",
            "$ADDR",
        ),
        (
            "func getenv(key, def string) string {\nif v := os.Getenv(key); v != \"\" {\n\
            return v\n}\nreturn def\n}\n\
             var other = getenv(\"OTHER\", \"x\")\n\
             func main() { http.ListenAndServe(\":\"+getenv(\"PORT\", \"8080\"), nil) }",
            "$PORT",
        ),
        ("func main() { http.ListenAndServe(cmp.Or(os.Getenv(\"A\"), \":1\"), nil) }", "$A"),
        (
            "var listen = flag.String(\"listen\", \":8080\", \"\")\n\
             func main() { flag.Parse(); http.ListenAndServe(*listen, nil) }",
            "-listen",
        ),
        (
            "func main() {\nvar a string\nflag.StringVar(&a, \"addr\", \":1\", \"\")\n\
             http.ListenAndServe(a, nil)\n}",
            "-addr",
        ),
        (
            "func main() {\nfs := flag.NewFlagSet(\"x\", 0)\np := fs.Int(\"port\", 80, \"\")\n\
             http.ListenAndServe(fmt.Sprintf(\":%d\", *p), nil)\n}",
            "-port",
        ),
        (
            "type Config struct {\nAddr string\n}\n\
            func load() Config { return Config{Addr: os.Getenv(\"C\")} }\n\
             func main() {\ncfg := load()\nsrv := http.Server{Addr: cfg.Addr}\n\
            srv.ListenAndServe()\n}",
            "$C",
        ),
        (
            "type Config struct {\nListen string `env:\"LISTEN_ADDR,required\"`\n}\n\
             func main() {\nvar cfg Config\nfill(&cfg)\nhttp.ListenAndServe(cfg.Listen, nil)\n}",
            "$LISTEN_ADDR",
        ),
        ("func main() { r := gin.New(); r.Run() }", "$PORT"),
    ] {
        let found = listen(body);
        assert_eq!(found.addr.known(), None, "{body}");
        assert_eq!(found.addr_from, [expected], "{body}");
    }
}

#[test]
fn what_only_looks_like_listening_is_left_alone() {
    let source = main_file(
        "func main() {\ncmd.Run()\nt.Run(\"x\", f)\ntimer.Start(\":1\")\nx.Listen(\":1\")\n\
         y.Serve(z)\nbus.Listen(a, b, c)\n}\n",
    );
    assert!(source.listens.is_empty(), "{:?}", source.listens);
}

#[test]
fn a_listening_call_knows_its_server_and_handler() {
    let source = main_file(
        "func main() {\na := &http.Server{Addr: \":1\"}\n\
            b := &http.Server{Addr: \":2\", Handler: mux}\n\
         go a.ListenAndServe()\ngo b.ListenAndServeTLS(\"c\", \"k\")\n\
            http.ListenAndServe(\":3\", nil)\n\
         http.ListenAndServe(\":4\", http.DefaultServeMux)\nhttp.ListenAndServe(\":5\", mux)\n}\n",
    );
    let servers: Vec<_> = source.listens.iter().map(|l| l.server).collect();
    assert_eq!(servers, [Some(0), Some(1), None, None, None]);
    assert_eq!(source.servers[0].handler, GoHandler::DefaultMux);
    assert_eq!(source.servers[1].handler, GoHandler::Own("mux".to_owned()));
    assert_eq!(source.listens[3].handler, Some(GoHandler::DefaultMux));
    assert_eq!(source.listens[4].handler, Some(GoHandler::Own("mux".to_owned())));
    assert_eq!(source.listens[1].call, "b.ListenAndServeTLS");
    let missing = &server("func main() { _ = http.Server{} }\n").addr;
    assert!(matches!(missing, Fact::Known(s) if matches!(s.from, Provenance::Default { .. })));
}

#[test]
fn environment_flags_and_watched_calls_are_listed_where_they_are_named() {
    let source = main_file(
        "func env(k string) string { return os.Getenv(k) }\nfunc main() {\nenv(\"A\")\n\
            os.Getenv(\"B\")\n\
         flag.Bool(\"v\", false, \"\")\nruntime.GOMAXPROCS(4)\n\
            r.Header.Get(\"X-Forwarded-For\")\nos.Exit(3)\n}\n",
    );
    let names: Vec<_> = source.env_reads.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["A", "B"]);
    assert_eq!(source.flags[0].name, "v");
    let calls: Vec<_> = source.calls.iter().map(|c| (c.name.as_str(), c.args.clone())).collect();
    let expected = [
        ("r.Header.Get", vec![Some("X-Forwarded-For".to_owned())]),
        ("os.Exit", vec![Some("3".to_owned())]),
    ];
    assert_eq!(calls, expected);
}

#[test]
fn text_that_is_no_go_is_a_problem_and_the_rest_is_read() {
    let text = b"package main\nimport \"net/http\"\nfunc a() { x := := 1 }\n\xff\xfe\n\
        func main() { http.ListenAndServe(\":1\", nil) }\n";
    let source = read_module(".", &[("main.go".to_owned(), text.to_vec())]);
    assert_eq!(source.listens.len(), 1);
    assert!(source.problems.iter().any(|p| p.span.line == 3), "{:?}", source.problems);
}

#[test]
fn any_bytes_are_read_without_a_panic() {
    const PIECES: &[&str] = &[
        "package main\n",
        "import \"net/http\"\n",
        "import \"os\"\n",
        "func main() {",
        "}",
        "\n",
        "a",
        " := ",
        "http.Server{",
        "srv.ListenAndServe()",
        "go ",
        "func() {",
        "}()",
        "<-",
        "done",
        " = ",
        "if err ",
        "!= nil {",
        "return ",
        "select {",
        "case ",
        ":",
        "http.HandleFunc(",
        "\"/x\"",
        ", ",
        ")",
        "(",
        "os.Getenv(",
        "for ",
        "func a(a string) string {",
        "a(a)",
        "var a = a\n",
        "&",
        "a.a",
    ];
    arbtest::arbtest(|u| {
        let picks: Vec<u8> = u.arbitrary()?;
        let text: String = picks.iter().map(|p| PIECES[usize::from(*p) % PIECES.len()]).collect();
        read_module("/", &[("a.go".to_owned(), picks), ("b.go".to_owned(), text.into_bytes())]);
        Ok(())
    });
}

#[test]
fn a_variable_behind_a_colon_is_a_port_and_one_that_stands_alone_is_an_address() {
    let cases = [
        ("func main() { http.ListenAndServe(\":\"+os.Getenv(\"P\"), nil) }\n", &["$P"][..]),
        (
            "func main() { http.ListenAndServe(fmt.Sprintf(\":%s\", os.Getenv(\"P\")), nil) }\n",
            &["$P"],
        ),
        (
            "func main() { http.ListenAndServe(net.JoinHostPort(\"\", os.Getenv(\"P\")), nil) }\n",
            &["$P"],
        ),
        (
            "var p = flag.Int(\"port\", 1, \"\")\nfunc main() {\n\
          http.ListenAndServe(fmt.Sprintf(\"%s:%d\", os.Getenv(\"HOST\"), *p), nil) }\n",
            &["-port"],
        ),
        (
            "func main() {\nport := os.Getenv(\"P\")\nif port == \"\" { port = \"8080\" }\n\
          srv := &http.Server{Addr: \"127.0.0.1:\" + port}\nsrv.ListenAndServe() }\n",
            &["$P"],
        ),
        ("func main() { r := gin.Default(); r.Run() }\n", &["$PORT"]),
        ("func main() { http.ListenAndServe(os.Getenv(\"A\"), nil) }\n", &[]),
        ("func main() { http.ListenAndServe(os.Getenv(\"HOST\")+\":80\", nil) }\n", &[]),
        ("func main() { http.ListenAndServe(fmt.Sprintf(\"%s\", os.Getenv(\"A\")), nil) }\n", &[]),
    ];
    for (body, ports) in cases {
        let found = listen(body);
        assert!(!found.addr_from.is_empty(), "{body}");
        assert_eq!(found.port_from, ports, "{body}");
    }
}
