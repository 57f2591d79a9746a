//! `guanka init` from the outside: small modules in, a file that the parser accepts and `check`
//! runs on out; and drafts of hostile names, which must read back as what was meant.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use guanka_core::facts::declared::{Declared, ListenBy};
use guanka_core::facts::gomod::GoMod;
use guanka_core::facts::gosource::{GoMain, GoRoute, GoSource};
use guanka_core::facts::{Fact, Span};
use guanka_core::plan::init::{DATA_FOLDERS, Draft, Hints, draft};
use guanka_core::say::{Lang, Said};
use guanka_parse::{gomod, gosource, manifest};

const GO_MOD: &str = "module example.com/shop/api\n\ngo 1.22\n";

fn hints(lang: Lang) -> Hints {
    Hints { lang, program: None, domain: None, folders: Vec::new() }
}

/// Drafts a module of files in memory and reads the draft back.
fn drafted(files: &[(&str, &str)], hints: &Hints) -> (Draft, Declared) {
    let go: Vec<_> = files.iter().map(|(p, t)| ((*p).to_owned(), t.as_bytes().to_vec())).collect();
    let source = gosource::read_module(".", &go);
    let draft = draft(&source, Some(&gomod::read("go.mod", GO_MOD.as_bytes())), hints);
    let declared = accepted(&draft);
    (draft, declared)
}

fn one(text: &str) -> (Draft, Declared) {
    drafted(&[("main.go", text)], &hints(Lang::En))
}

/// Returns what a draft declares; the parser must have nothing to say against it.
fn accepted(draft: &Draft) -> Declared {
    let file = manifest::read("guanka.toml", &draft.text, None);
    assert!(file.problems.is_empty(), "{:?}\n{}", file.problems, draft.text);
    file.declared.expect("a file without problems declares a service")
}

fn env(name: &str, is_port_only: bool) -> ListenBy {
    ListenBy::Env { name: name.to_owned(), is_port_only }
}

fn slo_routes(declared: &Declared) -> Vec<(&str, &str)> {
    let named = declared.slos.iter();
    named.map(|(name, slo)| (name.as_str(), slo.route.as_ref().map_or("", |r| &r.0))).collect()
}

fn requests(declared: &Declared) -> Vec<String> {
    let load = declared.gates.load.as_ref().expect("a load gate");
    let bake = declared.gates.bake.as_ref().expect("a bake gate");
    assert_eq!(load.requests, bake.requests);
    assert!(declared.gates.canary.is_some());
    let shown = load.requests.iter().map(|r| match &r.body {
        Some(body) => format!("{} {} {body}", r.method, r.path),
        None => format!("{} {}", r.method, r.path),
    });
    shown.collect()
}

fn has(said: &[Said], words: &str) -> bool {
    said.iter().any(|s| s.en.contains(words))
}

const STD: &str = r#"package main

import (
	"context"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", login)
	mux.HandleFunc("GET /products", list)
	mux.HandleFunc("GET /products/{id}", show)
	mux.HandleFunc("POST /orders", place)
	mux.HandleFunc("GET /health", ok)
	mux.HandleFunc("GET /metrics", metrics)
	srv := &http.Server{
		Addr:         os.Getenv("LISTEN"),
		Handler:      mux,
		ReadTimeout:  5 * time.Second,
		WriteTimeout: 10 * time.Second,
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	failed := make(chan error, 1)
	go func() { failed <- srv.ListenAndServe() }()
	select {
	case <-failed:
		os.Exit(1)
	case <-ctx.Done():
	}
	limited, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	srv.Shutdown(limited)
}
"#;

#[test]
fn a_module_of_net_http_is_drafted_with_its_routes_and_its_time_limits() {
    let (draft, declared) = one(STD);
    assert_eq!(declared.service.to_string(), "api.test");
    assert_eq!(declared.app.listen, env("LISTEN", false));
    assert_eq!((declared.app.program.as_str(), declared.app.health.as_str()), (".", "/health"));
    assert_eq!(requests(&declared), ["POST /orders {}", "GET /products"]);
    assert_eq!(
        slo_routes(&declared),
        [
            ("orders_latency", "POST /orders"),
            ("orders_success", "POST /orders"),
            ("products_latency", "GET /products"),
            ("products_success", "GET /products"),
        ]
    );
    // WriteTimeout 10 s; no IdleTimeout, so that ReadTimeout 5 s counts; Shutdown within 20 s.
    assert_eq!(declared.proxy.read_timeout.to_string(), "8s");
    assert_eq!(declared.proxy.keepalive.to_string(), "2s");
    assert_eq!(declared.process.stop_grace.to_string(), "25s");
    assert!(!declared.env.production);
    let found: Vec<&str> = draft.found.iter().map(|f| f.what.en.as_str()).collect();
    for words in [
        "go 1.22 module example.com/shop/api",
        "listens where $LISTEN says",
        "health /health",
        "metrics /metrics",
        "SIGTERM is caught",
    ] {
        assert!(found.contains(&words), "{words} in {found:?}");
    }
    assert!(!has(&draft.gaps, "GO040") && !has(&draft.gaps, "GO110"), "{:?}", draft.gaps);
    assert!(has(&draft.gaps, "the body of POST /orders"));
}

#[test]
fn gin_that_takes_its_port_from_the_environment_is_given_the_port_alone() {
    let (draft, declared) = one(
        "package main\nimport \"github.com/gin-gonic/gin\"\nfunc main() {\nr := gin.Default()\n\
         r.GET(\"/ping\", ping)\nv1 := r.Group(\"/v1\")\nv1.GET(\"/items\", items)\n\
         v1.PUT(\"/items\", put)\nv1.GET(\"/items/:id\", item)\nr.Run()\n}\n",
    );
    assert_eq!(declared.app.listen, env("PORT", true));
    assert_eq!(declared.app.health, "/ping");
    assert_eq!(requests(&declared), ["PUT /v1/items {}", "GET /v1/items"]);
    let names: Vec<_> = declared.slos.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["get_items_latency", "get_items_success", "put_items_latency", "put_items_success"]
    );
    assert!(has(&draft.gaps, "GO040"), "SIGTERM is not caught: {:?}", draft.gaps);
}

