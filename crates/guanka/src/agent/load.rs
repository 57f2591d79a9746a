//! The load gate's run: open loop against the candidate's own port. The agent counts; the driver
//! judges.

use std::sync::atomic::{AtomicBool, Ordering};

use guanka_core::facts::declared::{BadWhen, Declared, LoadGate, RequestSpec as Wanted};
use guanka_core::gates::bystanders;
use guanka_core::gates::guard::Fault;
use guanka_core::name::{Arm, Route};
use guanka_core::quantity::Millis;
use guanka_core::say::{Said, Text};
use guanka_core::signals::route::RouteTable;
use guanka_core::signals::window::{WINDOW, Window};
use guanka_world::load::{self, Arrivals, LoadPlan, Nonce, RequestSpec};
use guanka_world::store::metrics::Source;
use guanka_world::transport::wire::{Answer, FailedKind};
use guanka_world::{clock, obstacle, prove, proxy};

use super::jobs::Progress;
use super::refusal::{NO_PORTS, NOT_CONFIGURED, could_not};
use super::service::{Service, Settings};
use super::stores::{Agent, lock};

/// The slice by which bursts are told from a drizzle.
const SLICE: Millis = Millis::from_secs(10);

const NO_GATE: Text =
    Text { zh: "服务没有设压测关卡", en: "the service has no load gate" };

/// Runs the load gate against the arm that gets no requests of users.
pub(super) fn run(agent: &Agent, service: &Service, progress: &Progress) -> Answer {
    let Some(settings) = service.settings() else {
        return could_not(NOT_CONFIGURED);
    };
    let Some(gate) = &settings.declared.gates.load else {
        return could_not(NO_GATE);
    };
    let plan = match plan(agent, service, &settings, gate) {
        Ok(plan) => plan,
        Err(why) => return could_not(why),
    };
    let rate = gate.rate;
    let whole = Millis(gate.duration.0);
    let stop = AtomicBool::new(false);
    let mut users = Users::new(agent, service, &settings);
    let done = load::run(&plan, &stop, &mut |so_far| {
        if users.are_hurt() {
            stop.store(true, Ordering::SeqCst);
        }
        let (elapsed, ended, bad) = (so_far.elapsed.as_secs_f64(), so_far.ended, so_far.bad);
        progress.say(Said::new(
            format!("{rate} 已 {elapsed:.0}/{} 秒,完成 {ended},失败 {bad}", whole.0 / 1000),
            format!("{rate}, {elapsed:.0} of {} s, {ended} answered, {bad} bad", whole.0 / 1000),
        ));
    });
    match done {
        Ok(run) => Answer::Loaded { run: Box::new(run), stopped_for: users.hurt },
        Err(error) => Answer::Failed {
            kind: FailedKind::Refused,
            why: Said::new(error.to_string(), error.to_string()),
            next: Said::new("检查 [gates.load]", "look at [gates.load]"),
        },
    }
}

/// What users of the stable arm saw before the load began and see while it runs.
struct Users<'a> {
    agent: &'a Agent,
    service: &'a Service,
    stable: Option<Arm>,
    thresholds_ms: Vec<u64>,
    began_ms: u64,
    before: Vec<Window>,
    looked_ms: u64,
    hurt: Option<Fault>,
}

impl<'a> Users<'a> {
    fn new(agent: &'a Agent, service: &'a Service, settings: &Settings) -> Self {
        let began_ms = clock::now_ms();
        let mut users = Self {
            agent,
            service,
            stable: idle_arm(agent, service).ok().map(Arm::other),
            thresholds_ms: settings.thresholds_ms(),
            began_ms,
            before: Vec::new(),
            looked_ms: began_ms,
            hurt: None,
        };
        users.before = users.windows(began_ms.saturating_sub(bystanders::BEFORE.0), began_ms);
        users
    }

    /// Returns the windows of users' requests that lie wholly in a stretch of time. Where they
    /// cannot be read nothing is known to hurt anybody.
    fn windows(&self, from_ms: u64, to_ms: u64) -> Vec<Window> {
        let read = self.agent.metrics().windows(&self.service.name, Source::Live, from_ms, to_ms);
        let mut windows = read.unwrap_or_default();
        windows.retain(|w| w.start_ms >= from_ms && w.start_ms + WINDOW.0 <= to_ms);
        windows
    }

    /// Looks when another window is full.
    fn are_hurt(&mut self) -> bool {
        let read_to_ms = lock(&self.service.log).read_to_ms;
        let Some(stable) = self.stable else { return false };
        if self.hurt.is_none() && read_to_ms / WINDOW.0 > self.looked_ms / WINDOW.0 {
            self.looked_ms = read_to_ms;
            let during = self.windows(self.began_ms, read_to_ms);
            self.hurt = bystanders::hurt(&self.before, &during, stable, &self.thresholds_ms);
        }
        self.hurt.is_some()
    }
}

