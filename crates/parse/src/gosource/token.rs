//! The kinds of Go's tokens, named as Go's own scanner names them.

/// A token: its kind and the bytes it covers. An automatic semicolon covers the newline (or
/// nothing, at the end of the text).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// The first byte.
    pub start: u32,
    /// The byte behind the last.
    pub end: u32,
}

macro_rules! kinds {
    ($($kind:ident = $name:literal,)*) => {
        /// A token's kind.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $(#[doc = $name] $kind,)*
        }

        impl Kind {
            /// Returns the name Go's own `go/token` prints for the kind.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }
    };
}

kinds! {
    Illegal = "ILLEGAL",
    End = "EOF",
    Ident = "IDENT",
    Int = "INT",
    Float = "FLOAT",
    Imag = "IMAG",
    Char = "CHAR",
    Str = "STRING",
    Add = "+",
    Sub = "-",
    Mul = "*",
    Quo = "/",
    Rem = "%",
    And = "&",
    Or = "|",
    Xor = "^",
    Shl = "<<",
    Shr = ">>",
    AndNot = "&^",
    AddAssign = "+=",
    SubAssign = "-=",
    MulAssign = "*=",
    QuoAssign = "/=",
    RemAssign = "%=",
    AndAssign = "&=",
    OrAssign = "|=",
    XorAssign = "^=",
    ShlAssign = "<<=",
    ShrAssign = ">>=",
    AndNotAssign = "&^=",
    LAnd = "&&",
    LOr = "||",
    Arrow = "<-",
    Inc = "++",
    Dec = "--",
    Eql = "==",
    Lss = "<",
    Gtr = ">",
    Assign = "=",
    Not = "!",
    Tilde = "~",
    Neq = "!=",
    Leq = "<=",
    Geq = ">=",
    Define = ":=",
    Ellipsis = "...",
    LParen = "(",
    LBrack = "[",
    LBrace = "{",
    Comma = ",",
    Period = ".",
    RParen = ")",
    RBrack = "]",
    RBrace = "}",
    Semicolon = ";",
    Colon = ":",
    Break = "break",
    Case = "case",
    Chan = "chan",
    Const = "const",
    Continue = "continue",
    Default = "default",
    Defer = "defer",
    Else = "else",
    Fallthrough = "fallthrough",
    For = "for",
    Func = "func",
    Go = "go",
    Goto = "goto",
    If = "if",
    Import = "import",
    Interface = "interface",
    Map = "map",
    Package = "package",
    Range = "range",
    Return = "return",
    Select = "select",
    Struct = "struct",
    Switch = "switch",
    Type = "type",
    Var = "var",
}

impl Kind {
    /// Returns the keyword a word is, or `Ident`.
    pub(super) fn of_word(word: &[u8]) -> Self {
        match word {
            b"break" => Self::Break,
            b"case" => Self::Case,
            b"chan" => Self::Chan,
            b"const" => Self::Const,
            b"continue" => Self::Continue,
            b"default" => Self::Default,
            b"defer" => Self::Defer,
            b"else" => Self::Else,
            b"fallthrough" => Self::Fallthrough,
            b"for" => Self::For,
            b"func" => Self::Func,
            b"go" => Self::Go,
            b"goto" => Self::Goto,
            b"if" => Self::If,
            b"import" => Self::Import,
            b"interface" => Self::Interface,
            b"map" => Self::Map,
            b"package" => Self::Package,
            b"range" => Self::Range,
            b"return" => Self::Return,
            b"select" => Self::Select,
            b"struct" => Self::Struct,
            b"switch" => Self::Switch,
            b"type" => Self::Type,
            b"var" => Self::Var,
            _ => Self::Ident,
        }
    }

    /// Returns whether a newline behind the token ends the statement.
    pub(super) const fn ends_statement(self) -> bool {
        matches!(
            self,
            Self::Ident
                | Self::Int
                | Self::Float
                | Self::Imag
                | Self::Char
                | Self::Str
                | Self::Break
                | Self::Continue
                | Self::Fallthrough
                | Self::Return
                | Self::Inc
                | Self::Dec
                | Self::RParen
                | Self::RBrack
                | Self::RBrace
        )
    }

    /// Returns the precedence of a binary operator, 1 to 5; 0 for anything else.
    pub(super) const fn precedence(self) -> u8 {
        match self {
            Self::LOr => 1,
            Self::LAnd => 2,
            Self::Eql | Self::Neq | Self::Lss | Self::Leq | Self::Gtr | Self::Geq => 3,
            Self::Add | Self::Sub | Self::Or | Self::Xor => 4,
            Self::Mul
            | Self::Quo
            | Self::Rem
            | Self::Shl
            | Self::Shr
            | Self::And
            | Self::AndNot => 5,
            _ => 0,
        }
    }
}
