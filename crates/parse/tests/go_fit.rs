//! What a program's source makes of `[proxy]`: streams found however they are written, time limits
//! on the right side of Go's, and paths that are not for everybody.

use guanka_core::checks::run_all;
use guanka_core::facts::Facts;
use guanka_core::facts::declared::{Declared, Proxy};
use guanka_core::facts::guard::MetricsFrom;
use guanka_core::plan::fit::fit;
use guanka_parse::{gosource, manifest};

const HEAD: &str = "[app]\nname = \"shop\"\nlisten_env = \"PORT\"\n[env.prod]\n\
     hosts = [\"local:/\"]\n[proxy]\ndomain = \"shop.example.com\"\n";

fn declared(keys: &str) -> Declared {
    let file = manifest::read("guanka.toml", &format!("{HEAD}{keys}"), Some("prod"));
    assert!(file.problems.is_empty(), "{:?}", file.problems);
    file.declared.expect("a declaration")
}

fn fitted(keys: &str, source: &str) -> Proxy {
    let source = gosource::read_module(".", &[("main.go".to_owned(), source.as_bytes().to_vec())]);
    assert!(source.problems.is_empty(), "{:?}", source.problems);
    let mut declared = declared(keys);
    fit(&mut declared, &source);
    declared.proxy
}

fn streams(imports: &[&str], body: &str) -> Vec<String> {
    let imports: String = imports.iter().map(|path| format!("{path}\n")).collect();
    let text = format!("package main\nimport (\n\"net/http\"\n{imports})\n{body}");
    fitted("", &text).streams
}

#[test]
fn websocket_routes_are_found_with_each_library() {
    let gorilla = "var up = websocket.Upgrader{}\nfunc main() {\n\
        http.HandleFunc(\"/ws\", func(w http.ResponseWriter, r *http.Request) {\n\
        serveWs(w, r)\n})\nhttp.HandleFunc(\"/plain\", plain)\n\
        http.ListenAndServe(\":80\", nil)\n}\n\
        func plain(w http.ResponseWriter, r *http.Request) { w.Write(nil) }\n\
        func serveWs(w http.ResponseWriter, r *http.Request) { up.Upgrade(w, r, nil) }\n";
    assert_eq!(streams(&["\"github.com/gorilla/websocket\""], gorilla), ["/ws"]);
    for path in ["\"github.com/coder/websocket\"", "\"nhooyr.io/websocket\""] {
        let body = "func main() { http.HandleFunc(\"GET /chat/{room}\", chat)\n\
            http.ListenAndServe(\":80\", nil) }\n\
            func chat(w http.ResponseWriter, r *http.Request) { \
            c, _ := websocket.Accept(w, r, nil); _ = c }\n";
        assert_eq!(streams(&[path], body), ["/chat/{room}"], "{path}");
    }
    let own = "func main() { http.Handle(\"/echo\", websocket.Handler(echo))\n\
        http.Handle(\"/server\", websocket.Server{Handler: echo})\n\
        http.ListenAndServe(\":80\", nil) }\n\
        func echo(ws *websocket.Conn) {}\n";
    assert_eq!(streams(&["\"golang.org/x/net/websocket\""], own), ["/echo", "/server"]);
    let gobwas = "func main() { http.HandleFunc(\"/raw\", raw)\n\
        http.ListenAndServe(\":80\", nil) }\n\
        func raw(w http.ResponseWriter, r *http.Request) { ws.UpgradeHTTP(r, w) }\n";
    assert_eq!(streams(&["\"github.com/gobwas/ws\""], gobwas), ["/raw"]);
}

