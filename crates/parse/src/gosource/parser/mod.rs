//! A shallow parser for Go: declarations, statements and expressions, types only as text. It never
//! gives up: a stretch it does not understand becomes a trouble, and it goes on behind it. Depth
//! and height are bounded, so that no text can exhaust the stack.

mod expressions;
mod statements;
mod types;

use super::ast::{
    Block, Call, Composite, Expr, ExprKind, Func, FuncDecl, Import, Tagged, Tree, Trouble, Values,
};
use super::lexer::tokens;
use super::token::{Kind, Token};

/// The deepest nesting that is followed; people's code stays below 30.
const DEPTH_MAX: u16 = 90;
/// The highest expression that is kept; a chain of calls in people's code stays below 100.
const HEIGHT_MAX: u16 = 240;
/// The most troubles kept for a file.
const TROUBLES_MAX: usize = 20;

/// Parses one file.
pub(super) fn parse(text: &str) -> Tree<'_> {
    let mut parser = Parser {
        text,
        tokens: tokens(text.as_bytes()),
        at: 0,
        depth: 0,
        tallest: 0,
        in_head: false,
        tags: Vec::new(),
        troubles: Vec::new(),
    };
    let mut tree = Tree::default();
    parser.file(&mut tree);
    tree.tags = parser.tags;
    tree.troubles = parser.troubles;
    tree
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: u16,
    /// The height of the tallest expression since it was last set to zero.
    tallest: u16,
    /// In the head of `if`, `for` or `switch`, where `name {` opens the body.
    in_head: bool,
    tags: Vec<Tagged<'a>>,
    troubles: Vec<Trouble>,
}

impl<'a> Parser<'a> {
    fn token(&self) -> Token {
        self.tokens[self.at]
    }

    fn kind(&self) -> Kind {
        self.tokens[self.at].kind
    }

    fn ahead(&self, count: usize) -> Kind {
        self.tokens.get(self.at + count).map_or(Kind::End, |t| t.kind)
    }

    fn start(&self) -> u32 {
        self.token().start
    }

    /// Returns the end of the token before this one.
    fn end(&self) -> u32 {
        if self.at == 0 { 0 } else { self.tokens[self.at - 1].end }
    }

    fn step(&mut self) {
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
    }

    fn take(&mut self, kind: Kind) -> bool {
        let is_it = self.kind() == kind;
        if is_it {
            self.step();
        }
        is_it
    }

    fn expect(&mut self, kind: Kind) -> bool {
        let found = self.take(kind);
        if !found {
            self.trouble(kind.name());
        }
        found
    }

