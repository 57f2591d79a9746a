//! Builds real Go modules with the machine's own toolchain. Skipped, with the reason printed, where
//! no Go (or for C code no compiler) is to be had.

#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use guanka_core::facts::declared::{
    App, Build, Declared, Environment, ForwardedProto, Gates, Kind, Limits, ListenBy, Liveness,
    LogPlace, Logs, Manager, Probe, Process, Proxy, Releases, Sticky,
};
use guanka_core::facts::guard::Guard;
use guanka_core::name::{Domain, ServiceName};
use guanka_core::quantity::{Bytes, Millis};
use guanka_world::build::verify::{self, Cgo, Expected, Refusal};
use guanka_world::build::{BuildError, Built, GoVersion, Surroundings, build, build_in, find};
use tempfile::TempDir;

const TARGET: &str = "linux/amd64";

const MAIN: &str = "package main\n\nimport \"fmt\"\n\nfunc main() {\n\tfmt.Println(\"one\")\n}\n";

/// A module in a folder of its own, and a work folder.
struct Module {
    folder: TempDir,
    work: TempDir,
}

impl Module {
    fn new(files: &[(&str, &str)]) -> Self {
        let module = Self {
            folder: tempfile::tempdir().expect("a folder"),
            work: tempfile::tempdir().expect("a folder"),
        };
        module.write("go.mod", "module example.com/one\n\ngo 1.21\n");
        for (path, text) in files {
            module.write(path, text);
        }
        module
    }

