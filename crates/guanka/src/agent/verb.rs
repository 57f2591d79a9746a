//! What the worker may ask the helper: typed verbs that name things by id and never by a path, each
//! with the epoch of the driver it is done for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use guanka_core::facts::declared::Declared;
use guanka_core::facts::release::Manifest;
use guanka_core::name::{Arm, Digest, ServiceName};
use guanka_core::quantity::{Millis, SharePercent};
use guanka_core::rollout::desired::{Drift, Note};
use guanka_core::rollout::effect::Hold;
use guanka_core::rollout::event::Fault;
use guanka_core::say::Said;
use guanka_world::adoption::{Phase, Wanted};
use guanka_world::logs::{From, Unfinished};
use guanka_world::managers::ArmStatus;
use guanka_world::ports::ArmPorts;
use guanka_world::proxy::drift;
use guanka_world::proxy::{Consent, Listen, Way};
use guanka_world::transport::wire::Answer;
use serde::{Deserialize, Serialize};

use super::service::Settings;

/// A question to the helper.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verb", content = "with")]
pub(super) enum Verb {
    /// The settings of every service.
    Services,
    /// What the helper did by itself; what was fetched before is forgotten by its number.
    Notes { fetched: BTreeMap<ServiceName, u64> },
    /// Nothing but the epoch: an older driver is refused from now on.
    Raise { service: ServiceName, epoch: u64 },
    /// Stores a service's settings.
    Configure { epoch: u64, settings: Box<Settings> },
    /// What would installing change? `Answer::Plan`.
    Plan { declared: Box<Declared> },
    /// Ports, share folders, nginx's pieces, the one reload.
    Install { service: ServiceName, epoch: u64 },
    /// Takes a service off the host.
    Remove { service: ServiceName, epoch: u64 },
    /// Puts a release in place; its files follow in the manifest's order.
    Stage { service: ServiceName, epoch: u64, manifest: Box<Manifest> },
    /// Reads a release and compares it with its manifest.
    Verify { service: ServiceName, release: Digest },
    /// Starts a release in an arm, unless it runs there; does not wait until it is ready.
    StartArm { service: ServiceName, epoch: u64, arm: Arm, release: Digest },
    /// Stops an arm.
    StopArm { service: ServiceName, epoch: u64, arm: Arm },
    /// Sets the share, with the lease it is held by.
    SetShare { service: ServiceName, epoch: u64, order: ShareOrder },
    /// A share that was set is in force, as requests through nginx have shown.
    Proven { service: ServiceName, epoch: u64, order: ShareOrder },
    /// Puts back the share that stood before an order that could not be proven.
    PutBack { service: ServiceName, epoch: u64, order: ShareOrder, before: SharePercent },
    /// Renews the canary's lease.
    Renew { service: ServiceName, epoch: u64, ttl: Millis },
    /// Makes an arm that has every request the stable one.
    Keep { service: ServiceName, epoch: u64, arm: Arm },
    /// Moves requests away from an arm that does not answer, or back.
    Move { service: ServiceName, to: Away },
    /// Ends an arm's program that gives no sign of life; its manager starts it anew.
    Revive { service: ServiceName, hung: Hung },
    /// What runs, and what adopting it would change? `Answer::Adoption`.
    PlanAdoption {
        service: ServiceName,
        wanted: Wanted,
        declared: Option<Box<Declared>>,
        consent: Consent,
    },
    /// Takes a running program in as the arm blue, behind nginx.
    Adopt { service: ServiceName, epoch: u64, wanted: Wanted, consent: Consent },
    /// The adopted program answers through nginx: it is the stable arm.
    Adopted { service: ServiceName, epoch: u64 },
    /// Takes back an adoption that did not come about.
    Unadopt { service: ServiceName, epoch: u64 },
    /// What leaving brings back? `Answer::Leaving`.
    PlanLeaving { service: ServiceName },
    /// How far an adoption is.
    Adoption { service: ServiceName },
    /// Starts the adopted program again under whoever kept it.
    BringBack { service: ServiceName, epoch: u64 },
    /// Gives the site back to its own configuration.
    HandBack { service: ServiceName, epoch: u64 },
    /// How the service stands.
    View { service: ServiceName },
    /// Which program serves each arm, and which one should.
    Programs { service: ServiceName },
    /// Every location of nginx's that leads to the service's arms.
    Ways { service: ServiceName },
    /// What is known of the host: `Answer::HostFacts`.
    HostFacts,
    /// A page of an arm's output: `Answer::LogPage`.
    Output { service: ServiceName, arm: Arm, from: From, unfinished: Unfinished },
}

