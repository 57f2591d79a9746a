//! The sections other than the gates and the process: app, build, environment, probe, proxy, data
//! and the objectives.

use std::collections::BTreeMap;

use guanka_core::facts::declared::{
    App, BadWhen, Build, Declared, Environment, HostAddress, Indicator, Kind, Limit, ListenBy,
    Probe, Slo,
};
use guanka_core::name::{Route, ServiceName};
use guanka_core::quantity::{Millis, Proportion};
use guanka_core::say::Said;

use super::reader::Reader;
use super::{gates, process, proxy, retention};

/// Reads the whole declaration; `None` when something that everything needs is missing.
pub(super) fn declared(reader: &mut Reader<'_, '_>, environment: &str) -> Option<Declared> {
    let service = service(reader, environment);
    let app = app(reader);
    let build = build(reader);
    let env = env(reader, environment);
    let process = process::process(reader);
    let probe = probe(reader, app.as_ref().map_or("/healthz", |a| a.health.as_str()));
    let proxy = proxy::proxy(reader);
    let logs = retention::logs(reader);
    let releases = retention::releases(reader);
    let data_dirs = reader.each("data", "dirs", |text| absolute(text).map(str::to_owned));
    let slos = slos(reader);
    let gates = gates::gates(reader, &slos);
    Some(Declared {
        file: reader.file().to_owned(),
        service: service?,
        app: app?,
        build: build?,
        env: env?,
        process: process?,
        probe: probe?,
        proxy: proxy?,
        logs: logs?,
        releases: releases?,
        data_dirs,
        slos,
        gates: gates?,
        spans: std::mem::take(&mut reader.spans),
    })
}

fn service(reader: &mut Reader<'_, '_>, environment: &str) -> Option<ServiceName> {
    let name = reader.required("app", "name", "\"api\"")?;
    match ServiceName::new(&name, environment) {
        Ok(service) => Some(service),
        Err(error) => {
            let what = Said::new(format!("名字不合法:{:?}", error.text), error.to_string());
            let next = Said::new(
                "应用名:小写字母开头,至多 18 个 a-z 0-9 -;环境名至多 9 个",
                "an app is a small letter and up to 17 of a-z 0-9 -, an environment up to 9 in all",
            );
            let at = reader.place("app", "name");
            reader.problem("app", "name", at, what, next)
        }
    }
}

fn app(reader: &mut Reader<'_, '_>) -> Option<App> {
    let program = reader.text("app", "program")?;
    reader.word("app", "kind", &["http"])?;
    let args: Vec<String> = reader.each("app", "args", |text| plain(text).map(str::to_owned));
    let env = reader.text("app", "listen_env");
    let form = reader.word("app", "listen", &["host:port", "port"])?;
    let has_argument = args.iter().any(|a| a.contains("{listen}"));
    let listen = match env {
        Some(name) if is_variable(&name) => ListenBy::Env { name, is_port_only: form == "port" },
        Some(name) => {
            let what = Said::new(
                format!("app.listen_env = {name:?} 不是环境变量名"),
                format!("app.listen_env = {name:?} is no name of an environment variable"),
            );
            let next = Said::new("例如 \"PORT\"", "write one like \"PORT\"");
            let at = reader.place("app", "listen_env");
            return reader.problem("app", "listen_env", at, what, next);
        }
        None if has_argument => ListenBy::Args,
        None => {
            reader.missing(
                "app",
                "listen_env",
                "\"PORT\"  # or args = [\"-listen\", \"{listen}\"]",
            );
            return None;
        }
    };
    let health = reader.text("app", "health")?;
    let health = check(reader, "app", "health", health, url_path)?;
    Some(App { program, kind: Kind::Http, listen, args, health })
}

fn build(reader: &mut Reader<'_, '_>) -> Option<Build> {
    let go = reader.text("build", "go")?;
    let go =
        if go == "from go.mod" { None } else { Some(check(reader, "build", "go", go, version)?) };
    let mut targets: Vec<String> =
        reader.each("build", "targets", |text| target(text).map(str::to_owned));
    if targets.is_empty() {
        targets.push("linux/amd64".to_owned());
    }
    Some(Build {
        go,
        cgo: reader.switch("build", "cgo")?,
        targets,
        flags: reader.each("build", "flags", |text| build_flag(text).map(str::to_owned)),
        include: reader.each("build", "include", |text| below(text).map(str::to_owned)),
    })
}

