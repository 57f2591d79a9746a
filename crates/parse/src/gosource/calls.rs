//! Single calls that checks ask about: reads of the environment, exits, settings, tickers.

use guanka_core::facts::gosource::GoCall;

use super::ast::{Expr, ExprKind};
use super::fold::Value;
use super::module::{At, Module, Site};
use super::scope::{self, Given};
use super::walk::{self, Node};

/// Package functions that a check asks about, by import path and name.
const WATCHED: &[(&str, &str)] = &[
    ("runtime", "GOMAXPROCS"),
    ("runtime/debug", "SetMemoryLimit"),
    ("os", "Exit"),
    ("os", "ReadFile"),
    ("log", "SetFlags"),
    ("log", "SetPrefix"),
    ("log", "SetOutput"),
    ("log", "Fatal"),
    ("log", "Fatalf"),
    ("log", "Fatalln"),
    ("encoding/json", "MarshalIndent"),
    ("time", "NewTicker"),
    ("time", "Tick"),
    ("time", "AfterFunc"),
    ("net/http", "Error"),
    ("github.com/go-chi/chi/v5/middleware", "Profiler"),
    ("github.com/go-chi/chi/middleware", "Profiler"),
    ("github.com/gin-contrib/pprof", "Register"),
    ("github.com/gin-contrib/pprof", "RouteRegister"),
];
/// Methods that a check asks about whatever they belong to.
const METHODS: &[&str] = &[
    "ClientIP",
    "RealIP",
    "SetTrustedProxies",
    "RegisterOnShutdown",
    "AddFunc",
    "Hijack",
    "SetWriteDeadline",
    "Mount",
];

/// Returns a call that a check asks about, with its constant arguments.
pub(super) fn watched<'t, 'a>(module: &Module<'t, 'a>, site: &Site<'t, 'a>) -> Option<GoCall> {
    let file = module.file(&site.at);
    let name = match module.global(&site.call.fun, &site.at) {
        Some((path, name)) => {
            let is_watched = WATCHED.contains(&(path, name));
            is_watched.then(|| format!("{path}.{name}"))?
        }
        None => {
            let ExprKind::Selector(_, name) = &site.call.fun.kind else { return None };
            let is_header = *name == "Get"
                && file.words(&site.call.fun).ends_with("Header.Get")
                && site.call.args.len() == 1;
            (is_header || METHODS.contains(name)).then(|| file.words(&site.call.fun))?
        }
    };
    let args = site.call.args.iter().map(|arg| match module.fold(arg, &site.at).value? {
        Value::Text(text) => Some(text),
        Value::Int(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Bool(is) => Some(is.to_string()),
    });
    let args = args.collect();
    let span = file.span(site.expr.start, site.expr.end);
    Some(GoCall { folder: file.folder.clone(), span, name, args })
}

/// Returns the variables that a call reads: directly, or by a function of the module that reads
/// the one it is given the name of.
pub(super) fn environment<'t, 'a>(module: &Module<'t, 'a>, site: &Site<'t, 'a>) -> Vec<String> {
    module.refuel();
    if is_read(module, &site.call.fun, &site.at) {
        let is_own_parameter =
            site.call.args.first().is_some_and(|arg| parameter(module, arg, &site.at).is_some());
        // Its callers are listed instead, each with the name it gives.
        let name = if is_own_parameter { None } else { module.env_name(site.call, &site.at, 0) };
        return name.into_iter().collect();
    }
    let Some(id) = module.function(&site.call.fun, &site.at) else { return Vec::new() };
    let places = module.functions[id].env_params.get_or_init(|| env_params(module, id));
    let args = places.iter().filter_map(|place| site.call.args.get(*place));
    args.filter_map(|arg| module.fold(arg, &site.at).text().map(str::to_owned)).collect()
}

fn env_params(module: &Module<'_, '_>, id: usize) -> Vec<usize> {
    let function = &module.functions[id];
    let inside = At { file: function.file, func: Some(id), frame: None };
    let mut places = Vec::new();
    walk::block(&function.decl.func.body, &mut |node| {
        if let Node::Expr(Expr { kind: ExprKind::Call(call), .. }) = node
            && is_read(module, &call.fun, &inside)
        {
            places.extend(call.args.first().and_then(|arg| parameter(module, arg, &inside)));
        }
    });
    places.dedup();
    places
}

fn is_read<'t, 'a>(module: &Module<'t, 'a>, fun: &Expr<'a>, at: &At<'t, 'a>) -> bool {
    matches!(module.global(fun, at), Some(("os", "Getenv" | "LookupEnv") | ("syscall", "Getenv")))
}

/// Returns which parameter of its function an expression is.
fn parameter<'t, 'a>(module: &Module<'t, 'a>, expr: &Expr<'a>, at: &At<'t, 'a>) -> Option<usize> {
    let defs = module.functions[at.func?].defs();
    match scope::reaching(defs, expr.name()?, expr.start).as_slice() {
        [one] => match one.given {
            Given::Param(index) => Some(index),
            _ => None,
        },
        _ => None,
    }
}

/// Returns whether the function around a serving call, or one that calls it, looks for
/// `http.ErrServerClosed`.
pub(super) fn tells_closed_apart<'t, 'a>(module: &Module<'t, 'a>, site: &Site<'t, 'a>) -> bool {
    let Some(id) = site.at.func else { return false };
    let mut around = vec![id];
    around.extend(module.callers(id).iter().filter_map(|caller| caller.at.func));
    around.iter().any(|id| {
        let function = &module.functions[*id];
        let at = At { file: function.file, func: Some(*id), frame: None };
        let mut found = false;
        walk::block(&function.decl.func.body, &mut |node| {
            if let Node::Expr(expr) = node {
                found |= module.is(expr, &at, "net/http", "ErrServerClosed");
            }
        });
        found
    })
}
