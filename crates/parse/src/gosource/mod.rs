//! Reads Go source: own lexer, shallow parser, constants folded over packages, and from there the
//! facts about serving. Types are never checked: a name is followed by its text and scope.

mod ast;
mod calls;
mod fate;
mod fold;
mod handlers;
pub mod lexer;
mod listens;
mod literal;
mod module;
mod parser;
mod routers;
mod routes;
mod scope;
mod servers;
mod signals;
pub mod token;
mod trace;
mod walk;

use std::borrow::Cow;

use guanka_core::facts::gosource::{ErrorFate, GoImport, GoMain, GoNamed, GoSource};
use guanka_core::facts::{Problem, Span};
use guanka_core::say::Said;

use module::{File, Module, Site};
use servers::Servers;

/// Reads a module's files, each with its path relative to the root. `go.mod` may be among them and
/// gives the module's path; tests, `vendor` and `testdata` are left out, and generated files give
/// names but no facts.
pub fn read_module(root: &str, files: &[(String, Vec<u8>)]) -> GoSource {
    let mut wanted: Vec<_> = files.iter().filter(|(path, _)| is_source(path)).collect();
    wanted.sort_by(|a, b| a.0.cmp(&b.0));
    let texts: Vec<(&str, Cow<'_, str>)> = wanted
        .into_iter()
        .map(|(path, bytes)| (path.as_str(), String::from_utf8_lossy(bytes)))
        .collect();
    let parsed: Vec<File<'_>> = texts
        .iter()
        .map(|(path, text)| {
            let folder = path.rsplit_once('/').map_or(".", |(folder, _)| folder);
            File::new(shown(root, path), folder.to_owned(), text)
        })
        .collect();
    let go_mod = files.iter().find(|(path, _)| path == "go.mod");
    let path =
        go_mod.and_then(|(name, text)| crate::gomod::read(name, text).module.known().cloned());
    let module = Module::new(&parsed, path);
    facts(root, &module)
}

/// Returns what a Go string literal holds, if it is one.
pub(crate) fn unquote(literal: &str) -> Option<String> {
    literal::string(literal)
}

/// Returns whether a file counts: Go, no test, and in no folder that Go leaves out.
fn is_source(path: &str) -> bool {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let is_left_out = |part: &str| {
        part == "vendor" || part == "testdata" || (part.len() > 1 && part.starts_with(['.', '_']))
    };
    name.ends_with(".go")
        && !name.ends_with("_test.go")
        && !name.starts_with(['.', '_'])
        && !folders.split('/').any(is_left_out)
}

/// Returns a file's name as the user would write it.
fn shown(root: &str, path: &str) -> String {
    match root.trim_end_matches('/') {
        "" if root.starts_with('/') => format!("/{path}"),
        "" | "." => path.to_owned(),
        root => format!("{root}/{path}"),
    }
}

fn facts(root: &str, module: &Module<'_, '_>) -> GoSource {
    let servers = Servers::find(module);
    let mut source = GoSource { root: root.to_owned(), ..GoSource::default() };
    for file in module.files.iter().filter(|file| !file.is_generated) {
        source.files += 1;
        of_file(file, &mut source);
    }
    for (mut listen, site) in listens::find(module, &servers) {
        listen.error = fate::of(module, site);
        if is_fatal_on_close(module, &listen.error, site) {
            source.fatal_on_closed.push(listen.span.clone());
        }
        source.listens.push(listen);
    }
    for site in module.sites.iter().filter(|site| !module.file(&site.at).is_generated) {
        of_call(module, &servers, site, &mut source);
    }
    source.servers = servers.list;
    sort(&mut source);
    source
}

/// Takes what a file says by itself.
fn of_file(file: &File<'_>, source: &mut GoSource) {
    let folder = &file.folder;
    for import in &file.tree.imports {
        source.imports.push(GoImport {
            folder: folder.clone(),
            span: file.span(import.start, import.end),
            path: import.path.to_owned(),
            alias: import.alias.map(str::to_owned),
        });
    }
    let main = |f: &&ast::FuncDecl<'_>| f.name == "main" && f.receiver.is_none();
    if file.tree.package == "main"
        && let Some(decl) = file.tree.funcs.iter().find(main)
    {
        let span = file.span(decl.name_start, decl.name_start + 4);
        source.mains.push(GoMain { folder: folder.clone(), span });
    }
    for tagged in &file.tree.tags {
        if let Some(name) = module::env_tag(tagged.tag) {
            let span = file.span(tagged.start, tagged.end);
            let name = name.to_owned();
            source.env_reads.push(GoNamed { folder: folder.clone(), span, name });
        }
    }
    for trouble in &file.tree.troubles {
        let expected = trouble.expected;
        source.problems.push(Problem {
            span: file.span(trouble.start, trouble.end),
            what: Said::new(
                format!("看不懂的 Go 代码:这里应为 {expected}"),
                format!("Go that was not understood: expected {expected} here"),
            ),
        });
    }
}

/// Takes what a call says.
fn of_call<'t, 'a>(
    module: &Module<'t, 'a>,
    servers: &Servers,
    site: &Site<'t, 'a>,
    source: &mut GoSource,
) {
    let file = module.file(&site.at);
    let named = |name: String| GoNamed {
        folder: file.folder.clone(),
        span: file.span(site.expr.start, site.expr.end),
        name,
    };
    source.routes.extend(routes::route(module, site));
    if let Some(signal) = signals::signal(module, site) {
        if signals::is_unbuffered(module, site) {
            source.unbuffered_signals.push(signal.span.clone());
        }
        source.signals.push(signal);
    }
    source.shutdowns.extend(signals::shutdown(module, servers, site));
    source.env_reads.extend(calls::environment(module, site).into_iter().map(named));
    module.refuel();
    source.flags.extend(module.flag_name(site.call, &site.at).map(named));
    source.calls.extend(calls::watched(module, site));
}

/// Returns whether the program ends on the error of a serving call without telling apart the one
/// that only says that `Shutdown` was called.
fn is_fatal_on_close<'t, 'a>(
    module: &Module<'t, 'a>,
    error: &ErrorFate,
    site: &Site<'t, 'a>,
) -> bool {
    let serves = site
        .call
        .fun
        .last_name()
        .is_some_and(|name| name.starts_with("ListenAndServe") || name.starts_with("Serve"));
    serves && *error == ErrorFate::EndsProgram && !calls::tells_closed_apart(module, site)
}

fn sort(source: &mut GoSource) {
    fn place(span: &Span) -> (String, u32, u32) {
        (span.file.clone(), span.line, span.column)
    }
    source.mains.sort_by_key(|x| place(&x.span));
    source.listens.sort_by_key(|x| place(&x.span));
    source.routes.sort_by_key(|x| place(&x.span));
    source.signals.sort_by_key(|x| place(&x.span));
    source.shutdowns.sort_by_key(|x| place(&x.span));
    source.imports.sort_by_key(|x| place(&x.span));
    source.env_reads.sort_by_key(|x| place(&x.span));
    source.flags.sort_by_key(|x| place(&x.span));
    source.calls.sort_by_key(|x| place(&x.span));
    source.fatal_on_closed.sort_by_key(place);
    source.unbuffered_signals.sort_by_key(place);
}