    /// A module with a program, a configuration file and a page.
    fn whole() -> Self {
        Self::new(&[("main.go", MAIN), ("conf/a.json", "{}"), ("static/a.css", "b {}")])
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn build(&self, declared: &Declared) -> Result<Built, BuildError> {
        build(self.folder.path(), declared, TARGET, self.work.path())
    }
}

fn declared(include: &[&str]) -> Declared {
    Declared {
        file: "guanka.toml".to_owned(),
        service: ServiceName::new("one", "demo").expect("a good name"),
        app: App {
            program: ".".to_owned(),
            kind: Kind::Http,
            listen: ListenBy::Env { name: "PORT".to_owned(), is_port_only: false },
            args: Vec::new(),
            health: "/healthz".to_owned(),
        },
        build: Build {
            go: None,
            cgo: false,
            targets: vec![TARGET.to_owned()],
            flags: Vec::new(),
            include: include.iter().map(|pattern| (*pattern).to_owned()).collect(),
        },
        env: Environment { hosts: Vec::new(), production: false, safe_routes: Vec::new() },
        process: Process {
            manager: Manager::Auto,
            stop_grace: Millis::from_secs(15),
            memory: None,
            user: None,
            limits: Limits::default(),
            liveness: Liveness::default(),
        },
        probe: Probe {
            path: "/healthz".to_owned(),
            method: "GET".to_owned(),
            expect: 200,
            every: Millis::from_secs(1),
            fails: 2,
            passes: 2,
            timeout: Millis::from_secs(1),
        },
        proxy: Proxy {
            domain: Domain::new("one.example.com").expect("a good name"),
            sticky: Sticky::Client,
            upload_max: Bytes(1 << 20),
            read_timeout: Millis::from_secs(12),
            keepalive: Millis::from_secs(30),
            forwarded_proto: ForwardedProto::Scheme,
            streams: Vec::new(),
            stream_timeout: Millis::from_secs(3600),
            debug: Guard::default(),
            metrics: None,
        },
        logs: Logs {
            rotate: Bytes(100 << 20),
            every: None,
            keep: 7,
            budget: Bytes(2 << 30),
            place: LogPlace::File,
        },
        releases: Releases::default(),
        data_dirs: Vec::new(),
        slos: BTreeMap::new(),
        gates: Gates::default(),
        spans: BTreeMap::new(),
    }
}

/// Returns the first toolchain that answers; says why a test is skipped when there is none.
fn go() -> Option<PathBuf> {
    let found = find(&Surroundings::of_process());
    let go = found.into_iter().find(|go| go.answer.is_ok()).map(|go| go.path);
    if go.is_none() {
        eprintln!("skipped: no Go on this machine");
    }
    go
}

fn has_c_compiler() -> bool {
    let has = Command::new("gcc").arg("--version").output().is_ok_and(|o| o.status.success());
    if !has {
        eprintln!("skipped: no C compiler on this machine");
    }
    has
}

/// Compiles a module without guanka, as a user might.
fn by_hand(module: &Module, variable: (&str, &str)) -> PathBuf {
    let out = module.work.path().join("by-hand");
    let output = Command::new(go().expect("asked before"))
        .args(["build", "-o"])
        .arg(&out)
        .arg(".")
        .current_dir(module.folder.path())
        .env("GOTOOLCHAIN", "local")
        .env(variable.0, variable.1)
        .output()
        .expect("go starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    out
}

fn refusal(result: Result<impl std::fmt::Debug, BuildError>) -> Refusal {
    match result {
        Err(BuildError::Refused { refusal, .. }) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn expected(target: &str, cgo: Cgo) -> Expected<'_> {
    Expected { target, cgo, oldest_go: GoVersion::parse("1.21").expect("a version") }
}

fn git(folder: &Path, arguments: &[&str]) -> bool {
    let identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
    let mut git = Command::new("git");
    git.args(identity).args(arguments).current_dir(folder);
    git.output().is_ok_and(|output| output.status.success())
}

#[test]
fn equal_sources_give_one_release_from_any_folder_and_in_any_commit() {
    if go().is_none() {
        return;
    }
    let (one, two) = (Module::whole(), Module::whole());
    let folder = two.folder.path();
    let is_committed = git(folder, &["init", "-q"])
        && git(folder, &["add", "."])
        && git(folder, &["commit", "-q", "-m", "one"]);
    let declared = declared(&["conf/**", "static/**"]);
    let first = one.build(&declared).expect("it builds");
    let second = two.build(&declared).expect("it builds");
    assert_eq!(first.manifest, second.manifest);
    assert_eq!(first.release, second.release);
    assert_eq!(first.revision, None);
    if !is_committed {
        eprintln!("skipped in part: no git on this machine");
        return;
    }
    assert_eq!(second.revision.as_ref().map(String::len), Some(40));
    assert!(git(folder, &["commit", "-q", "--allow-empty", "-m", "two"]));
    let third = two.build(&declared).expect("it builds");
    assert_eq!(third.release, first.release);
    assert!(third.revision.is_some() && third.revision != second.revision);
    two.write("untracked.txt", "");
    assert_eq!(two.build(&declared).expect("it builds").revision, None, "not clean");
}

#[test]
fn a_release_folder_holds_what_its_manifest_says() {
    if go().is_none() {
        return;
    }
    let module = Module::whole();
    let built = module.build(&declared(&["conf/**", "static"])).expect("it builds");
    let paths: Vec<&str> = built.manifest.files.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, ["bin/one", "conf/a.json", "static/a.css"]);
    for file in &built.manifest.files {
        let bytes = fs::read(built.folder.join(&file.path)).expect("there");
        assert_eq!(guanka_world::hash::of_bytes(&bytes), file.sha256, "{}", file.path);
        assert_eq!(bytes.len() as u64, file.size_bytes);
    }
    let text = fs::read(built.folder.join("manifest.json")).expect("there");
    assert_eq!(guanka_world::hash::of_bytes(&text), built.release);
    assert_eq!(built.folder.file_name().and_then(|n| n.to_str()), Some(built.release.as_str()));
    assert!(built.go.starts_with("go1."), "{}", built.go);
    let said = Command::new(built.folder.join("bin/one")).output().expect("it starts");
    assert_eq!(said.stdout, b"one\n");
}

#[test]
fn source_and_settings_change_the_digests_that_are_theirs() {
    if go().is_none() {
        return;
    }
    let module = Module::whole();
    let mut declared = declared(&["conf/**", "static/**"]);
    let first = module.build(&declared).expect("it builds").manifest;

    declared.env.production = true;
    declared.file = "elsewhere/guanka.toml".to_owned();
    assert_eq!(module.build(&declared).expect("it builds").manifest, first);

    declared.proxy.keepalive = Millis::from_secs(20);
    let shorter = module.build(&declared).expect("it builds").manifest;
    assert_eq!(shorter.artifact, first.artifact);
    assert_ne!(shorter.config, first.config);

    module.write("conf/a.json", "{\"a\":1}");
    let configured = module.build(&declared).expect("it builds").manifest;
    assert_eq!(configured.artifact, first.artifact);
    assert_ne!(configured.config, shorter.config);

    module.write("main.go", &MAIN.replace("one", "two"));
    let changed = module.build(&declared).expect("it builds").manifest;
    assert_ne!(changed.artifact, first.artifact);
    assert_eq!(changed.config, configured.config);
}

#[test]
fn what_the_user_writes_with_go_env_does_not_change_the_release() {
    if go().is_none() {
        return;
    }
    let module = Module::whole();
    module.write("other.go", "//go:build other\n\npackage main\n\nfunc init() { panic(1) }\n");
    let declared = declared(&[]);
    let plain = module.build(&declared).expect("it builds");
    let mut surroundings = Surroundings::of_process();
    let file = module.work.path().join("env");
    let text = "GOFLAGS=-tags=other\nCGO_ENABLED=1\nGOAMD64=v3\nGOPROXY=off\n";
    fs::write(&file, text).expect("a file");
    surroundings.kept.insert("GOENV".to_owned(), file.into());
    surroundings.goroot = Some("/nowhere".into());
    let work = module.work.path();
    let other = build_in(&surroundings, module.folder.path(), &declared, TARGET, work);
    assert_eq!(other.expect("it builds").release, plain.release);
}

#[test]
fn a_build_needs_no_home_folder() {
    let Some(go) = go() else { return };
    let module = Module::whole();
    let declared = declared(&[]);
    let plain = module.build(&declared).expect("it builds");
    // The cache is shared only so that the standard library is not compiled once more.
    let cache = Command::new(go).args(["env", "GOCACHE"]).output().expect("go starts").stdout;
    let cache = String::from_utf8(cache).expect("a path");
    let mut surroundings = Surroundings::of_process();
    surroundings.home = None;
    surroundings.kept = [("GOCACHE".to_owned(), cache.trim().into())].into();
    let work = module.work.path();
    let other = build_in(&surroundings, module.folder.path(), &declared, TARGET, work);
    assert_eq!(other.expect("it builds").release, plain.release);
}

#[test]
fn a_module_that_needs_a_newer_go_is_refused_with_what_was_found() {
    let Some(go) = go() else { return };
    let module = Module::whole();
    module.write("go.mod", "module example.com/one\n\ngo 1.99\n");
    let error = module.build(&declared(&[])).expect_err("no such Go");
    assert!(matches!(error, BuildError::NoToolchain { .. }), "{error:?}");
    let why = error.why();
    assert!(why.en.contains("Go 1.99 or newer is needed"), "{}", why.en);
    assert!(why.zh.contains(&go.display().to_string()), "{}", why.zh);
    assert!(error.next().en.contains("install Go 1.99"));

    module.write("go.mod", "module example.com/one\n\ngo 1.18\n");
    let mut named = declared(&[]);
    named.build.go = Some("1.20.99".to_owned());
    let error = module.build(&named).expect_err("no such Go");
    assert!(error.to_string().contains("asks for Go 1.20.99"), "{error}");
}

#[test]
fn source_that_does_not_compile_gives_file_and_line() {
    if go().is_none() {
        return;
    }
    let module = Module::new(&[("main.go", "package main\n\nfunc main() {\n\tmissing()\n}\n")]);
    let error = module.build(&declared(&[])).expect_err("it does not compile");
    let span = error.span().expect("a place");
    assert_eq!((span.file.as_str(), span.line, span.column), ("main.go", 4, 2));
    assert_eq!(span.excerpt, "\tmissing()");
    assert_eq!(error.to_string(), "main.go:4:2: undefined: missing");
    let left: Vec<_> = fs::read_dir(module.work.path()).expect("there").flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn code_in_c_is_named_and_built_statically_only_when_allowed() {
    if go().is_none() || !has_c_compiler() {
        return;
    }
    let c = "package c\n\n// static int two(void) { return 2; }\nimport \"C\"\n\n\
             // Two is two.\nfunc Two() int { return int(C.two()) }\n";
    let main = "package main\n\nimport \"example.com/one/c\"\n\nfunc main() { println(c.Two()) }\n";
    let module = Module::new(&[("c/c.go", c), ("main.go", main)]);
    let mut declared = declared(&[]);
    match module.build(&declared).expect_err("cgo is not allowed") {
        BuildError::NeedsCgo { packages, .. } => assert_eq!(packages, ["example.com/one/c"]),
        other => panic!("{other:?}"),
    }
    declared.build.cgo = true;
    let built = module.build(&declared).expect("it links statically");
    let said = Command::new(built.folder.join("bin/one")).output().expect("it starts");
    assert_eq!(said.stderr, b"2\n");
}

#[test]
fn a_package_that_only_stands_in_for_c_is_named() {
    if go().is_none() {
        return;
    }
    let with = "package c\n\nimport \"C\"\n\nconst Real = true\n";
    let without = "//go:build !cgo\n\npackage c\n\nconst Real = false\n";
    let main = "package main\n\nimport \"example.com/one/c\"\n\nfunc main() { println(c.Real) }\n";
    let module = Module::new(&[("c/with.go", with), ("c/without.go", without), ("main.go", main)]);
    let built = module.build(&declared(&[])).expect("the stand-in builds");
    assert_eq!(built.without_c, ["example.com/one/c"]);
}

#[test]
fn a_dynamic_program_and_one_that_is_not_from_go_are_refused() {
    if go().is_none() || !has_c_compiler() {
        return;
    }
    let module = Module::new(&[("main.go", "package main\n\nimport \"C\"\n\nfunc main() {}\n")]);
    let program = by_hand(&module, ("CGO_ENABLED", "1"));
    for cgo in [Cgo::Forbidden, Cgo::Allowed] {
        let refused = refusal(verify::program(&program, &expected(TARGET, cgo)));
        assert!(matches!(refused, Refusal::Interpreter(_)), "{refused:?}");
    }
    let c = module.work.path().join("c");
    let text = c.with_extension("c");
    fs::write(&text, "int main(void) { return 0; }").expect("a file");
    let mut gcc = Command::new("gcc");
    gcc.arg("-static").arg("-o").arg(&c).arg(&text);
    if gcc.output().is_ok_and(|output| output.status.success()) {
        let refused = refusal(verify::program(&c, &expected(TARGET, Cgo::Allowed)));
        assert_eq!(refused, Refusal::NotFromGo);
    }
}

#[test]
fn a_program_for_another_machine_is_refused() {
    if go().is_none() {
        return;
    }
    let module = Module::whole();
    let (source, work) = (module.folder.path(), module.work.path());
    let built = build(source, &declared(&[]), "linux/arm64", work).expect("it builds");
    let program = built.folder.join("bin/one");
    assert!(verify::program(&program, &expected("linux/arm64", Cgo::Forbidden)).is_ok());
    let refused = refusal(verify::program(&program, &expected(TARGET, Cgo::Forbidden)));
    let (found, wanted) = ("arm64, 64 bit".to_owned(), TARGET.to_owned());
    assert_eq!(refused, Refusal::Machine { found, wanted });
    let windows = build(source, &declared(&[]), "windows/amd64", work);
    assert!(matches!(windows, Err(BuildError::Declared { key: "build.targets", .. })));
}

#[test]
fn the_example_shop_and_each_of_its_releases_build() {
    if go().is_none() {
        return;
    }
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut releases = BTreeSet::new();
    for overlay in ["", "2-good", "3-slow", "4-orders-fail", "5-faults"] {
        let module = Module::new(&[]);
        copy(&examples.join("shop"), module.folder.path());
        if !overlay.is_empty() {
            copy(&examples.join("shop-releases").join(overlay), module.folder.path());
        }
        let built = module.build(&declared(&["conf/**", "static/**"]));
        releases.insert(built.unwrap_or_else(|error| panic!("{overlay}: {error}")).release);
    }
    assert_eq!(releases.len(), 5);
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).expect("a folder");
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
