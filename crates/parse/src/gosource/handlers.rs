//! Looks into a route's handler: how long it may run by its own limits, and whether it streams.

use guanka_core::facts::{Fact, Sourced, Span};
use guanka_core::quantity::Millis;

use super::ast::{Call, Expr, ExprKind, Func};
use super::module::{At, File, Module};
use super::token::Kind;
use super::trace::returns;
use super::walk::{self, Node};

/// What a handler's body says.
#[derive(Default)]
pub(super) struct Handled {
    pub(super) longest: Option<Fact<Millis>>,
    pub(super) streams: Option<Span>,
}

/// The most wrappers around a handler that are followed.
const WRAPPERS_MAX: u8 = 6;

/// The deepest chain of helpers that a handler's writer is followed through.
const HELPERS_MAX: u8 = 3;

/// Returns how a handler is named in a report.
pub(super) fn words(file: &File<'_>, expr: &Expr<'_>) -> String {
    match &expr.bare().kind {
        ExprKind::Func(_) => "func".to_owned(),
        _ => file.words(expr),
    }
}

/// Studies a handler.
pub(super) fn study<'t, 'a>(
    module: &Module<'t, 'a>,
    expr: &'t Expr<'a>,
    at: &At<'t, 'a>,
) -> Handled {
    let mut handled = Handled::default();
    look(module, expr, at, 0, &mut handled);
    handled
}

/// Goes through wrappers to the functions, and through those that make handlers.
fn look<'t, 'a>(
    module: &Module<'t, 'a>,
    expr: &'t Expr<'a>,
    at: &At<'t, 'a>,
    depth: u8,
    handled: &mut Handled,
) {
    if depth > WRAPPERS_MAX {
        return;
    }
    match &expr.bare().kind {
        ExprKind::Func(func) => body(module, func, at, handled),
        ExprKind::Name(_) | ExprKind::Selector(..) => {
            if let Some(id) = module.function(expr, at) {
                let function = &module.functions[id];
                let at = At { file: function.file, func: Some(id), frame: None };
                body(module, &function.decl.func, &at, handled);
            }
        }
        ExprKind::Call(call) if module.is(&call.fun, at, "net/http", "TimeoutHandler") => {
            call.args.iter().take(1).for_each(|h| look(module, h, at, depth + 1, handled));
            if let Some(limit) = call.args.get(1) {
                // It answers after that time whatever the handler inside does.
                handled.longest = Some(fact(module, limit, expr, at));
            }
        }
        ExprKind::Call(call) => {
            if handled.streams.is_none() && is_stream_call(module, call, at) {
                handled.streams = Some(module.file(at).span(expr.start, expr.end));
            }
            if let Some(id) = module.function(&call.fun, at) {
                let function = &module.functions[id];
                let at = At { file: function.file, func: Some(id), frame: None };
                for list in returns(&function.decl.func.body) {
                    list.iter().for_each(|e| look(module, e, &at, depth + 1, handled));
                }
            }
            call.args.iter().for_each(|arg| look(module, arg, at, depth + 1, handled));
        }
        ExprKind::Unary(Kind::And, inner) => look(module, inner, at, depth + 1, handled),
        // websocket.Server{Handler: …} of golang.org/x/net.
        ExprKind::Composite(made) => {
            let ty = made.ty.as_ref().and_then(|ty| module.global(ty, at));
            if ty.is_some_and(|(path, name)| path.contains("websocket") && name == "Server") {
                handled.streams = Some(module.file(at).span(expr.start, expr.end));
            }
        }
        _ => {}
    }
}

fn body<'t, 'a>(
    module: &Module<'t, 'a>,
    func: &'t Func<'a>,
    at: &At<'t, 'a>,
    handled: &mut Handled,
) {
    if handled.streams.is_none() {
        handled.streams = stream_in(module, func, at, 0);
    }
    let mut sleeps: Option<Fact<Millis>> = None;
    walk::block(&func.body, &mut |node| {
        let Node::Expr(expr) = node else { return };
        let ExprKind::Call(call) = &expr.kind else { return };
        let Some((path, name)) = module.global(&call.fun, at) else { return };
        let limit = match (path, name) {
            ("time", "Sleep" | "After") => call.args.first(),
            ("context", "WithTimeout" | "WithTimeoutCause") => call.args.get(1),
            _ => None,
        };
        let Some(limit) = limit else { return };
        let found = fact(module, limit, expr, at);
        if name == "Sleep" {
            sleeps = Some(match sleeps.take() {
                Some(before) => joined(before, found, |a, b| Millis(a.0.saturating_add(b.0))),
                None => found,
            });
        } else {
            raise(handled, found);
        }
    });
    if let Some(sleeps) = sleeps {
        raise(handled, sleeps);
    }
}

