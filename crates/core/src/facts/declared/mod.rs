//! What `guanka.toml` declares for one service: the file's values with `[env.X]` laid over them and
//! every default filled in. Reading the text is guanka-parse's work; here are only typed values.

mod process;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Span;
use super::guard::{Guard, Metrics};
use crate::name::{Domain, Route, ServiceName};
use crate::quantity::{Bytes, Millis, Proportion, Rate, SharePercent};

pub use process::{Limits, Liveness, Manager, Notify, Process};

/// One service's declarations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Declared {
    /// The file they come from.
    pub file: String,
    /// The service.
    pub service: ServiceName,
    /// `[app]`.
    pub app: App,
    /// `[build]`.
    pub build: Build,
    /// `[env.X]`.
    pub env: Environment,
    /// `[process]`.
    pub process: Process,
    /// `[probe]`.
    pub probe: Probe,
    /// `[proxy]`.
    pub proxy: Proxy,
    /// `[logs]`.
    pub logs: Logs,
    /// `[releases]`.
    #[serde(default)]
    pub releases: Releases,
    /// `[data] dirs`.
    pub data_dirs: Vec<String>,
    /// `[slo.*]` by name.
    pub slos: BTreeMap<String, Slo>,
    /// `[gates.*]`.
    pub gates: Gates,
    /// Where each key stands, by its dotted path (`gates.load.limit`), for findings and reports.
    pub spans: BTreeMap<String, Span>,
}

/// `[app]`: the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// The main package, `./cmd/api`.
    pub program: String,
    /// What kind of program it is.
    pub kind: Kind,
    /// How it is told where to listen.
    pub listen: ListenBy,
    /// Extra arguments, `{listen}` replaced by the arm's address.
    pub args: Vec<String>,
    /// The health path.
    pub health: String,
}

/// The kind of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Serves HTTP behind nginx.
    Http,
}

/// How the program is told its address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenBy {
    /// In an environment variable, as `host:port` or as a bare port.
    Env {
        /// The variable.
        name: String,
        /// The source puts a host or a colon before the value itself, so it gets the port alone.
        is_port_only: bool,
    },
    /// In an argument that holds `{listen}`.
    Args,
}

/// `[build]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The Go version asked for; `None` takes it from go.mod.
    pub go: Option<String>,
    /// Whether cgo is allowed.
    pub cgo: bool,
    /// Targets, `linux/amd64`; a host picks its own.
    pub targets: Vec<String>,
    /// Extra flags for `go build`, from a short list of allowed ones.
    pub flags: Vec<String>,
    /// Files to ship beside the binary, as paths or `dir/**`.
    pub include: Vec<String>,
}

/// `[env.X]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Where the service runs.
    pub hosts: Vec<HostAddress>,
    /// Load and chaos may use only `safe_routes` here.
    pub production: bool,
    /// The routes that load may use in production.
    pub safe_routes: Vec<Route>,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostAddress {
    /// `local:/` or `local:DIR`: this machine, under a root folder.
    Local(String),
    /// `user@host`: reached over SSH.
    Ssh(String),
}
/// `[probe]`: readiness, asked by the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The path.
    pub path: String,
    /// `GET` or `HEAD`.
    pub method: String,
    /// The expected status.
    pub expect: u16,
    /// The time between two probes.
    pub every: Millis,
    /// Failures in a row that make an arm not ready.
    pub fails: u32,
    /// Passes in a row that make it ready.
    pub passes: u32,
    /// The time one probe may take.
    pub timeout: Millis,
}

/// `[proxy]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// The site's domain.
    pub domain: Domain,
    /// What keeps a user on one arm.
    pub sticky: Sticky,
    /// The largest request body.
    pub upload_max: Bytes,
    /// nginx's patience between two reads from the program.
    pub read_timeout: Millis,
    /// How long nginx keeps an idle connection to the program; shorter than Go's IdleTimeout.
    pub keepalive: Millis,
    /// The routes whose answers go on for long, WebSocket and server-sent events: `/ws/{id}`.
    #[serde(default)]
    pub streams: Vec<String>,
    /// nginx's patience between two reads on those routes.
    #[serde(default = "hour")]
    pub stream_timeout: Millis,
    /// The paths of profiler and variables, closed to the outside.
    #[serde(default)]
    pub debug: Guard,
    /// What the program is told of the scheme that the user asked with.
    #[serde(default)]
    pub forwarded_proto: ForwardedProto,
    /// The metrics, closed to the outside; `None` when there are none to fetch through nginx.
    #[serde(default)]
    pub metrics: Option<Metrics>,
}

const fn hour() -> Millis {
    Millis::from_secs(3600)
}

/// What a program is told of the scheme that a user asked with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardedProto {
    /// The scheme at nginx.
    #[default]
    Scheme,
    /// Always https: TLS ends before nginx, at a CDN or another balancer.
    Https,
}

/// What keeps a user on one arm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sticky {
    /// The client's address.
    Client,
    /// A cookie's value, the client's address without it.
    Cookie(String),
    /// Nothing: each request by itself.
    Request,
}

