//! Types, parameters and results: read far enough to know where they end.

use super::super::ast::{Expr, ExprKind, Param, Tagged};
use super::super::token::Kind;
use super::{DEPTH_MAX, Parser};

impl<'a> Parser<'a> {
    /// Reads a type. A name stays a name, a pointer a `*`; everything else is text.
    pub(super) fn ty(&mut self) -> Expr<'a> {
        self.depth += 1;
        let expr = if self.depth > DEPTH_MAX {
            let start = self.start();
            self.trouble("a type that is nested less deeply");
            self.skip_brackets();
            self.make(ExprKind::Bad, start)
        } else {
            self.type_inside()
        };
        self.depth -= 1;
        expr
    }

    fn type_inside(&mut self) -> Expr<'a> {
        let start = self.start();
        match self.kind() {
            Kind::Ident => return self.type_name(),
            Kind::Mul => {
                self.step();
                let inner = Box::new(self.ty());
                return self.make(ExprKind::Unary(Kind::Mul, inner), start);
            }
            Kind::LParen => self.skip_brackets(),
            Kind::LBrack => {
                self.skip_brackets();
                self.ty();
            }
            Kind::Map => {
                self.step();
                if self.kind() == Kind::LBrack {
                    self.skip_brackets();
                }
                self.ty();
            }
            Kind::Chan => {
                self.step();
                self.take(Kind::Arrow);
                self.ty();
            }
            Kind::Arrow | Kind::Ellipsis | Kind::Tilde => {
                self.step();
                self.ty();
            }
            Kind::Func => {
                self.step();
                self.params();
                self.results();
            }
            Kind::Struct => {
                self.step();
                self.struct_fields();
            }
            Kind::Interface => {
                self.step();
                if self.kind() == Kind::LBrace {
                    self.skip_brackets();
                }
            }
            _ => {
                self.trouble("a type");
                return self.make(ExprKind::Bad, start);
            }
        }
        self.make(ExprKind::Type, start)
    }

    fn type_name(&mut self) -> Expr<'a> {
        let start = self.start();
        let name = self.word().map_or("", |(name, _)| name);
        let mut expr = self.make(ExprKind::Name(name), start);
        if self.kind() == Kind::Period && self.ahead(1) == Kind::Ident {
            self.step();
            let name = self.word().map_or("", |(name, _)| name);
            expr = self.make(ExprKind::Selector(Box::new(expr), name), start);
        }
        if self.kind() == Kind::LBrack && self.ahead(1) != Kind::RBrack {
            self.skip_brackets();
            expr = self.make(ExprKind::Index(Box::new(expr), Vec::new()), start);
        }
        expr
    }

    /// Reads a bracket of parameters; `a, b int` gives both names the type.
    pub(super) fn params(&mut self) -> Vec<Param<'a>> {
        let mut list: Vec<Param<'a>> = Vec::new();
        if !self.expect(Kind::LParen) {
            return list;
        }
        while !matches!(self.kind(), Kind::RParen | Kind::End) {
            let before = self.at;
            list.push(self.param());
            if !self.take(Kind::Comma) && self.kind() != Kind::RParen {
                self.trouble(", or )");
                while !matches!(self.kind(), Kind::RParen | Kind::LBrace | Kind::End) {
                    self.step();
                }
                break;
            }
            if self.at == before {
                self.step();
            }
        }
        self.expect(Kind::RParen);
        if list.iter().any(|p| p.name.is_some()) {
            let mut ty = "";
            for param in list.iter_mut().rev() {
                if param.name.is_none() {
                    param.name = Some(std::mem::replace(&mut param.ty, ty));
                }
                ty = param.ty;
            }
        }
        list
    }

    fn param(&mut self) -> Param<'a> {
        let is_named = self.kind() == Kind::Ident && self.has_type_behind_name();
        let name = if is_named { self.word().map(|(name, _)| name) } else { None };
        self.take(Kind::Ellipsis);
        let ty = self.ty();
        Param { name, ty: self.slice(ty.start, ty.end) }
    }

    /// Returns whether the name here is a parameter's name with its type behind it.
    fn has_type_behind_name(&mut self) -> bool {
        match self.ahead(1) {
            Kind::Comma | Kind::RParen | Kind::Period | Kind::End => false,
            // `a []T` and `a [5]T` are named, `List[T]` is a type.
            Kind::LBrack => {
                let here = self.at;
                self.step();
                self.skip_brackets();
                let behind = self.kind();
                self.at = here;
                !matches!(behind, Kind::Comma | Kind::RParen)
            }
            _ => true,
        }
    }

    /// Skips a function's results.
    pub(super) fn results(&mut self) {
        match self.kind() {
            Kind::LParen => self.skip_brackets(),
            Kind::Ident
            | Kind::Mul
            | Kind::LBrack
            | Kind::Map
            | Kind::Chan
            | Kind::Arrow
            | Kind::Func
            | Kind::Struct
            | Kind::Interface => {
                self.ty();
            }
            _ => {}
        }
    }

    /// Reads a line of a `type` declaration.
    pub(super) fn type_line(&mut self) {
        if self.word().is_none() {
            self.trouble("a name");
            return;
        }
        if self.kind() == Kind::LBrack {
            self.skip_brackets();
        }
        self.take(Kind::Assign);
        if !matches!(self.kind(), Kind::Semicolon | Kind::RParen | Kind::End) {
            self.ty();
        }
    }

    /// Steps over a struct's fields and keeps their tags.
    fn struct_fields(&mut self) {
        if self.kind() != Kind::LBrace {
            return;
        }
        let mut open = 0usize;
        let mut field = "";
        loop {
            let token = self.token();
            match token.kind {
                Kind::LBrace => open += 1,
                Kind::RBrace => open = open.saturating_sub(1),
                Kind::End => return,
                Kind::Ident if self.at > 0 && self.begins_field() => {
                    field = self.slice(token.start, token.end);
                }
                Kind::Str => {
                    let tag = self.slice(token.start, token.end);
                    self.tags.push(Tagged { field, tag, start: token.start, end: token.end });
                }
                _ => {}
            }
            self.step();
            if open == 0 {
                return;
            }
        }
    }

    fn begins_field(&self) -> bool {
        matches!(self.tokens[self.at - 1].kind, Kind::LBrace | Kind::Semicolon)
    }
}
