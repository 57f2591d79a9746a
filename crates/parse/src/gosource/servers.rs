//! `http.Server` values: literals, zero values and `new`, with what is assigned to their fields
//! later.

use guanka_core::facts::gosource::{GoHandler, GoServer};
use guanka_core::facts::{Fact, Sourced, Span};
use guanka_core::quantity::Millis;

use super::ast::{Expr, ExprKind, StmtKind};
use super::fold::Told;
use super::module::{At, FieldGiven, Module};
use super::scope::Given;
use super::trace::Traced;
use super::walk::{self, Node};

const SOFTWARE: &str = "Go net/http";

/// The servers, with what the index of each is found by.
#[derive(Default)]
pub(super) struct Servers {
    pub(super) list: Vec<GoServer>,
    /// What each address is made from.
    pub(super) addr_told: Vec<Told>,
    places: Vec<(usize, u32)>,
}

impl Servers {
    /// Finds all servers of a module.
    pub(super) fn find<'t, 'a>(module: &Module<'t, 'a>) -> Self {
        let mut servers = Self::default();
        for (expr, at) in &module.literals {
            if let ExprKind::Composite(literal) = &expr.kind
                && literal.ty.as_ref().is_some_and(|t| module.is(t, at, "net/http", "Server"))
            {
                servers.add(module, expr, at);
                for (key, value) in &literal.elements {
                    if let Some(name) = key.as_ref().and_then(Expr::name) {
                        let start = key.as_ref().map_or(value.start, |k| k.start);
                        let file = module.file(at);
                        let span = file.span(start, value.end);
                        servers.set_last(module, name, value, at, span);
                    }
                }
            }
        }
        servers.zeros(module);
        servers.assigned(module);
        servers
    }

    /// Adds servers made by `new(http.Server)` and `var srv http.Server`.
    fn zeros<'t, 'a>(&mut self, module: &Module<'t, 'a>) {
        for site in &module.sites {
            if site.call.fun.name() == Some("new")
                && site
                    .call
                    .args
                    .first()
                    .is_some_and(|t| module.is(t, &site.at, "net/http", "Server"))
            {
                self.add(module, site.expr, &site.at);
            }
        }
        for (id, function) in module.functions.iter().enumerate() {
            if !module.files[function.file].import_paths().any(|p| p == "net/http") {
                continue;
            }
            let at = At { file: function.file, func: Some(id), frame: None };
            for def in function.defs() {
                if let Given::Zero(ty) = def.given
                    && module.is(ty, &at, "net/http", "Server")
                {
                    self.add(module, ty, &at);
                }
            }
        }
        for (index, file) in module.files.iter().enumerate() {
            let at = At { file: index, func: None, frame: None };
            for line in file.tree.values.iter().filter(|line| line.from.is_empty()) {
                if let Some(ty) = &line.ty
                    && module.is(ty, &at, "net/http", "Server")
                {
                    self.add(module, ty, &at);
                }
            }
        }
    }

    fn add<'t, 'a>(&mut self, module: &Module<'t, 'a>, expr: &'t Expr<'a>, at: &At<'t, 'a>) {
        let file = module.file(at);
        if file.is_generated {
            return;
        }
        let zero = |key| Fact::default_of(Millis::ZERO, SOFTWARE, key);
        self.places.push((at.file, expr.start));
        self.addr_told.push(Told::default());
        self.list.push(GoServer {
            folder: file.folder.clone(),
            span: file.span(expr.start, expr.end),
            variable: variable(module, expr, at),
            addr: Fact::default_of(":80".to_owned(), SOFTWARE, "Addr"),
            handler: GoHandler::DefaultMux,
            read_timeout: zero("ReadTimeout"),
            read_header_timeout: zero("ReadHeaderTimeout"),
            write_timeout: zero("WriteTimeout"),
            idle_timeout: zero("IdleTimeout"),
        });
    }

