//! Which definitions a name has inside one function, and which of them reach a place.

use super::ast::{Block, Call, Case, Expr, ExprKind, Func, FuncDecl, Stmt, StmtKind, Values};
use super::token::Kind;
use super::walk::{self, Node};

/// What a name is given.
#[derive(Clone, Copy)]
pub(super) enum Given<'t, 'a> {
    /// An expression; the number is the place among several results of one call.
    Value(&'t Expr<'a>, usize),
    /// The nth parameter of the declared function.
    Param(usize),
    /// A parameter of a function literal, with the call that the literal is handed to.
    Inner(Option<&'t Call<'a>>, &'a str),
    /// Something behind its address: `flag.StringVar(&name, …)`.
    Address(&'t Expr<'a>),
    /// `var name T`.
    Zero(&'t Expr<'a>),
    /// A value that cannot be followed: a step, a sum, a range.
    Opaque,
}

/// A definition of a name, or an assignment to it.
#[derive(Clone, Copy)]
pub(super) struct Def<'t, 'a> {
    pub(super) name: &'a str,
    pub(super) given: Given<'t, 'a>,
    /// From here on the value holds.
    pub(super) from: u32,
    /// The innermost block, or head with block, around it.
    pub(super) scope: (u32, u32),
    /// It makes the name; otherwise it changes it.
    pub(super) is_new: bool,
}

/// Collects the definitions in a function in the order of the text.
pub(super) fn definitions<'t, 'a>(decl: &'t FuncDecl<'a>) -> Vec<Def<'t, 'a>> {
    let body = &decl.func.body;
    let mut collector = Collector { defs: Vec::new(), scopes: vec![(body.start, body.end)] };
    if let Some(name) = decl.receiver.as_ref().and_then(|r| r.name) {
        collector.add(name, Given::Opaque, body.start, true);
    }
    for (index, param) in decl.func.params.iter().enumerate() {
        if let Some(name) = param.name {
            collector.add(name, Given::Param(index), body.start, true);
        }
    }
    body.list.iter().for_each(|s| collector.stmt(s));
    collector.defs
}

/// Returns the definitions of a name that may hold at a place: the last one that surely came
/// before, and those after it that may have. Empty when the name is not the function's own.
pub(super) fn reaching<'d, 't, 'a>(
    defs: &'d [Def<'t, 'a>],
    name: &str,
    at: u32,
) -> Vec<&'d Def<'t, 'a>> {
    let holds = |scope: (u32, u32), place: u32| scope.0 <= place && place < scope.1;
    let maker = |place: u32| {
        defs.iter()
            .filter(|d| d.is_new && d.name == name && d.from <= place && holds(d.scope, place))
            .max_by_key(|d| (d.scope.0, d.from))
    };
    let Some(made) = maker(at) else { return Vec::new() };
    let own = defs.iter().filter(|d| {
        let is_same = |m: &Def<'_, '_>| m.scope == made.scope;
        d.name == name
            && d.from <= at
            && d.from >= made.from
            && (d.scope == made.scope || (!d.is_new && maker(d.from).is_some_and(is_same)))
    });
    let mut out: Vec<&Def<'_, '_>> = Vec::new();
    for def in own {
        if holds(def.scope, at) {
            out.clear();
        }
        out.push(def);
    }
    out
}

struct Collector<'t, 'a> {
    defs: Vec<Def<'t, 'a>>,
    scopes: Vec<(u32, u32)>,
}

impl<'t, 'a> Collector<'t, 'a> {
    fn add(&mut self, name: &'a str, given: Given<'t, 'a>, from: u32, is_new: bool) {
        if name != "_" {
            let scope = self.scopes[self.scopes.len() - 1];
            self.defs.push(Def { name, given, from, scope, is_new });
        }
    }

    fn inside(&mut self, start: u32, end: u32, work: impl FnOnce(&mut Self)) {
        self.scopes.push((start, end));
        work(self);
        self.scopes.pop();
    }

    fn block(&mut self, block: &'t Block<'a>) {
        self.inside(block.start, block.end, |c| block.list.iter().for_each(|s| c.stmt(s)));
    }

