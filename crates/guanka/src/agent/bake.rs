//! The bake's own traffic: a trickle of declared requests to the candidate, counted into windows of
//! their own kind. It goes on over a restart of the agent and ends by itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use guanka_core::facts::declared::{BakeGate, Traffic};
use guanka_core::name::{Arm, Route, ServiceName};
use guanka_core::quantity::Millis;
use guanka_core::say::{Said, Text};
use guanka_core::signals::window::{Key, StatusClass, WINDOW, Window};
use guanka_world::hostroot::HostRoot;
use guanka_world::load::{self, AnswerSeen, Arrivals, LoadPlan, Outcome};
use guanka_world::store::metrics::Source;
use guanka_world::{clock, files};
use serde::{Deserialize, Serialize};

use super::load::{idle_arm, requests, safe};
use super::refusal::NOT_CONFIGURED;
use super::service::{Service, Settings};
use super::stores::{Agent, lock};
use crate::failure::because;

/// How long the trickle goes on after the gate's time: the driver may be late to look.
const BEYOND: Millis = Millis::from_secs(120);

const NO_GATE: Text =
    Text { zh: "服务没有设观察关卡", en: "the service has no bake gate" };

/// A bake's traffic at work.
pub(super) struct Trickle {
    stop: Arc<AtomicBool>,
}

/// What of it survives a restart of the agent.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Stored {
    arm: Arm,
    until_ms: u64,
}

impl Drop for Trickle {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// Begins the bake: from now on the candidate gets the declared requests.
pub(super) fn begin(agent: &Agent, service: &Service) -> Result<(), Said> {
    let settings = service.settings().ok_or(NOT_CONFIGURED)?;
    let gate = settings.declared.gates.bake.as_ref().ok_or(NO_GATE)?;
    if !gate.traffic.contains(&Traffic::Synthetic) {
        return Ok(());
    }
    safe(&settings.declared, &gate.requests)?;
    let arm = idle_arm(agent, service)?;
    let until_ms = clock::now_ms() + gate.duration.0 + BEYOND.0;
    let text = serde_json::to_vec(&Stored { arm, until_ms }).map_err(|e| because(&e))?;
    files::make_dir(&agent.host.worker_service(&service.name), 0o700).map_err(|e| because(&e))?;
    files::replace(&path(&agent.host, &service.name), &text, 0o600).map_err(|e| because(&e))
}

/// Ends the bake's traffic.
pub(super) fn end(agent: &Agent, service: &Service) {
    let _ = files::remove(&path(&agent.host, &service.name));
    lock(&service.health).trickle = None;
}

/// Starts the traffic that should run and does not, and ends what should not: asked every tick.
pub(super) fn tick(agent: &Arc<Agent>, service: &Arc<Service>) {
    let stored = files::read_text(&path(&agent.host, &service.name), 1 << 16)
        .ok()
        .and_then(|text| serde_json::from_str::<Stored>(&text).ok())
        .filter(|stored| stored.until_ms > clock::now_ms());
    let mut health = lock(&service.health);
    match stored {
        None => health.trickle = None,
        Some(_) if health.trickle.is_some() => {}
        Some(stored) => {
            let stop = Arc::new(AtomicBool::new(false));
            health.trickle = Some(Trickle { stop: Arc::clone(&stop) });
            let (agent, service) = (Arc::clone(agent), Arc::clone(service));
            thread::spawn(move || {
                run(&agent, &service, stored, &stop);
                lock(&service.health).trickle = None;
            });
        }
    }
}

/// Sends until it is stopped, and hands over each window when it is full.
fn run(agent: &Agent, service: &Service, stored: Stored, stop: &AtomicBool) {
    let Some(settings) = service.settings() else { return };
    let Some(gate) = &settings.declared.gates.bake else { return };
    let Some(allotted) = service.ports() else { return };
    let plan = plan(&settings, gate, allotted.of(stored.arm));
    let windows = Mutex::new(BTreeMap::<u64, Window>::new());
    let thresholds = settings.thresholds_ms();
    let observe = |seen: &AnswerSeen<'_>| {
        let name = plan.requests.get(seen.kind).map_or("other", |r| r.name.as_str());
        let key = Key { route: Route(name.to_owned()), arm: stored.arm };
        count(&mut lock(&windows), key, &thresholds, seen);
    };
    let hand_over = |before_ms: u64| {
        let mut windows = lock(&windows);
        let later = windows.split_off(&before_ms);
        let mut full: Vec<Window> = std::mem::replace(&mut *windows, later).into_values().collect();
        full.retain(|window| !window.cells.is_empty());
        if !full.is_empty() {
            let now = clock::now_ms();
            // A full disk leaves a gap, which the gate sees as uncovered time.
            let _ = agent.metrics().add(&service.name, Source::Synthetic, &full, &[], now);
        }
    };
    // An error of the plan was refused when the bake began; the gate sees no windows.
    let _ = load::run_observed(
        &plan,
        stop,
        &mut |_| {
            let now = clock::now_ms();
            if now >= stored.until_ms {
                stop.store(true, Ordering::SeqCst);
            }
            hand_over(now - now % WINDOW.0);
        },
        &observe,
    );
    hand_over(u64::MAX);
}

fn count(
    windows: &mut BTreeMap<u64, Window>,
    key: Key,
    thresholds_ms: &[u64],
    seen: &AnswerSeen<'_>,
) {
    let now = clock::now_ms();
    let start_ms = now - now % WINDOW.0;
    let window =
        windows.entry(start_ms).or_insert_with(|| Window { start_ms, ..Window::default() });
    let counts = window.cells.entry(key).or_default();
    counts.requests += 1;
    counts.histogram.record_us(seen.latency_us);
    for threshold in thresholds_ms {
        if seen.latency_us > threshold * 1000 {
            *counts.slow.entry(*threshold).or_default() += 1;
        }
    }
    if seen.is_bad {
        counts.bad += 1;
        let class = match seen.outcome {
            Outcome::Status(status) => StatusClass::of(status),
            _ => StatusClass::FailedOver,
        };
        *counts.bad_by_class.entry(class).or_default() += 1;
    }
}

fn plan(settings: &Settings, gate: &BakeGate, port: u16) -> LoadPlan {
    LoadPlan {
        target: ([127, 0, 0, 1], port).into(),
        host: settings.declared.proxy.domain.as_str().to_owned(),
        requests: requests(settings, &gate.requests),
        rate: gate.rate,
        arrivals: Arrivals::Poisson,
        seed: clock::now_ms(),
        warm_up: Millis::ZERO,
        duration: None,
        drain: Millis::from_secs(5),
        timeout: Millis::from_secs(10),
        connections: 16,
        threads: 1,
        thresholds: Vec::new(),
        slice: WINDOW,
        snapshot_every: Millis::from_secs(1),
        cookies: None,
        nonce: None,
    }
}

fn path(host: &HostRoot, service: &ServiceName) -> PathBuf {
    host.worker_service(service).join("bake.json")
}
