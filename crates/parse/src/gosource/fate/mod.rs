//! What becomes of a listen error: follows it from the call outwards through conditions, returns,
//! goroutines and channels, until the program ends, the error is read beside the signal, or it is
//! lost.

mod actions;
mod channel;

use guanka_core::facts::gosource::ErrorFate;

use super::ast::{Block, Expr, ExprKind, If, Stmt, StmtKind};
use super::module::{At, Module, Site};
use super::token::Kind;
use super::walk::{self, Node};
use actions::{Role, role};

/// The longest chain of callers that is followed.
const DEPTH_MAX: u8 = 6;

/// Returns what becomes of the error of a listening call.
pub(super) fn of<'t, 'a>(module: &Module<'t, 'a>, site: &Site<'t, 'a>) -> ErrorFate {
    module.refuel();
    Flow { module, depth: 0 }.call(site.expr, &site.at)
}

/// A place on the way outwards: the function's body, the way down to the thing, and how far out.
struct Way<'t, 'a> {
    nodes: Vec<Node<'t, 'a>>,
    at: At<'t, 'a>,
    id: usize,
}

struct Flow<'m, 't, 'a> {
    module: &'m Module<'t, 'a>,
    depth: u8,
}

impl<'m, 't, 'a> Flow<'m, 't, 'a> {
    fn deeper(&self) -> Option<Flow<'m, 't, 'a>> {
        (self.depth < DEPTH_MAX && self.module.burn())
            .then_some(Flow { module: self.module, depth: self.depth + 1 })
    }

    fn way(&self, start: u32, end: u32, at: &At<'t, 'a>) -> Option<Way<'t, 'a>> {
        let id = at.func?;
        let nodes = walk::path(&self.module.functions[id].decl.func.body, start, end);
        Some(Way { nodes, at: at.clone(), id })
    }

    fn lost(&self, way: &Way<'t, 'a>, start: u32, end: u32, how: &str) -> ErrorFate {
        let span = self.module.file(&way.at).span(start, end);
        ErrorFate::Swallowed { span, how: how.to_owned() }
    }

    /// Follows the error that a call returns.
    fn call(&self, expr: &'t Expr<'a>, at: &At<'t, 'a>) -> ErrorFate {
        let Some(way) = self.way(expr.start, expr.end, at) else {
            return ErrorFate::Unclear("outside any function".to_owned());
        };
        let is_it = |node: &Node<'t, 'a>| matches!(node, Node::Expr(e) if std::ptr::eq(*e, expr));
        match way.nodes.iter().position(is_it) {
            Some(place) => self.outwards(&way, place),
            None => ErrorFate::Unclear(self.module.file(at).words(expr)),
        }
    }

    /// Looks at what stands around the value at a place of the way.
    fn outwards(&self, way: &Way<'t, 'a>, place: usize) -> ErrorFate {
        let Some(up) = place.checked_sub(1) else {
            return ErrorFate::Unclear("outside any statement".to_owned());
        };
        match way.nodes[up] {
            Node::Expr(e) => match &e.kind {
                ExprKind::Call(call) => match role(self.module, call, &way.at) {
                    Role::Ends => ErrorFate::EndsProgram,
                    Role::Logs => self.after(way, up, "only logged"),
                    Role::Wraps => self.outwards(way, up),
                    Role::Other => {
                        let name = self.module.file(&way.at).words(&call.fun);
                        ErrorFate::Unclear(format!("given to {name}"))
                    }
                },
                ExprKind::Paren(_) | ExprKind::Binary(..) | ExprKind::Unary(..) => {
                    self.outwards(way, up)
                }
                _ => ErrorFate::Unclear(self.module.file(&way.at).words(e)),
            },
            Node::Stmt(stmt) => self.in_statement(way, up, stmt),
            Node::Block(_) => ErrorFate::Unclear("a block".to_owned()),
        }
    }

    fn in_statement(&self, way: &Way<'t, 'a>, place: usize, stmt: &'t Stmt<'a>) -> ErrorFate {
        match &stmt.kind {
            StmtKind::Expr(_) => self.after(way, place, "ignored"),
            StmtKind::Go(_) => self.lost(way, stmt.start, stmt.end, "ignored"),
            StmtKind::Defer(_) => ErrorFate::Unclear("deferred".to_owned()),
            StmtKind::Return(_) => self.returned(way, place),
            StmtKind::Send(to, _) => self.sent(to, way, stmt),
            StmtKind::Assign { to, .. } => match to.last().map(|e| &e.kind) {
                Some(ExprKind::Name("_")) | None => self.after(way, place, "ignored"),
                Some(ExprKind::Name(name)) => self.named(way, place, name),
                Some(_) => ErrorFate::Unclear("kept in a field".to_owned()),
            },
            StmtKind::Values(lines) => match lines.first().and_then(|line| line.names.last()) {
                Some((name, _)) => self.named(way, place, name),
                None => ErrorFate::Unclear("kept".to_owned()),
            },
            StmtKind::If(test) => {
                let done = self.test(way, test);
                done.unwrap_or_else(|| self.after(way, place, "only logged"))
            }
            _ => ErrorFate::Unclear("in a statement that is not followed".to_owned()),
        }
    }

    /// Follows an error kept under a name by the statement at a place.
    fn named(&self, way: &Way<'t, 'a>, place: usize, name: &str) -> ErrorFate {
        let Node::Stmt(stmt) = way.nodes[place] else { return unclear(name) };
        if let Some(up) = place.checked_sub(1) {
            match way.nodes[up] {
                Node::Stmt(outer) => {
                    if let StmtKind::If(test) = &outer.kind {
                        let done = self.test(way, test);
                        return done.unwrap_or_else(|| self.after(way, up, "only logged"));
                    }
                    if let StmtKind::Switch(_, _) = &outer.kind {
                        let done = self.act(way, outer);
                        return done.unwrap_or_else(|| self.after(way, up, "only logged"));
                    }
                    return unclear(name);
                }
                Node::Block(block) => {
                    let rest = block.list.iter().filter(|s| s.start >= stmt.end);
                    if let Some(done) = self.handled(way, rest, name) {
                        return done;
                    }
                }
                Node::Expr(_) => return unclear(name),
            }
        }
        let how = if mentions_later(way, stmt, name) { "only logged" } else { "ignored" };
        self.after(way, place, how)
    }

    /// Looks at the statements behind the one that made the error, as far as they are about it.
    fn handled(
        &self,
        way: &Way<'t, 'a>,
        rest: impl Iterator<Item = &'t Stmt<'a>>,
        name: &str,
    ) -> Option<ErrorFate> {
        for stmt in rest {
            if !mentions(stmt, name) {
                // Something else comes first: waiting, or ending anyway; `after` looks at it.
                if actions::waits(self.module, stmt, &way.at) {
                    return None;
                }
                continue;
            }
            let done = match &stmt.kind {
                StmtKind::If(test) => self.test(way, test),
                _ => self.act(way, stmt),
            };
            if done.is_some() {
                return done;
            }
        }
        None
    }

    /// Looks into the branch of an `if` that is taken when there is an error.
    fn test(&self, way: &Way<'t, 'a>, test: &'t If<'a>) -> Option<ErrorFate> {
        let is_error = test.cond.as_ref().is_some_and(is_error_test);
        if is_error {
            return self.acts(way, &test.then);
        }
        // `if errors.Is(err, http.ErrServerClosed) { … }`: the error goes the other way.
        match &test.otherwise {
            Some(Stmt { kind: StmtKind::Block(block), .. }) => self.acts(way, block),
            Some(Stmt { kind: StmtKind::If(next), .. }) => self.test(way, next),
            _ => None,
        }
    }

    fn acts(&self, way: &Way<'t, 'a>, block: &'t Block<'a>) -> Option<ErrorFate> {
        block.list.iter().find_map(|stmt| self.act(way, stmt))
    }

    /// Returns what a statement does that decides the error's fate, if it does anything.
    fn act(&self, way: &Way<'t, 'a>, stmt: &'t Stmt<'a>) -> Option<ErrorFate> {
        match &stmt.kind {
            StmtKind::Expr(e) => {
                let call = e.call()?;
                if role(self.module, call, &way.at) == Role::Ends {
                    return Some(ErrorFate::EndsProgram);
                }
                if actions::cancels(self.module, call, &way.at) {
                    return Some(ErrorFate::ReadWithSignal);
                }
                let is_close = call.fun.name() == Some("close");
                let channel = call.args.first().filter(|_| is_close)?;
                Some(self.sent(channel, way, stmt))
            }
            StmtKind::Send(to, _) => Some(self.sent(to, way, stmt)),
            StmtKind::Return(_) => {
                let inner = self.way(stmt.start, stmt.end, &way.at)?;
                let place = inner.nodes.iter().rposition(|n| matches!(n, Node::Stmt(_)))?;
                Some(self.returned(&inner, place))
            }
            StmtKind::If(test) => {
                let then = self.acts(way, &test.then);
                then.or_else(|| self.act(way, test.otherwise.as_ref()?))
            }
            StmtKind::Block(block) => self.acts(way, block),
            StmtKind::Select(cases) => cases.iter().find_map(|case| {
                let head = case.head.first().filter(|s| matches!(s.kind, StmtKind::Send(..)));
                head.and_then(|s| self.act(way, s))
            }),
            StmtKind::Switch(_, cases) => {
                let is_closed = |s: &Stmt<'a>| match &s.kind {
                    StmtKind::Expr(e) => !is_error_test(e),
                    _ => true,
                };
                let mut errors =
                    cases.iter().filter(|case| !case.head.first().is_some_and(is_closed));
                errors.find_map(|case| self.acts(way, &case.body))
            }
            _ => None,
        }
    }

    /// Follows the flow behind a statement that did nothing decisive with the error.
    fn after(&self, way: &Way<'t, 'a>, place: usize, how: &str) -> ErrorFate {
        let Node::Stmt(stmt) = way.nodes[self.statement_of(way, place)] else {
            return unclear(how);
        };
        let border = self.border(way, place);
        for up in (border..place).rev() {
            let Node::Block(block) = way.nodes[up] else { continue };
            for next in block.list.iter().filter(|s| s.start >= stmt.end) {
                if actions::waits(self.module, next, &way.at) {
                    return self.lost(way, stmt.start, stmt.end, how);
                }
                let is_plain = matches!(next.kind, StmtKind::Expr(_) | StmtKind::Send(..));
                if is_plain && let Some(done) = self.act(way, next) {
                    return done;
                }
                if let StmtKind::Return(list) = &next.kind {
                    let is_empty = list.iter().all(|e| e.name() == Some("nil"));
                    return if is_empty {
                        self.end(way, border, stmt, how)
                    } else {
                        self.act(way, next).unwrap_or_else(|| unclear(how))
                    };
                }
            }
        }
        self.end(way, border, stmt, how)
    }

    fn statement_of(&self, way: &Way<'t, 'a>, place: usize) -> usize {
        (0..=place).rev().find(|i| matches!(way.nodes[*i], Node::Stmt(_))).unwrap_or(0)
    }

    /// Returns the place of the innermost function's body.
    fn border(&self, way: &Way<'t, 'a>, place: usize) -> usize {
        let is_func =
            |i: &usize| matches!(way.nodes[*i], Node::Expr(Expr { kind: ExprKind::Func(_), .. }));
        (0..place).rev().find(is_func).map_or(0, |i| i + 1)
    }

    /// Follows the flow behind the end of the function whose body is at the border.
    fn end(&self, way: &Way<'t, 'a>, border: usize, stmt: &Stmt<'a>, how: &str) -> ErrorFate {
        let Some(literal) = border.checked_sub(1) else {
            return self.end_of_declared(way, stmt, how);
        };
        let Node::Block(body) = way.nodes[border] else { return unclear(how) };
        for deferred in &body.list {
            if let StmtKind::Defer(e) = &deferred.kind
                && let Some(call) = e.call()
            {
                if actions::cancels(self.module, call, &way.at) {
                    return ErrorFate::ReadWithSignal;
                }
                if let (Some("close"), Some(channel)) = (call.fun.name(), call.args.first()) {
                    return self.sent(channel, way, deferred);
                }
            }
        }
        match self.use_of_literal(way, literal) {
            LiteralUse::Goroutine => self.lost(way, stmt.start, stmt.end, how),
            LiteralUse::Called(call) => self.after(way, call, how),
            LiteralUse::Given(name) => ErrorFate::Unclear(format!("in a function given to {name}")),
        }
    }

    fn end_of_declared(&self, way: &Way<'t, 'a>, stmt: &Stmt<'a>, how: &str) -> ErrorFate {
        let decl = self.module.functions[way.id].decl;
        if decl.receiver.is_none() && decl.name == "main" {
            return ErrorFate::EndsProgram;
        }
        let Some(next) = self.deeper() else { return unclear(how) };
        let fates = self.module.callers(way.id).into_iter().filter_map(|site| {
            let outer = self.way(site.expr.start, site.expr.end, &site.at)?;
            let is_it =
                |n: &Node<'t, 'a>| matches!(n, Node::Expr(e) if std::ptr::eq(*e, site.expr));
            let place = outer.nodes.iter().rposition(is_it)?;
            let up = next.statement_of(&outer, place);
            Some(match outer.nodes[up] {
                Node::Stmt(Stmt { kind: StmtKind::Go(_), .. }) => {
                    self.lost(way, stmt.start, stmt.end, how)
                }
                _ => next.after(&outer, up, how),
            })
        });
        worst(fates).unwrap_or_else(|| unclear(how))
    }

    /// Follows an error that the innermost function returns.
    fn returned(&self, way: &Way<'t, 'a>, place: usize) -> ErrorFate {
        let border = self.border(way, place);
        if let Some(literal) = border.checked_sub(1) {
            return match self.use_of_literal(way, literal) {
                LiteralUse::Goroutine => match way.nodes[place] {
                    Node::Stmt(stmt) => self.end(way, border, stmt, "only logged"),
                    _ => unclear("returned"),
                },
                LiteralUse::Called(call) => self.outwards(way, call),
                LiteralUse::Given(name) => self.given_to(way, literal, &name),
            };
        }
        let decl = self.module.functions[way.id].decl;
        if decl.receiver.is_none() && decl.name == "main" {
            return ErrorFate::EndsProgram;
        }
        let Some(next) = self.deeper() else { return unclear(decl.name) };
        let callers = self.module.callers(way.id);
        let fates = callers.into_iter().map(|site| next.call(site.expr, &site.at));
        worst(fates).unwrap_or_else(|| {
            ErrorFate::Unclear(format!("returned by {}, which nothing here calls", decl.name))
        })
    }

    /// Judges a function that returns the error and is handed to a runner.
    fn given_to(&self, way: &Way<'t, 'a>, literal: usize, name: &str) -> ErrorFate {
        let key = way.nodes[..literal].iter().rev().find_map(|node| match node {
            Node::Expr(e) => match &e.kind {
                ExprKind::Call(call) => Some(&call.fun),
                _ => None,
            },
            _ => None,
        });
        let runner = key.and_then(|fun| match &fun.kind {
            ExprKind::Selector(base, _) => Some(base),
            _ => None,
        });
        let is_group = runner.is_some_and(|base| {
            actions::is_made_by(self.module, base, &way.at, |path, made| {
                (path.ends_with("/errgroup") && made == "WithContext")
                    || (path.ends_with("oklog/run") && made == "Group")
            })
        });
        if is_group {
            return ErrorFate::ReadWithSignal;
        }
        ErrorFate::Unclear(format!("returned to {name}"))
    }

    fn use_of_literal(&self, way: &Way<'t, 'a>, literal: usize) -> LiteralUse {
        let Node::Expr(lit) = way.nodes[literal] else {
            return LiteralUse::Given(String::new());
        };
        let Some(Node::Expr(outer)) = literal.checked_sub(1).map(|up| way.nodes[up]) else {
            return LiteralUse::Given("a variable".to_owned());
        };
        let ExprKind::Call(call) = &outer.kind else {
            return LiteralUse::Given("a value".to_owned());
        };
        let is_called = std::ptr::eq(call.fun.bare(), lit);
        let is_go = literal >= 2
            && matches!(way.nodes[literal - 2], Node::Stmt(Stmt { kind: StmtKind::Go(_), .. }));
        if is_called && is_go {
            return LiteralUse::Goroutine;
        }
        if is_called {
            return LiteralUse::Called(literal - 1);
        }
        let is_wait_group = call.fun.last_name() == Some("Go") && call.args.len() == 1;
        let takes_no_error = !self.module.file(&way.at).words(lit).starts_with("func() error");
        if is_wait_group && takes_no_error {
            return LiteralUse::Goroutine;
        }
        LiteralUse::Given(self.module.file(&way.at).words(&call.fun))
    }
}