fn env(reader: &mut Reader<'_, '_>, environment: &str) -> Option<Environment> {
    let path = format!("env.{environment}");
    Some(Environment {
        hosts: {
            let mut hosts = reader.each(&path, "hosts", host);
            hosts.sort();
            hosts.dedup();
            hosts
        },
        production: reader.switch(&path, "production")?,
        safe_routes: reader.each(&path, "safe_routes", route),
    })
}

fn probe(reader: &mut Reader<'_, '_>, health: &str) -> Option<Probe> {
    let path = reader.text("probe", "path").unwrap_or_else(|| health.to_owned());
    Some(Probe {
        path: check(reader, "probe", "path", path, url_path)?,
        method: reader.word("probe", "method", &["GET", "HEAD"])?,
        expect: u16::try_from(reader.number("probe", "expect", 100, 599)?).ok()?,
        every: reader.duration("probe", "every")?,
        fails: u32::try_from(reader.number("probe", "fails", 1, 100)?).ok()?,
        passes: u32::try_from(reader.number("probe", "passes", 1, 100)?).ok()?,
        timeout: reader.duration("probe", "timeout")?,
    })
}

fn slos(reader: &mut Reader<'_, '_>) -> BTreeMap<String, Slo> {
    let mut slos = BTreeMap::new();
    for name in reader.names("slo") {
        if let Some(slo) = slo(reader, &format!("slo.{name}")) {
            slos.insert(name, slo);
        }
    }
    slos
}

fn slo(reader: &mut Reader<'_, '_>, path: &str) -> Option<Slo> {
    let word = reader.word(path, "indicator", &["success", "p50", "p90", "p95", "p99"])?;
    let route = match reader.text(path, "route") {
        Some(text) => Some(check(reader, path, "route", text, route)?),
        None => None,
    };
    let example = if word == "success" { "\"99.95%\"" } else { "\"800ms\"" };
    reader.required(path, "objective", example)?;
    let indicator = match word.strip_prefix('p').and_then(|digits| digits.parse::<u32>().ok()) {
        None => Indicator::Success { objective: reader.percent(path, "objective")? },
        Some(percent) => Indicator::Latency {
            quantile: f64::from(percent) / 100.0,
            objective: reader.duration(path, "objective")?,
        },
    };
    let limit = gates::limit(reader, path, &indicator)?;
    let bad_when = if reader.section(path).is_some_and(|s| s.get("bad_when").is_some()) {
        reader.each(path, "bad_when", bad_when)
    } else {
        vec![BadWhen::StatusAtLeast(500)]
    };
    Some(Slo { indicator, route, bad_when, limit, window: reader.duration(path, "window")? })
}

/// Reads a text into a type, or leaves a problem that says what would be right.
pub(super) fn check<T>(
    reader: &mut Reader<'_, '_>,
    path: &str,
    key: &str,
    text: String,
    read: impl Fn(&str) -> Result<T, Said>,
) -> Option<T> {
    match read(&text) {
        Ok(value) => Some(value),
        Err(next) => {
            let what = Said::new(
                format!("{path}.{key} = {text:?} 不合法"),
                format!("{path}.{key} = {text:?} is not allowed"),
            );
            let at = reader.place(path, key);
            reader.problem(path, key, at, what, next)
        }
    }
}

/// Reads `POST /orders`.
pub(super) fn route(text: &str) -> Result<Route, Said> {
    let wrong = || Said::new("写成 \"POST /orders\"", "write it as \"POST /orders\"");
    let (method, path) = text.split_once(' ').ok_or_else(wrong)?;
    if is_method(method) && url_path(path).is_ok() {
        Ok(Route(text.to_owned()))
    } else {
        Err(wrong())
    }
}

pub(super) fn is_method(text: &str) -> bool {
    matches!(text, "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS")
}

/// Accepts a path of visible ASCII that starts with a slash and has no nginx or shell syntax in it.
pub(super) fn url_path(text: &str) -> Result<String, Said> {
    let good = text.starts_with('/')
        && text.len() <= 2000
        && text
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'\\' | b';' | b'`'));
    if good {
        Ok(text.to_owned())
    } else {
        Err(Said::new(
            "以 / 开头的可见字符路径",
            "a path that starts with / and has no blanks in it",
        ))
    }
}

