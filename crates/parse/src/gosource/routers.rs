//! Which web framework a value belongs to, and under which path it stands.

use super::ast::{Expr, ExprKind};
use super::module::{At, Module};
use super::trace::Traced;

/// A web framework, as far as its calls differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framework {
    Std,
    Gin,
    Echo,
    Fiber,
    Chi,
    Gorilla,
    HttpRouter,
}

/// A router or group.
pub(super) struct Router {
    pub(super) framework: Framework,
    pub(super) prefix: String,
}

/// The longest chain of groups that is followed.
const DEPTH_MAX: u8 = 8;

/// Returns the framework of an import path.
pub(super) fn framework_of(path: &str) -> Option<Framework> {
    const KNOWN: [(&str, Framework); 6] = [
        ("github.com/gin-gonic/gin", Framework::Gin),
        ("github.com/labstack/echo", Framework::Echo),
        ("github.com/gofiber/fiber", Framework::Fiber),
        ("github.com/go-chi/chi", Framework::Chi),
        ("github.com/gorilla/mux", Framework::Gorilla),
        ("github.com/julienschmidt/httprouter", Framework::HttpRouter),
    ];
    if path == "net/http" {
        return Some(Framework::Std);
    }
    let fits =
        |known: &str| path.strip_prefix(known).is_some_and(|r| r.is_empty() || r.starts_with("/v"));
    KNOWN.iter().find(|(known, _)| fits(known)).map(|(_, framework)| *framework)
}

/// Returns the router an expression is, if it is one.
pub(super) fn router<'t, 'a>(
    module: &Module<'t, 'a>,
    expr: &'t Expr<'a>,
    at: &At<'t, 'a>,
    depth: u8,
) -> Option<Router> {
    if depth > DEPTH_MAX {
        return None;
    }
    let ends = if depth == 0 { module.origins(expr, at) } else { quiet_origins(module, expr, at) };
    ends.into_iter().find_map(|(end, at)| match end {
        Traced::Expr(e, _) => made(module, e, &at, depth),
        Traced::Zero(ty) => plain(module.global(ty, &at)?.0),
        Traced::Param(ty) => typed(module, ty, &at),
        Traced::Inner(Some(call), ty) => {
            // chi: r.Route("/api", func(r chi.Router) { … }) and r.Group(func(r chi.Router) { … }).
            let parent = match &call.fun.kind {
                ExprKind::Selector(base, _) => router(module, base, &at, depth + 1),
                _ => None,
            };
            match parent {
                Some(parent) => Some(below(module, parent, call.args.first(), &at)),
                None => typed(module, ty, &at),
            }
        }
        Traced::Inner(None, ty) => typed(module, ty, &at),
        Traced::Lost => None,
    })
}

fn quiet_origins<'t, 'a>(
    module: &Module<'t, 'a>,
    expr: &'t Expr<'a>,
    at: &At<'t, 'a>,
) -> Vec<(Traced<'t, 'a>, At<'t, 'a>)> {
    let mut ends = Vec::new();
    module.trace(expr, 0, at, 0, &mut |end, at| ends.push((end, at.clone())));
    ends
}

fn made<'t, 'a>(
    module: &Module<'t, 'a>,
    expr: &'t Expr<'a>,
    at: &At<'t, 'a>,
    depth: u8,
) -> Option<Router> {
    match &expr.bare().kind {
        ExprKind::Composite(literal) => {
            let (path, name) = module.global(literal.ty.as_ref()?, at)?;
            plain(path).filter(|r| r.framework != Framework::Std || name == "ServeMux")
        }
        ExprKind::Call(call) => {
            if let Some((path, name)) = module.global(&call.fun, at) {
                return plain(path)
                    .filter(|r| r.framework != Framework::Std || name == "NewServeMux");
            }
            let ExprKind::Selector(base, name) = &call.fun.kind else { return None };
            let parent = router(module, base, at, depth + 1)?;
            match *name {
                "Group" | "Route" | "PathPrefix" => {
                    Some(below(module, parent, call.args.first(), at))
                }
                _ => Some(parent),
            }
        }
        ExprKind::Selector(..) => match module.global(expr, at) {
            Some(("net/http", "DefaultServeMux")) => plain("net/http"),
            _ => None,
        },
        _ => None,
    }
}

fn plain(path: &str) -> Option<Router> {
    framework_of(path).map(|framework| Router { framework, prefix: String::new() })
}

/// Returns the router that a parameter's type names: `*gin.RouterGroup`, `chi.Router`.
fn typed(module: &Module<'_, '_>, ty: &str, at: &At<'_, '_>) -> Option<Router> {
    let (package, name) = ty.trim_start_matches('*').split_once('.')?;
    let path = module.files[at.file].import(package)?;
    let is_router = match framework_of(path)? {
        Framework::Std => name == "ServeMux",
        _ => ["Router", "Group", "Engine", "Echo", "Mux", "App"].iter().any(|n| name.contains(n)),
    };
    if is_router { plain(path) } else { None }
}

/// Returns the router below a parent; a path that is no constant text adds nothing.
fn below<'t, 'a>(
    module: &Module<'t, 'a>,
    parent: Router,
    path: Option<&'t Expr<'a>>,
    at: &At<'t, 'a>,
) -> Router {
    let folded = path.map(|path| module.folded(path, at, 0));
    let own = folded.as_ref().and_then(|f| f.text()).unwrap_or("");
    Router { prefix: joined(&parent.prefix, own), ..parent }
}

/// Joins a prefix and a path with one slash between them.
pub(super) fn joined(prefix: &str, path: &str) -> String {
    if prefix.is_empty() || path.is_empty() {
        return format!("{prefix}{path}");
    }
    format!("{}/{}", prefix.trim_end_matches('/'), path.trim_start_matches('/'))
}