fn plan(
    agent: &Agent,
    service: &Service,
    settings: &Settings,
    gate: &LoadGate,
) -> Result<LoadPlan, Said> {
    let declared = &settings.declared;
    let arm = idle_arm(agent, service)?;
    safe(declared, &gate.requests)?;
    let port = service.ports().ok_or(NO_PORTS)?.of(arm);
    let nonce = prove::Nonce::fresh().map_err(|error| obstacle::said(&error))?;
    lock(&service.log).ours.insert(nonce.as_str().to_owned());
    Ok(LoadPlan {
        target: ([127, 0, 0, 1], port).into(),
        host: declared.proxy.domain.as_str().to_owned(),
        requests: requests(settings, &gate.requests),
        rate: gate.rate,
        arrivals: Arrivals::Constant,
        seed: 1,
        warm_up: gate.warm_up,
        duration: Some(Millis(gate.duration.0 - gate.warm_up.0)),
        drain: Millis::from_secs(10),
        timeout: Millis::from_secs(10),
        connections: gate.connections as usize,
        threads: 1,
        thresholds: settings.thresholds_ms().into_iter().map(Millis).collect(),
        slice: SLICE,
        snapshot_every: Millis::from_secs(1),
        cookies: None,
        nonce: Some(Nonce {
            header: proxy::NONCE_HEADER.to_owned(),
            value: nonce.as_str().to_owned(),
        }),
    })
}

/// Returns the arm that no user's request goes to; load on any other would be load on users.
pub(super) fn idle_arm(agent: &Agent, service: &Service) -> Result<Arm, Said> {
    let green = proxy::share::read(&agent.host, &service.name).map(|share| share.get());
    let view = agent.hands.view(&service.name)?;
    let has = |arm: Arm| view.arms.get(&arm).is_some_and(|arm| arm.owns_port);
    match green {
        // Before the first release nothing serves; blue is the arm it goes into.
        Some(0) if has(Arm::Green) => Ok(Arm::Green),
        Some(0) if has(Arm::Blue) => Ok(Arm::Blue),
        Some(100) if has(Arm::Blue) => Ok(Arm::Blue),
        Some(0 | 100) => Err(Said::new("空闲的臂没有运行", "no idle arm runs")),
        Some(share) => Err(Said::new(
            format!("两臂都在服务用户:green 占 {share} %"),
            format!("both arms serve users: green has {share} %"),
        )),
        None => Err(Said::new("流量份额尚未安装", "the share has never been installed")),
    }
}

/// Returns an error for a request that production does not allow.
pub(super) fn safe(declared: &Declared, requests: &[Wanted]) -> Result<(), Said> {
    if !declared.env.production {
        return Ok(());
    }
    let table = RouteTable::new(declared.env.safe_routes.iter().map(|route| route.0.as_str()));
    for request in requests {
        let route = table.find(&request.method, &request.path);
        if !declared.env.safe_routes.contains(&route) {
            let Wanted { method, path, .. } = request;
            let env = declared.service.env();
            return Err(Said::new(
                format!("{method} {path} 不在 env.{env}.safe_routes 之中"),
                format!("{method} {path} is not among env.{env}.safe_routes"),
            ));
        }
    }
    Ok(())
}

/// Turns declared requests into what the engine sends; each is counted under its route.
pub(super) fn requests(settings: &Settings, wanted: &[Wanted]) -> Vec<RequestSpec> {
    let declared = &settings.declared;
    let own = declared.slos.values().filter_map(|slo| slo.route.as_ref());
    let routes = settings.routes.iter().map(String::as_str).chain(own.map(|r| r.0.as_str()));
    let table = RouteTable::new(routes);
    wanted
        .iter()
        .map(|request| {
            let route = table.find(&request.method, &request.path);
            let body = request.body.clone().unwrap_or_default();
            let is_json = body.starts_with(['{', '[']);
            let kind = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
            let headers = if body.is_empty() {
                Vec::new()
            } else {
                vec![("Content-Type".to_owned(), kind.to_owned())]
            };
            RequestSpec {
                bad_from_status: bad_from(declared, &route),
                name: route.0,
                method: request.method.clone(),
                path: request.path.clone(),
                headers,
                body: body.into_bytes(),
            }
        })
        .collect()
}

/// Returns the lowest status that the route's objectives call bad.
fn bad_from(declared: &Declared, route: &Route) -> u16 {
    declared
        .slos
        .values()
        .filter(|slo| slo.route.as_ref().is_none_or(|own| own == route))
        .flat_map(|slo| &slo.bad_when)
        .filter_map(|when| match when {
            BadWhen::StatusAtLeast(least) => Some(*least),
            BadWhen::StatusIs(_) => None,
        })
        .min()
        .unwrap_or(500)
}
