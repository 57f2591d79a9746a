//! A module's files, parsed and indexed: packages, functions, calls, fields. Everything else asks
//! here.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use guanka_core::facts::Span;

use super::ast::{Call, Expr, ExprKind, FuncDecl, StmtKind, Tree, Values};
use super::scope::{self, Def, Given};
use super::walk::{self, Node};
use crate::text::SourceText;

/// A parsed file.
pub(super) struct File<'a> {
    pub(super) name: String,
    pub(super) folder: String,
    pub(super) text: &'a str,
    pub(super) tree: Tree<'a>,
    /// Written by a machine: its names count, but nothing in it is reported.
    pub(super) is_generated: bool,
    imports: BTreeMap<&'a str, &'a str>,
    source: OnceCell<SourceText<'a>>,
}

/// A declared function or method.
pub(super) struct Function<'t, 'a> {
    pub(super) file: usize,
    pub(super) decl: &'t FuncDecl<'a>,
    defs: OnceCell<Vec<Def<'t, 'a>>>,
    names: OnceCell<BTreeSet<&'a str>>,
    /// The parameters whose values it takes for names of environment variables.
    pub(super) env_params: OnceCell<Vec<usize>>,
}

/// A place to understand an expression from: its file, its function, and how that was called.
#[derive(Clone)]
pub(super) struct At<'t, 'a> {
    pub(super) file: usize,
    pub(super) func: Option<usize>,
    pub(super) frame: Option<Rc<Frame<'t, 'a>>>,
}

/// The call through which a function was entered.
pub(super) struct Frame<'t, 'a> {
    pub(super) call: &'t Call<'a>,
    pub(super) at: At<'t, 'a>,
}

/// A call somewhere in the module.
#[derive(Clone)]
pub(super) struct Site<'t, 'a> {
    pub(super) call: &'t Call<'a>,
    pub(super) expr: &'t Expr<'a>,
    pub(super) at: At<'t, 'a>,
}

/// A value given to a field: by an assignment to `base.field`, or by a key in a literal.
#[derive(Clone)]
pub(super) struct FieldGiven<'t, 'a> {
    pub(super) base: Option<&'t Expr<'a>>,
    /// The literal's type, where it is written.
    pub(super) ty: Option<&'t Expr<'a>>,
    pub(super) value: &'t Expr<'a>,
    pub(super) at: At<'t, 'a>,
}

/// A package's own names.
#[derive(Default)]
pub(super) struct Package<'t, 'a> {
    pub(super) values: BTreeMap<&'a str, (usize, &'t Values<'a>, usize)>,
    pub(super) funcs: BTreeMap<&'a str, usize>,
    /// Its functions and methods.
    pub(super) all: Vec<usize>,
    assigned: OnceCell<Assigned<'t, 'a>>,
}

/// What a package's functions assign to its variables, with the function that does.
type Assigned<'t, 'a> = BTreeMap<&'a str, Vec<(Given<'t, 'a>, usize)>>;

/// The whole module.
pub(super) struct Module<'t, 'a> {
    pub(super) files: &'t [File<'a>],
    pub(super) path: Option<String>,
    pub(super) functions: Vec<Function<'t, 'a>>,
    pub(super) packages: BTreeMap<&'t str, Package<'t, 'a>>,
    pub(super) methods: BTreeMap<&'a str, Vec<usize>>,
    pub(super) sites: Vec<Site<'t, 'a>>,
    pub(super) by_name: BTreeMap<&'a str, Vec<usize>>,
    /// Literals of types that other modules define.
    pub(super) literals: Vec<(&'t Expr<'a>, At<'t, 'a>)>,
    pub(super) fields: BTreeMap<&'a str, Vec<FieldGiven<'t, 'a>>>,
    /// The environment variable in a field's tag, by the field's name.
    pub(super) tags: BTreeMap<&'a str, &'a str>,
    /// Steps left for the question being answered, so that no text makes it endless.
    pub(super) fuel: std::cell::Cell<u32>,
}

impl<'a> File<'a> {
    /// Parses a file; `name` is how the user would name it.
    pub(super) fn new(name: String, folder: String, text: &'a str) -> Self {
        let tree = super::parser::parse(text);
        let imports = tree.imports.iter().filter_map(|i| match i.alias {
            Some("." | "_") => None,
            Some(alias) => Some((alias, i.path)),
            None => Some((package_name(i.path), i.path)),
        });
        let imports = imports.collect();
        let is_generated = is_generated(text);
        Self { name, folder, text, imports, tree, is_generated, source: OnceCell::new() }
    }

