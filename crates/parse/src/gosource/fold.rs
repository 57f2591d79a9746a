//! Folds constants, and says of what is no constant which variables and flags it is made from.

use guanka_core::facts::{Fact, Reason, Span};
use guanka_core::quantity::Millis;

use super::ast::{Call, Expr, ExprKind};
use super::literal;
use super::module::{At, Module};
use super::token::Kind;
use super::trace::Traced;

/// What a negative limit means in Go: none. A century, the longest duration guanka knows.
pub(super) const NO_LIMIT: Millis = Millis(3_200_000_000_000);
/// The deepest expression that is folded.
const DEPTH_MAX: u8 = 40;

/// A constant; a duration is an `Int` of nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Int(i128),
    Float(f64),
    Text(String),
    Bool(bool),
}

/// What is known of an expression.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Folded {
    pub(super) value: Option<Value>,
    /// `$PORT`, `-listen`: what it is made from.
    pub(super) from: Vec<String>,
    /// Those of them that stand behind a colon, so that they are a port and not an address.
    pub(super) ports: Vec<String>,
    /// Of what is no constant: where it comes from, in words and in the text.
    pub(super) what: Option<(String, Span)>,
}

/// Which variables and flags a text is made from, and which of them are only its port.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Told {
    pub(super) from: Vec<String>,
    pub(super) ports: Vec<String>,
}

impl Folded {
    fn of(value: Value) -> Self {
        Self { value: Some(value), ..Self::default() }
    }

    /// Joins the values a thing may have: only one and the same value is a constant.
    fn any_of(list: Vec<Self>) -> Self {
        let mut joined = Self::parts(&list);
        let first = list.first().and_then(|f| f.value.clone());
        if list.iter().all(|f| f.value == first) {
            joined.value = first;
        }
        joined
    }

    /// Joins what several parts are made from.
    fn parts(list: &[Self]) -> Self {
        let mut joined = Self::default();
        for one in list {
            let names_source = joined.from.is_empty() && !one.from.is_empty();
            for name in &one.from {
                if !joined.from.contains(name) {
                    joined.from.push(name.clone());
                }
            }
            joined.note_ports(&one.ports);
            if joined.what.is_none() || (names_source && one.what.is_some()) {
                joined.what.clone_from(&one.what);
            }
        }
        joined
    }

    fn note_ports(&mut self, names: &[String]) {
        for name in names {
            if !self.ports.contains(name) {
                self.ports.push(name.clone());
            }
        }
    }

    /// Returns the text this is.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns the duration this is.
    pub(super) fn millis(&self) -> Option<Millis> {
        match self.value {
            Some(Value::Int(nanos)) if nanos < 0 => Some(NO_LIMIT),
            // Rounded up: a limit below a millisecond is still a limit, and 0 means none.
            Some(Value::Int(nanos)) => {
                let millis = nanos.saturating_add(999_999) / 1_000_000;
                Some(Millis(u64::try_from(millis).unwrap_or(u64::MAX)).min(NO_LIMIT))
            }
            Some(Value::Float(nanos)) if (0.0..3.2e18).contains(&nanos) => {
                Some(Millis((nanos / 1e6).ceil() as u64))
            }
            _ => None,
        }
    }
}

impl<'t, 'a> Module<'t, 'a> {
    /// Folds an expression.
    pub(super) fn fold(&self, expr: &'t Expr<'a>, at: &At<'t, 'a>) -> Folded {
        self.refuel();
        self.folded(expr, at, 0)
    }

    /// Folds an expression that is a text; the span is what a reader is shown for it.
    pub(super) fn text_fact(
        &self,
        expr: &'t Expr<'a>,
        at: &At<'t, 'a>,
        span: Span,
    ) -> (Fact<String>, Told) {
        let folded = self.fold(expr, at);
        let fact = match folded.text() {
            Some(text) => Fact::at(text.to_owned(), span),
            None => Fact::Unknown(self.reason(&folded, expr, at)),
        };
        (fact, Told { from: folded.from, ports: folded.ports })
    }

    /// Folds an expression that is a duration.
    pub(super) fn millis_fact(
        &self,
        expr: &'t Expr<'a>,
        at: &At<'t, 'a>,
        span: Span,
    ) -> Fact<Millis> {
        let folded = self.fold(expr, at);
        match folded.millis() {
            Some(millis) => Fact::at(millis, span),
            None => Fact::Unknown(self.reason(&folded, expr, at)),
        }
    }