/// `[logs]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// A log is rotated at this size.
    pub rotate: Bytes,
    /// A log that holds anything is rotated after this time, too.
    #[serde(default)]
    pub every: Option<Millis>,
    /// How many old logs are kept.
    pub keep: u32,
    /// The most that all logs of the service take together; old ones go first.
    #[serde(default = "Logs::default_budget")]
    pub budget: Bytes,
    /// Where the arms' own output goes.
    #[serde(default)]
    pub place: LogPlace,
}

/// Where the arms' own output goes. The access log is a file in any case: gates read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogPlace {
    /// Files, rotated by guanka.
    #[default]
    File,
    /// The journal of systemd, which keeps and limits it by itself.
    Journald,
}

/// `[releases]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Releases {
    /// How many releases stay on a host.
    pub keep: u32,
    /// The most they take together. Those in use stay whatever they take.
    pub budget: Bytes,
}

impl Logs {
    /// The budget of declarations stored before there was one.
    const fn default_budget() -> Bytes {
        Bytes(2 << 30)
    }
}

impl Default for Releases {
    fn default() -> Self {
        Self { keep: 5, budget: Bytes(2 << 30) }
    }
}

/// `[slo.x]`: one objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slo {
    /// What is counted.
    pub indicator: Indicator,
    /// On which route; `None` means on all together.
    pub route: Option<Route>,
    /// What is bad, beside a status of 500 or more.
    pub bad_when: Vec<BadWhen>,
    /// What a gate blocks at when it names no limit of its own; looser than the objective or equal.
    pub limit: Option<Limit>,
    /// The window of the budget.
    pub window: Millis,
}

/// What an objective counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Indicator {
    /// The share of good answers.
    Success {
        /// The objective, 0.9995 for 99.95 %.
        objective: Proportion,
    },
    /// A latency quantile.
    Latency {
        /// The quantile, 0.95 for P95.
        quantile: f64,
        /// The objective.
        objective: Millis,
    },
}

/// What a gate blocks at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// A share of bad answers, for `success`.
    BadShare(Proportion),
    /// A latency, for a quantile.
    Latency(Millis),
}

/// A condition under which an answer is bad.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadWhen {
    /// `status >= N`.
    StatusAtLeast(u16),
    /// `status == N`.
    StatusIs(u16),
}

/// `[gates.*]`. A gate that is not declared is passed over, and the plan says so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gates {
    /// `[gates.static]`.
    pub allow: Vec<Allow>,
    /// `[gates.load]`.
    pub load: Option<LoadGate>,
    /// `[gates.bake]`.
    pub bake: Option<BakeGate>,
    /// `[gates.canary]`.
    pub canary: Option<CanaryGate>,
    /// `[gates.settle]`: how long the old arm stays warm where there is no canary gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<Millis>,
}

/// An allowed finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allow {
    /// The check's name or code.
    pub check: String,
    /// The last day it is allowed, `2027-03-01`.
    pub until: String,
    /// Why.
    pub reason: String,
}

/// `[gates.load]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadGate {
    /// Requests per second, whatever the answers do.
    pub rate: Rate,
    /// How long.
    pub duration: Millis,
    /// How long at the start is not counted.
    pub warm_up: Millis,
    /// The connections, which cap how many requests are under way.
    pub connections: u32,
    /// The objectives it judges.
    pub slos: Vec<GateSlo>,
    /// What is sent, in turn.
    pub requests: Vec<RequestSpec>,
    /// How often an invalid run is repeated before the release is held.
    pub retries: u32,
}

/// `[gates.bake]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BakeGate {
    /// How long.
    pub duration: Millis,
    /// The objectives it judges.
    pub slos: Vec<GateSlo>,
    /// Whose requests count; each kind is judged by itself.
    pub traffic: Vec<Traffic>,
    /// What synthetic traffic sends.
    pub requests: Vec<RequestSpec>,
    /// The rate of the synthetic traffic.
    pub rate: Rate,
    /// Fewer requests than this decide nothing.
    pub min_requests: u64,
}

/// Whose requests a bake counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Traffic {
    /// Users' requests.
    Live,
    /// guanka's own probes of the candidate.
    Synthetic,
}

/// `[gates.canary]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CanaryGate {
    /// The candidate's share and the least time at it, in order; the last step is 100 %.
    pub steps: Vec<CanaryStep>,
    /// Compare with the stable arm in the same hours.
    pub compare: bool,
    /// The objectives it judges: all of the service's, unless named.
    pub slos: Vec<GateSlo>,
    /// When nothing is proven by then, back to the stable arm.
    pub deadline: Millis,
    /// Invalid for longer than this: the canary lease is not renewed.
    pub invalid_grace: Millis,
    /// How long the old arm is kept warm after full.
    pub settle: Millis,
}

/// One step of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryStep {
    /// The candidate's share.
    pub share: SharePercent,
    /// The least time at it.
    pub hold: Millis,
}

/// An objective as a gate judges it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateSlo {
    /// The objective's name.
    pub name: String,
    /// What the gate blocks at.
    pub limit: Limit,
}

/// One request that guanka sends itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestSpec {
    /// `GET`, `POST` …
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The body; sent as JSON when it looks like it.
    pub body: Option<String>,
}
