//! What a call or statement does as far as an error's fate goes: ends the program, logs, wraps,
//! cancels a context, waits.

use super::super::ast::{Block, Call, Expr, ExprKind, Stmt, StmtKind};
use super::super::module::{At, Module};
use super::super::scope::{self, Given};
use super::super::token::Kind;
use super::super::trace::Traced;
use super::super::walk::{self, Node};

/// What a call does with an error given to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The program ends.
    Ends,
    /// It is written down.
    Logs,
    /// It comes out again as another error.
    Wraps,
    /// Something else.
    Other,
}

/// Returns what a call does.
pub(super) fn role<'t, 'a>(module: &Module<'t, 'a>, call: &'t Call<'a>, at: &At<'t, 'a>) -> Role {
    if call.fun.name() == Some("panic") {
        return Role::Ends;
    }
    match module.global(&call.fun, at) {
        Some(("os", "Exit")) => return Role::Ends,
        Some((
            "errors" | "fmt" | "github.com/pkg/errors",
            "Errorf" | "Join" | "Wrap" | "Wrapf",
        )) => {
            return Role::Wraps;
        }
        Some(("errors", "Is" | "As")) => return Role::Wraps,
        _ => {}
    }
    let Some(name) = call.fun.last_name() else { return Role::Other };
    if let Some(id) = module.function(&call.fun, at) {
        let decl = module.functions[id].decl;
        let inside = At { file: module.functions[id].file, func: Some(id), frame: None };
        return if ends_inside(module, &decl.func.body, &inside) {
            Role::Ends
        } else {
            Role::Other
        };
    }
    let is_method = matches!(call.fun.bare().kind, ExprKind::Selector(..));
    let starts = |list: &[&str]| is_method && list.iter().any(|n| name.starts_with(n));
    // log.Fatalf, logger.Panic, zerolog's log.Fatal().Err(err).Msg("…").
    if starts(&["Fatal", "Panic"]) || chain_has(&call.fun, "Fatal") || chain_has(&call.fun, "Panic")
    {
        return Role::Ends;
    }
    if starts(&[
        "Print", "Fprint", "Info", "Error", "Warn", "Debug", "Log", "Msg", "Trace", "Notice",
    ]) {
        return Role::Logs;
    }
    Role::Other
}

/// Returns whether a chain of calls has one of that name: `log.Fatal().Err(err).Msg("…")`.
fn chain_has(fun: &Expr<'_>, name: &str) -> bool {
    let mut at = fun;
    loop {
        at = match &at.bare().kind {
            ExprKind::Selector(base, own) => {
                if *own == name {
                    return true;
                }
                base
            }
            ExprKind::Call(call) => &call.fun,
            _ => return false,
        };
    }
}

/// Returns whether a function of the module ends the program on a way of its own.
fn ends_inside<'t, 'a>(module: &Module<'t, 'a>, body: &'t Block<'a>, at: &At<'t, 'a>) -> bool {
    let mut ends = false;
    walk::block(body, &mut |node| {
        if let Node::Expr(Expr { kind: ExprKind::Call(call), .. }) = node {
            let is_exit = module.is(&call.fun, at, "os", "Exit");
            let is_fatal = module.global(&call.fun, at).is_some_and(|(path, name)| {
                path.contains("log") && (name.starts_with("Fatal") || name.starts_with("Panic"))
            });
            ends |= is_exit || is_fatal || call.fun.name() == Some("panic");
        }
    });
    ends
}

/// Returns whether a call cancels a context on whose end the program waits.
pub(super) fn cancels<'t, 'a>(
    module: &Module<'t, 'a>,
    call: &'t Call<'a>,
    at: &At<'t, 'a>,
) -> bool {
    let Some(name) = call.fun.name() else { return false };
    let Some(id) = at.func else { return false };
    scope::reaching(module.functions[id].defs(), name, call.fun.start).iter().any(|def| {
        matches!(def.given, Given::Value(e, 1) if e.call().is_some_and(|made| {
            matches!(
                module.global(&made.fun, at),
                Some(("os/signal", "NotifyContext") | ("context", "WithCancel" | "WithCancelCause"))
            )
        }))
    })
}

/// Returns whether a value is made by a function, or is of a type, that the test accepts.
pub(super) fn is_made_by<'t, 'a>(
    module: &Module<'t, 'a>,
    expr: &'t Expr<'a>,
    at: &At<'t, 'a>,
    test: impl Fn(&str, &str) -> bool,
) -> bool {
    module.origins(expr, at).iter().any(|(end, at)| {
        let thing = match end {
            Traced::Expr(e, _) => match &e.bare().kind {
                ExprKind::Call(call) => module.global(&call.fun, at),
                ExprKind::Composite(literal) => {
                    literal.ty.as_ref().and_then(|ty| module.global(ty, at))
                }
                _ => None,
            },
            Traced::Zero(ty) => module.global(ty, at),
            _ => None,
        };
        thing.is_some_and(|(path, name)| test(path, name))
    })
}

/// Returns whether a statement waits: receives, selects without a default, waits for a group, or
/// calls a function of the module that does. What runs in another goroutine does not count.
pub(super) fn waits<'t, 'a>(module: &Module<'t, 'a>, stmt: &'t Stmt<'a>, at: &At<'t, 'a>) -> bool {
    !waits_in(module, Node::Stmt(stmt), at).is_empty()
}

/// Returns the offsets at which the code waits, functions inside left out.
pub(super) fn waits_in<'t, 'a>(
    module: &Module<'t, 'a>,
    node: Node<'t, 'a>,
    at: &At<'t, 'a>,
) -> Vec<u32> {
    let mut found = Vec::new();
    look(module, node, at, true, &mut found);
    found
}

fn look<'t, 'a>(
    module: &Module<'t, 'a>,
    node: Node<'t, 'a>,
    at: &At<'t, 'a>,
    with_calls: bool,
    found: &mut Vec<u32>,
) {
    let mut below = |node: Node<'t, 'a>| look(module, node, at, with_calls, found);
    match node {
        Node::Block(block) => block.list.iter().for_each(|s| below(Node::Stmt(s))),
        Node::Stmt(stmt) => match &stmt.kind {
            StmtKind::Go(_) | StmtKind::Defer(_) => {}
            StmtKind::Select(cases) => {
                if cases.iter().all(|case| !case.head.is_empty()) {
                    found.push(stmt.start);
                }
            }
            _ => walk::children_of_stmt(stmt, &mut below),
        },
        Node::Expr(expr) => match &expr.kind {
            ExprKind::Func(_) => {}
            ExprKind::Unary(Kind::Arrow, _) => found.push(expr.start),
            ExprKind::Call(call) => {
                walk::children_of_expr(expr, &mut below);
                let is_wait = call.fun.last_name() == Some("Wait") && call.args.is_empty();
                let own = if with_calls { module.function(&call.fun, at) } else { None };
                let inside = own.map(|id| {
                    let function = &module.functions[id];
                    let mut found = Vec::new();
                    let at = At { file: function.file, func: Some(id), frame: None };
                    look(module, Node::Block(&function.decl.func.body), &at, false, &mut found);
                    !found.is_empty()
                });
                if inside.unwrap_or(is_wait) {
                    found.push(expr.start);
                }
            }
            _ => walk::children_of_expr(expr, &mut below),
        },
    }
}