    /// Says why an expression is no constant.
    pub(super) fn reason(&self, folded: &Folded, expr: &Expr<'a>, at: &At<'t, 'a>) -> Reason {
        let file = self.file(at);
        let (what, span) = match &folded.what {
            Some(known) => known.clone(),
            None => (file.words(expr), file.span(expr.start, expr.end)),
        };
        Reason::NotConstant { what: folded.from.first().cloned().unwrap_or(what), span }
    }

    /// Folds within the steps left of a question asked before.
    pub(super) fn folded(&self, expr: &'t Expr<'a>, at: &At<'t, 'a>, depth: u8) -> Folded {
        if depth > DEPTH_MAX || !self.burn() {
            return self.unknown(expr, at);
        }
        match &expr.kind {
            ExprKind::Literal(kind, text) => {
                literal::value(*kind, text).map_or_else(|| self.unknown(expr, at), Folded::of)
            }
            ExprKind::Paren(x) => self.folded(x, at, depth + 1),
            ExprKind::Unary(Kind::And | Kind::Mul, _)
            | ExprKind::Name(_)
            | ExprKind::Assert(_)
            | ExprKind::Selector(..) => self.ends(expr, at, depth),
            ExprKind::Call(call) if self.function(&call.fun, at).is_some() => {
                let mut folded = self.ends(expr, at, depth);
                if folded.value.is_none() && folded.from.is_empty() {
                    folded.what = self.unknown(expr, at).what;
                }
                folded
            }
            ExprKind::Call(call) => self.call(expr, call, at, depth),
            ExprKind::Unary(Kind::Sub, x) => {
                let mut folded = self.folded(x, at, depth + 1);
                folded.value = match folded.value {
                    Some(Value::Int(n)) => n.checked_neg().map(Value::Int),
                    Some(Value::Float(n)) => Some(Value::Float(-n)),
                    _ => None,
                };
                folded
            }
            ExprKind::Binary(first, rest) => {
                let mut list = vec![self.folded(first, at, depth + 1)];
                let mut value = list[0].value.clone();
                for (op, right) in rest {
                    let right = self.folded(right, at, depth + 1);
                    value = match (value, &right.value) {
                        (Some(a), Some(b)) => literal::apply(*op, a, b.clone()),
                        _ => None,
                    };
                    list.push(right);
                }
                let mut joined = Folded { value, ..Folded::parts(&list) };
                for pair in list.windows(2) {
                    if pair[0].text().is_some_and(|text| text.ends_with(':')) {
                        joined.note_ports(&pair[1].from);
                    }
                }
                joined
            }
            _ => self.unknown(expr, at),
        }
    }

    fn unknown(&self, expr: &Expr<'a>, at: &At<'t, 'a>) -> Folded {
        let file = self.file(at);
        let what = Some((file.words(expr), file.span(expr.start, expr.end)));
        Folded { what, ..Folded::default() }
    }

    /// Folds what a name, field or own function's call may be.
    fn ends(&self, expr: &'t Expr<'a>, at: &At<'t, 'a>, depth: u8) -> Folded {
        let mut list = Vec::new();
        self.trace(expr, 0, at, 0, &mut |end, from| {
            let folded = match end {
                Traced::Expr(e, index) if index == 0 || is_env(self, e, from) => match &e.kind {
                    ExprKind::Name(_) | ExprKind::Selector(..) => self.global_value(e, from),
                    _ => self.folded(e, from, depth + 1),
                },
                Traced::Zero(ty) => match zero(ty) {
                    Some(value) => Folded::of(value),
                    None => self.unknown(expr, at),
                },
                _ => self.unknown(expr, at),
            };
            list.push(folded);
        });
        Folded::any_of(list)
    }

    /// Folds a name that the module does not define: of the language, of `time`, or a tagged field.
    fn global_value(&self, expr: &'t Expr<'a>, at: &At<'t, 'a>) -> Folded {
        if let Some(("time", name)) = self.global(expr, at)
            && let Some(nanos) = literal::time_unit(name)
        {
            return Folded::of(Value::Int(nanos));
        }
        match &expr.kind {
            ExprKind::Name("true") => Folded::of(Value::Bool(true)),
            ExprKind::Name("false") => Folded::of(Value::Bool(false)),
            ExprKind::Selector(_, field) if self.global(expr, at).is_none() => {
                let mut folded = self.unknown(expr, at);
                folded.from.extend(self.tags.get(field).map(|name| format!("${name}")));
                folded
            }
            _ => self.unknown(expr, at),
        }
    }

