//! Caught signals, and the calls that stop a server with the time limit they are given.

use guanka_core::facts::Fact;
use guanka_core::facts::gosource::{GoShutdown, GoSignal};
use guanka_core::quantity::Millis;

use super::ast::{Call, Expr, ExprKind};
use super::module::{At, Module, Site};
use super::routers::{self, Framework};
use super::servers::Servers;
use super::trace::Traced;

/// Returns what a call catches, if it catches signals.
pub(super) fn signal<'t, 'a>(module: &Module<'t, 'a>, site: &Site<'t, 'a>) -> Option<GoSignal> {
    let ("os/signal", "Notify" | "NotifyContext") = module.global(&site.call.fun, &site.at)? else {
        return None;
    };
    let file = module.file(&site.at);
    let mut signals = Vec::new();
    for arg in site.call.args.iter().skip(1) {
        for (end, at) in module.origins(arg, &site.at) {
            if let Traced::Expr(e, _) = end {
                names(module, e, &at, &mut signals);
            }
        }
    }
    let span = file.span(site.expr.start, site.expr.end);
    Some(GoSignal { folder: file.folder.clone(), span, signals })
}

fn names<'t, 'a>(
    module: &Module<'t, 'a>,
    expr: &'t Expr<'a>,
    at: &At<'t, 'a>,
    out: &mut Vec<String>,
) {
    if let ExprKind::Composite(literal) = &expr.kind {
        literal.elements.iter().for_each(|(_, e)| names(module, e, at, out));
        return;
    }
    let name = match module.global(expr, at) {
        Some(("os", "Interrupt")) => "SIGINT",
        Some(("os", "Kill")) => "SIGKILL",
        Some(("syscall" | "golang.org/x/sys/unix", name)) if name.starts_with("SIG") => name,
        _ => return,
    };
    if !out.iter().any(|known| known == name) {
        out.push(name.to_owned());
    }
}

/// Returns whether a call hands `signal.Notify` a channel without room for a signal.
pub(super) fn is_unbuffered<'t, 'a>(module: &Module<'t, 'a>, site: &Site<'t, 'a>) -> bool {
    let Some(channel) = site.call.args.first() else { return false };
    if !module.is(&site.call.fun, &site.at, "os/signal", "Notify") {
        return false;
    }
    let ends = module.origins(channel, &site.at);
    !ends.is_empty()
        && ends.iter().all(|(end, at)| match end {
            Traced::Expr(e, _) => e.call().is_some_and(|made| {
                let room = made.args.get(1).map(|n| module.fold(n, at).value);
                let none = Some(Some(super::fold::Value::Int(0)));
                made.fun.name() == Some("make") && (room.is_none() || room == none)
            }),
            _ => false,
        })
}

/// Returns what a call stops, if it stops a server.
pub(super) fn shutdown<'t, 'a>(
    module: &Module<'t, 'a>,
    servers: &Servers,
    site: &Site<'t, 'a>,
) -> Option<GoShutdown> {
    let (call, at) = (site.call, &site.at);
    let ExprKind::Selector(base, name) = &call.fun.kind else { return None };
    if module.global(&call.fun, at).is_some() {
        return None;
    }
    let framework = || routers::router(module, base, at, 0).map(|r| r.framework);
    let is_server = || servers.of(module, base, at).is_some();
    let limit = match (*name, call.args.as_slice()) {
        ("Shutdown", [context]) if is_server() || framework() == Some(Framework::Echo) => {
            limit(module, context, at, 0)
        }
        ("Shutdown", []) | ("Close", []) if framework() == Some(Framework::Fiber) => no_limit(),
        ("ShutdownWithTimeout", [limit]) if framework() == Some(Framework::Fiber) => {
            module.millis_fact(limit, at, module.file(at).span(limit.start, limit.end))
        }
        ("ShutdownWithContext", [context]) if framework() == Some(Framework::Fiber) => {
            limit(module, context, at, 0)
        }
        ("Close", []) if is_server() && is_no_other(module, base, at) => no_limit(),
        _ => return None,
    };
    let file = module.file(at);
    Some(GoShutdown {
        folder: file.folder.clone(),
        span: file.span(site.expr.start, site.expr.end),
        call: if *name == "Close" { "Close" } else { "Shutdown" }.to_owned(),
        limit,
    })
}

/// Returns whether a value that is closed is a server for sure: many other things can be closed.
fn is_no_other<'t, 'a>(module: &Module<'t, 'a>, base: &'t Expr<'a>, at: &At<'t, 'a>) -> bool {
    let ends = module.origins(base, at);
    !ends.is_empty()
        && ends.iter().all(|(end, at)| match end {
            Traced::Expr(e, _) => match &e.kind {
                ExprKind::Composite(literal) => {
                    literal.ty.as_ref().is_some_and(|t| module.is(t, at, "net/http", "Server"))
                }
                _ => false,
            },
            Traced::Zero(ty) => module.is(ty, at, "net/http", "Server"),
            _ => false,
        })
}

fn no_limit() -> Fact<Millis> {
    Fact::default_of(Millis::ZERO, "Go context", "Background")
}

/// Returns the time limit of a context.
fn limit<'t, 'a>(
    module: &Module<'t, 'a>,
    context: &'t Expr<'a>,
    at: &At<'t, 'a>,
    depth: u8,
) -> Fact<Millis> {
    let mut limits = module.origins(context, at).into_iter().filter_map(|(end, from)| match end {
        Traced::Expr(e, _) => made(module, e, &from, depth),
        _ => None,
    });
    match (limits.next(), limits.next()) {
        (Some(one), None) => one,
        (Some(Fact::Known(a)), Some(Fact::Known(b))) => Fact::Conflict(vec![a, b]),
        _ => Fact::Unknown(module.reason(&super::fold::Folded::default(), context, at)),
    }
}

/// The most contexts inside each other that are followed.
const CONTEXTS_MAX: u8 = 4;

fn made<'t, 'a>(
    module: &Module<'t, 'a>,
    expr: &'t Expr<'a>,
    at: &At<'t, 'a>,
    depth: u8,
) -> Option<Fact<Millis>> {
    let call = expr.call()?;
    let (path, name) = module.global(&call.fun, at)?;
    match (path, name) {
        ("context", "Background" | "TODO" | "WithoutCancel") => Some(no_limit()),
        ("context", "WithTimeout" | "WithTimeoutCause") => {
            let limit = call.args.get(1)?;
            Some(module.millis_fact(limit, at, module.file(at).span(expr.start, expr.end)))
        }
        ("context", "WithDeadline" | "WithDeadlineCause") => {
            let limit = from_now(module, call.args.get(1)?, at)?;
            Some(module.millis_fact(limit, at, module.file(at).span(expr.start, expr.end)))
        }
        ("context", "WithCancel" | "WithCancelCause" | "WithValue")
        | ("os/signal", "NotifyContext")
            if depth < CONTEXTS_MAX =>
        {
            Some(limit(module, call.args.first()?, at, depth + 1))
        }
        _ => None,
    }
}

/// Returns the duration in `time.Now().Add(duration)`.
fn from_now<'t, 'a>(
    module: &Module<'t, 'a>,
    expr: &'t Expr<'a>,
    at: &At<'t, 'a>,
) -> Option<&'t Expr<'a>> {
    let call: &Call<'a> = expr.call()?;
    let ExprKind::Selector(now, "Add") = &call.fun.kind else { return None };
    let is_now = now.call().is_some_and(|c| module.is(&c.fun, at, "time", "Now"));
    if is_now { call.args.first() } else { None }
}
