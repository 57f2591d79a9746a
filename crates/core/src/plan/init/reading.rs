//! What the draft takes from the source: the program, how it is told its address, its health and
//! metrics, and the time limits that nginx has to fit.

use super::routes::{self, Picked};
use super::{above_zero, program_folder};
use crate::facts::gomod::GoMod;
use crate::facts::gosource::{GoListen, GoMain, GoRoute, GoServer, GoSource};
use crate::facts::{Fact, Span};
use crate::quantity::Millis;

/// nginx keeps idle connections this long unless `proxy.keepalive` says otherwise.
const KEEPALIVE: Millis = Millis::from_secs(30);
/// nginx waits this long for an answer unless `proxy.read_timeout` says otherwise.
const READ_TIMEOUT: Millis = Millis::from_secs(60);
/// A program gets this long to stop unless `process.stop_grace` says otherwise.
const STOP_GRACE: Millis = Millis::from_secs(15);

/// The source with what matters for a draft picked out.
pub(super) struct Seen<'a> {
    /// The program's own source.
    pub(super) source: &'a GoSource,
    /// The app's name.
    pub(super) name: String,
    /// The main package.
    pub(super) main: Option<&'a GoMain>,
    /// Its folder as the file names it: `.` or `./cmd/api`.
    pub(super) program: String,
    /// How it is told its address.
    pub(super) listen: Listen<'a>,
    /// The health path and its route.
    pub(super) health: Option<(String, &'a GoRoute)>,
    /// The path of the metrics and its route.
    pub(super) metrics: Option<(String, &'a GoRoute)>,
    /// The write route that matters most.
    pub(super) write: Option<Picked<'a>>,
    /// One read route.
    pub(super) read: Option<Picked<'a>>,
    /// `proxy.keepalive`, where the default would outlive the program's idle connections.
    pub(super) keepalive: Option<Millis>,
    /// `proxy.read_timeout`, where the default is longer than the program answers.
    pub(super) read_timeout: Option<Millis>,
    /// `process.stop_grace`, where the program may take longer to stop than the default.
    pub(super) stop_grace: Option<Millis>,
}

/// How the program is told its address.
pub(super) enum Listen<'a> {
    /// By an environment variable.
    Variable { name: String, is_port_only: bool, call: &'a GoListen },
    /// By a flag.
    Flag { name: String, is_port_only: bool, call: &'a GoListen },
    /// Not at all.
    Constant { addr: String, call: &'a GoListen },
    /// By something that the source does not show.
    Unclear { call: &'a GoListen },
    /// Nothing listens.
    Nothing,
}

impl<'a> Seen<'a> {
    pub(super) fn of(source: &'a GoSource, module: Option<&GoMod>, asked: Option<&str>) -> Self {
        let main = source.mains.first();
        let listen = listen(source);
        let (write, read) = routes::pick(&source.routes);
        let path = module.and_then(|m| m.module.known()).map_or("", String::as_str);
        let (keepalive, read_timeout) = limits(source, &listen);
        Self {
            source,
            name: app_name(path),
            main,
            program: written(main.map(|main| main.folder.as_str()).or(asked).unwrap_or_default()),
            health: routes::health(&source.routes),
            metrics: routes::metrics(&source.routes),
            write,
            read,
            keepalive,
            read_timeout,
            stop_grace: stop_grace(source),
            listen,
        }
    }
}

/// Returns a folder as the file names it.
fn written(folder: &str) -> String {
    match program_folder(folder).as_str() {
        "." => ".".to_owned(),
        folder => format!("./{folder}"),
    }
}

/// Returns the source of one program: the chosen main package stands first, and what lies in the
/// folders of the others is left out. Without a choice the first program that listens is taken.
pub(in crate::plan) fn of_program(source: &GoSource, asked: Option<&str>) -> GoSource {
    let mut own = source.clone();
    let listens = |main: &GoMain| source.listens.iter().any(|l| l.folder == main.folder);
    let chosen = match asked.map(program_folder) {
        Some(folder) => source.mains.iter().position(|m| program_folder(&m.folder) == folder),
        None => source.mains.iter().position(listens),
    };
    let Some(chosen) = chosen.or((!source.mains.is_empty()).then_some(0)) else { return own };
    let main = own.mains.remove(chosen);
    let others: Vec<String> = own.mains.iter().map(|m| m.folder.clone()).collect();
    let is_other = |folder: &String| *folder != main.folder && others.contains(folder);
    own.mains.insert(0, main.clone());
    // The servers stay as they are: listening calls point at them by index.
    own.listens.retain(|l| !is_other(&l.folder));
    own.routes.retain(|r| !is_other(&r.folder));
    own.signals.retain(|s| !is_other(&s.folder));
    own.shutdowns.retain(|s| !is_other(&s.folder));
    own.imports.retain(|i| !is_other(&i.folder));
    own.fatal_on_closed.retain(|span| !is_other(&folder_of(span, &source.root)));
    own.unbuffered_signals.retain(|span| !is_other(&folder_of(span, &source.root)));
    own.calls.retain(|c| !is_other(&c.folder));
    own
}

/// Returns the folder of a place, from the module's folder: `.` or `cmd/api`.
fn folder_of(span: &Span, root: &str) -> String {
    let root = root.trim_end_matches('/');
    let below = span.file.strip_prefix(root).and_then(|rest| rest.strip_prefix('/'));
    let folder = below.unwrap_or(&span.file).rsplit_once('/').map_or("", |(folder, _)| folder);
    program_folder(folder)
}

/// Returns how the program is told its address. A listener that only operators use comes last.
fn listen(source: &GoSource) -> Listen<'_> {
    let mut calls: Vec<&GoListen> = source.listens.iter().collect();
    calls.sort_by_key(|call| call.addr_from.iter().any(|name| is_for_operators(name)));
    let told = calls.iter().find_map(|call| by_variable(call));
    if let Some(told) = told.or_else(|| calls.iter().find_map(|call| by_flag(call))) {
        return told;
    }
    let Some(first) = calls.first() else { return Listen::Nothing };
    let constant = calls.iter().find_map(|call| match &call.addr {
        Fact::Known(addr) => Some(Listen::Constant { addr: addr.value.clone(), call }),
        Fact::Unknown(_) | Fact::Conflict(_) => None,
    });
    constant.unwrap_or(Listen::Unclear { call: first })
}

fn is_for_operators(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["metric", "debug", "admin", "pprof", "grpc", "prom"].iter().any(|word| name.contains(word))
}

fn by_variable(call: &GoListen) -> Option<Listen<'_>> {
    let (name, is_port_only) = name_of(call, '$')?;
    is_variable(&name).then_some(Listen::Variable { name, is_port_only, call })
}

fn by_flag(call: &GoListen) -> Option<Listen<'_>> {
    let (name, is_port_only) = name_of(call, '-')?;
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_good = (1..=64).contains(&name.len()) && name.chars().all(is_word);
    is_good.then_some(Listen::Flag { name, is_port_only, call })
}

/// Returns the first name of one kind; one that holds the port goes before one that may be only
/// the host.
fn name_of(call: &GoListen, mark: char) -> Option<(String, bool)> {
    let of_kind =
        |names: &[String]| names.iter().find_map(|n| n.strip_prefix(mark)).map(str::to_owned);
    match of_kind(&call.port_from) {
        Some(name) => Some((name, true)),
        None => of_kind(&call.addr_from).map(|name| (name, false)),
    }
}

fn is_variable(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Returns the server that answers users, as far as it can be told.
pub(in crate::plan) fn main_server(source: &GoSource) -> Option<&GoServer> {
    server_of(source, &listen(source))
}

fn server_of<'a>(source: &'a GoSource, listen: &Listen<'a>) -> Option<&'a GoServer> {
    let call = match listen {
        Listen::Variable { call, .. }
        | Listen::Flag { call, .. }
        | Listen::Constant { call, .. }
        | Listen::Unclear { call } => call,
        Listen::Nothing => return None,
    };
    call.server.and_then(|index| source.servers.get(index))
}

/// Returns what nginx's keepalive and read timeout must be where the defaults do not fit.
fn limits(source: &GoSource, listen: &Listen<'_>) -> (Option<Millis>, Option<Millis>) {
    let Some(server) = server_of(source, listen) else { return (None, None) };
    // Go takes ReadTimeout where IdleTimeout is not set.
    let is_unset = server.idle_timeout.known().is_some_and(|idle| idle.0 == 0);
    let idle = if is_unset { &server.read_timeout } else { &server.idle_timeout };
    let keepalive = above_zero(idle).filter(|idle| *idle <= KEEPALIVE).map(before_idle);
    let write = above_zero(&server.write_timeout).filter(|write| *write <= READ_TIMEOUT);
    (keepalive, write.map(before_write))
}

/// Returns nginx's keepalive for an IdleTimeout: half of it is far enough from the race and long
/// enough to be of use.
pub(in crate::plan) fn before_idle(idle: Millis) -> Millis {
    whole(Millis(idle.0 / 2))
}

/// Returns nginx's patience for a WriteTimeout: a fifth earlier, so that what takes too long gets
/// a 504 of nginx and not a connection cut off in the middle.
pub(in crate::plan) fn before_write(write: Millis) -> Millis {
    whole(Millis(write.0 - write.0 / 5))
}

fn stop_grace(source: &GoSource) -> Option<Millis> {
    let longest = source.shutdowns.iter().filter_map(|s| above_zero(&s.limit)).max()?;
    (longest >= STOP_GRACE).then_some(whole(Millis(longest.0.saturating_add(5000))))
}

/// Cuts a duration to whole seconds where it has some; a limit never becomes zero.
fn whole(limit: Millis) -> Millis {
    if limit.0 >= 2000 { Millis(limit.0 / 1000 * 1000) } else { Millis(limit.0.max(1)) }
}

/// Returns a legal app name for a module path: its last element, a version left out.
pub(super) fn app_name(path: &str) -> String {
    let is_version = |part: &str| {
        part.strip_prefix('v')
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.len() > 1 && parts.last().is_some_and(|last| is_version(last)) {
        parts.pop();
    }
    let mut name = String::new();
    for c in parts.last().copied().unwrap_or_default().chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_lowercase() || (c.is_ascii_digit() && !name.is_empty()) {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        if name.len() == 18 {
            break;
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() { "app".to_owned() } else { name.to_owned() }
}