/// What is done with a function literal.
enum LiteralUse {
    Goroutine,
    /// Called on the spot, by the call at that place of the way.
    Called(usize),
    Given(String),
}

fn unclear(what: &str) -> ErrorFate {
    ErrorFate::Unclear(what.to_owned())
}

/// Returns the worst of several fates.
fn worst(fates: impl Iterator<Item = ErrorFate>) -> Option<ErrorFate> {
    fates.max_by_key(|fate| match fate {
        ErrorFate::EndsProgram => 0,
        ErrorFate::ReadWithSignal => 1,
        ErrorFate::Unclear(_) => 2,
        ErrorFate::Swallowed { .. } => 3,
    })
}

/// Returns whether a condition holds when there is an error: it has `!=`, or a negated `errors.Is`.
fn is_error_test(cond: &Expr<'_>) -> bool {
    match &cond.bare().kind {
        ExprKind::Binary(first, rest) => match rest[0].0 {
            Kind::Neq => true,
            Kind::LAnd | Kind::LOr => {
                is_error_test(first) || rest.iter().any(|(_, e)| is_error_test(e))
            }
            _ => false,
        },
        ExprKind::Unary(Kind::Not, inner) => inner.call().is_some(),
        _ => false,
    }
}

fn mentions(stmt: &Stmt<'_>, name: &str) -> bool {
    let mut found = false;
    walk::stmt(stmt, &mut |node| {
        found |= matches!(node, Node::Expr(Expr { kind: ExprKind::Name(n), .. }) if *n == name);
    });
    found
}

fn mentions_later(way: &Way<'_, '_>, stmt: &Stmt<'_>, name: &str) -> bool {
    way.nodes.iter().any(|node| match node {
        Node::Block(block) => block.list.iter().any(|s| s.start >= stmt.end && mentions(s, name)),
        _ => false,
    })
}