    /// Folds a call of a function outside the module.
    fn call(&self, expr: &'t Expr<'a>, call: &'t Call<'a>, at: &At<'t, 'a>, depth: u8) -> Folded {
        if let Some(name) = self.env_name(call, at, depth) {
            return Folded { from: vec![format!("${name}")], ..self.unknown(expr, at) };
        }
        if let Some(name) = self.flag_name(call, at) {
            return Folded { from: vec![format!("-{name}")], ..self.unknown(expr, at) };
        }
        let args: Vec<_> = call.args.iter().map(|a| self.folded(a, at, depth + 1)).collect();
        let values: Option<Vec<Value>> = args.iter().map(|a| a.value.clone()).collect();
        let mut parts = Folded::parts(&args);
        let global = self.global(&call.fun, at).or_else(|| Some(("", call.fun.name()?)));
        if let Some((path, name)) = global {
            for index in literal::behind_colon(path, name, args.first().and_then(Folded::text)) {
                let names = args.get(index).map(|arg| arg.from.clone()).unwrap_or_default();
                parts.note_ports(&names);
            }
        }
        let value = match (global, values) {
            (Some((path, name)), Some(values)) => literal::called(path, name, values),
            _ => None,
        };
        match value {
            Some(value) => Folded::of(value),
            None if parts.from.is_empty() => self.unknown(expr, at),
            None => parts,
        }
    }

    /// Returns the variable that a call reads from the environment.
    pub(super) fn env_name(
        &self,
        call: &'t Call<'a>,
        at: &At<'t, 'a>,
        depth: u8,
    ) -> Option<String> {
        let (path, name) = self.global(&call.fun, at)?;
        if !matches!((path, name), ("os", "Getenv" | "LookupEnv") | ("syscall", "Getenv")) {
            return None;
        }
        self.folded(call.args.first()?, at, depth + 1).text().map(str::to_owned)
    }

    /// Returns the flag that a call declares.
    pub(super) fn flag_name(&self, call: &'t Call<'a>, at: &At<'t, 'a>) -> Option<String> {
        const KINDS: &[&str] =
            &["String", "Int", "Int64", "Uint", "Uint64", "Bool", "Duration", "Float64", "Text"];
        // The name first: following every method's receiver would cost far more than it finds.
        let name = call.fun.last_name()?;
        let kind = name.strip_suffix('P').unwrap_or(name);
        let place = match kind.strip_suffix("Var") {
            Some(kind) if KINDS.contains(&kind) || kind.is_empty() => 1,
            None if KINDS.contains(&kind) => 0,
            _ => return None,
        };
        let needs = if place == 0 { 3 } else { 2 };
        if call.args.len() < needs {
            return None;
        }
        let path = match (self.global(&call.fun, at), &call.fun.kind) {
            (Some((path, _)), _) => path,
            (None, ExprKind::Selector(base, _)) => self.flag_set(base, at)?,
            (None, _) => return None,
        };
        if !matches!(path, "flag" | "github.com/spf13/pflag") {
            return None;
        }
        self.folded(call.args.get(place)?, at, 0).text().map(str::to_owned)
    }

    /// Returns the flag package whose set of flags an expression is.
    fn flag_set(&self, base: &'t Expr<'a>, at: &At<'t, 'a>) -> Option<&'a str> {
        let mut found = None;
        self.trace(base, 0, at, 0, &mut |end, at| {
            if let Traced::Expr(e, _) = end
                && let Some((path, "NewFlagSet")) =
                    e.call().and_then(|call| self.global(&call.fun, at))
            {
                found = Some(path);
            }
        });
        found
    }
}

/// Returns whether the first of two results is the same thing as the only one: a lookup's.
fn is_env<'t, 'a>(module: &Module<'t, 'a>, expr: &Expr<'a>, at: &At<'t, 'a>) -> bool {
    expr.call().is_some_and(|call| module.is(&call.fun, at, "os", "LookupEnv"))
}

fn zero(ty: &Expr<'_>) -> Option<Value> {
    match ty.last_name()? {
        "string" => Some(Value::Text(String::new())),
        "int" | "int64" | "int32" | "uint" | "uint64" | "Duration" => Some(Value::Int(0)),
        "bool" => Some(Value::Bool(false)),
        _ => None,
    }
}
