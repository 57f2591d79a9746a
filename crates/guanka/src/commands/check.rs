//! `guanka check`: asks the seven checkpoints of a module, its guanka.toml and a host, and says
//! what stands in the way of a release. Read-only.

use std::path::{Path, PathBuf};

use guanka_core::checks::{CheckRun, Ending, Missing, run_all};
use guanka_core::facts::declared::Declared;
use guanka_core::facts::{Facts, Reason};
use guanka_core::finding::{Checkpoint, Finding};
use guanka_core::report::check::{About, report};
use guanka_core::say::{Lang, Said};
use guanka_world::{clock, collect};

use super::project::Project;
use crate::failure::codes::FILE;
use crate::failure::{Exit, Failure, because, say};
use crate::terminal::{Terminal, annotate, pad, width};

/// What to check.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The module's folder; it holds go.mod and guanka.toml.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The host root to look at, / or a folder laid out like a host; nothing is written.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The binary to look at.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// The environment; needed when guanka.toml has several.
    #[arg(long, short, value_name = "ENV")]
    env: Option<String>,
}

/// Where facts are taken from.
pub(crate) struct Sources<'a> {
    /// The module's folder.
    pub(crate) module: &'a Path,
    /// The host root; without one no host is looked at.
    pub(crate) root: Option<&'a Path>,
    /// The binary.
    pub(crate) binary: Option<&'a Path>,
    /// What guanka.toml declares.
    pub(crate) declared: Option<Declared>,
}

/// Runs the checks and shows what they found.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let started = clock::monotonic();
    if !args.path.is_dir() {
        return Err(no_such(&args.path, say("目录不存在", "there is no such folder")));
    }
    let project = Project { project: args.path.clone(), env: args.env.clone() };
    let declared = project.try_declared(terminal)?;
    let facts = collect(Sources {
        module: &args.path,
        root: args.root.as_deref(),
        binary: args.binary.as_deref(),
        declared,
    })?;
    let today: String = clock::rfc3339(clock::now_ms()).chars().take(10).collect();
    let allows = facts.declared.as_ref().map(|d| d.gates.allow.clone()).unwrap_or_default();
    let result = run_all(&facts, &allows, &today);
    if terminal.json {
        let mut about = about(args, &facts);
        about.duration_ms = started.elapsed().as_millis() as u64;
        let text = serde_json::to_string(&report(&result, about)).map_err(|error| {
            Failure::new(&FILE, say("正在写出 JSON", "writing JSON"), because(&error))
        })?;
        terminal.line(&text);
    } else {
        show(terminal, &result, args);
    }
    Ok(exit(result.ending()))
}

/// Gathers the facts; every file that is read is read here.
pub(crate) fn collect(sources: Sources<'_>) -> Result<Facts, Failure> {
    let (source, module) = collect::gomodule::read(sources.module);
    let mut facts = Facts {
        declared: sources.declared,
        source: (source.files > 0).then_some(source),
        module,
        ..Facts::default()
    };
    if let Some(path) = sources.binary {
        let binary = collect::binary::read(path).map_err(|e| no_such(path, because(&e)))?;
        facts.binary = Some(binary);
    }
    if let Some(root) = sources.root {
        if !root.is_dir() {
            return Err(no_such(root, say("目录不存在", "there is no such folder")));
        }
        facts.take_host(collect::host_facts(root));
    }
    Ok(facts)
}

/// Returns the exit code of a run.
pub(crate) fn exit(ending: Ending) -> Exit {
    match ending {
        Ending::Clean => Exit::Done,
        Ending::Blocked => Exit::Blocked,
        Ending::NotProven => Exit::NotProven,
    }
}

/// Shows a run: the seven checkpoints, every finding with its places, what could not be told.
fn show(terminal: &Terminal, run: &CheckRun, args: &Args) {
    for checkpoint in Checkpoint::ALL {
        terminal.line(&checkpoint_line(terminal, run, checkpoint));
    }
    for finding in &run.findings {
        terminal.line("");
        terminal.line(&annotate::finding(terminal, finding));
    }
    if !run.unknowns.is_empty() {
        terminal.line("");
    }
    for unknown in &run.unknowns {
        for missing in &unknown.missing {
            let text = could_not_tell(terminal, missing);
            terminal.line(&format!("?  {}  {text}", unknown.code));
        }
    }
    let notes: Vec<String> = run.notes.iter().map(|n| terminal.said(&n.says).to_owned()).collect();
    if !notes.is_empty() {
        terminal.line("");
    }
    for note in notes {
        terminal.line(&note);
    }
    terminal.line("");
    if args.root.is_none() {
        let hint = Said::new(
            "没有查看主机;加 --root / 可连同 nginx 与进程守护一起检查",
            "no host was looked at; --root / checks nginx and the process manager as well",
        );
        terminal.line(terminal.said(&hint));
    }
    terminal.line(&closing(terminal.lang, run));
}