    /// Returns the import path that a name stands for.
    pub(super) fn import(&self, name: &str) -> Option<&'a str> {
        self.imports.get(name).copied()
    }

    /// Returns all import paths.
    pub(super) fn import_paths(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.tree.imports.iter().map(|i| i.path)
    }

    /// Returns the span of two byte offsets.
    pub(super) fn span(&self, start: u32, end: u32) -> Span {
        let source = self.source.get_or_init(|| SourceText::new("", self.text));
        let mut span = source.span(start as usize, end as usize);
        span.file.clone_from(&self.name);
        span
    }

    /// Returns an expression's text, on one line and cut at 80 characters.
    pub(super) fn words(&self, expr: &Expr<'_>) -> String {
        let text = self.text.get(expr.start as usize..expr.end as usize).unwrap_or("");
        let words: Vec<&str> = text.split_whitespace().collect();
        words.join(" ").chars().take(80).collect()
    }
}

impl<'t, 'a> Function<'t, 'a> {
    fn new(file: usize, decl: &'t FuncDecl<'a>) -> Self {
        let (defs, names, env_params) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Self { file, decl, defs, names, env_params }
    }

    /// Returns whether a name is defined anywhere inside.
    fn has(&self, name: &str) -> bool {
        self.names.get_or_init(|| self.defs().iter().map(|def| def.name).collect()).contains(name)
    }

    /// Returns the definitions inside.
    pub(super) fn defs(&self) -> &[Def<'t, 'a>] {
        self.defs.get_or_init(|| scope::definitions(self.decl))
    }
}