fn host(text: &str) -> Result<HostAddress, Said> {
    if let Some(root) = text.strip_prefix("local:") {
        return absolute(root).map(|root| HostAddress::Local(root.to_owned()));
    }
    let good = !text.starts_with('-')
        && text.split_once('@').is_some_and(|(user, host)| {
            let word = |w: &str| {
                !w.is_empty()
                    && w.bytes()
                        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
            };
            word(user) && word(host)
        });
    if good {
        Ok(HostAddress::Ssh(text.to_owned()))
    } else {
        Err(Said::new(
            "写成 \"local:/目录\" 或 \"用户@主机\"",
            "write \"local:/DIR\" or \"user@host\"",
        ))
    }
}

fn bad_when(text: &str) -> Result<BadWhen, Said> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let code = |text: &str| text.parse::<u16>().ok().filter(|code| (100..=599).contains(code));
    match words.as_slice() {
        ["status", ">=", number] if code(number).is_some() => {
            Ok(BadWhen::StatusAtLeast(code(number).unwrap_or(500)))
        }
        ["status", "==", number] if code(number).is_some() => {
            Ok(BadWhen::StatusIs(code(number).unwrap_or(500)))
        }
        _ => Err(Said::new(
            "写成 \"status >= 500\" 或 \"status == 429\"",
            "write \"status >= 500\" or \"status == 429\"",
        )),
    }
}

/// Accepts an absolute path without `..` and without letters that config formats could misread.
pub(super) fn absolute(text: &str) -> Result<&str, Said> {
    let good = text.starts_with('/')
        && text.len() <= 1000
        && !text.split('/').any(|part| part == "..")
        && text.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'-' | b'_' | b'+' | b'@')
        });
    if good {
        Ok(text)
    } else {
        Err(Said::new(
            "绝对路径,只含字母、数字与 . - _ + @",
            "an absolute path of letters, digits and . - _ + @",
        ))
    }
}

/// Accepts a path or pattern that stays below the module.
fn below(text: &str) -> Result<&str, Said> {
    let good = !text.is_empty()
        && !text.starts_with('/')
        && text.len() <= 1000
        && !text.split('/').any(|part| part == "..")
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'-' | b'_' | b'*'));
    if good {
        Ok(text)
    } else {
        Err(Said::new(
            "模块内的相对路径,如 \"static/**\"",
            "a path inside the module, \"static/**\"",
        ))
    }
}

fn target(text: &str) -> Result<&str, Said> {
    match text {
        "linux/amd64" | "linux/arm64" => Ok(text),
        _ => Err(Said::new("linux/amd64 或 linux/arm64", "linux/amd64 or linux/arm64")),
    }
}

fn version(text: &str) -> Result<String, Said> {
    let good = text.split('.').count() <= 3
        && text
            .split('.')
            .all(|p| !p.is_empty() && p.len() <= 3 && p.bytes().all(|b| b.is_ascii_digit()));
    if good { Ok(text.to_owned()) } else { Err(Said::new("如 \"1.22.5\"", "like \"1.22.5\"")) }
}

/// Accepts the flags that change what is built, not where or with what.
fn build_flag(text: &str) -> Result<&str, Said> {
    let tags = text.strip_prefix("-tags=").is_some_and(|tags| {
        !tags.is_empty()
            && tags.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b',' | b'_' | b'.'))
    });
    if tags || matches!(text, "-trimpath" | "-buildvcs=true" | "-buildvcs=false") {
        Ok(text)
    } else {
        Err(Said::new(
            "只允许 -tags=…、-trimpath、-buildvcs=…",
            "only -tags=…, -trimpath, -buildvcs=…",
        ))
    }
}

/// Accepts one argument without control characters; managers' own syntax is the renderer's affair.
fn plain(text: &str) -> Result<&str, Said> {
    if text.len() <= 1000 && !text.chars().any(char::is_control) {
        Ok(text)
    } else {
        Err(Said::new("不含控制字符的参数", "an argument without control characters"))
    }
}

fn is_variable(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Returns the bad share that an objective and a limit of the same kind are compared by.
pub(super) fn bad_share(indicator: &Indicator) -> (Proportion, Option<Millis>) {
    match *indicator {
        Indicator::Success { objective } => (objective.complement(), None),
        Indicator::Latency { quantile, objective } => (Proportion(1.0 - quantile), Some(objective)),
    }
}

/// Returns the objective itself as a limit.
pub(super) fn own_limit(indicator: &Indicator) -> Limit {
    match bad_share(indicator) {
        (_, Some(latency)) => Limit::Latency(latency),
        (share, None) => Limit::BadShare(share),
    }
}