/// Returns a checkpoint's line: its mark, its name and what stands at it.
fn checkpoint_line(terminal: &Terminal, run: &CheckRun, checkpoint: Checkpoint) -> String {
    use guanka_core::checks::Outcome;
    let widths = Checkpoint::ALL.map(|c| width(c.title().get(terminal.lang)));
    let column = widths.into_iter().max().unwrap_or_default();
    let here = || run.results.iter().filter(|(check, _)| check.checkpoint == checkpoint);
    let found: Vec<&Finding> = run.findings.iter().filter(|f| f.checkpoint == checkpoint).collect();
    let unknown: Vec<&str> = here()
        .filter(|(_, o)| matches!(o, Outcome::Unknown(_) | Outcome::Partly(..)))
        .map(|(check, _)| check.code)
        .collect();
    let judged = here().filter(|(_, o)| !matches!(o, Outcome::NotApplicable)).count();
    let allowed = run.allowed.iter().filter(|a| a.finding.checkpoint == checkpoint).count();
    let (mark, text) = if !found.is_empty() {
        let indent = format!("\n{}", " ".repeat(column + 4));
        ('✗', found.iter().map(|f| places(f)).collect::<Vec<_>>().join(&indent))
    } else if !unknown.is_empty() {
        let text = Said::new(
            format!("无法判断:{}", unknown.join(", ")),
            format!("could not tell: {}", unknown.join(", ")),
        );
        ('?', terminal.said(&text).to_owned())
    } else if judged == 0 {
        let text = Said::new("没有可检查的对象", "nothing here to check");
        ('-', terminal.said(&text).to_owned())
    } else {
        let text = match allowed {
            0 => Said::new(format!("{judged} 项检查"), format!("{judged} checks")),
            n => Said::new(
                format!("{judged} 项检查,允许 {n} 个问题"),
                format!("{judged} checks, {n} allowed"),
            ),
        };
        ('✓', terminal.said(&text).to_owned())
    };
    format!("{mark} {}  {text}", pad(terminal.text(&checkpoint.title()), column))
}

/// Returns `main.go:29 × nginx.conf:41  XX034 keepalive-race`.
fn places(finding: &Finding) -> String {
    let mut shown: Vec<String> = Vec::new();
    for evidence in std::iter::once(&finding.primary).chain(&finding.related) {
        let guanka_core::facts::Provenance::Span(span) = &evidence.from else { continue };
        let file = span.file.rsplit('/').next().unwrap_or(&span.file);
        if !shown.iter().any(|known| known.split(':').next() == Some(file)) {
            shown.push(format!("{file}:{}", span.line));
        }
    }
    if shown.is_empty() {
        shown.push(finding.place());
    }
    format!("{}  {} {}", shown.join(" × "), finding.code, finding.name)
}

/// Returns what was missing and why, with the place.
fn could_not_tell(terminal: &Terminal, missing: &Missing) -> String {
    let what = terminal.said(&missing.what);
    let reason = reason(&missing.reason);
    let text = Said::new(
        format!("无法判断 {what}:{}", reason.zh),
        format!("could not tell {what}: {}", reason.en),
    );
    terminal.said(&text).to_owned()
}

/// Returns a reason in words.
fn reason(reason: &Reason) -> Said {
    match reason {
        Reason::NotReadable(path) => {
            Said::new(format!("{path} 不可读"), format!("{path} may not be read"))
        }
        Reason::NotThere(what) => Said::new(format!("没有 {what}"), format!("no {what}")),
        Reason::NotParsed(span) => Said::new(
            format!("{} 看不懂", span.place()),
            format!("{} was not understood", span.place()),
        ),
        Reason::NotConstant { what, span } => Said::new(
            format!("{} 处的值来自 {what}", span.place()),
            format!("at {} it comes from {what}", span.place()),
        ),
        Reason::NotReachable(host) => {
            Said::new(format!("{host} 没有应答"), format!("{host} did not answer"))
        }
        Reason::ToolMissing(tool) => {
            Said::new(format!("缺少程序 {tool}"), format!("the program {tool} is missing"))
        }
        Reason::OutsideOurSight(what) => {
            Said::new(format!("{what} 不在视野内"), format!("{what} is outside our sight"))
        }
    }
}