impl<'t, 'a> Module<'t, 'a> {
    /// Builds the index over parsed files.
    pub(super) fn new(files: &'t [File<'a>], path: Option<String>) -> Self {
        let mut module = Self {
            files,
            path,
            functions: Vec::new(),
            packages: BTreeMap::new(),
            methods: BTreeMap::new(),
            sites: Vec::new(),
            by_name: BTreeMap::new(),
            literals: Vec::new(),
            fields: BTreeMap::new(),
            tags: BTreeMap::new(),
            fuel: std::cell::Cell::new(0),
        };
        for (index, file) in files.iter().enumerate() {
            module.add(index, file);
        }
        for (index, site) in module.sites.iter().enumerate() {
            if let Some(name) = site.call.fun.last_name() {
                module.by_name.entry(name).or_default().push(index);
            }
        }
        module
    }

    fn add(&mut self, index: usize, file: &'t File<'a>) {
        let package = self.packages.entry(&file.folder).or_default();
        for line in &file.tree.values {
            for (place, (name, _)) in line.names.iter().enumerate() {
                package.values.insert(name, (index, line, place));
            }
        }
        for decl in &file.tree.funcs {
            let id = self.functions.len();
            self.functions.push(Function::new(index, decl));
            package.all.push(id);
            if decl.receiver.is_some() {
                self.methods.entry(decl.name).or_default().push(id);
            } else {
                package.funcs.insert(decl.name, id);
            }
        }
        for tagged in &file.tree.tags {
            if let Some(name) = env_tag(tagged.tag) {
                self.tags.insert(tagged.field, name);
            }
        }
        let first = self.functions.len() - file.tree.funcs.len();
        for (place, decl) in file.tree.funcs.iter().enumerate() {
            let at = At { file: index, func: Some(first + place), frame: None };
            walk::block(&decl.func.body, &mut |node| self.note(node, &at));
        }
        let at = At { file: index, func: None, frame: None };
        for expr in file.tree.values.iter().flat_map(|line| &line.from) {
            walk::expr(expr, &mut |node| self.note(node, &at));
        }
    }

    fn note(&mut self, node: Node<'t, 'a>, at: &At<'t, 'a>) {
        match node {
            Node::Expr(expr) => match &expr.kind {
                ExprKind::Call(call) => {
                    self.sites.push(Site { call, expr, at: at.clone() });
                }
                ExprKind::Composite(literal) => {
                    let ty = literal.ty.as_ref();
                    if ty.is_some_and(|ty| self.global(ty, at).is_some()) {
                        self.literals.push((expr, at.clone()));
                    }
                    for (key, value) in &literal.elements {
                        if let Some(ExprKind::Name(name)) = key.as_ref().map(|k| &k.kind) {
                            let given = FieldGiven { base: None, ty, value, at: at.clone() };
                            self.fields.entry(name).or_default().push(given);
                        }
                    }
                }
                _ => {}
            },
            Node::Stmt(stmt) => {
                let StmtKind::Assign { to, from, .. } = &stmt.kind else { return };
                for (place, target) in to.iter().enumerate() {
                    let (ExprKind::Selector(base, name), Some(value)) =
                        (&target.kind, from.get(place))
                    else {
                        continue;
                    };
                    let given = FieldGiven { base: Some(base), ty: None, value, at: at.clone() };
                    self.fields.entry(name).or_default().push(given);
                }
            }
            Node::Block(_) => {}
        }
    }

    /// Returns the file of a place.
    pub(super) fn file(&self, at: &At<'t, 'a>) -> &'t File<'a> {
        &self.files[at.file]
    }

    /// Returns a thing of a package as `import/path.Name`, if the expression is one.
    pub(super) fn global(&self, expr: &Expr<'a>, at: &At<'t, 'a>) -> Option<(&'a str, &'a str)> {
        match &expr.bare().kind {
            ExprKind::Selector(base, name) => {
                let package = base.name()?;
                let path = self.file(at).import(package)?;
                (!self.is_shadowed(package, base.start, at)).then_some((path, name))
            }
            ExprKind::Index(inner, _) => self.global(inner, at),
            _ => None,
        }
    }

    /// Returns whether a package's name means a variable of the function: `mux := …`.
    fn is_shadowed(&self, package: &str, place: u32, at: &At<'t, 'a>) -> bool {
        let Some(id) = at.func else { return false };
        let function = &self.functions[id];
        function.has(package) && !scope::reaching(function.defs(), package, place).is_empty()
    }

    /// Returns whether the expression is the named thing of the package with that path.
    pub(super) fn is(&self, expr: &Expr<'a>, at: &At<'t, 'a>, path: &str, name: &str) -> bool {
        self.global(expr, at) == Some((path, name))
    }

    /// Returns the folder of a package of this module by its import path.
    pub(super) fn folder_of(&self, import: &str) -> Option<&'t str> {
        let folder = match &self.path {
            Some(path) => {
                let rest = import.strip_prefix(path.as_str())?;
                if rest.is_empty() { "." } else { rest.strip_prefix('/')? }
            }
            // Without go.mod the module's path is not known: the folder's whole name must fit.
            None => import.split_once('/')?.1,
        };
        self.packages.get_key_value(folder).map(|(name, _)| *name)
    }

    /// Returns the declared function or method that a call's function names, if it is one here.
    pub(super) fn function(&self, fun: &Expr<'a>, at: &At<'t, 'a>) -> Option<usize> {
        match &fun.bare().kind {
            ExprKind::Name(name) => {
                self.packages.get(self.file(at).folder.as_str())?.funcs.get(name).copied()
            }
            ExprKind::Index(inner, _) => self.function(inner, at),
            ExprKind::Selector(_, name) => {
                if let Some((path, name)) = self.global(fun, at) {
                    return self.packages.get(self.folder_of(path)?)?.funcs.get(name).copied();
                }
                let list = self.methods.get(name)?;
                let folder = &self.file(at).folder;
                let near = |id: &&usize| self.files[self.functions[**id].file].folder == *folder;
                match (list.iter().filter(near).count(), list.len()) {
                    (1, _) => list.iter().find(near).copied(),
                    (0, 1) => list.first().copied(),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Returns what the functions of a package assign to one of its variables.
    pub(super) fn assigned(
        &self,
        package: &Package<'t, 'a>,
        name: &str,
    ) -> Vec<(Given<'t, 'a>, usize)> {
        let all = package.assigned.get_or_init(|| {
            let mut all = Assigned::new();
            for id in &package.all {
                let defs = self.functions[*id].defs();
                let changes = |d: &&Def<'t, 'a>| !d.is_new && package.values.contains_key(d.name);
                for def in defs.iter().filter(changes) {
                    if scope::reaching(defs, def.name, def.from).is_empty() {
                        all.entry(def.name).or_default().push((def.given, *id));
                    }
                }
            }
            all
        });
        all.get(name).cloned().unwrap_or_default()
    }

    /// Returns the calls of a declared function.
    pub(super) fn callers(&self, id: usize) -> Vec<&Site<'t, 'a>> {
        let name = self.functions[id].decl.name;
        let list = self.by_name.get(name).map_or(&[][..], Vec::as_slice);
        let sites = list.iter().map(|index| &self.sites[*index]);
        sites.filter(|site| self.function(&site.call.fun, &site.at) == Some(id)).collect()
    }
}

/// Returns the name a package goes by: the last part of its path without a version.
fn package_name(path: &str) -> &str {
    let is_version = |part: &str| {
        part.strip_prefix('v')
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let mut parts = path.rsplit('/');
    let mut last = parts.next().unwrap_or(path);
    if is_version(last) {
        last = parts.next().unwrap_or(last);
    }
    match last.rsplit_once('.') {
        Some((name, version)) if is_version(version) => name,
        _ => last,
    }
}

/// Returns whether the line by which generators mark their files stands before `package`.
fn is_generated(text: &str) -> bool {
    text.lines()
        .take_while(|line| !line.starts_with("package "))
        .any(|line| line.starts_with("// Code generated ") && line.ends_with(" DO NOT EDIT."))
}

/// Returns the variable in a tag like `env:"PORT,required"`.
pub(super) fn env_tag(tag: &str) -> Option<&str> {
    ["env:\"", "envconfig:\""].iter().find_map(|key| {
        let at = tag.find(key)?;
        let before = &tag[..at];
        let rest = &tag[at + key.len()..];
        let name = rest.split(['"', ',']).next()?;
        let stands_alone = before.is_empty() || before.ends_with([' ', '`', '"']);
        (stands_alone && !name.is_empty()).then_some(name)
    })
}
