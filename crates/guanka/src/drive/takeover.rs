//! Taking over a rollout where its journal says it stands: the lease, the journal read again under
//! it, `TakenOver`. It is the same for a person's `resume` and for a controller that was restarted.

use std::sync::Arc;

use guanka_core::name::ServiceName;
use guanka_core::rollout::effect::outstanding;
use guanka_core::rollout::event::Event;
use guanka_core::rollout::spec::Origin;
use guanka_core::rollout::state::{Rollout, State};
use guanka_world::transport::wire::{Request, Taking};

use super::central::Central;
use super::driver::{Driver, Waiting};
use super::ledger::{Chapter, Ledger};
use super::link::{Link, lease};
use super::seat::Seat;
use super::told::Ear;
use crate::failure::Failure;

/// How a rollout is taken over.
pub(crate) struct Manner {
    /// Whether a living driver is waited for.
    pub(crate) taking: Taking,
    /// Where the new one sits.
    pub(crate) seat: Seat,
    /// How long it stays.
    pub(crate) waiting: Waiting,
    /// Who is told.
    pub(crate) ear: Arc<dyn Ear>,
}

/// Takes over the newest rollout of a service, with what an earlier drive of it by this process had
/// in hand; nothing when no rollout is unfinished.
pub(crate) fn take_over(
    mut link: Link,
    service: &ServiceName,
    manner: Manner,
    in_hand: &mut Option<Central>,
) -> Result<Option<Driver>, Failure> {
    let epoch = lease(&mut link, service, manner.taking, manner.seat)?;
    match taken(&mut link, service) {
        Ok(Some((ledger, chapter, rollout))) => {
            let central = in_hand.take().unwrap_or_else(|| central(&chapter, &rollout));
            let parts = (central, manner.waiting);
            let mut driver = Driver::new(manner.ear, (link, ledger), epoch, rollout, parts);
            let actor = guanka_world::process::who();
            let taken = driver.tell_missing();
            match taken.and_then(|()| driver.happen(Event::TakenOver { epoch, actor })) {
                Ok(()) => Ok(Some(driver)),
                Err(failed) => {
                    *in_hand = Some(driver.central);
                    Err(failed)
                }
            }
        }
        other => {
            // Nothing was taken over: the next one need not wait for this lease to end by itself.
            let _ = link.ask(&Request::GiveLease { service: service.clone(), epoch });
            other.map(|_| None)
        }
    }
}

/// Reads the journal again under the lease: another driver may have gone on meanwhile.
fn taken(
    link: &mut Link,
    service: &ServiceName,
) -> Result<Option<(Ledger, Chapter, Rollout)>, Failure> {
    let ledger = Ledger::read(link, service)?;
    let Some(chapter) = ledger.newest().cloned() else { return Ok(None) };
    let rollout = chapter.rollout(service)?;
    Ok((!has_ended(&rollout)).then_some((ledger, chapter, rollout)))
}

/// Begins with what the journal keeps of the rollout's settings.
fn central(chapter: &Chapter, rollout: &Rollout) -> Central {
    let (declared, project) = (chapter.declared.clone(), chapter.project.clone().into());
    match rollout.spec.origin {
        Origin::Artifact => Central::of_kept(declared, project, rollout.spec.release.clone()),
        Origin::Source => Central::new(declared, project),
    }
}

/// Returns whether a rollout has nothing left for any driver to do.
pub(crate) fn has_ended(rollout: &Rollout) -> bool {
    rollout.state.is_final() && outstanding(rollout).is_empty()
}

/// Returns whether a rollout waits for a person, and nothing is lost while nobody drives it.
pub(crate) fn waits_for_person(rollout: &Rollout) -> bool {
    matches!(rollout.state, State::Held { .. } | State::RollbackFailed { .. })
        && outstanding(rollout).is_empty()
        && !rollout.is_watching()
}