    fn slice(&self, start: u32, end: u32) -> &'a str {
        self.text.get(start as usize..end as usize).unwrap_or("")
    }

    fn word(&mut self) -> Option<(&'a str, u32)> {
        let token = self.token();
        self.take(Kind::Ident).then(|| (self.slice(token.start, token.end), token.start))
    }

    fn trouble(&mut self, expected: &'static str) {
        let token = self.token();
        let is_new = self.troubles.last().is_none_or(|t| t.start < token.start);
        if is_new && self.troubles.len() < TROUBLES_MAX {
            self.troubles.push(Trouble { start: token.start, end: token.end, expected });
        }
    }

    /// Steps behind the bracket that closes the one here.
    fn skip_brackets(&mut self) {
        let mut open = 0usize;
        loop {
            match self.kind() {
                Kind::LParen | Kind::LBrack | Kind::LBrace => open += 1,
                Kind::RParen | Kind::RBrack | Kind::RBrace => open = open.saturating_sub(1),
                Kind::End => return,
                _ => {}
            }
            self.step();
            if open == 0 {
                return;
            }
        }
    }

    /// Steps behind the end of the statement here, or before the bracket that closes its block.
    fn skip_statement(&mut self) {
        loop {
            match self.kind() {
                Kind::LParen | Kind::LBrack | Kind::LBrace => self.skip_brackets(),
                Kind::RBrace | Kind::End => return,
                Kind::Semicolon => {
                    self.step();
                    return;
                }
                _ => self.step(),
            }
        }
    }

    /// Steps before the next declaration that begins a line.
    fn skip_declaration(&mut self) {
        loop {
            let token = self.token();
            let begins_line =
                token.start == 0 || self.text.as_bytes()[token.start as usize - 1] == b'\n';
            match token.kind {
                Kind::End => return,
                Kind::Func | Kind::Var | Kind::Const | Kind::Type if begins_line => return,
                _ => self.step(),
            }
        }
    }

    fn make(&mut self, kind: ExprKind<'a>, start: u32) -> Expr<'a> {
        let height = height(&kind).saturating_add(1);
        let end = self.end().max(start);
        if height > HEIGHT_MAX {
            return Expr { start, end, height: 1, kind: ExprKind::Bad };
        }
        self.tallest = self.tallest.max(height);
        Expr { start, end, height, kind }
    }

    fn file(&mut self, tree: &mut Tree<'a>) {
        if self.expect(Kind::Package) {
            tree.package = self.word().map_or("", |(name, _)| name);
        }
        self.take(Kind::Semicolon);
        while self.kind() != Kind::End {
            let before = self.at;
            match self.kind() {
                Kind::Import => self.group(&mut |p| p.import_line(&mut tree.imports)),
                Kind::Const | Kind::Var => self.group(&mut |p| p.value_line(&mut tree.values)),
                Kind::Type => self.group(&mut |p| {
                    p.type_line();
                    true
                }),
                Kind::Func => self.func_decl(&mut tree.funcs),
                _ => self.trouble("a declaration"),
            }
            if self.take(Kind::Semicolon) || self.kind() == Kind::End {
                continue;
            }
            self.trouble("a new line behind the declaration");
            if self.at == before {
                self.step();
            }
            self.skip_declaration();
        }
    }

    /// Reads what stands behind `import`, `var`, `const` or `type`: one line or a bracket of lines.
    fn group(&mut self, line: &mut dyn FnMut(&mut Self) -> bool) {
        self.step();
        if !self.take(Kind::LParen) {
            line(self);
            return;
        }
        while !matches!(self.kind(), Kind::RParen | Kind::End) {
            let before = self.at;
            let good = line(self);
            if good && (self.take(Kind::Semicolon) || self.kind() == Kind::RParen) {
                continue;
            }
            self.trouble("a new line or )");
            self.skip_statement();
            if self.at == before {
                return;
            }
        }
        self.expect(Kind::RParen);
    }

    fn import_line(&mut self, imports: &mut Vec<Import<'a>>) -> bool {
        let start = self.start();
        let alias = match self.kind() {
            Kind::Period => {
                self.step();
                Some(".")
            }
            _ => self.word().map(|(name, _)| name),
        };
        let token = self.token();
        if !self.expect(Kind::Str) {
            return false;
        }
        let path = self.slice(token.start, token.end).trim_matches(['"', '`']);
        imports.push(Import { alias, path, start, end: token.end });
        true
    }

    fn value_line(&mut self, values: &mut Vec<Values<'a>>) -> bool {
        let start = self.start();
        let mut names = Vec::new();
        while let Some(name) = self.word() {
            names.push(name);
            if !self.take(Kind::Comma) {
                break;
            }
        }
        if names.is_empty() {
            self.trouble("a name");
            return false;
        }
        let ends = matches!(self.kind(), Kind::Assign | Kind::Semicolon | Kind::RParen | Kind::End);
        let ty = if ends { None } else { Some(self.ty()) };
        let from = if self.take(Kind::Assign) { self.expr_list() } else { Vec::new() };
        values.push(Values { names, ty, from, start, end: self.end() });
        true
    }

    fn func_decl(&mut self, funcs: &mut Vec<FuncDecl<'a>>) {
        self.step();
        let receiver =
            if self.kind() == Kind::LParen { self.params().into_iter().next() } else { None };
        let Some((name, name_start)) = self.word() else {
            self.trouble("the function's name");
            return;
        };
        if self.kind() == Kind::LBrack {
            self.skip_brackets();
        }
        let params = self.params();
        self.results();
        // A declaration without a body is written in assembly.
        let body = if self.kind() == Kind::LBrace { self.block() } else { Block::default() };
        funcs.push(FuncDecl { name, name_start, receiver, func: Func { params, body } });
    }
}