    fn stmt(&mut self, stmt: &'t Stmt<'a>) {
        match &stmt.kind {
            StmtKind::Assign { to, op, from } => {
                from.iter().for_each(|e| self.expr(e));
                self.assign(to, *op, from, stmt.end);
            }
            StmtKind::Values(lines) => lines.iter().for_each(|line| self.values(line)),
            StmtKind::If(_) | StmtKind::For(_) => {
                self.inside(stmt.start, stmt.end, |c| c.below(stmt));
            }
            StmtKind::Switch(head, cases) => self.inside(stmt.start, stmt.end, |c| {
                head.iter().for_each(|s| c.stmt(s));
                c.cases(cases);
            }),
            StmtKind::Select(cases) => self.cases(cases),
            _ => self.below(stmt),
        }
    }

    fn below(&mut self, stmt: &'t Stmt<'a>) {
        walk::children_of_stmt(stmt, &mut |node| self.node(node));
    }

    fn cases(&mut self, cases: &'t [Case<'a>]) {
        for case in cases {
            let start = case.head.first().map_or(case.body.start, |s| s.start);
            self.inside(start, case.body.end, |c| {
                case.head.iter().chain(&case.body.list).for_each(|s| c.stmt(s));
            });
        }
    }

    fn node(&mut self, node: Node<'t, 'a>) {
        match node {
            Node::Expr(e) => self.expr(e),
            Node::Stmt(s) => self.stmt(s),
            Node::Block(b) => self.block(b),
        }
    }

    fn expr(&mut self, expr: &'t Expr<'a>) {
        match &expr.kind {
            ExprKind::Call(call) => {
                self.expr(&call.fun);
                for arg in &call.args {
                    match &arg.kind {
                        ExprKind::Func(func) => self.func(func, arg, Some(call)),
                        ExprKind::Unary(Kind::And, x) if x.name().is_some() => {
                            let name = x.name().unwrap_or("_");
                            self.add(name, Given::Address(expr), expr.end, false);
                        }
                        _ => self.expr(arg),
                    }
                }
            }
            ExprKind::Func(func) => self.func(func, expr, None),
            _ => walk::children_of_expr(expr, &mut |node| self.node(node)),
        }
    }

    fn func(&mut self, func: &'t Func<'a>, expr: &'t Expr<'a>, call: Option<&'t Call<'a>>) {
        self.inside(expr.start, expr.end, |c| {
            for param in &func.params {
                if let Some(name) = param.name {
                    c.add(name, Given::Inner(call, param.ty), func.body.start, true);
                }
            }
            c.block(&func.body);
        });
    }

    fn assign(&mut self, to: &'t [Expr<'a>], op: Kind, from: &'t [Expr<'a>], end: u32) {
        for (index, target) in to.iter().enumerate() {
            let Some(name) = target.name() else { continue };
            let is_range = |e: &Expr<'_>| matches!(e.kind, ExprKind::Unary(Kind::Range, _));
            let given = match from {
                _ if !matches!(op, Kind::Assign | Kind::Define) => Given::Opaque,
                [one] if is_range(one) => Given::Opaque,
                [one] if to.len() > 1 => Given::Value(one, index),
                _ => from.get(index).map_or(Given::Opaque, |e| Given::Value(e, 0)),
            };
            self.add(name, given, end, op == Kind::Define);
        }
    }

    fn values(&mut self, line: &'t Values<'a>) {
        line.from.iter().for_each(|e| self.expr(e));
        for (index, (name, _)) in line.names.iter().enumerate() {
            self.add(name, given_by(line, index), line.end, true);
        }
    }
}

/// Returns what the nth name of a `var` or `const` line is given.
pub(super) fn given_by<'t, 'a>(line: &'t Values<'a>, index: usize) -> Given<'t, 'a> {
    match (line.from.as_slice(), &line.ty) {
        ([], Some(ty)) => Given::Zero(ty),
        ([one], _) if line.names.len() > 1 => Given::Value(one, index),
        (list, _) => list.get(index).map_or(Given::Opaque, |e| Given::Value(e, 0)),
    }
}