#[test]
fn event_streams_are_found_in_net_http_and_gin() {
    let body = "func main() { m := http.NewServeMux()\n\
        m.HandleFunc(\"/events\", events)\nm.HandleFunc(\"/live/\", live)\n\
        m.HandleFunc(\"/list\", list)\nm.HandleFunc(\"/\", live)\n\
        http.ListenAndServe(\":80\", m) }\n\
        func events(w http.ResponseWriter, r *http.Request) {\n\
        w.Header().Set(\"Content-Type\", \"text/event-stream\") }\n\
        func live(w http.ResponseWriter, r *http.Request) { push(w) }\n\
        func push(w http.ResponseWriter) { f, _ := w.(http.Flusher); f.Flush() }\n\
        func list(w http.ResponseWriter, r *http.Request) { log(r) }\n\
        func log(r *http.Request) { w := out(); w.(http.Flusher).Flush() }\n\
        func out() http.ResponseWriter { return nil }\n";
    assert_eq!(streams(&[], body), ["/events", "/live/"]);
    let gin = "func main() { r := gin.Default()\nv := r.Group(\"/v1\")\n\
        v.GET(\"/tail/:id\", tail)\nv.GET(\"/push\", func(c *gin.Context) { \
        c.SSEvent(\"a\", 1) })\nv.GET(\"/ws\", ws)\nv.GET(\"/x\", x)\nr.Run() }\n\
        func tail(c *gin.Context) { c.Stream(func(w io.Writer) bool { return true }) }\n\
        func x(c *gin.Context) { c.JSON(200, nil) }\n\
        func ws(c *gin.Context) { up.Upgrade(c.Writer, c.Request, nil) }\n\
        var up websocket.Upgrader\n";
    let found = streams(
        &["\"io\"", "\"github.com/gin-gonic/gin\"", "\"github.com/gorilla/websocket\""],
        gin,
    );
    assert_eq!(found, ["/v1/tail/:id", "/v1/push", "/v1/ws"]);
}

fn server(limits: &str) -> String {
    format!(
        "package main\nimport (\n\"net/http\"\n\"time\"\n)\nfunc main() {{\n\
         s := &http.Server{{Addr: \":80\", {limits}}}\ns.ListenAndServe()\n}}\n\
         var _ = time.Second\n"
    )
}

#[test]
fn limits_nobody_wrote_fit_the_servers_own() {
    let fit = |keys: &str, limits: &str| {
        let proxy = fitted(keys, &server(limits));
        (proxy.read_timeout.0, proxy.keepalive.0)
    };
    assert_eq!(fit("", ""), (60_000, 30_000));
    let both = "WriteTimeout: 10 * time.Second, IdleTimeout: 20 * time.Second";
    assert_eq!(fit("", both), (8_000, 10_000));
    assert_eq!(fit("read_timeout = \"9s\"\nkeepalive = \"15s\"", both), (9_000, 15_000));
    assert_eq!(fit("", "WriteTimeout: 2 * time.Minute"), (96_000, 30_000));
    assert_eq!(fit("", "WriteTimeout: 10 * time.Hour"), (600_000, 30_000));
    assert_eq!(fit("", "ReadTimeout: 5 * time.Second"), (60_000, 2_000));
    assert_eq!(fit("", "IdleTimeout: 75 * time.Second"), (60_000, 30_000));
}

#[test]
fn the_profilers_paths_are_closed_however_they_come_in() {
    let paths = |imports: &str, body: &str| {
        let text = format!(
            "package main\nimport (\n\"net/http\"\n{imports}\n)\nfunc main() {{\n{body}\n\
             http.ListenAndServe(\":80\", nil)\n}}\nfunc own(w http.ResponseWriter, r \
             *http.Request) {{}}\n"
        );
        fitted("", &text).debug.paths
    };
    assert_eq!(paths("", ""), Vec::<String>::new());
    assert_eq!(paths("_ \"net/http/pprof\"", ""), ["/debug/"]);
    assert_eq!(paths("_ \"expvar\"", ""), ["/debug/"]);
    let shared = "http.HandleFunc(\"/debug/orders\", own)";
    assert_eq!(paths("_ \"net/http/pprof\"", shared), ["/debug/pprof/", "/debug/vars"]);
    let moved = "http.HandleFunc(\"/admin/prof/\", pprof.Index)";
    assert_eq!(paths("\"net/http/pprof\"", moved), ["/debug/", "/admin/prof/"]);
    assert_eq!(paths("", shared), Vec::<String>::new());
    let chi = "\"github.com/go-chi/chi/v5\"\n\"github.com/go-chi/chi/v5/middleware\"";
    let mount = "r := chi.NewRouter()\nr.Use(middleware.Logger)\n\
        r.Mount(\"/internal\", middleware.Profiler())";
    assert_eq!(paths(chi, mount), ["/internal/"]);
    assert_eq!(paths(chi, "r := chi.NewRouter()\nr.Use(middleware.Logger)"), [""; 0]);
    let gin = "\"github.com/gin-gonic/gin\"\n\"github.com/gin-contrib/pprof\"";
    let register = "r := gin.New()\npprof.Register(r, \"dev/prof\")";
    assert_eq!(paths(gin, register), ["/debug/", "/dev/prof/"]);
    assert_eq!(paths(gin, "r := gin.New()\npprof.Register(r)"), ["/debug/"]);
}

