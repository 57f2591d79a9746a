//! The messages. Typed, versioned, bounded; they name things by id, never by a path from outside. A
//! request that is repeated gets the same answer.

use std::collections::BTreeMap;

use guanka_core::facts::Facts;
use guanka_core::facts::declared::Declared;
use guanka_core::facts::release::Manifest;
use guanka_core::gates::guard::Fault;
use guanka_core::name::{Arm, Digest, ServiceName};
use guanka_core::rollout::effect::Effect;
use guanka_core::rollout::event::Event;
use guanka_core::say::Said;
use guanka_core::signals::window::Window;
use serde::{Deserialize, Serialize};

use crate::adoption::Wanted;
use crate::adoption::view::FoundView;
use crate::load::LoadRun;
use crate::logs;
use crate::proxy::Consent;
use crate::store::audit::Entry;
use crate::store::journal::Row;
use crate::store::metrics::Source;

pub use super::view::{ArmView, CanaryView, HostView, LeaseView};

/// The version of the protocol. An agent and a command line of different versions say so.
pub const PROTOCOL: u32 = 3;

/// What an agent is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask", content = "with")]
pub enum Request {
    /// Who are you?
    Hello {
        /// The asker's protocol.
        protocol: u32,
    },
    /// Takes a service's lease, with the next epoch.
    TakeLease {
        /// The service.
        service: ServiceName,
        /// Who takes it: person, host, process.
        holder: String,
        /// Whether it waits for a living holder.
        taking: Taking,
    },
    /// Keeps a lease for another 30 s.
    RenewLease {
        /// The service.
        service: ServiceName,
        /// The epoch it was taken with.
        epoch: u64,
    },
    /// Gives a lease back.
    GiveLease {
        /// The service.
        service: ServiceName,
        /// The epoch it was taken with.
        epoch: u64,
    },
    /// Appends a record to a service's journal; needs the lease.
    Append {
        /// The service.
        service: ServiceName,
        /// The epoch of the lease.
        epoch: u64,
        /// The record's number in the journal.
        number: u64,
        /// The record's JSON.
        record: String,
    },
    /// Reads a service's journal.
    ReadJournal {
        /// The service.
        service: ServiceName,
        /// From this number on.
        from: u64,
    },
    /// Tells the settings of a service: its declaration and its routes. Needs the lease.
    Configure {
        /// The epoch of the lease.
        epoch: u64,
        /// The declaration.
        declared: Box<Declared>,
        /// The routes of the source, as `METHOD /pattern`.
        routes: Vec<String>,
    },
    /// What would installing the service change?
    PlanInstall {
        /// The declaration.
        declared: Box<Declared>,
    },
    /// Installs the service: ports, share folders, nginx files, the one reload. Needs the lease.
    Install {
        /// The service.
        service: ServiceName,
        /// The epoch of the lease.
        epoch: u64,
    },
    /// Takes the service off the host: nginx files, arms, state. Needs the lease.
    Remove {
        /// The service.
        service: ServiceName,
        /// The epoch of the lease.
        epoch: u64,
    },
    /// What runs behind a site or on a port, and what adopting it would change?
    PlanAdoption {
        /// The service.
        service: ServiceName,
        /// What is looked for.
        wanted: Wanted,
        /// The declaration, where there is one yet.
        declared: Option<Box<Declared>>,
        /// Whether a rule of the panel's may give way.
        consent: Consent,
    },
    /// Adopts the program that runs behind the service's site. Needs the lease and the settings.
    Adopt {
        /// The service.
        service: ServiceName,
        /// The epoch of the lease.
        epoch: u64,
        /// What is looked for.
        wanted: Wanted,
        /// Whether a rule of the panel's may give way.
        consent: Consent,
    },
    /// What would leaving bring back?
    PlanLeaving {
        /// The service.
        service: ServiceName,
    },
    /// Gives the site's requests back to the program that was adopted. Needs the lease; answers
    /// `Working` until it is done. What is left of the service goes with `Remove`.
    Leave {
        /// The service.
        service: ServiceName,
        /// The epoch of the lease.
        epoch: u64,
    },
    /// Puts a release in place; one frame of bytes for each file follows, in the manifest's order.
    Stage {
        /// The service.
        service: ServiceName,
        /// The epoch of the lease.
        epoch: u64,
        /// What is coming.
        manifest: Box<Manifest>,
    },
    /// Performs an effect. Long ones answer `Working` until they are done: ask again.
    Perform {
        /// The service.
        service: ServiceName,
        /// The effect, with its key and epoch.
        effect: Box<Effect>,
        /// The release it is about.
        release: Digest,
    },
    /// What is known of the host: nginx, process managers, listeners, the panel.
    HostFacts,
    /// How is the service?
    Observe {
        /// The service.
        service: ServiceName,
    },
    /// The windows that begin in a time.
    Windows {
        /// The service.
        service: ServiceName,
        /// Whose requests.
        source: Source,
        /// From here, milliseconds since 1970.
        from_ms: u64,
        /// Up to here, not included.
        to_ms: u64,
    },
    /// A page of an arm's output.
    Logs {
        /// The service.
        service: ServiceName,
        /// The arm.
        arm: Arm,
        /// From where.
        from: logs::From,
        /// What to do with a last line that has no end yet.
        unfinished: logs::Unfinished,
    },
    /// The services of this host.
    Services,
    /// Appends to the audit log.
    Audit {
        /// The service.
        service: ServiceName,
        /// The epoch of the lease.
        epoch: u64,
        /// The record's JSON.
        record: String,
    },
    /// Reads the audit log.
    ReadAudit {
        /// From this number on.
        from: u64,
    },
    /// Checks the chains of the audit log and of every journal.
    Verify,
    /// Stores a report under its rollout's number.
    StoreReport {
        /// The service.
        service: ServiceName,
        /// The rollout's number.
        number: u64,
        /// The report's JSON.
        report: String,
    },
    /// Reads a stored report; the newest without a number.
    ReadReport {
        /// The service.
        service: ServiceName,
        /// The rollout's number.
        number: Option<u64>,
    },
}