#[test]
fn chi_with_a_colon_before_its_port_is_given_the_port_alone() {
    let (draft, declared) =
        one("package main\nimport (\n\"net/http\"\n\"os\"\n\"github.com/go-chi/chi/v5\"\n)\n\
         func main() {\nr := chi.NewRouter()\nr.Get(\"/healthz\", ok)\n\
         r.Get(\"/search\", search)\nr.Get(\"/events/{id}\", ev)\n\
         http.ListenAndServe(\":\"+os.Getenv(\"APP_PORT\"), r)\n}\n");
    assert_eq!(declared.app.listen, env("APP_PORT", true));
    assert_eq!(requests(&declared), ["GET /search"]);
    assert_eq!(declared.slos.len(), 2);
    assert!(!draft.text.contains("health ="), "the default is not written:\n{}", draft.text);
}

#[test]
fn a_flag_becomes_an_argument_and_a_port_only_flag_is_a_gap() {
    let main = |flag: &str, addr: &str| {
        format!(
            "package main\nimport (\n\"flag\"\n\"fmt\"\n\"net/http\"\n)\nvar _ = fmt.Sprint\n\
             var l = {flag}\nfunc main() {{\nflag.Parse()\nhttp.HandleFunc(\"/healthz\", ok)\n\
             http.ListenAndServe({addr}, nil)\n}}\n"
        )
    };
    let (draft, declared) = one(&main("flag.String(\"listen\", \":80\", \"\")", "*l"));
    assert_eq!(declared.app.listen, ListenBy::Args);
    assert_eq!(declared.app.args, ["--listen={listen}"]);
    assert!(!has(&draft.gaps, "port only"), "{:?}", draft.gaps);
    let (draft, _) = one(&main("flag.Int(\"port\", 80, \"\")", "fmt.Sprintf(\":%d\", *l)"));
    assert!(has(&draft.gaps, "-port takes a port only"), "{:?}", draft.gaps);
}

#[test]
fn a_constant_address_is_a_gap_that_check_will_report() {
    let (draft, declared) =
        one("package main\nimport \"net/http\"\nfunc main() {\nhttp.HandleFunc(\"/\", hello)\n\
         http.ListenAndServe(\":8080\", nil)\n}\n");
    assert_eq!(declared.app.listen, env("PORT", false));
    assert_eq!(requests(&declared), ["GET /"]);
    for words in ["GO110", "GO040", "no health route"] {
        assert!(has(&draft.gaps, words), "{words}: {:?}", draft.gaps);
    }
    assert!(draft.text.contains("it is always :8080 (main.go:5)"), "{}", draft.text);
}

const TOOL: (&str, &str) = ("cmd/a_tool/main.go", "package main\nfunc main() {}\n");
const API: (&str, &str) = (
    "cmd/api/main.go",
    "package main\nimport (\n\"net/http\"\n\"os\"\n)\nfunc main() {\n\
     http.HandleFunc(\"/healthz\", ok)\nhttp.ListenAndServe(os.Getenv(\"API\"), nil)\n}\n",
);
const JOBS: (&str, &str) = (
    "cmd/jobs/main.go",
    "package main\nimport (\n\"net/http\"\n\"os\"\n)\nfunc main() {\n\
     http.HandleFunc(\"/ping\", ok)\nhttp.ListenAndServe(os.Getenv(\"JOBS\"), nil)\n}\n",
);

