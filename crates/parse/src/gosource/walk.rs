//! Visits every expression and statement below a block, outermost first.

use super::ast::{Block, Case, Expr, ExprKind, Stmt, StmtKind};

/// A thing on the way down a tree.
#[derive(Clone, Copy)]
pub(super) enum Node<'t, 'a> {
    Expr(&'t Expr<'a>),
    Stmt(&'t Stmt<'a>),
    Block(&'t Block<'a>),
}

impl Node<'_, '_> {
    fn range(&self) -> (u32, u32) {
        match self {
            Self::Expr(e) => (e.start, e.end),
            Self::Stmt(s) => (s.start, s.end),
            Self::Block(b) => (b.start, b.end),
        }
    }
}

/// Visits a block and all below it.
pub(super) fn block<'t, 'a>(at: &'t Block<'a>, visit: &mut dyn FnMut(Node<'t, 'a>)) {
    visit(Node::Block(at));
    at.list.iter().for_each(|s| stmt(s, visit));
}

/// Visits a statement and all below it.
pub(super) fn stmt<'t, 'a>(at: &'t Stmt<'a>, visit: &mut dyn FnMut(Node<'t, 'a>)) {
    visit(Node::Stmt(at));
    children_of_stmt(at, &mut |node| match node {
        Node::Expr(e) => expr(e, visit),
        Node::Stmt(s) => stmt(s, visit),
        Node::Block(b) => block(b, visit),
    });
}

/// Visits an expression and all below it.
pub(super) fn expr<'t, 'a>(at: &'t Expr<'a>, visit: &mut dyn FnMut(Node<'t, 'a>)) {
    visit(Node::Expr(at));
    children_of_expr(at, &mut |node| match node {
        Node::Expr(e) => expr(e, visit),
        Node::Stmt(s) => stmt(s, visit),
        Node::Block(b) => block(b, visit),
    });
}

/// Returns the way from a block down to the innermost thing that starts and ends as given.
pub(super) fn path<'t, 'a>(from: &'t Block<'a>, start: u32, end: u32) -> Vec<Node<'t, 'a>> {
    let mut way = vec![Node::Block(from)];
    loop {
        let mut next = None;
        let mut pick = |node: Node<'t, 'a>| {
            let (from, to) = node.range();
            if next.is_none() && from <= start && end <= to {
                next = Some(node);
            }
        };
        match way[way.len() - 1] {
            Node::Expr(e) => children_of_expr(e, &mut pick),
            Node::Stmt(s) => children_of_stmt(s, &mut pick),
            Node::Block(b) => b.list.iter().for_each(|s| pick(Node::Stmt(s))),
        }
        match next {
            Some(node) => way.push(node),
            None => return way,
        }
    }
}

/// Visits what stands directly below an expression.
pub(super) fn children_of_expr<'t, 'a>(at: &'t Expr<'a>, each: &mut dyn FnMut(Node<'t, 'a>)) {
    match &at.kind {
        ExprKind::Selector(x, _)
        | ExprKind::Unary(_, x)
        | ExprKind::Paren(x)
        | ExprKind::Assert(x) => each(Node::Expr(x)),
        ExprKind::Call(call) => {
            each(Node::Expr(&call.fun));
            call.args.iter().for_each(|e| each(Node::Expr(e)));
        }
        ExprKind::Index(x, list) => {
            each(Node::Expr(x));
            list.iter().for_each(|e| each(Node::Expr(e)));
        }
        ExprKind::Binary(x, rest) => {
            each(Node::Expr(x));
            rest.iter().for_each(|(_, e)| each(Node::Expr(e)));
        }
        ExprKind::Composite(literal) => {
            literal.ty.iter().for_each(|e| each(Node::Expr(e)));
            for (key, value) in &literal.elements {
                key.iter().for_each(|e| each(Node::Expr(e)));
                each(Node::Expr(value));
            }
        }
        ExprKind::Func(func) => each(Node::Block(&func.body)),
        ExprKind::Name(_) | ExprKind::Literal(..) | ExprKind::Type | ExprKind::Bad => {}
    }
}

/// Visits what stands directly below a statement.
pub(super) fn children_of_stmt<'t, 'a>(at: &'t Stmt<'a>, each: &mut dyn FnMut(Node<'t, 'a>)) {
    match &at.kind {
        StmtKind::Expr(e) | StmtKind::Go(e) | StmtKind::Defer(e) => each(Node::Expr(e)),
        StmtKind::Assign { to, from, .. } => {
            to.iter().chain(from).for_each(|e| each(Node::Expr(e)));
        }
        StmtKind::Values(lines) => {
            lines.iter().flat_map(|v| &v.from).for_each(|e| each(Node::Expr(e)));
        }
        StmtKind::Send(channel, value) => {
            each(Node::Expr(channel));
            each(Node::Expr(value));
        }
        StmtKind::Return(list) => list.iter().for_each(|e| each(Node::Expr(e))),
        StmtKind::If(test) => {
            test.init.iter().for_each(|s| each(Node::Stmt(s)));
            test.cond.iter().for_each(|e| each(Node::Expr(e)));
            each(Node::Block(&test.then));
            test.otherwise.iter().for_each(|s| each(Node::Stmt(s)));
        }
        StmtKind::For(round) => {
            round.head.iter().for_each(|s| each(Node::Stmt(s)));
            each(Node::Block(&round.body));
        }
        StmtKind::Switch(head, cases) => {
            head.iter().for_each(|s| each(Node::Stmt(s)));
            cases_of(cases, each);
        }
        StmtKind::Select(cases) => cases_of(cases, each),
        StmtKind::Block(b) => each(Node::Block(b)),
        StmtKind::Other => {}
    }
}

fn cases_of<'t, 'a>(cases: &'t [Case<'a>], each: &mut dyn FnMut(Node<'t, 'a>)) {
    for case in cases {
        case.head.iter().for_each(|s| each(Node::Stmt(s)));
        each(Node::Block(&case.body));
    }
}
