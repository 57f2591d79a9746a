//! What the audit log is told: every move of a rollout, and everything a person did, with who and
//! on which evidence.

use serde::{Deserialize, Serialize};

use crate::name::Digest;
use crate::say::Said;

/// Who caused something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// guanka by its rules.
    Guanka,
    /// A person, by the name they authenticated with.
    Person(String),
}

/// What kind of entry it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// The rollout moved to another state.
    Moved,
    /// A person asked for something.
    Asked,
    /// A person asked for something that cannot be.
    Refused,
    /// A host did something by itself or was found to be silent.
    Host,
    /// Another driver took over.
    TakenOver,
}

/// One entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// The event it belongs to.
    pub seq: u64,
    /// The steady time.
    pub at: u64,
    /// Who.
    pub actor: Actor,
    /// What kind.
    pub topic: Topic,
    /// The evidence it rests on.
    pub evidence: Option<Digest>,
    /// What, for people.
    pub said: Said,
}