/// How a lease is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Taking {
    /// Only when nobody holds it.
    Free,
    /// From whoever holds it: a person who stops a release need not wait for its driver, whose
    /// epoch is refused from then on.
    Over,
}

/// What an agent answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer", content = "with")]
pub enum Answer {
    /// Who it is.
    Hello {
        /// Its protocol.
        protocol: u32,
        /// Its version.
        version: String,
        /// Its root folder.
        root: String,
        /// What its machine runs, as Go calls it: `amd64`.
        arch: String,
        /// The clocks of its machine.
        clock: guanka_core::rollout::clock::Reading,
    },
    /// Done; nothing to tell.
    Done,
    /// The lease, with its epoch.
    Leased {
        /// The epoch.
        epoch: u64,
    },
    /// Somebody else holds the lease.
    Held {
        /// Who.
        holder: String,
        /// Since when, milliseconds since 1970.
        since_ms: u64,
        /// When it ends by itself at the latest, in milliseconds from now.
        ends_in_ms: u64,
    },
    /// The record as it stands in the journal.
    Appended {
        /// The row.
        row: Row,
    },
    /// The journal's records.
    Journal {
        /// The rows, as many as fit a page.
        rows: Vec<Row>,
        /// From where to ask on; nothing where these were the last.
        next: Option<u64>,
    },
    /// What installing changes.
    Plan {
        /// The changes; none means that all is in place.
        changes: Vec<HostChange>,
    },
    /// What runs, and what adopting it would change.
    Adoption {
        /// The program.
        found: Box<FoundView>,
        /// The changes; none where nothing is declared yet.
        changes: Vec<HostChange>,
    },
    /// What leaving brings back, line by line.
    Leaving {
        /// The lines.
        lines: Vec<Said>,
    },
    /// The release is in place.
    Staged {
        /// It was there already.
        was_there: bool,
        /// It was there and damaged, and has been put right.
        healed: bool,
    },
    /// An effect is at work.
    Working {
        /// How far it is, for people.
        progress: Said,
    },
    /// An effect is done.
    Performed {
        /// What happened.
        event: Box<Event>,
    },
    /// A load run is done; the asker judges it.
    Loaded {
        /// What was counted.
        run: Box<LoadRun>,
        /// What it did to users, where it was stopped for that.
        stopped_for: Option<Fault>,
    },
    /// The host's facts.
    HostFacts {
        /// Of a host: nothing of any source.
        facts: Box<Facts>,
    },
    /// The service on this host.
    Observed {
        /// What was seen.
        view: Box<HostView>,
    },
    /// Windows.
    Windows {
        /// In order of time.
        windows: Vec<Window>,
        /// Up to where the log has been read, milliseconds since 1970.
        read_to_ms: u64,
    },
    /// A page of output.
    LogPage {
        /// The page.
        page: logs::Page,
    },
    /// The services of this host.
    Services {
        /// In name order.
        services: Vec<ServiceName>,
    },
    /// Entries of the audit log.
    AuditLog {
        /// In order, as many as fit a page.
        entries: Vec<Entry>,
        /// From where to ask on; nothing where these were the last.
        next: Option<u64>,
    },
    /// The chains are whole.
    Verified {
        /// Entries of the audit log.
        audit: u64,
        /// The last entry's hash.
        head: String,
        /// Records of each journal.
        journals: BTreeMap<String, u64>,
    },
    /// A stored report.
    Report {
        /// The rollout's number.
        number: u64,
        /// The report's JSON.
        report: String,
    },
    /// It could not be done.
    Failed {
        /// What kind of failure.
        kind: FailedKind,
        /// Why.
        why: Said,
        /// What to do next.
        next: Said,
    },
}

/// What kind of failure an agent answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailedKind {
    /// The host could not do it; nothing has changed.
    CouldNot,
    /// The asker's epoch or lease is not the present one.
    Fenced,
    /// What was asked does not exist.
    NotThere,
    /// What was asked makes no sense to this agent.
    Refused,
    /// A chain is broken.
    Broken,
    /// A port of the service's is another process's.
    PortTaken,
    /// A release on the host is not what its manifest says.
    Damaged,
}

/// A change that a plan would make on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostChange {
    /// The file or thing.
    pub what: String,
    /// `+` new, `~` changed, `=` as it is, `-` removed.
    pub sign: char,
    /// The text before, where it is a text.
    pub before: Option<String>,
    /// The text after, where it is a text.
    pub after: Option<String>,
    /// In a sentence.
    pub says: Said,
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