#[test]
fn of_several_programs_the_first_that_listens_is_taken_unless_one_is_asked_for() {
    let (draft, declared) = drafted(&[TOOL, API, JOBS], &hints(Lang::En));
    assert_eq!(declared.app.program, "./cmd/api");
    assert_eq!((&declared.app.listen, &*declared.app.health), (&env("API", false), "/healthz"));
    assert!(has(&draft.gaps, "3 programs: cmd/a_tool, cmd/api, cmd/jobs"), "{:?}", draft.gaps);
    let asked = Hints { program: Some("cmd/jobs/".to_owned()), ..hints(Lang::En) };
    let (draft, declared) = drafted(&[TOOL, API, JOBS], &asked);
    assert_eq!(declared.app.program, "./cmd/jobs");
    assert_eq!((&declared.app.listen, &*declared.app.health), (&env("JOBS", false), "/ping"));
    assert!(!has(&draft.gaps, "programs:"), "{:?}", draft.gaps);
}

#[test]
fn source_that_does_not_compile_or_serve_still_gives_a_draft() {
    let (draft, declared) = one("package main\nfunc main() { if x == { ]] )\nvar s = \"open\n");
    assert_eq!(declared.app.listen, env("PORT", false));
    assert_eq!(requests(&declared), ["GET /healthz"]);
    assert!(has(&draft.gaps, "not understood"), "{:?}", draft.gaps);
    let asked = Hints { program: Some("cmd/api".to_owned()), ..hints(Lang::En) };
    let (_, declared) = drafted(&[("cmd/api/main.go", "package ???")], &asked);
    assert_eq!(declared.app.program, "./cmd/api", "what was asked for counts");
    let (draft, declared) = one("package main\nfunc main() { println(1) }\n");
    assert!(has(&draft.gaps, "no HTTP server was found"), "{:?}", draft.gaps);
    assert_eq!(slo_routes(&declared), [("all_latency", ""), ("all_success", "")]);
}

#[test]
fn a_draft_with_every_optional_line_has_31_lines_in_both_languages() {
    let text = STD.replace("os.Getenv(\"LISTEN\")", "\":\" + os.Getenv(\"LISTEN\")");
    for lang in [Lang::Zh, Lang::En] {
        let all = Hints { folders: DATA_FOLDERS.to_vec(), ..hints(lang) };
        let (draft, declared) = drafted(&[("cmd/api/main.go", &text)], &all);
        assert_eq!(draft.text.lines().count(), 31, "{}", draft.text);
        assert_eq!(declared.build.include.len(), DATA_FOLDERS.len());
        let is_noted = |line: &str| line.is_empty() || line.contains("  # ");
        assert!(draft.text.lines().all(is_noted), "{}", draft.text);
        let has_chinese = draft.text.contains("目标");
        assert_eq!(has_chinese, lang == Lang::Zh, "{}", draft.text);
    }
}

#[test]
fn hostile_module_paths_give_legal_names() {
    let cases = [
        ("example.com/shop/v2", "shop"),
        ("example.com/Shop_API", "shop-api"),
        ("example.com/42/9lives", "lives"),
        ("gopkg.in/yaml.v3", "yaml-v3"),
        ("example.com/a-name-that-goes-on-and-on", "a-name-that-goes-o"),
        ("example.com/../..", "app"),
        ("example.com/\"]\n[gates.load]\nx", "gates-load-x"),
        ("例子/商店", "app"),
        ("v2", "v2"),
        ("", "app"),
    ];
    for (path, name) in cases {
        let module = module_of(path);
        let draft = draft(&GoSource::default(), Some(&module), &hints(Lang::En));
        let declared = accepted(&draft);
        assert_eq!(declared.service.app(), name, "{path:?}");
    }
}

fn module_of(path: &str) -> GoMod {
    let mut module = gomod::read("go.mod", GO_MOD.as_bytes());
    module.module = Fact::at(path.to_owned(), Span::default());
    module
}

