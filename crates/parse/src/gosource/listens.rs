//! Calls that listen or serve, with their address and the server they belong to.

use guanka_core::facts::gosource::{ErrorFate, GoListen};
use guanka_core::facts::{Fact, Reason};

use super::ast::{Call, Expr, ExprKind};
use super::fold::Told;
use super::module::{At, File, Module, Site};
use super::routers::{self, Framework};
use super::servers::{self, Servers};
use super::trace::Traced;

/// The most wrappers around a listener that are followed.
const WRAPPERS_MAX: u8 = 3;

type Addr = (Fact<String>, Told);

/// What a listening call is about.
struct Listening<'t, 'a> {
    addr: Addr,
    server: Option<usize>,
    handler: Option<&'t Expr<'a>>,
}

/// Returns the calls of a module that listen or serve, each with its site; the fate is still open.
pub(super) fn find<'m, 't, 'a>(
    module: &'m Module<'t, 'a>,
    servers: &Servers,
) -> Vec<(GoListen, &'m Site<'t, 'a>)> {
    let own = module.sites.iter().filter(|site| !module.file(&site.at).is_generated);
    own.filter_map(|site| Some((listen(module, servers, site)?, site))).collect()
}

fn listen<'t, 'a>(
    module: &Module<'t, 'a>,
    servers: &Servers,
    site: &Site<'t, 'a>,
) -> Option<GoListen> {
    let (call, at) = (site.call, &site.at);
    let found = match module.global(&call.fun, at) {
        Some((path, name)) => by_function(module, path, name, call, at)?,
        None => match &call.fun.kind {
            ExprKind::Selector(base, name) => by_method(module, servers, base, name, call, at)?,
            _ => return None,
        },
    };
    let file = module.file(at);
    let (addr, told) = found.addr;
    Some(GoListen {
        folder: file.folder.clone(),
        span: file.span(site.expr.start, site.expr.end),
        call: file.words(&call.fun),
        addr,
        addr_from: told.from,
        port_from: told.ports,
        server: found.server,
        handler: found.handler.map(|h| servers::handler(module, h, at)),
        error: ErrorFate::Unclear(String::new()),
    })
}

fn by_function<'t, 'a>(
    module: &Module<'t, 'a>,
    path: &str,
    name: &str,
    call: &'t Call<'a>,
    at: &At<'t, 'a>,
) -> Option<Listening<'t, 'a>> {
    let arg = |index: usize| call.args.get(index);
    let (addr, handler) = match (path, name) {
        ("net/http" | "github.com/valyala/fasthttp", "ListenAndServe") => {
            (http_addr(module, arg(0)?, at), arg(1))
        }
        ("net/http" | "github.com/valyala/fasthttp", "ListenAndServeTLS") => {
            (http_addr(module, arg(0)?, at), arg(3))
        }
        ("net/http", "Serve" | "ServeTLS") => (listener_addr(module, arg(0)?, at), arg(1)),
        ("net" | "crypto/tls", "Listen") => (net_addr(module, arg(0)?, arg(1)?, at), None),
        _ => return None,
    };
    Some(Listening { addr, server: None, handler })
}

