//! The machine under test: core's step, unless a bug is planted in it.

use guanka_core::quantity::SharePercent;
use guanka_core::rollout::event::Event;
use guanka_core::rollout::host::{ArmStatus, Exposure, HOST_TRIES};
use guanka_core::rollout::journal::Record;
use guanka_core::rollout::state::{Rollout, State};
use guanka_core::rollout::step::{Step, step};

use crate::plant::Plant;

/// Makes one step.
pub fn advance(plant: Option<Plant>, rollout: &Rollout, now: u64, event: &Event) -> Step {
    match plant {
        Some(Plant::RetryBudgetOne) => {
            let mut impatient = rollout.clone();
            for host in impatient.hosts.values_mut() {
                host.tries = HOST_TRIES - 1;
            }
            step(&impatient, now, event)
        }
        Some(Plant::RollbackForgetsHost) => forget_last(rollout, step(rollout, now, event)),
        _ => step(rollout, now, event),
    }
}

/// Folds a journal as the machine under test would.
pub fn refold(plant: Option<Plant>, records: &[Record]) -> Option<Rollout> {
    let first = records.first()?;
    let Event::Submitted { spec, .. } = &first.event else { return None };
    let draft = Rollout::draft((**spec).clone(), first.epoch, first.seq.saturating_sub(1));
    Some(
        records.iter().fold(draft, |rollout, record| {
            advance(plant, &rollout, record.at, &record.event).rollout
        }),
    )
}

fn forget_last(before: &Rollout, mut step: Step) -> Step {
    let begins = matches!(step.rollout.state, State::RollingBack { .. })
        && !matches!(before.state, State::RollingBack { .. });
    if begins && let Some(mut last) = step.rollout.hosts.last_entry() {
        let host = last.get_mut();
        host.exposure = Exposure::None;
        host.arm = ArmStatus::Stopped;
        host.commanded = SharePercent::NONE;
        host.confirmed = Some(SharePercent::NONE);
        let name = last.key().clone();
        step.effects.retain(|effect| effect.key.host.as_ref() != Some(&name));
    }
    step
}
