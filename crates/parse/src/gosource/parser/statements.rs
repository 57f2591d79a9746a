//! Statements and blocks.

use super::super::ast::{Block, Case, Expr, ExprKind, For, If, Stmt, StmtKind};
use super::super::token::Kind;
use super::{DEPTH_MAX, Parser};

impl<'a> Parser<'a> {
    /// Reads a block from its opening bracket to its closing one.
    pub(super) fn block(&mut self) -> Block<'a> {
        let start = self.start();
        let head = std::mem::replace(&mut self.in_head, false);
        self.depth += 1;
        let mut list = Vec::new();
        if self.depth > DEPTH_MAX {
            self.trouble("a block that is nested less deeply");
            self.skip_brackets();
        } else if self.expect(Kind::LBrace) {
            list = self.statements();
            self.expect(Kind::RBrace);
        }
        self.depth -= 1;
        self.in_head = head;
        Block { start, end: self.end().max(start), list }
    }

    /// Reads statements up to the block's end or the next case.
    fn statements(&mut self) -> Vec<Stmt<'a>> {
        let mut list = Vec::new();
        loop {
            if matches!(self.kind(), Kind::RBrace | Kind::Case | Kind::Default | Kind::End) {
                return list;
            }
            if self.take(Kind::Semicolon) {
                continue;
            }
            let before = self.at;
            list.push(self.statement());
            if self.take(Kind::Semicolon) || self.kind() == Kind::RBrace {
                continue;
            }
            if matches!(self.kind(), Kind::Case | Kind::Default) {
                return list;
            }
            self.trouble("the statement's end");
            self.skip_statement();
            if self.at == before {
                self.step();
            }
        }
    }

    fn statement(&mut self) -> Stmt<'a> {
        let start = self.start();
        let kind = match self.kind() {
            Kind::Var | Kind::Const => {
                let mut lines = Vec::new();
                self.group(&mut |p| p.value_line(&mut lines));
                StmtKind::Values(lines)
            }
            Kind::Type => {
                self.group(&mut |p| {
                    p.type_line();
                    true
                });
                StmtKind::Other
            }
            Kind::Go => {
                self.step();
                StmtKind::Go(self.expr())
            }
            Kind::Defer => {
                self.step();
                StmtKind::Defer(self.expr())
            }
            Kind::Return => {
                self.step();
                let ends = matches!(self.kind(), Kind::Semicolon | Kind::RBrace | Kind::End);
                StmtKind::Return(if ends { Vec::new() } else { self.expr_list() })
            }
            Kind::Break | Kind::Continue | Kind::Goto | Kind::Fallthrough => {
                self.step();
                self.take(Kind::Ident);
                StmtKind::Other
            }
            Kind::If => self.if_statement(),
            Kind::For => self.for_statement(),
            Kind::Switch => self.switch_statement(),
            Kind::Select => {
                self.step();
                StmtKind::Select(self.cases())
            }
            Kind::LBrace => StmtKind::Block(self.block()),
            // A label: the statement behind it is one of its own.
            Kind::Ident if self.ahead(1) == Kind::Colon => {
                self.step();
                self.step();
                return self.labelled(start);
            }
            _ => return self.simple(),
        };
        Stmt { start, end: self.end().max(start), kind }
    }

    fn labelled(&mut self, start: u32) -> Stmt<'a> {
        self.depth += 1;
        let ends = matches!(self.kind(), Kind::RBrace | Kind::Semicolon | Kind::End);
        let stmt = if ends || self.depth > DEPTH_MAX {
            Stmt { start, end: self.end().max(start), kind: StmtKind::Other }
        } else {
            self.statement()
        };
        self.depth -= 1;
        stmt
    }

    /// Reads an expression, an assignment, a send or a step.
    fn simple(&mut self) -> Stmt<'a> {
        let start = self.start();
        let mut to = self.expr_list();
        let op = self.kind();
        let kind = match op {
            Kind::Define
            | Kind::Assign
            | Kind::AddAssign
            | Kind::SubAssign
            | Kind::MulAssign
            | Kind::QuoAssign
            | Kind::RemAssign
            | Kind::AndAssign
            | Kind::OrAssign
            | Kind::XorAssign
            | Kind::ShlAssign
            | Kind::ShrAssign
            | Kind::AndNotAssign => {
                self.step();
                let from = self.expr_list();
                StmtKind::Assign { to, op, from }
            }
            Kind::Inc | Kind::Dec => {
                self.step();
                StmtKind::Assign { to, op, from: Vec::new() }
            }
            _ => {
                let first = to.swap_remove(0);
                if self.take(Kind::Arrow) {
                    StmtKind::Send(first, self.expr())
                } else {
                    StmtKind::Expr(first)
                }
            }
        };
        Stmt { start, end: self.end().max(start), kind }
    }

    /// Reads the statements between a keyword and its block; the flag says that `{` opens it.
    fn head(&mut self) -> Vec<Option<Stmt<'a>>> {
        let outer = std::mem::replace(&mut self.in_head, true);
        let mut list = Vec::new();
        while list.len() < 3 && !matches!(self.kind(), Kind::LBrace | Kind::End) {
            if self.take(Kind::Semicolon) {
                list.push(None);
                continue;
            }
            list.push(Some(self.simple()));
            if !self.take(Kind::Semicolon) {
                break;
            }
        }
        self.in_head = outer;
        list
    }

    fn if_statement(&mut self) -> StmtKind<'a> {
        self.step();
        let mut head = self.head().into_iter().flatten().collect::<Vec<_>>();
        let cond = match head.pop() {
            Some(Stmt { kind: StmtKind::Expr(cond), .. }) => Some(cond),
            Some(other) => {
                head.push(other);
                None
            }
            None => None,
        };
        let then = self.block();
        let otherwise = if self.take(Kind::Else) {
            self.depth += 1;
            let deep = self.depth > DEPTH_MAX;
            let is_block = matches!(self.kind(), Kind::If | Kind::LBrace);
            let stmt = if is_block && !deep { Some(self.statement()) } else { None };
            self.depth -= 1;
            if stmt.is_none() {
                self.trouble("if or { behind else");
            }
            stmt
        } else {
            None
        };
        StmtKind::If(Box::new(If { init: head.pop(), cond, then, otherwise }))
    }

    fn for_statement(&mut self) -> StmtKind<'a> {
        self.step();
        let head = self.head().into_iter().flatten().collect();
        StmtKind::For(Box::new(For { head, body: self.block() }))
    }

    fn switch_statement(&mut self) -> StmtKind<'a> {
        self.step();
        let head = self.head().into_iter().flatten().collect();
        StmtKind::Switch(head, self.cases())
    }

    fn cases(&mut self) -> Vec<Case<'a>> {
        let mut list = Vec::new();
        if !self.expect(Kind::LBrace) {
            return list;
        }
        self.depth += 1;
        while matches!(self.kind(), Kind::Case | Kind::Default) && self.depth <= DEPTH_MAX {
            let outer = std::mem::replace(&mut self.in_head, false);
            let head = if self.take(Kind::Case) { vec![self.case_head()] } else { Vec::new() };
            self.take(Kind::Default);
            let start = self.start();
            self.expect(Kind::Colon);
            let body = self.statements();
            self.in_head = outer;
            list.push(Case {
                head,
                body: Block { start, end: self.start().max(start), list: body },
            });
        }
        self.depth -= 1;
        if !self.expect(Kind::RBrace) {
            self.skip_statement();
            self.take(Kind::RBrace);
        }
        list
    }

    /// Reads a case's head; a list of expressions becomes one statement that holds them all.
    fn case_head(&mut self) -> Stmt<'a> {
        let start = self.start();
        let list = self.expr_list();
        let op = self.kind();
        let kind = if matches!(op, Kind::Define | Kind::Assign) {
            self.step();
            StmtKind::Assign { to: list, op, from: vec![self.expr()] }
        } else if list.len() == 1 && self.take(Kind::Arrow) {
            let value = self.expr();
            let mut list = list;
            StmtKind::Send(list.swap_remove(0), value)
        } else {
            StmtKind::Expr(one_of(list, start))
        };
        Stmt { start, end: self.end().max(start), kind }
    }
}

/// Joins the alternatives of a case with `||`, which is what they mean.
fn one_of(mut list: Vec<Expr<'_>>, start: u32) -> Expr<'_> {
    let rest = list.split_off(1);
    let first = list.swap_remove(0);
    if rest.is_empty() {
        return first;
    }
    let end = rest.last().map_or(first.end, |e| e.end);
    let height = rest.iter().map(|e| e.height).max().unwrap_or(0).max(first.height) + 1;
    let rest = rest.into_iter().map(|e| (Kind::LOr, e)).collect();
    Expr { start, end, height, kind: ExprKind::Binary(Box::new(first), rest) }
}
