//! The shape of Go text as far as the facts need it: expressions, statements, functions and
//! declarations. Types are kept as stretches of text. The height of a tree is bounded by the
//! parser, so walks may recurse.

use super::token::Kind;

/// An expression and the bytes it covers.
#[derive(Debug)]
pub(super) struct Expr<'a> {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) height: u16,
    pub(super) kind: ExprKind<'a>,
}

/// What an expression is.
#[derive(Debug)]
pub(super) enum ExprKind<'a> {
    Name(&'a str),
    /// A literal of the token kind, as written.
    Literal(Kind, &'a str),
    Selector(Box<Expr<'a>>, &'a str),
    Call(Box<Call<'a>>),
    Index(Box<Expr<'a>>, Vec<Expr<'a>>),
    Unary(Kind, Box<Expr<'a>>),
    /// Operands of one precedence, from the left.
    Binary(Box<Expr<'a>>, Vec<(Kind, Expr<'a>)>),
    Composite(Box<Composite<'a>>),
    Func(Box<Func<'a>>),
    Paren(Box<Expr<'a>>),
    /// `x.(T)`.
    Assert(Box<Expr<'a>>),
    /// A type that is more than a name.
    Type,
    /// What was not understood.
    Bad,
}

/// A call or a conversion.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) fun: Expr<'a>,
    pub(super) args: Vec<Expr<'a>>,
}

/// A composite literal; `ty` is missing inside another one.
#[derive(Debug)]
pub(super) struct Composite<'a> {
    pub(super) ty: Option<Expr<'a>>,
    pub(super) elements: Vec<(Option<Expr<'a>>, Expr<'a>)>,
}

/// A parameter; the type is the text.
#[derive(Debug)]
pub(super) struct Param<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) ty: &'a str,
}

/// A function's parameters and body.
#[derive(Debug)]
pub(super) struct Func<'a> {
    pub(super) params: Vec<Param<'a>>,
    pub(super) body: Block<'a>,
}

/// Statements and the bytes from bracket to bracket.
#[derive(Debug, Default)]
pub(super) struct Block<'a> {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) list: Vec<Stmt<'a>>,
}

/// A statement and the bytes it covers.
#[derive(Debug)]
pub(super) struct Stmt<'a> {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) kind: StmtKind<'a>,
}

/// What a statement is.
#[derive(Debug)]
pub(super) enum StmtKind<'a> {
    Expr(Expr<'a>),
    /// `=`, `:=` or `op=`.
    Assign {
        to: Vec<Expr<'a>>,
        op: Kind,
        from: Vec<Expr<'a>>,
    },
    /// `var` and `const` inside a function.
    Values(Vec<Values<'a>>),
    Send(Expr<'a>, Expr<'a>),
    Go(Expr<'a>),
    Defer(Expr<'a>),
    Return(Vec<Expr<'a>>),
    If(Box<If<'a>>),
    For(Box<For<'a>>),
    /// `switch` with the statements of its head; a case without expressions is the default.
    Switch(Vec<Stmt<'a>>, Vec<Case<'a>>),
    Select(Vec<Case<'a>>),
    Block(Block<'a>),
    /// `break`, `continue`, `goto`, `fallthrough`, a local type, nothing.
    Other,
}

/// An `if`.
#[derive(Debug)]
pub(super) struct If<'a> {
    pub(super) init: Option<Stmt<'a>>,
    pub(super) cond: Option<Expr<'a>>,
    pub(super) then: Block<'a>,
    pub(super) otherwise: Option<Stmt<'a>>,
}

/// A `for`; all statements of its head in order.
#[derive(Debug)]
pub(super) struct For<'a> {
    pub(super) head: Vec<Stmt<'a>>,
    pub(super) body: Block<'a>,
}

/// A case of `switch` or `select`.
#[derive(Debug)]
pub(super) struct Case<'a> {
    /// The statement of a `select`'s case, or the expressions of a `switch`'s as statements.
    pub(super) head: Vec<Stmt<'a>>,
    pub(super) body: Block<'a>,
}

/// One line of `var` or `const`.
#[derive(Debug)]
pub(super) struct Values<'a> {
    pub(super) names: Vec<(&'a str, u32)>,
    pub(super) ty: Option<Expr<'a>>,
    pub(super) from: Vec<Expr<'a>>,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// A declared function or method.
#[derive(Debug)]
pub(super) struct FuncDecl<'a> {
    pub(super) name: &'a str,
    pub(super) name_start: u32,
    pub(super) receiver: Option<Param<'a>>,
    pub(super) func: Func<'a>,
}

/// An import line.
#[derive(Debug)]
pub(super) struct Import<'a> {
    pub(super) alias: Option<&'a str>,
    pub(super) path: &'a str,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// A struct's field with a tag.
#[derive(Debug)]
pub(super) struct Tagged<'a> {
    pub(super) field: &'a str,
    pub(super) tag: &'a str,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// A stretch that was not understood, with what was expected in its place.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) expected: &'static str,
}

/// One file.
#[derive(Debug, Default)]
pub(super) struct Tree<'a> {
    pub(super) package: &'a str,
    pub(super) imports: Vec<Import<'a>>,
    pub(super) values: Vec<Values<'a>>,
    pub(super) funcs: Vec<FuncDecl<'a>>,
    pub(super) tags: Vec<Tagged<'a>>,
    pub(super) troubles: Vec<Trouble>,
}

impl<'a> Expr<'a> {
    /// Returns the expression inside round brackets.
    pub(super) fn bare(&self) -> &Expr<'a> {
        let mut expr = self;
        while let ExprKind::Paren(inner) = &expr.kind {
            expr = inner;
        }
        expr
    }

    /// Returns the call this is.
    pub(super) fn call(&self) -> Option<&Call<'a>> {
        match &self.bare().kind {
            ExprKind::Call(call) => Some(call),
            _ => None,
        }
    }

    /// Returns the plain name this is.
    pub(super) fn name(&self) -> Option<&'a str> {
        match self.bare().kind {
            ExprKind::Name(name) => Some(name),
            _ => None,
        }
    }

    /// Returns the last name: of `a.b.c` it is `c`.
    pub(super) fn last_name(&self) -> Option<&'a str> {
        match self.bare().kind {
            ExprKind::Name(name) | ExprKind::Selector(_, name) => Some(name),
            _ => None,
        }
    }

    /// Returns whether a byte offset lies inside.
    pub(super) fn holds(&self, offset: u32) -> bool {
        self.start <= offset && offset < self.end
    }
}
