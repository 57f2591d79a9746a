//! What the Go source of a module says about serving: servers and their time limits, listeners and
//! what becomes of their errors, routes, signals, shutdown, imports, environment and flags.
//! Constants are folded; what comes from elsewhere is `Unknown` with its place.

use serde::{Deserialize, Serialize};

use super::{Fact, Problem, Span};
use crate::quantity::Millis;

/// Everything learned from one module's `.go` files (tests, vendor and generated copies left out).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoSource {
    /// The module's root folder as the user named it.
    pub root: String,
    /// How many files were read.
    pub files: u32,
    /// The `package main` folders that have a `func main`.
    pub mains: Vec<GoMain>,
    /// Each `http.Server{…}` literal.
    pub servers: Vec<GoServer>,
    /// Each call that listens or serves.
    pub listens: Vec<GoListen>,
    /// Each route registered on a mux or router.
    pub routes: Vec<GoRoute>,
    /// Each `signal.Notify` and `signal.NotifyContext`.
    pub signals: Vec<GoSignal>,
    /// Each `Shutdown` or `Close` of a server.
    pub shutdowns: Vec<GoShutdown>,
    /// Each import.
    pub imports: Vec<GoImport>,
    /// Each read of the environment.
    pub env_reads: Vec<GoNamed>,
    /// Each declared command-line flag.
    pub flags: Vec<GoNamed>,
    /// Each call whose error ends the program although it may be `http.ErrServerClosed`, which
    /// only says that `Shutdown` was called.
    #[serde(default)]
    pub fatal_on_closed: Vec<Span>,
    /// Each `signal.Notify` with a channel that has no room for a signal.
    #[serde(default)]
    pub unbuffered_signals: Vec<Span>,
    /// Each call of the few functions that checks ask about by name.
    #[serde(default)]
    pub calls: Vec<GoCall>,
    /// What the parser did not understand.
    pub problems: Vec<Problem>,
}

/// A program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoMain {
    /// The folder, relative to the root: `.` or `cmd/api`.
    pub folder: String,
    /// Where `func main` stands.
    pub span: Span,
}

/// One `http.Server` literal. A limit that is not written is `Known(0)` from the default table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoServer {
    /// The package's folder.
    pub folder: String,
    /// Where the literal begins.
    pub span: Span,
    /// The variable it is kept in, if any.
    pub variable: Option<String>,
    /// `Addr`.
    pub addr: Fact<String>,
    /// `Handler`.
    pub handler: GoHandler,
    /// `ReadTimeout`.
    pub read_timeout: Fact<Millis>,
    /// `ReadHeaderTimeout`.
    pub read_header_timeout: Fact<Millis>,
    /// `WriteTimeout`.
    pub write_timeout: Fact<Millis>,
    /// `IdleTimeout`.
    pub idle_timeout: Fact<Millis>,
}

/// What a server serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GoHandler {
    /// `http.DefaultServeMux`, or nil, which means the same.
    DefaultMux,
    /// Another handler, by the expression's text.
    Own(String),
}

/// A call that listens or serves: `http.ListenAndServe`, `srv.Serve`, `net.Listen`, `r.Run`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoListen {
    /// The package's folder.
    pub folder: String,
    /// Where the call stands.
    pub span: Span,
    /// The call's text up to its bracket: `srv.ListenAndServe`.
    pub call: String,
    /// The address it listens on; `Unknown` when it is not a constant.
    pub addr: Fact<String>,
    /// The environment variables and flags (`$PORT`, `-listen`) that the address is made from.
    pub addr_from: Vec<String>,
    /// Those of `addr_from` that the source puts behind a colon: they hold a port, no address.
    #[serde(default)]
    pub port_from: Vec<String>,
    /// The index in `servers` of the server that serves there, if it can be told.
    pub server: Option<usize>,
    /// What the function given as handler is, for `http.ListenAndServe(addr, handler)`.
    pub handler: Option<GoHandler>,
    /// What becomes of the error.
    pub error: ErrorFate,
}

/// What becomes of a listen error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorFate {
    /// Returned, given to `log.Fatal`, panicked on, or `os.Exit` follows: the program ends.
    EndsProgram,
    /// Sent into a channel that is read beside the signal (in one `select`, or first).
    ReadWithSignal,
    /// Sent into a channel that nobody reads before a signal comes, or logged and forgotten in a
    /// goroutine: the process lives on and nothing listens.
    Swallowed {
        /// Where the error gets lost.
        span: Span,
        /// How, in words of the source: `sent to done`, `only logged`, `ignored`.
        how: String,
    },
    /// The flow could not be followed.
    Unclear(String),
}

/// A route on a mux or router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoRoute {
    /// The package's folder.
    pub folder: String,
    /// Where it is registered.
    pub span: Span,
    /// The method; `None` means any.
    pub method: Option<String>,
    /// The pattern as written, without the method: `/orders/{id}`.
    pub pattern: String,
    /// The mux's or router's variable, `http` for the default mux.
    pub mux: String,
    /// The handler's text: `handleOrders`, `func`, `promhttp.Handler()`.
    pub handler: String,
    /// How long the handler may run by its own limits and constant sleeps; `None` when nothing in
    /// it says so.
    pub longest: Option<Fact<Millis>>,
    /// The handler streams: it flushes, upgrades or sends `text/event-stream`.
    pub streams: Option<Span>,
}

/// A call that catches signals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoSignal {
    /// The package's folder.
    pub folder: String,
    /// Where the call stands.
    pub span: Span,
    /// The signals by name: `SIGTERM`, `SIGINT` (`os.Interrupt` is SIGINT). Empty means all.
    pub signals: Vec<String>,
}

/// A call that stops a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoShutdown {
    /// The package's folder.
    pub folder: String,
    /// Where the call stands.
    pub span: Span,
    /// `Shutdown` or `Close`.
    pub call: String,
    /// The time limit of the context given to `Shutdown`; `Known(0)` from the default table means
    /// no limit (`context.Background()`).
    pub limit: Fact<Millis>,
}

/// An import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoImport {
    /// The package's folder.
    pub folder: String,
    /// Where it stands.
    pub span: Span,
    /// The import path.
    pub path: String,
    /// The name before it: `_`, `.` or an alias.
    pub alias: Option<String>,
}

/// A named thing read by the program: an environment variable or a flag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoNamed {
    /// The package's folder.
    pub folder: String,
    /// Where it stands.
    pub span: Span,
    /// The name, without `$` or `-`.
    pub name: String,
}

/// A call of a function that checks ask about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoCall {
    /// The package's folder.
    pub folder: String,
    /// Where it stands.
    pub span: Span,
    /// The import path and name of a package's function (`runtime.GOMAXPROCS`,
    /// `encoding/json.MarshalIndent`), or a method's text (`r.Header.Get`, `c.ClientIP`).
    pub name: String,
    /// The arguments in order; `None` is one that is no constant.
    pub args: Vec<Option<String>>,
}
