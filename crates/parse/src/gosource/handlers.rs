//! Looks into a route's handler: how long it may run by its own limits, and whether it streams.

use guanka_core::facts::{Fact, Sourced, Span};
use guanka_core::quantity::Millis;

use super::ast::{Block, Call, Expr, ExprKind};
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
        ExprKind::Func(func) => body(module, &func.body, at, handled),
        ExprKind::Name(_) | ExprKind::Selector(..) => {
            if let Some(id) = module.function(expr, at) {
                let function = &module.functions[id];
                let at = At { file: function.file, func: Some(id), frame: None };
                body(module, &function.decl.func.body, &at, handled);
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
        _ => {}
    }
}

fn body<'t, 'a>(
    module: &Module<'t, 'a>,
    block: &'t Block<'a>,
    at: &At<'t, 'a>,
    handled: &mut Handled,
) {
    let mut sleeps: Option<Fact<Millis>> = None;
    let file = module.file(at);
    walk::block(block, &mut |node| {
        let Node::Expr(expr) = node else { return };
        if handled.streams.is_none() && streams(module, expr, at) {
            handled.streams = Some(file.span(expr.start, expr.end));
        }
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
        return path.contains("websocket")
            && matches!(name, "Accept" | "Upgrade" | "New" | "Handler");
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