#[test]
fn whatever_the_source_is_called_the_draft_reads_back_as_what_was_meant() {
    arbtest::arbtest(|u| {
        let word =
            |u: &mut arbtest::arbitrary::Unstructured<'_>| -> arbtest::arbitrary::Result<String> {
                let pieces = [
                    "orders", "/", "\"", "\\", "\n", "# x", "'''", "{id}", "$PORT", "-l", "商",
                    "\u{7f}", "\u{85}", "]", "=", ":", "..", "pay", " ", "\r", "\0", "healthz",
                    "${x}",
                ];
                let mut text = String::new();
                for _ in 0..u.int_in_range(0..=5)? {
                    text.push_str(u.choose(&pieces)?);
                }
                Ok(text)
            };
        let span = |file: String| Span { file, line: 1, column: 1, length: 1, ..Span::default() };
        let mut source = gosource::read_module(".", &[("main.go".to_owned(), STD.into())]);
        let folder = word(u)?;
        source.mains = vec![GoMain { folder: folder.clone(), span: span(word(u)?) }];
        source.listens[0].span = span(word(u)?);
        source.listens[0].folder = folder.clone();
        source.listens[0].addr_from = vec![word(u)?, word(u)?];
        source.listens[0].port_from = vec![word(u)?];
        let first: GoRoute = source.routes[0].clone();
        for method in [None, Some("GET"), Some("POST"), Some("B AD\"")] {
            let (pattern, method) = (format!("/{}", word(u)?), method.map(str::to_owned));
            source.routes.push(GoRoute { pattern, method, span: span(word(u)?), ..first.clone() });
        }
        let module = module_of(&word(u)?);
        for lang in [Lang::Zh, Lang::En] {
            let declared = accepted(&draft(&source, Some(&module), &hints(lang)));
            let parts = folder.split('/').filter(|part| !matches!(*part, "" | "."));
            let parts: Vec<&str> = parts.collect();
            let meant = match parts.as_slice() {
                [] => ".".to_owned(),
                parts => format!("./{}", parts.join("/")),
            };
            assert_eq!(declared.app.program, meant);
        }
        Ok(())
    });
}

fn guanka(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guanka"));
    command.args(args).env("LC_ALL", "C").output().expect("guanka runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copied(&entry.path(), &target);
        } else if entry.file_name() != "guanka.toml" {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[test]
fn the_shop_is_drafted_and_check_runs_on_it_without_an_edit() {
    let dir = tempfile::tempdir().expect("a folder");
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shop");
    copied(&shop, dir.path());
    let folder = dir.path().to_str().expect("a plain path");
    let done = guanka(&["init", folder, "--domain", "shop.example.cn"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let shown = out(&done);
    assert!(shown.contains("Found   listens where $PORT says ("), "{shown}");
    let last = shown.lines().last().expect("a line");
    assert!(last.starts_with("Wrote ") && last.ends_with(&format!("Next: guanka check {folder}")));
    let text = fs::read_to_string(dir.path().join("guanka.toml")).expect("written");
    assert!(text.lines().count() <= 31, "{text}");
    let read = manifest::read("guanka.toml", &text, None);
    let declared = read.declared.expect("accepted");
    assert_eq!(declared.proxy.domain.as_str(), "shop.example.cn");
    assert_eq!(declared.build.include, ["conf/**", "static/**"]);
    let checked = guanka(&["check", folder]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
}

#[test]
fn a_file_that_is_there_is_never_overwritten() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("go.mod"), GO_MOD).expect("written");
    let file = dir.path().join("guanka.toml");
    let folder = dir.path().to_str().expect("a plain path");
    fs::write(&file, "mine").expect("written");
    let refused = guanka(&["init", folder]);
    assert_eq!(refused.status.code(), Some(1));
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains("GK1003") && why.contains("remove it"), "{why}");
    assert_eq!(fs::read_to_string(&file).expect("there"), "mine");
    fs::remove_file(&file).expect("removed");
    std::os::unix::fs::symlink("nowhere", &file).expect("linked");
    assert_eq!(guanka(&["init", folder]).status.code(), Some(1));
    assert!(!dir.path().join("nowhere").exists(), "nothing is written through a link");
}

#[test]
fn a_folder_without_a_module_and_a_program_that_is_not_there_are_said() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().to_str().expect("a plain path");
    let none = guanka(&["init", folder, "--lang", "zh"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stderr).contains("没有 go.mod"));
    fs::write(dir.path().join("go.mod"), GO_MOD).expect("written");
    fs::write(dir.path().join("main.go"), STD).expect("written");
    let wrong = guanka(&["init", folder, "--program", "./cmd/none"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(guanka(&["init", folder, "--domain", "a b"]).status.code(), Some(2));
    assert!(!dir.path().join("guanka.toml").exists());
    let json = guanka(&["init", folder, "--json"]);
    let value: serde_json::Value = serde_json::from_str(&out(&json)).expect("one JSON object");
    assert_eq!((&value["schema"], &value["service"]), (&1.into(), &"api.test".into()));
    assert!(value["found"].as_array().is_some_and(|found| found.len() >= 6), "{value}");
    assert!(value["gaps"][0]["zh"].is_string(), "{value}");
}