    fn set_last<'t, 'a>(
        &mut self,
        module: &Module<'t, 'a>,
        field: &str,
        value: &'t Expr<'a>,
        at: &At<'t, 'a>,
        span: Span,
    ) {
        // A generated file adds no server, so its fields belong to none.
        if !module.file(at).is_generated {
            let last = self.list.len() - 1;
            self.set(last, module, field, value, at, span, join_never);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one field with its place and how it is joined")]
    fn set<'t, 'a>(
        &mut self,
        index: usize,
        module: &Module<'t, 'a>,
        field: &str,
        value: &'t Expr<'a>,
        at: &At<'t, 'a>,
        span: Span,
        join: fn(&mut Fact<Millis>, Fact<Millis>),
    ) {
        let server = &mut self.list[index];
        let limit = match field {
            "Addr" => {
                let (addr, told) = module.text_fact(value, at, span);
                if addr.known().is_none_or(|addr| !addr.is_empty()) {
                    server.addr = addr;
                }
                self.addr_told[index] = told;
                return;
            }
            "Handler" => {
                server.handler = handler(module, value, at);
                return;
            }
            "ReadTimeout" => &mut server.read_timeout,
            "ReadHeaderTimeout" => &mut server.read_header_timeout,
            "WriteTimeout" => &mut server.write_timeout,
            "IdleTimeout" => &mut server.idle_timeout,
            _ => return,
        };
        join(limit, module.millis_fact(value, at, span));
    }

    /// Takes in what is assigned to the fields later.
    fn assigned<'t, 'a>(&mut self, module: &Module<'t, 'a>) {
        const FIELDS: [&str; 6] =
            ["Addr", "Handler", "ReadTimeout", "ReadHeaderTimeout", "WriteTimeout", "IdleTimeout"];
        for field in FIELDS {
            for given in module.fields.get(field).into_iter().flatten() {
                let Some(base) = given.base else { continue };
                let Some(index) = self.of(module, base, &given.at) else { continue };
                let file = module.file(&given.at);
                let span = file.span(base.start, given.value.end);
                let join =
                    if self.may_not_run(module, given, index) { join_maybe } else { join_never };
                self.set(index, module, field, given.value, &given.at, span, join);
            }
        }
    }

    /// Returns whether an assignment stands under a condition that its server does not.
    fn may_not_run(
        &self,
        module: &Module<'_, '_>,
        given: &FieldGiven<'_, '_>,
        index: usize,
    ) -> bool {
        let Some(id) = given.at.func else { return false };
        let (file, made) = self.places[index];
        let body = &module.functions[id].decl.func.body;
        walk::path(body, given.value.start, given.value.end).iter().any(|node| match node {
            Node::Stmt(stmt) => {
                let is_choice = matches!(
                    stmt.kind,
                    StmtKind::If(_) | StmtKind::Switch(..) | StmtKind::Select(_) | StmtKind::For(_)
                );
                let holds = file == given.at.file && stmt.start <= made && made < stmt.end;
                is_choice && !holds
            }
            _ => false,
        })
    }

    /// Returns the server an expression is, if it is surely one.
    pub(super) fn of<'t, 'a>(
        &self,
        module: &Module<'t, 'a>,
        expr: &'t Expr<'a>,
        at: &At<'t, 'a>,
    ) -> Option<usize> {
        let mut found = Vec::new();
        let mut is_other = false;
        for (end, at) in module.origins(expr, at) {
            let start = match end {
                Traced::Expr(e, _) => e.start,
                Traced::Zero(ty) => ty.start,
                Traced::Inner(..) | Traced::Param(_) | Traced::Lost => continue,
            };
            match self.places.iter().position(|place| *place == (at.file, start)) {
                Some(index) if !found.contains(&index) => found.push(index),
                Some(_) => {}
                None => is_other |= is_something(end),
            }
        }
        match found.as_slice() {
            [one] => Some(*one),
            [] if !is_other => self.only_one_in(&module.file(at).folder),
            _ => None,
        }
    }

    fn only_one_in(&self, folder: &str) -> Option<usize> {
        let mut own = (0..self.list.len()).filter(|index| self.list[*index].folder == folder);
        let first = own.next()?;
        own.next().is_none().then_some(first)
    }
}

/// Returns whether a way back ended at something that is no server.
fn is_something(end: Traced<'_, '_>) -> bool {
    match end {
        Traced::Expr(e, _) => !matches!(e.kind, ExprKind::Name(_) | ExprKind::Selector(..)),
        Traced::Zero(ty) => ty.last_name() != Some("Server"),
        Traced::Inner(..) | Traced::Param(_) | Traced::Lost => false,
    }
}

/// Returns what a handler expression is.
pub(super) fn handler<'t, 'a>(
    module: &Module<'t, 'a>,
    expr: &'t Expr<'a>,
    at: &At<'t, 'a>,
) -> GoHandler {
    let ends = module.origins(expr, at);
    let is_default = |(end, at): &(Traced<'t, 'a>, At<'t, 'a>)| match end {
        Traced::Expr(e, _) => {
            e.name() == Some("nil") || module.is(e, at, "net/http", "DefaultServeMux")
        }
        _ => false,
    };
    if !ends.is_empty() && ends.iter().all(is_default) {
        return GoHandler::DefaultMux;
    }
    GoHandler::Own(module.file(at).words(expr))
}

/// Returns the variable or field a value is put into.
fn variable<'t, 'a>(module: &Module<'t, 'a>, expr: &Expr<'a>, at: &At<'t, 'a>) -> Option<String> {
    let file = module.file(at);
    let Some(id) = at.func else {
        let mut lines = file.tree.values.iter();
        let line = lines.find(|line| line.start <= expr.start && expr.end <= line.end)?;
        return line.names.first().map(|(name, _)| (*name).to_owned());
    };
    let body = &module.functions[id].decl.func.body;
    let way = walk::path(body, expr.start, expr.end);
    let stmt = way.iter().rev().find_map(|node| match node {
        Node::Stmt(stmt) => Some(stmt),
        _ => None,
    })?;
    match &stmt.kind {
        StmtKind::Assign { to, from, .. } => {
            let place = from.iter().position(|value| match &value.kind {
                ExprKind::Unary(_, inner) => inner.start == expr.start,
                _ => value.start == expr.start,
            })?;
            to.get(place).map(|target| file.words(target))
        }
        StmtKind::Values(lines) => lines.first()?.names.first().map(|(name, _)| (*name).to_owned()),
        _ => None,
    }
}

fn join_never(old: &mut Fact<Millis>, new: Fact<Millis>) {
    *old = new;
}

/// Joins a value that holds only sometimes with the one before.
fn join_maybe(old: &mut Fact<Millis>, new: Fact<Millis>) {
    let joined = match (&*old, new) {
        (Fact::Known(a), Fact::Known(b)) if a.value == b.value => return,
        (Fact::Known(a), Fact::Known(b)) => Fact::Conflict(vec![a.clone(), b]),
        (Fact::Conflict(list), Fact::Known(b)) => {
            let mut list: Vec<Sourced<Millis>> = list.clone();
            list.push(b);
            Fact::Conflict(list)
        }
        (Fact::Unknown(_), _) => return,
        (_, new) => new,
    };
    *old = joined;
}
