//! What is said on the controller's socket. A rollout is named by its host, its service and its
//! number; everything else of it stands in the host's journal.

use guanka_core::facts::declared::HostAddress;
use guanka_core::name::ServiceName;
use guanka_core::say::Said;
use guanka_world::controller::Entry;
use serde::{Deserialize, Serialize};

use crate::drive::told::{Told, ToldFailure};

/// The version of these messages.
pub(super) const PROTOCOL: u32 = 1;

/// What a controller is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask", content = "with")]
pub(super) enum Ask {
    /// Who are you?
    Hello {
        /// The asker's protocol.
        protocol: u32,
    },
    /// Drive a rollout that stands in its host's journal. What is built and how is named here: the
    /// host must not be able to name another folder later.
    Drive {
        /// The rollout.
        entry: Entry,
    },
    /// Tell how a rollout goes, from its beginning with this controller to its end.
    Follow {
        /// The host.
        host: HostAddress,
        /// The service.
        service: ServiceName,
    },
    /// What do you drive?
    List,
}

/// What a controller says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "tell", content = "with")]
pub(super) enum Tell {
    /// Who it is.
    Hello {
        /// Its protocol.
        protocol: u32,
    },
    /// The rollout is on its list, whatever happens to it now.
    TakenOn,
    /// It does not drive this.
    NotDriven,
    /// It cannot do that.
    Refused {
        /// Why.
        why: Said,
    },
    /// Something of a rollout that is followed.
    Told {
        /// How long after its beginning with this controller.
        at_ms: u64,
        /// What.
        told: Told,
    },
    /// Nothing new, and the controller is there.
    Alive,
    /// The drive has ended: nothing more will be told.
    Ended {
        /// How.
        end: End,
    },
    /// What it drives.
    Driven {
        /// All of it.
        driven: Vec<Driven>,
    },
}

/// How a drive ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "end", content = "with")]
pub(super) enum End {
    /// The rollout has ended or waits for a person; its journal says which.
    Over,
    /// It failed in a way that a person must look at; the rollout stays where it is.
    Failed(Box<ToldFailure>),
    /// The controller ends; the next one goes on.
    Leaving,
}

/// A rollout as the controller sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Driven {
    /// The host.
    pub(crate) host: HostAddress,
    /// The service.
    pub(crate) service: ServiceName,
    /// The rollout's number.
    pub(crate) number: u64,
    /// Why it does not move, where it does not.
    pub(crate) waits: Option<Said>,
}
