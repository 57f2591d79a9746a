//! Routes: what is registered on muxes and routers, with the prefix of their groups.

use guanka_core::facts::gosource::GoRoute;

use super::ast::{Call, Expr, ExprKind};
use super::handlers;
use super::module::{At, Module, Site};
use super::routers::{self, Framework, Router, joined};

/// Returns the route that a call registers, if it registers one.
pub(super) fn route<'t, 'a>(module: &Module<'t, 'a>, site: &Site<'t, 'a>) -> Option<GoRoute> {
    let (call, at) = (site.call, &site.at);
    let file = module.file(at);
    let (router, mux, name) = match module.global(&call.fun, at) {
        Some(("net/http", name @ ("Handle" | "HandleFunc"))) => {
            let router = Router { framework: Framework::Std, prefix: String::new() };
            (router, "http".to_owned(), name)
        }
        Some(_) => return None,
        None => {
            let ExprKind::Selector(base, name) = &call.fun.kind else { return None };
            let mut imports = file.import_paths();
            let mut may_route = || imports.any(|path| routers::framework_of(path).is_some());
            if !is_registration(name) || call.args.len() < 2 || !may_route() {
                return None;
            }
            let router = routers::router(module, base, at, 0);
            let router = router.or_else(|| unknown_router(name, call))?;
            (router, file.words(base), *name)
        }
    };
    let shape = shape(module, &router, name, call, at)?;
    let handled = handlers::study(module, shape.handler, at);
    Some(GoRoute {
        folder: file.folder.clone(),
        span: file.span(site.expr.start, site.expr.end),
        method: shape.method,
        pattern: joined(&router.prefix, &shape.pattern),
        mux,
        handler: handlers::words(file, shape.handler),
        longest: handled.longest,
        streams: handled.streams,
    })
}

/// What a registering call says.
struct Shape<'t, 'a> {
    method: Option<String>,
    pattern: String,
    handler: &'t Expr<'a>,
}

fn is_registration(name: &str) -> bool {
    matches!(
        name,
        "Handle" | "HandleFunc" | "Method" | "MethodFunc" | "Handler" | "HandlerFunc" | "Add"
    ) || verb(name).is_some()
}

/// Returns the method that a router's function is named after; `Some("")` means any.
fn verb(name: &str) -> Option<&'static str> {
    Some(match name {
        "GET" | "Get" => "GET",
        "POST" | "Post" => "POST",
        "PUT" | "Put" => "PUT",
        "DELETE" | "Delete" => "DELETE",
        "PATCH" | "Patch" => "PATCH",
        "HEAD" | "Head" => "HEAD",
        "OPTIONS" | "Options" => "OPTIONS",
        "Any" | "All" => "",
        _ => return None,
    })
}

/// A receiver that cannot be followed is a mux when it is spoken to as one: a `HandleFunc` or
/// `Handle` with a path and something that is no text.
fn unknown_router(name: &str, call: &Call<'_>) -> Option<Router> {
    let is_text = matches!(call.args[0].kind, ExprKind::Literal(..));
    let handler = !matches!(call.args[1].kind, ExprKind::Literal(..));
    let is_mux = matches!(name, "Handle" | "HandleFunc") && call.args.len() == 2;
    (is_mux && is_text && handler)
        .then_some(Router { framework: Framework::Std, prefix: String::new() })
}

fn shape<'t, 'a>(
    module: &Module<'t, 'a>,
    router: &Router,
    name: &str,
    call: &'t Call<'a>,
    at: &At<'t, 'a>,
) -> Option<Shape<'t, 'a>> {
    let text = |index: usize| -> Option<String> {
        module.fold(call.args.get(index)?, at).text().map(str::to_owned)
    };
    let handler = match router.framework {
        // echo puts middleware behind the handler, the others before it.
        Framework::Echo if verb(name).is_some() => call.args.get(1)?,
        Framework::Echo => call.args.get(2)?,
        _ => call.args.last()?,
    };
    let by_verb = verb(name).map(|verb| (!verb.is_empty()).then(|| verb.to_owned()));
    let (method, pattern) = match (router.framework, name) {
        (Framework::Std, "Handle" | "HandleFunc") => split_method(&text(0)?),
        (Framework::Std, _) => return None,
        // gin.Handle("GET", "/x", h), echo.Add, chi.Method, httprouter.Handle.
        (Framework::Gin | Framework::HttpRouter, "Handle" | "Handler" | "HandlerFunc")
        | (Framework::Echo | Framework::Fiber, "Add")
        | (Framework::Chi, "Method" | "MethodFunc") => (Some(text(0)?), text(1)?),
        (Framework::Gorilla | Framework::Chi, "Handle" | "HandleFunc") => {
            (methods_behind(module, call, at), text(0)?)
        }
        _ => (by_verb?, text(0)?),
    };
    let is_path = pattern.is_empty() || pattern.contains('/') || pattern == "*";
    is_path.then_some(Shape { method, pattern, handler })
}

/// Splits the method from a pattern of Go 1.22: `POST /orders/{id}`.
fn split_method(pattern: &str) -> (Option<String>, String) {
    match pattern.split_once([' ', '\t']) {
        Some((method, rest)) if !method.contains('/') => {
            (Some(method.to_owned()), rest.trim_start().to_owned())
        }
        _ => (None, pattern.to_owned()),
    }
}

/// Returns the one method in `r.HandleFunc(…).Methods("GET")`.
fn methods_behind<'t, 'a>(
    module: &Module<'t, 'a>,
    call: &'t Call<'a>,
    at: &At<'t, 'a>,
) -> Option<String> {
    let behind = module.by_name.get("Methods")?.iter().map(|index| &module.sites[*index]);
    let mut own = behind.filter(|site| {
        site.at.file == at.file
            && site.expr.holds(call.fun.start)
            && site.expr.start == call.fun.start
    });
    let site = own.next()?;
    match site.call.args.as_slice() {
        [one] => module.fold(one, at).text().map(str::to_owned),
        _ => None,
    }
}