fn by_method<'t, 'a>(
    module: &Module<'t, 'a>,
    servers: &Servers,
    base: &'t Expr<'a>,
    name: &str,
    call: &'t Call<'a>,
    at: &At<'t, 'a>,
) -> Option<Listening<'t, 'a>> {
    let arg = |index: usize| call.args.get(index);
    let plain = |addr| Some(Listening { addr, server: None, handler: None });
    match (name, call.args.len()) {
        ("ListenAndServe", 0) | ("ListenAndServeTLS", 2) => {
            let server = servers.of(module, base, at);
            let addr = match server {
                Some(index) => (servers.list[index].addr.clone(), servers.addr_told[index].clone()),
                // A method of the module's own by that name is a listener only inside.
                None if module.function(&call.fun, at).is_some() => return None,
                None => (not_constant(module.file(at), base), Told::default()),
            };
            Some(Listening { addr, server, handler: None })
        }
        ("Serve", 1) | ("ServeTLS", 3) => {
            let server = servers.of(module, base, at);
            let is_listener = server.is_some() || listens(module, arg(0)?, at, 0).is_some();
            let addr = listener_addr(module, arg(0)?, at);
            is_listener.then_some(Listening { addr, server, handler: None })
        }
        ("Listen", 3) => {
            let is_config = module.origins(base, at).iter().any(|(end, at)| match end {
                Traced::Expr(Expr { kind: ExprKind::Composite(literal), .. }, _) => {
                    literal.ty.as_ref().is_some_and(|t| module.is(t, at, "net", "ListenConfig"))
                }
                Traced::Zero(ty) => module.is(ty, at, "net", "ListenConfig"),
                _ => false,
            });
            if is_config { plain(net_addr(module, arg(1)?, arg(2)?, at)) } else { None }
        }
        ("Run" | "RunTLS" | "Start" | "StartTLS" | "Listen" | "ListenTLS", _) => {
            let framework = routers::router(module, base, at, 0)?.framework;
            match (framework, name) {
                (Framework::Gin, "Run") if call.args.is_empty() => {
                    plain(gin_default(module, call, at))
                }
                (Framework::Gin, "Run" | "RunTLS")
                | (Framework::Echo, "Start" | "StartTLS")
                | (Framework::Fiber, "Listen" | "ListenTLS") => {
                    plain(http_addr(module, arg(0)?, at))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// gin without an address takes the port in `$PORT`, else `:8080`.
fn gin_default(module: &Module<'_, '_>, call: &Call<'_>, at: &At<'_, '_>) -> Addr {
    let span = module.files[at.file].span(call.fun.start, call.fun.end);
    let reason = Reason::NotConstant { what: "$PORT".to_owned(), span };
    let names = vec!["$PORT".to_owned()];
    (Fact::Unknown(reason), Told { from: names.clone(), ports: names })
}

/// Returns the address of `net/http`, where nothing means `:80`.
fn http_addr<'t, 'a>(module: &Module<'t, 'a>, expr: &'t Expr<'a>, at: &At<'t, 'a>) -> Addr {
    let (addr, from) = addr(module, expr, at);
    if addr.known().is_some_and(String::is_empty) {
        return (Fact::default_of(":80".to_owned(), "Go net/http", "Addr"), from);
    }
    (addr, from)
}

fn addr<'t, 'a>(module: &Module<'t, 'a>, expr: &'t Expr<'a>, at: &At<'t, 'a>) -> Addr {
    module.text_fact(expr, at, module.file(at).span(expr.start, expr.end))
}

/// Returns the address of `net.Listen`; a unix socket's path stands behind `unix:`.
fn net_addr<'t, 'a>(
    module: &Module<'t, 'a>,
    network: &'t Expr<'a>,
    expr: &'t Expr<'a>,
    at: &At<'t, 'a>,
) -> Addr {
    let (mut addr, from) = addr(module, expr, at);
    let is_unix = module.fold(network, at).text() == Some("unix");
    if let Fact::Known(sourced) = &mut addr
        && is_unix
    {
        sourced.value = format!("unix:{}", sourced.value);
    }
    (addr, from)
}

/// Returns the address of the listener an expression is.
fn listener_addr<'t, 'a>(module: &Module<'t, 'a>, expr: &'t Expr<'a>, at: &At<'t, 'a>) -> Addr {
    listens(module, expr, at, 0)
        .unwrap_or_else(|| (not_constant(module.file(at), expr), Told::default()))
}

fn listens<'t, 'a>(
    module: &Module<'t, 'a>,
    expr: &'t Expr<'a>,
    at: &At<'t, 'a>,
    depth: u8,
) -> Option<Addr> {
    if depth > WRAPPERS_MAX {
        return None;
    }
    module.origins(expr, at).into_iter().find_map(|(end, at)| {
        let Traced::Expr(e, 0) = end else { return None };
        let call = e.call()?;
        match module.global(&call.fun, &at) {
            Some(("net" | "crypto/tls", "Listen")) => {
                Some(net_addr(module, call.args.first()?, call.args.get(1)?, &at))
            }
            None if call.fun.last_name() == Some("Listen") && call.args.len() == 3 => {
                Some(net_addr(module, &call.args[1], &call.args[2], &at))
            }
            // A wrapper: tls.NewListener(l, …), netutil.LimitListener(l, …).
            Some((_, name)) if name.contains("Listener") => {
                let inner = call.args.first()?;
                listens(module, inner, &at, depth + 1)
            }
            _ => None,
        }
    })
}

fn not_constant(file: &File<'_>, expr: &Expr<'_>) -> Fact<String> {
    let span = file.span(expr.start, expr.end);
    Fact::Unknown(Reason::NotConstant { what: file.words(expr), span })
}