fn height(kind: &ExprKind<'_>) -> u16 {
    let of = |list: &[Expr<'_>]| list.iter().map(|e| e.height).max().unwrap_or(0);
    match kind {
        ExprKind::Selector(x, _)
        | ExprKind::Unary(_, x)
        | ExprKind::Paren(x)
        | ExprKind::Assert(x) => x.height,
        ExprKind::Call(call) => {
            let Call { fun, args } = &**call;
            fun.height.max(of(args))
        }
        ExprKind::Index(x, list) => x.height.max(of(list)),
        ExprKind::Binary(x, rest) => {
            x.height.max(rest.iter().map(|(_, e)| e.height).max().unwrap_or(0))
        }
        ExprKind::Composite(literal) => {
            let Composite { ty, elements } = &**literal;
            let pairs = elements
                .iter()
                .map(|(key, value)| key.as_ref().map_or(0, |k| k.height).max(value.height));
            pairs.max().unwrap_or(0).max(ty.as_ref().map_or(0, |t| t.height))
        }
        // A function's height is set where its body was just read.
        ExprKind::Func(_)
        | ExprKind::Name(_)
        | ExprKind::Literal(..)
        | ExprKind::Type
        | ExprKind::Bad => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::ast::{ExprKind, StmtKind};
    use super::parse;

    #[test]
    fn declarations_of_every_kind_are_read() {
        let tree = parse(
            "package a\n\nimport (\n\t\"os\"\n\tx \"net/http\"\n\t_ \"embed\"\n)\n\n\
             const one, two = 1, 2\nvar (\n\tthree [5]int\n\tfour = func() int { return 1 }()\n)\n\
             type T[K comparable] struct {\n\tA, B string `env:\"A\"`\n}\n\
             func (t *T[K]) M(a, b int, c ...string) (n int, err error) { return }\n\
             func asm(x [2]int)\nfunc F[V any](m map[string]V) <-chan V { return nil }\n",
        );
        assert!(tree.troubles.is_empty(), "{:?}", tree.troubles);
        assert_eq!(tree.imports.len(), 3);
        assert_eq!(tree.values.len(), 3);
        assert_eq!(tree.tags.len(), 1);
        let names: Vec<_> = tree.funcs.iter().map(|f| f.name).collect();
        assert_eq!(names, ["M", "asm", "F"]);
        let params: Vec<_> = tree.funcs[0].func.params.iter().map(|p| (p.name, p.ty)).collect();
        assert_eq!(params, [(Some("a"), "int"), (Some("b"), "int"), (Some("c"), "string")]);
    }

    #[test]
    fn statements_of_every_kind_are_read() {
        let tree = parse(
            "package a\nfunc f() {\nL:\n\tfor i := 0; i < 3; i++ {\n\t\tcontinue L\n\t}\n\
             \tfor range ch {}\n\tfor k, v := range m { _ = k }\n\tfor {}\n\
             \tif x := g(); x == (T{1}) {} else if y {} else { z() }\n\
             \tswitch t := x.(type) {\n\tcase []int, *T, map[string]int:\n\tdefault:\n\t}\n\
             \tswitch { case a > b: fallthrough; case c: }\n\
             \tselect {\n\tcase v, ok := <-c:\n\tcase d <- 1:\n\tdefault:\n\t}\n\
             \tgo func() { done <- run() }()\n\tdefer wg.Done()\n\ta, b = b, a\n\tn <<= 2\n\
             \tvar q, r = 1, 2\n\ttype local struct{ a int }\n\tgoto L\n\t<-c\n\
             \tx := a[1:2:3]\n\ty := map[string]struct{ A int }{\"a\": {A: 1}}\n\
             \tz := []func(int) error{nil}\n\tf[int](x)\n\treturn\n}\n",
        );
        assert!(tree.troubles.is_empty(), "{:?}", tree.troubles);
        assert_eq!(tree.funcs[0].func.body.list.len(), 21);
    }

    #[test]
    fn a_stretch_that_is_no_go_is_named_and_the_rest_is_read() {
        let text = "package a\nfunc f() {\n\tx := := 3\n\ty()\n}\n)))\nfunc g() {}\n";
        let tree = parse(text);
        assert!(!tree.troubles.is_empty());
        assert_eq!(tree.funcs.len(), 2);
        let list = &tree.funcs[0].func.body.list;
        assert!(matches!(&list[list.len() - 1].kind, StmtKind::Expr(e) if e.call().is_some()));
    }

    #[test]
    fn depth_and_length_are_bounded() {
        for piece in ["(", "f(", "a.", "a+", "{", "func(){", "[]", "*", "a[", "<-", "if a {"] {
            let text = format!("package a\nfunc f() {{ x = {}", piece.repeat(20_000));
            parse(&text);
        }
        let long = format!("package a\nvar x = 1{}\n", " + 1".repeat(5000));
        let tree = parse(&long);
        assert!(matches!(&tree.values[0].from[0].kind, ExprKind::Binary(_, r) if r.len() == 5000));
    }

    #[test]
    fn any_text_is_parsed_without_a_panic() {
        const WORDS: &[&str] = &[
            "package a\n",
            "func ",
            "f",
            "(",
            ")",
            "{",
            "}",
            "[",
            "]",
            ":=",
            "=",
            "go ",
            "select ",
            "case ",
            "<-",
            ":",
            ";",
            "\n",
            "if ",
            "for ",
            "range ",
            "x.y",
            "\"s\"",
            "1",
            "struct",
            "map",
            "chan ",
            "interface",
            "switch ",
            "const ",
            "var ",
            "type ",
            ",",
            "...",
            "*",
            "return ",
            "import ",
            "é",
            "default",
            "else ",
            "\u{0}",
            "`",
            "'",
        ];
        arbtest::arbtest(|u| {
            let picks: Vec<u8> = u.arbitrary()?;
            let text: String = picks.iter().map(|p| WORDS[usize::from(*p) % WORDS.len()]).collect();
            parse(&text);
            Ok(())
        });
    }
}