fn closing(lang: Lang, run: &CheckRun) -> String {
    let (found, block, unknown) = (run.findings.len(), run.blocking(), run.unknowns.len());
    let (allowed, soon) = (run.allowed.len(), run.expiring());
    match lang {
        Lang::Zh => {
            let soon =
                if soon > 0 { format!("({soon} 个 14 天内到期)") } else { String::new() };
            format!(
                "{found} 个问题,{block} 个阻止发布,{unknown} 项无法判断,{allowed} 个已允许{soon}"
            )
        }
        Lang::En => {
            let soon =
                if soon > 0 { format!(" ({soon} expire within 14 days)") } else { String::new() };
            let noun = if found == 1 { "finding" } else { "findings" };
            let verb = if block == 1 { "blocks" } else { "block" };
            format!("{found} {noun}, {block} {verb}, {unknown} unknown, {allowed} allowed{soon}")
        }
    }
}

fn about(args: &Args, facts: &Facts) -> About {
    let mut about = About {
        guanka: env!("CARGO_PKG_VERSION").to_owned(),
        module: args.path.display().to_string(),
        host: args.root.as_ref().map(|root| root.display().to_string()),
        service: facts.declared.as_ref().map(|d| d.service.to_string()),
        ..About::default()
    };
    let mut put = |key: &str, value: Option<String>| {
        about.versions.extend(value.map(|value| (key.to_owned(), value)));
    };
    put("go", facts.module.as_ref().and_then(|m| m.go.known().cloned()));
    put("nginx", facts.nginx.as_ref().and_then(|n| n.version.known()).map(ToString::to_string));
    let panel = facts.host.as_ref().and_then(|h| h.panel.as_ref());
    put("panel", panel.and_then(|p| p.version.known().cloned()));
    about
}

fn no_such(path: &Path, why: Said) -> Failure {
    let shown = path.display();
    Failure::new(&FILE, Said::new(format!("正在读取 {shown}"), format!("reading {shown}")), why)
}

#[cfg(test)]
mod tests {
    use guanka_core::checks::{ALL, CheckRun, Example, Expect, Outcome, run_all};
    use guanka_core::facts::nginx::Nginx;
    use guanka_core::facts::{Fact, Facts, Reason};
    use guanka_core::finding::Checkpoint;
    use guanka_core::say::Lang;
    use guanka_parse::{gomod, gosource, manifest, nginx, script, supervisor, systemd};

    use super::{checkpoint_line, closing};
    use crate::terminal::Terminal;

    /// Reads an example's files the way the collectors read a module and a host.
    fn facts_of(files: &[(&str, &str)]) -> Facts {
        let mut facts = Facts::default();
        let go: Vec<(String, Vec<u8>)> = files
            .iter()
            .filter(|(name, _)| name.ends_with(".go"))
            .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
            .collect();
        facts.source = (!go.is_empty()).then(|| gosource::read_module(".", &go));
        for (name, text) in files {
            match name.rsplit('.').next() {
                Some("mod") => facts.module = Some(gomod::read(name, text.as_bytes())),
                Some("conf") => facts.nginx = Some(nginx_of(name, text)),
                Some("ini") => facts.supervisor = supervisor::read(name, text).0,
                Some("service") => facts.units = vec![systemd::read((name, name, text), &[]).0],
                Some("toml") => {
                    let file = manifest::read(name, text, None);
                    assert!(file.problems.is_empty(), "{:?}", file.problems);
                    facts.declared = file.declared;
                }
                _ => {}
            }
        }
        for (name, text) in files {
            match *name {
                "host.json" => facts.host = Some(serde_json::from_str(text).expect("a host")),
                "binary.json" => facts.binary = Some(serde_json::from_str(text).expect("a binary")),
                "nginx-V.txt" => {
                    let nginx = facts.nginx.as_mut().expect("nginx.conf stands beside it");
                    nginx.version = nginx::version(text);
                }
                _ if name.ends_with(".sh") => {
                    let commands = facts.supervisor.iter().filter_map(|p| p.options.get("command"));
                    let words = commands.flat_map(|c| c.value.split_whitespace());
                    let path = words.into_iter().find(|w| w.ends_with(name)).expect("it is named");
                    facts.scripts.push(script::read(path, text));
                }
                _ => {}
            }
        }
        facts
    }

