//! Expressions: operands, what stands behind them, operators, literals.

use super::super::ast::{Call, Composite, Expr, ExprKind, Func};
use super::super::token::Kind;
use super::{DEPTH_MAX, Parser};

impl<'a> Parser<'a> {
    /// Reads expressions with commas between them.
    pub(super) fn expr_list(&mut self) -> Vec<Expr<'a>> {
        let mut list = vec![self.expr()];
        while self.take(Kind::Comma) {
            list.push(self.expr());
        }
        list
    }

    /// Reads an expression or a type.
    pub(super) fn expr(&mut self) -> Expr<'a> {
        self.depth += 1;
        let expr = if self.depth > DEPTH_MAX { self.too_deep() } else { self.binary(1) };
        self.depth -= 1;
        expr
    }

    fn too_deep(&mut self) -> Expr<'a> {
        let start = self.start();
        self.trouble("an expression that is nested less deeply");
        if !matches!(self.kind(), Kind::RParen | Kind::RBrack | Kind::RBrace | Kind::Semicolon) {
            self.skip_brackets();
        }
        self.make(ExprKind::Bad, start)
    }

    fn binary(&mut self, least: u8) -> Expr<'a> {
        let start = self.start();
        let mut left = self.unary();
        loop {
            let op = self.kind();
            let precedence = op.precedence();
            if precedence < least || precedence == 0 {
                return left;
            }
            self.step();
            let right = self.binary(precedence + 1);
            let kind = match left.kind {
                ExprKind::Binary(first, mut rest) if rest[0].0.precedence() == precedence => {
                    rest.push((op, right));
                    ExprKind::Binary(first, rest)
                }
                kind => {
                    let first = Expr { kind, ..left };
                    ExprKind::Binary(Box::new(first), vec![(op, right)])
                }
            };
            left = self.make_chain(kind, start);
        }
    }

    /// Makes a chain of operands without looking at all of them again for the height.
    fn make_chain(&mut self, kind: ExprKind<'a>, start: u32) -> Expr<'a> {
        let height = match &kind {
            ExprKind::Binary(first, rest) if rest.len() > 1 => {
                let last = rest.last().map_or(0, |(_, e)| e.height);
                first.height.max(last).max(self.tallest.saturating_sub(1))
            }
            _ => return self.make(kind, start),
        };
        if height >= super::HEIGHT_MAX {
            return Expr { start, end: self.end(), height: 1, kind: ExprKind::Bad };
        }
        self.tallest = self.tallest.max(height + 1);
        Expr { start, end: self.end(), height: height + 1, kind }
    }

    fn unary(&mut self) -> Expr<'a> {
        let start = self.start();
        let op = self.kind();
        match op {
            Kind::Arrow if self.ahead(1) == Kind::Chan => self.ty(),
            Kind::Add
            | Kind::Sub
            | Kind::Not
            | Kind::Xor
            | Kind::Mul
            | Kind::And
            | Kind::Arrow
            | Kind::Tilde
            | Kind::Range => {
                self.depth += 1;
                self.step();
                let inner = if self.depth > DEPTH_MAX { self.too_deep() } else { self.unary() };
                self.depth -= 1;
                self.make(ExprKind::Unary(op, Box::new(inner)), start)
            }
            _ => self.primary(),
        }
    }

    fn primary(&mut self) -> Expr<'a> {
        let start = self.start();
        let mut expr = self.operand();
        loop {
            expr = match self.kind() {
                Kind::Period => {
                    self.step();
                    if self.kind() == Kind::LParen {
                        self.skip_brackets();
                        self.make(ExprKind::Assert(Box::new(expr)), start)
                    } else if let Some((name, _)) = self.word() {
                        self.make(ExprKind::Selector(Box::new(expr), name), start)
                    } else {
                        self.trouble("a name behind the dot");
                        return expr;
                    }
                }
                Kind::LBrack => {
                    let list = self.bracketed(Kind::RBrack);
                    self.make(ExprKind::Index(Box::new(expr), list), start)
                }
                Kind::LParen => {
                    let args = self.bracketed(Kind::RParen);
                    self.make(ExprKind::Call(Box::new(Call { fun: expr, args })), start)
                }
                Kind::LBrace if self.opens_literal(&expr) => {
                    let elements = self.elements();
                    let literal = Composite { ty: Some(expr), elements };
                    self.make(ExprKind::Composite(Box::new(literal)), start)
                }
                _ => return expr,
            };
        }
    }

    fn opens_literal(&self, expr: &Expr<'a>) -> bool {
        match &expr.kind {
            ExprKind::Name(_) => !self.in_head,
            ExprKind::Selector(x, _) | ExprKind::Index(x, _) => {
                !self.in_head && matches!(x.kind, ExprKind::Name(_) | ExprKind::Selector(..))
            }
            ExprKind::Type => true,
            _ => false,
        }
    }

    fn operand(&mut self) -> Expr<'a> {
        let token = self.token();
        let start = token.start;
        match token.kind {
            Kind::Ident => {
                self.step();
                self.make(ExprKind::Name(self.slice(start, token.end)), start)
            }
            Kind::Int | Kind::Float | Kind::Imag | Kind::Char | Kind::Str => {
                self.step();
                let text = self.slice(start, token.end);
                self.make(ExprKind::Literal(token.kind, text), start)
            }
            Kind::LParen => {
                self.step();
                let head = std::mem::replace(&mut self.in_head, false);
                let inner = self.expr();
                self.in_head = head;
                self.expect(Kind::RParen);
                self.make(ExprKind::Paren(Box::new(inner)), start)
            }
            Kind::Func => self.func(),
            Kind::LBrack | Kind::Map | Kind::Chan | Kind::Struct | Kind::Interface => self.ty(),
            _ => {
                self.trouble("an expression");
                Expr { start, end: start, height: 1, kind: ExprKind::Bad }
            }
        }
    }

    fn func(&mut self) -> Expr<'a> {
        let start = self.start();
        self.step();
        let params = self.params();
        self.results();
        if self.kind() != Kind::LBrace {
            return self.make(ExprKind::Type, start);
        }
        let outer = std::mem::replace(&mut self.tallest, 0);
        let body = self.block();
        let height = self.tallest + 1;
        self.tallest = outer.max(height);
        let end = self.end();
        if height > super::HEIGHT_MAX {
            return Expr { start, end, height: 1, kind: ExprKind::Bad };
        }
        let kind = ExprKind::Func(Box::new(Func { params, body }));
        Expr { start, end, height, kind }
    }

    /// Reads what stands in round or square brackets: arguments, or an index or slice.
    fn bracketed(&mut self, close: Kind) -> Vec<Expr<'a>> {
        self.step();
        let head = std::mem::replace(&mut self.in_head, false);
        let mut list = Vec::new();
        while self.kind() != close && self.kind() != Kind::End {
            if close == Kind::RBrack && self.take(Kind::Colon) {
                continue;
            }
            list.push(self.expr());
            self.take(Kind::Ellipsis);
            let goes_on =
                self.take(Kind::Comma) || (close == Kind::RBrack && self.take(Kind::Colon));
            if !goes_on {
                break;
            }
        }
        self.in_head = head;
        self.expect(close);
        list
    }

    fn elements(&mut self) -> Vec<(Option<Expr<'a>>, Expr<'a>)> {
        self.step();
        let head = std::mem::replace(&mut self.in_head, false);
        let mut list = Vec::new();
        while !matches!(self.kind(), Kind::RBrace | Kind::End) {
            let first = self.element();
            if self.take(Kind::Colon) {
                let value = self.element();
                list.push((Some(first), value));
            } else {
                list.push((None, first));
            }
            if !self.take(Kind::Comma) {
                break;
            }
        }
        self.in_head = head;
        self.expect(Kind::RBrace);
        list
    }

    fn element(&mut self) -> Expr<'a> {
        if self.kind() != Kind::LBrace {
            return self.expr();
        }
        let start = self.start();
        self.depth += 1;
        let expr = if self.depth > DEPTH_MAX {
            self.too_deep()
        } else {
            let elements = self.elements();
            self.make(ExprKind::Composite(Box::new(Composite { ty: None, elements })), start)
        };
        self.depth -= 1;
        expr
    }
}