/// A share that a driver orders.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct ShareOrder {
    pub(super) seq: u64,
    pub(super) candidate: Arm,
    pub(super) share: SharePercent,
    pub(super) hold: Hold,
}

/// A program that gives no sign of life.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Hung {
    pub(super) arm: Arm,
    /// Its number and its start: no other process is meant.
    pub(super) process: (u32, u64),
    /// Questions in a row without an answer.
    pub(super) silent: u32,
}

/// What becomes of the requests of an arm that does not answer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Away {
    /// They go to the other one.
    From(Arm),
    /// They come back.
    Back(Arm),
    /// A driver has set another share meanwhile.
    Forget,
}

/// What the helper says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reply", content = "with")]
pub(super) enum Reply {
    /// Done.
    Done,
    /// The share is set; this is green's before.
    Set { before: SharePercent },
    /// An answer for whoever asked the agent: plans, facts, and every refusal.
    Answer(Box<Answer>),
    /// A fault that the rollout counts.
    Fault(Fault),
    /// The services, in name order.
    Services(Vec<Settings>),
    /// What was done since.
    Notes(Vec<(ServiceName, Note)>),
    /// How a service stands.
    View(Box<View>),
    /// How far an adoption is; none where nothing was adopted.
    Adoption(Option<AdoptionSeen>),
    /// The ways through nginx.
    Ways(Vec<Way>),
    /// Who serves.
    Programs(BTreeMap<Arm, Program>),
}

/// A service as the helper sees it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct View {
    /// The arms' ports, once they are allotted.
    pub(super) ports: Option<ArmPorts>,
    /// The access log, once the service is installed.
    pub(super) access_log: Option<PathBuf>,
    /// Where the site can be asked.
    pub(super) listens: Vec<Listen>,
    /// The arms.
    pub(super) arms: BTreeMap<Arm, ArmSeen>,
    /// The highest epoch seen.
    pub(super) epoch: u64,
    /// In what the host differs from what was ordered.
    pub(super) drift: Vec<Drift>,
    /// What its logs lack.
    pub(super) troubles: Vec<Said>,
    /// What is not as it should be between nginx and the service.
    pub(super) pieces: Option<drift::Drift>,
    /// Pieces of nginx that were put back last.
    pub(super) put_back: Option<drift::PutBack>,
}

/// An adoption as the helper sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct AdoptionSeen {
    pub(super) phase: Phase,
    /// The adopted process runs.
    pub(super) runs: bool,
    /// Its port.
    pub(super) port: u16,
}

/// An arm as the helper sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ArmSeen {
    /// The release it points to.
    pub(super) release: Option<Digest>,
    /// What it does; none where the process manager cannot be asked.
    pub(super) status: Option<ArmStatus>,
    /// The helper keeps its port for it: nothing runs there.
    pub(super) is_held: bool,
    /// The listener on its port is the arm's own program.
    pub(super) owns_port: bool,
}

/// The program of an arm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Program {
    /// The arm's release.
    pub(super) release: Digest,
    /// The SHA-256 that the release says.
    pub(super) expected: Digest,
    /// The process on the arm's port and the SHA-256 of what it runs.
    pub(super) serves: Option<(u32, Digest)>,
}