    fn nginx_of(name: &str, text: &str) -> Nginx {
        let mut load = |path: &str| match path {
            _ if path == name => Ok(text.as_bytes().to_vec()),
            _ => Err(Reason::NotThere(path.to_owned())),
        };
        let (tree, unreadable, problems) = nginx::read(name, "", &mut load, &mut |_| Vec::new());
        let version = Fact::Unknown(Reason::ToolMissing("nginx -V".to_owned()));
        Nginx { version, main_file: name.to_owned(), tree, unreadable, problems }
    }

    fn is_as_expected(example: &Example, outcome: &Outcome) -> bool {
        match example.expect {
            Expect::Bad => matches!(outcome, Outcome::Found(_) | Outcome::Partly(..)),
            Expect::Good | Expect::NearMiss => matches!(outcome, Outcome::Clean),
            Expect::Unknown => matches!(outcome, Outcome::Unknown(_)),
        }
    }

    #[test]
    fn every_example_of_every_check_says_what_it_should() {
        let mut wrong = Vec::new();
        for check in ALL {
            for (index, example) in check.examples.iter().enumerate() {
                let outcome = (check.run)(&facts_of(example.files));
                if !is_as_expected(example, &outcome) {
                    let (code, expect) = (check.code, example.expect);
                    wrong.push(format!("{code} example {index}: {expect:?}, but {outcome:?}"));
                }
            }
        }
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
    }

    #[test]
    fn a_finding_over_several_layers_names_every_file() {
        let keepalive = ALL.iter().find(|c| c.code == "XX034").expect("XX034");
        let run = run_all(&facts_of(keepalive.examples[0].files), &[], "2026-11-24");
        let terminal = Terminal { lang: Lang::En, json: false, color: false };
        let line = checkpoint_line(&terminal, &run, Checkpoint::Proxy);
        assert!(line.starts_with("✗ proxy"), "{line}");
        assert!(line.contains("main.go:11 × nginx.conf:9  XX034 keepalive-race"), "{line}");
    }

    const TOML: &str = "[app]\nname = \"shop\"\nprogram = \".\"\nlisten_env = \"PORT\"\n\
        [env.demo]\nhosts = [\"local:/\"]\n[process]\nstop_grace = \"8s\"\n\
        [proxy]\ndomain = \"shop.example.com\"\nkeepalive = \"30s\"\nread_timeout = \"12s\"\n";

    const PROGRAM: &str = "package main\nimport (\n\"context\"\n\"net/http\"\n\"os\"\n\
        \"os/signal\"\n\"syscall\"\n\"time\"\n)\nfunc main() {\n\
        ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)\n\
        defer stop()\n\
        srv := &http.Server{Addr: os.Getenv(\"PORT\"), IdleTimeout: 20 * time.Second}\n\
        errs := make(chan error, 1)\ngo func() { errs <- srv.ListenAndServe() }()\n\
        select {\ncase err := <-errs:\npanic(err)\ncase <-ctx.Done():\n}\n\
        drain, cancel := context.WithTimeout(context.Background(), 10*time.Second)\n\
        defer cancel()\nsrv.Shutdown(drain)\n}\n";

    /// What guanka writes for a service: two upstreams, a variable arm, a mapped Connection header.
    const OWN: &str = "http {\nproxy_cache cache_one;\n\
        proxy_next_upstream error http_500;\n\
        map $http_upgrade $guanka_shop_demo_connection { default upgrade; \"\" \"\"; }\n\
        upstream guanka_shop_demo_blue {\nserver 127.0.0.1:18000 max_fails=0;\n\
        server 127.0.0.1:18001 backup;\nkeepalive 64;\nkeepalive_timeout 30000ms;\n}\n\
        upstream guanka_shop_demo_green {\nserver 127.0.0.1:18001 max_fails=0;\n\
        server 127.0.0.1:18000 backup;\nkeepalive 64;\nkeepalive_timeout 30000ms;\n}\n\
        server {\nlisten 80;\nserver_name shop.example.com;\nlocation ~ ^/(?!\\.well-known/) {\n\
        proxy_pass http://guanka_shop_demo_$guanka_arm;\nproxy_http_version 1.1;\n\
        proxy_set_header Connection $guanka_shop_demo_connection;\nproxy_cache off;\n\
        proxy_next_upstream error;\nproxy_read_timeout 12000ms;\n}\n}\n}\n";