/// Returns where a function turns its answer into a stream: itself, or in a function that it gives
/// its writer to.
fn stream_in<'t, 'a>(
    module: &Module<'t, 'a>,
    func: &'t Func<'a>,
    at: &At<'t, 'a>,
    depth: u8,
) -> Option<Span> {
    let writers: Vec<&str> =
        func.params.iter().filter(|p| is_writer(p.ty)).filter_map(|p| p.name).collect();
    let mut found = None;
    walk::block(&func.body, &mut |node| {
        let Node::Expr(expr) = node else { return };
        if found.is_some() {
            return;
        }
        if streams(module, expr, at) {
            found = Some(module.file(at).span(expr.start, expr.end));
            return;
        }
        let ExprKind::Call(call) = &expr.kind else { return };
        let is_given = call.args.iter().any(|arg| match &arg.bare().kind {
            ExprKind::Name(name) => writers.contains(name),
            ExprKind::Selector(base, _) => {
                matches!(&base.bare().kind, ExprKind::Name(name) if writers.contains(name))
            }
            _ => false,
        });
        if is_given
            && depth < HELPERS_MAX
            && let Some(id) = module.function(&call.fun, at)
        {
            let function = &module.functions[id];
            let inside = At { file: function.file, func: Some(id), frame: None };
            found = stream_in(module, &function.decl.func, &inside, depth + 1);
        }
    });
    found
}

/// Returns whether a parameter's type is what an answer is written to.
fn is_writer(ty: &str) -> bool {
    ["ResponseWriter", "gin.Context", "echo.Context", "fiber.Ctx"].iter().any(|t| ty.ends_with(t))
}

fn fact<'t, 'a>(
    module: &Module<'t, 'a>,
    limit: &'t Expr<'a>,
    shown: &Expr<'a>,
    at: &At<'t, 'a>,
) -> Fact<Millis> {
    module.millis_fact(limit, at, module.file(at).span(shown.start, shown.end))
}

fn raise(handled: &mut Handled, found: Fact<Millis>) {
    handled.longest = Some(match handled.longest.take() {
        Some(before) => joined(before, found, Millis::max),
        None => found,
    });
}

/// Joins two times; the place shown is that of the longer one, and what is unknown stays so.
fn joined(a: Fact<Millis>, b: Fact<Millis>, join: fn(Millis, Millis) -> Millis) -> Fact<Millis> {
    match (a, b) {
        (Fact::Known(a), Fact::Known(b)) => {
            let value = join(a.value, b.value);
            let from = if b.value > a.value { b.from } else { a.from };
            Fact::Known(Sourced { value, from })
        }
        (Fact::Known(_), unknown) => unknown,
        (unknown, _) => unknown,
    }
}

/// Returns whether an expression shows that the answer is a stream.
fn streams<'t, 'a>(module: &Module<'t, 'a>, expr: &'t Expr<'a>, at: &At<'t, 'a>) -> bool {
    match &expr.kind {
        ExprKind::Literal(Kind::Str, text) => text.contains("text/event-stream"),
        ExprKind::Selector(..) => matches!(
            module.global(expr, at),
            Some(("net/http", "Flusher" | "Hijacker" | "NewResponseController"))
        ),
        ExprKind::Assert(_) => {
            let text = module.file(at).words(expr);
            text.ends_with(".(http.Flusher)") || text.ends_with(".(http.Hijacker)")
        }
        ExprKind::Call(call) => is_stream_call(module, call, at),
        _ => false,
    }
}

fn is_stream_call<'t, 'a>(module: &Module<'t, 'a>, call: &'t Call<'a>, at: &At<'t, 'a>) -> bool {
    if let Some((path, name)) = module.global(&call.fun, at) {
        return match name {
            "Accept" | "Upgrade" | "New" | "Handler" => path.contains("websocket"),
            "UpgradeHTTP" => path == "github.com/gobwas/ws",
            _ => false,
        };
    }
    let is_method = matches!(call.fun.kind, ExprKind::Selector(..));
    match call.fun.last_name() {
        Some("Flush") => is_method && call.args.is_empty(),
        Some("Hijack" | "Upgrade" | "SSEvent" | "SendStreamWriter" | "SetBodyStreamWriter") => {
            is_method
        }
        Some("Stream") => {
            is_method && matches!(call.args.as_slice(), [Expr { kind: ExprKind::Func(_), .. }])
        }
        _ => false,
    }
}
