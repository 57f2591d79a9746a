//! Follows a value back to where it is made: through names, parameters and their callers, fields,
//! and what the module's own functions return. Each question has a bounded number of steps.

use std::rc::Rc;

use super::ast::{Block, Call, Expr, ExprKind, StmtKind};
use super::module::{At, FieldGiven, Frame, Module};
use super::scope::{self, Given};
use super::token::Kind;
use super::walk::{self, Node};

/// The most steps for one question; real code needs tens.
const FUEL: u32 = 2000;
/// The longest way back.
const DEPTH_MAX: u8 = 24;

/// Where a way back ends.
#[derive(Clone, Copy)]
pub(super) enum Traced<'t, 'a> {
    /// An expression that makes the value; the number picks one of several results.
    Expr(&'t Expr<'a>, usize),
    /// A zero value of a type.
    Zero(&'t Expr<'a>),
    /// A parameter of a function literal, with the call it is handed to and its type's text.
    Inner(Option<&'t Call<'a>>, &'a str),
    /// A parameter nobody in the module gives, with its type's text.
    Param(&'a str),
    /// Nothing that can be followed.
    Lost,
}

type Visit<'v, 't, 'a> = &'v mut dyn FnMut(Traced<'t, 'a>, &At<'t, 'a>);

impl<'t, 'a> Module<'t, 'a> {
    /// Gives a new question its steps.
    pub(super) fn refuel(&self) {
        self.fuel.set(FUEL);
    }

    /// Takes one step; false when none is left.
    pub(super) fn burn(&self) -> bool {
        let left = self.fuel.get();
        self.fuel.set(left.saturating_sub(1));
        left > 0
    }

    /// Returns every end of the way back from an expression.
    pub(super) fn origins(
        &self,
        expr: &'t Expr<'a>,
        at: &At<'t, 'a>,
    ) -> Vec<(Traced<'t, 'a>, At<'t, 'a>)> {
        self.refuel();
        let mut ends = Vec::new();
        self.trace(expr, 0, at, 0, &mut |end, at| ends.push((end, at.clone())));
        ends
    }

    /// Follows one result of an expression and shows every end.
    pub(super) fn trace(
        &self,
        expr: &'t Expr<'a>,
        index: usize,
        at: &At<'t, 'a>,
        depth: u8,
        visit: Visit<'_, 't, 'a>,
    ) {
        if depth > DEPTH_MAX || !self.burn() {
            visit(Traced::Lost, at);
            return;
        }
        let next = depth + 1;
        match &expr.kind {
            ExprKind::Paren(x) | ExprKind::Assert(x) => self.trace(x, index, at, next, visit),
            ExprKind::Unary(Kind::And | Kind::Mul, x) => self.trace(x, index, at, next, visit),
            ExprKind::Name(name) => self.name(name, expr, at, next, visit),
            ExprKind::Selector(base, field) => match self.global(expr, at) {
                Some((path, name)) => match self.folder_of(path) {
                    Some(folder) if self.package_value(folder, name, next, visit) => {}
                    _ => visit(Traced::Expr(expr, index), at),
                },
                None => self.field(base, field, expr, at, next, visit),
            },
            ExprKind::Call(call) => match self.function(&call.fun, at) {
                Some(id) => self.returned(id, index, call, at, next, visit),
                None => visit(Traced::Expr(expr, index), at),
            },
            _ => visit(Traced::Expr(expr, index), at),
        }
    }

    fn name(
        &self,
        name: &'a str,
        expr: &'t Expr<'a>,
        at: &At<'t, 'a>,
        depth: u8,
        visit: Visit<'_, 't, 'a>,
    ) {
        if let Some(id) = at.func {
            let defs = scope::reaching(self.functions[id].defs(), name, expr.start);
            if !defs.is_empty() {
                defs.iter().for_each(|def| self.given(def.given, at, depth, visit));
                return;
            }
        }
        let folder = self.file(at).folder.as_str();
        if !self.package_value(folder, name, depth, visit) {
            visit(Traced::Expr(expr, 0), at);
        }
    }

    /// Follows a package's constant or variable and all that is assigned to it.
    fn package_value(&self, folder: &str, name: &str, depth: u8, visit: Visit<'_, 't, 'a>) -> bool {
        let Some(package) = self.packages.get(folder) else { return false };
        let Some((file, line, place)) = package.values.get(name) else { return false };
        let at = At { file: *file, func: None, frame: None };
        let mut given = vec![(scope::given_by(line, *place), at)];
        for (one, id) in self.assigned(package, name) {
            let at = At { file: self.functions[id].file, func: Some(id), frame: None };
            given.push((one, at));
        }
        // A variable without a value that is set elsewhere never shows its zero.
        if given.len() > 1 && matches!(given[0].0, Given::Zero(_)) {
            given.remove(0);
        }
        given.iter().for_each(|(one, at)| self.given(*one, at, depth, visit));
        true
    }

    fn given(&self, given: Given<'t, 'a>, at: &At<'t, 'a>, depth: u8, visit: Visit<'_, 't, 'a>) {
        match given {
            Given::Value(expr, index) => self.trace(expr, index, at, depth, visit),
            Given::Address(expr) => visit(Traced::Expr(expr, 0), at),
            Given::Zero(ty) => visit(Traced::Zero(ty), at),
            Given::Inner(call, ty) => visit(Traced::Inner(call, ty), at),
            Given::Opaque => visit(Traced::Lost, at),
            Given::Param(index) => self.param(index, at, depth, visit),
        }
    }

    fn param(&self, index: usize, at: &At<'t, 'a>, depth: u8, visit: Visit<'_, 't, 'a>) {
        let Some(id) = at.func else { return visit(Traced::Lost, at) };
        if let Some(frame) = &at.frame {
            return match frame.call.args.get(index) {
                Some(arg) => self.trace(arg, 0, &frame.at, depth, visit),
                None => visit(Traced::Lost, at),
            };
        }
        let ty = self.functions[id].decl.func.params.get(index).map_or("", |p| p.ty);
        let mut is_given = false;
        for site in self.callers(id) {
            if let Some(arg) = site.call.args.get(index) {
                is_given = true;
                self.trace(arg, 0, &site.at, depth, visit);
            }
        }
        if !is_given {
            visit(Traced::Param(ty), at);
        }
    }

    fn returned(
        &self,
        id: usize,
        index: usize,
        call: &'t Call<'a>,
        at: &At<'t, 'a>,
        depth: u8,
        visit: Visit<'_, 't, 'a>,
    ) {
        let function = &self.functions[id];
        let frame = Rc::new(Frame { call, at: at.clone() });
        let inside = At { file: function.file, func: Some(id), frame: Some(frame) };
        let mut is_any = false;
        for list in returns(&function.decl.func.body) {
            match list {
                [one] => self.trace(one, index, &inside, depth, visit),
                _ => match list.get(index) {
                    Some(expr) => self.trace(expr, 0, &inside, depth, visit),
                    None => visit(Traced::Lost, &inside),
                },
            }
            is_any = true;
        }
        if !is_any {
            visit(Traced::Lost, at);
        }
    }

    fn field(
        &self,
        base: &'t Expr<'a>,
        field: &'a str,
        expr: &'t Expr<'a>,
        at: &At<'t, 'a>,
        depth: u8,
        visit: Visit<'_, 't, 'a>,
    ) {
        let mut literals = Vec::new();
        self.trace(base, 0, at, depth, &mut |end, at| {
            if let Traced::Expr(Expr { kind: ExprKind::Composite(literal), .. }, _) = end {
                literals.push((literal, at.clone()));
            }
        });
        let mut is_any = false;
        for (literal, at) in &literals {
            if let Some(value) = keyed(&literal.elements, field) {
                is_any = true;
                self.trace(value, 0, at, depth, visit);
            }
        }
        if is_any {
            return;
        }
        for given in self.field_given(field, literals.is_empty(), expr, at) {
            is_any = true;
            self.trace(given.value, 0, &given.at, depth, visit);
        }
        if !is_any {
            visit(Traced::Expr(expr, 0), at);
        }
    }

    /// Returns what a field of that name is given: in the same package if anything is, else
    /// anywhere. Literals of other modules' types are not meant.
    fn field_given(
        &self,
        field: &str,
        with_literals: bool,
        expr: &Expr<'a>,
        at: &At<'t, 'a>,
    ) -> Vec<&FieldGiven<'t, 'a>> {
        let all = self.fields.get(field).map_or(&[][..], Vec::as_slice);
        let fits = |given: &&FieldGiven<'t, 'a>| {
            let is_foreign = given.ty.and_then(|ty| self.global(ty, &given.at));
            let is_foreign = is_foreign.is_some_and(|(path, _)| self.folder_of(path).is_none());
            let is_itself = given.value.start == expr.start && given.at.file == at.file;
            (with_literals || given.base.is_some()) && !is_foreign && !is_itself
        };
        let folder = &self.file(at).folder;
        let near = |given: &&FieldGiven<'t, 'a>| self.file(&given.at).folder == *folder;
        let list: Vec<_> = all.iter().filter(fits).filter(near).take(8).collect();
        if list.is_empty() { all.iter().filter(fits).take(8).collect() } else { list }
    }
}

/// Returns the value of a key in a literal.
pub(super) fn keyed<'t, 'a>(
    elements: &'t [(Option<Expr<'a>>, Expr<'a>)],
    key: &str,
) -> Option<&'t Expr<'a>> {
    elements.iter().find(|(k, _)| k.as_ref().and_then(Expr::name) == Some(key)).map(|(_, v)| v)
}

/// Returns what each `return` of a function gives, those of inner functions left out.
pub(super) fn returns<'t, 'a>(body: &'t Block<'a>) -> Vec<&'t [Expr<'a>]> {
    fn look<'t, 'a>(node: Node<'t, 'a>, out: &mut Vec<&'t [Expr<'a>]>) {
        match node {
            Node::Stmt(stmt) => match &stmt.kind {
                StmtKind::Return(list) => out.push(list),
                _ => walk::children_of_stmt(stmt, &mut |node| look(node, out)),
            },
            Node::Block(block) => block.list.iter().for_each(|s| look(Node::Stmt(s), out)),
            Node::Expr(_) => {}
        }
    }
    let mut out = Vec::new();
    look(Node::Block(body), &mut out);
    out
}