#[test]
fn a_profiler_that_guanka_closes_does_not_block_and_an_open_one_does() {
    let source = "package main\nimport (\n\"net/http\"\n_ \"net/http/pprof\"\n\"os\"\n)\n\
        func main() { http.ListenAndServe(\"127.0.0.1:\"+os.Getenv(\"PORT\"), nil) }\n";
    let blocks = |keys: &str| {
        let files = [("main.go".to_owned(), source.as_bytes().to_vec())];
        let source = gosource::read_module(".", &files);
        let mut declared = declared(keys);
        fit(&mut declared, &source);
        let facts = Facts { source: Some(source), declared: Some(declared), ..Facts::default() };
        let run = run_all(&facts, &[], "2026-01-01");
        let found = run.findings.iter().find(|finding| finding.code == "PP063");
        found.expect("it is told in any case").blocks()
    };
    assert!(!blocks(""));
    assert!(!blocks("debug_allow = [\"10.0.0.0/8\"]"));
    assert!(blocks("debug_allow = [\"all\"]"));
}

#[test]
fn metrics_are_closed_where_the_source_has_them() {
    let source = "package main\nimport (\n\"net/http\"\n\
        \"github.com/prometheus/client_golang/prometheus/promhttp\"\n)\nfunc main() {\n\
        http.Handle(\"/internal/metrics\", promhttp.Handler())\n\
        http.ListenAndServe(\":80\", nil)\n}\n";
    let of = |keys: &str| {
        let metrics = fitted(keys, source).metrics.expect("there are some");
        let from = match metrics.from {
            MetricsFrom::Arm(path) => path,
            MetricsFrom::Address { address, path, tls } => {
                format!("{address}{path} {}", tls.is_some())
            }
        };
        (metrics.path, from, metrics.allow.len())
    };
    let own = "/internal/metrics".to_owned();
    assert_eq!(of(""), (own.clone(), own.clone(), 0));
    let allow = "metrics_allow = [\"10.0.0.0/8\"]";
    assert_eq!(of(allow), (own.clone(), own.clone(), 1));
    assert_eq!(of("metrics = \"/bt-metrics\""), ("/bt-metrics".to_owned(), own, 0));
    let elsewhere = "metrics = \"/m\"\nmetrics_from = \"https://127.0.0.1:9443/metrics\"";
    assert_eq!(of(elsewhere), ("/m".to_owned(), "127.0.0.1:9443/metrics true".to_owned(), 0));
    let none =
        "package main\nimport \"net/http\"\nfunc main() { http.ListenAndServe(\":80\", nil) }";
    assert_eq!(fitted("", none).metrics, None);
    assert_eq!(fitted("metrics = \"/m\"", none).metrics.map(|m| m.path), Some("/m".to_owned()));
}

#[test]
fn what_cannot_be_closed_or_fetched_is_told_with_its_line() {
    let cases = [
        ("debug_paths = [\"/\"]", "in proxy.debug_paths"),
        ("debug_allow = [\"10.0.0.0/40\"]", "10.0.0.0/40"),
        ("debug_users = [\"ops:hunter2\"]", "openssl passwd"),
        ("streams = [\"/a b\"]", "a route's path"),
        ("metrics = \"/a//b\"", "proxy.metrics"),
        ("metrics_from = \"https://shop:9443/metrics\"", "no name"),
        ("metrics_from = \"https://10.0.0.9:9443/metrics\"", "metrics_ca is missing"),
        ("metrics_ca = \"/etc/ca.pem\"", "https metrics_from"),
        ("stream_timeout = \"1\"", "proxy.stream_timeout"),
    ];
    for (line, said) in cases {
        let file = manifest::read("guanka.toml", &format!("{HEAD}{line}\n"), Some("prod"));
        let [problem] = file.problems.as_slice() else { panic!("{line}: {:?}", file.problems) };
        let text = format!("{}; {}", problem.what.en, problem.next.en);
        assert!(text.contains(said), "{line}: {text}");
        assert!(!text.contains("hunter2") && !problem.what.zh.contains("hunter2"), "{text}");
        assert_eq!(problem.span.line, 8, "{line}");
    }
}