    const OWN_INI: &str = "[program:guanka-shop.demo-blue]\n\
        command=/opt/guanka/bin/guanka exec --root / --service shop.demo --arm blue\n\
        stopwaitsecs=13\nstopasgroup=true\nkillasgroup=true\n";

    const NGINX_22: (&str, &str) = ("nginx-V.txt", "nginx version: nginx/1.22.1\n");

    fn outcome(code: &str, files: &[(&str, &str)]) -> Outcome {
        let check = ALL.iter().find(|c| c.code == code).expect("a check");
        (check.run)(&facts_of(files))
    }

    fn places(outcome: &Outcome) -> Vec<String> {
        let (Outcome::Found(found) | Outcome::Partly(found, _)) = outcome else { return vec![] };
        let evidence = found.iter().flat_map(|f| std::iter::once(&f.primary).chain(&f.related));
        evidence.map(|e| e.from.place()).collect()
    }

    #[test]
    fn a_service_not_yet_installed_is_judged_by_what_guanka_will_render() {
        let files = [("main.go", PROGRAM), ("guanka.toml", TOML)];
        assert_eq!(places(&outcome("XX034", &files)), ["main.go:13", "guanka.toml:11"]);
        assert_eq!(places(&outcome("XX046", &files)), ["main.go:21", "guanka.toml:8"]);
        let equal = PROGRAM.replace("20 * time", "30 * time");
        let files = [("main.go", equal.as_str()), ("guanka.toml", TOML)];
        assert!(matches!(outcome("XX034", &files), Outcome::Found(_)), "a tie is a race as well");
        let on_a_panel = "http {\nproxy_cache cache_one;\nserver {\nserver_name shop.example.com;\n\
            location / {\nproxy_pass http://127.0.0.1:8080;\n}\n}\n}\n";
        let files = [("main.go", PROGRAM), ("guanka.toml", TOML), ("nginx.conf", on_a_panel)];
        assert_eq!(outcome("BT082", &files), Outcome::NotApplicable);
        assert_eq!(outcome("NG003", &files), Outcome::NotApplicable);
    }

    #[test]
    fn what_guanka_wrote_itself_is_judged_by_what_the_next_release_writes() {
        let files = [
            ("main.go", PROGRAM),
            ("guanka.toml", TOML),
            ("nginx.conf", OWN),
            NGINX_22,
            ("shop.ini", OWN_INI),
        ];
        let race = places(&outcome("XX034", &files));
        assert_eq!(race, ["main.go:13", "guanka.toml:11"], "not the installed 30 s of nginx.conf");
        for code in ["BT082", "BT083", "SU047", "SY007"] {
            assert_eq!(outcome(code, &files), Outcome::Clean, "{code}");
        }
        let Outcome::Found(found) = outcome("XX046", &files) else { panic!("8 s is under 10 s") };
        assert_eq!(found[0].severity, guanka_core::finding::Severity::High, "not the ini's 13 s");
        let longer = PROGRAM.replace("20 * time.Second", "75 * time.Second");
        let files = [("main.go", longer.as_str()), ("guanka.toml", TOML), ("nginx.conf", OWN)];
        assert!(!matches!(outcome("XX034", &files), Outcome::Found(_)));
    }

    #[test]
    fn without_a_version_both_ends_are_asked() {
        let program = PROGRAM.replace("os.Getenv(\"PORT\")", "\"127.0.0.1:8080\"");
        let plain = "http {\nupstream a {\nserver 127.0.0.1:8080;\n}\nserver {\nlocation / {\n\
            proxy_pass http://a;\n}\n}\n}\n";
        let files = [("main.go", program.as_str()), ("nginx.conf", plain)];
        assert!(matches!(outcome("XX034", &files), Outcome::Unknown(_)), "1.22 and 1.30 disagree");
        let off = plain.replace("8080;", "8080;\nkeepalive 0;");
        let files = [("main.go", program.as_str()), ("nginx.conf", off.as_str())];
        assert_eq!(outcome("XX034", &files), Outcome::Clean, "off in both");
    }

    #[test]
    fn the_closing_line_counts_in_both_languages() {
        let run = CheckRun {
            results: vec![],
            findings: vec![],
            unknowns: vec![],
            allowed: vec![],
            notes: vec![],
        };
        assert_eq!(closing(Lang::En, &run), "0 findings, 0 block, 0 unknown, 0 allowed");
        assert_eq!(closing(Lang::Zh, &run), "0 个问题,0 个阻止发布,0 项无法判断,0 个已允许");
    }
}
