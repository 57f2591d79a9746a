//! The journal's records and the state they fold to. The chain of hashes over them is the store's.

use serde::{Deserialize, Serialize};

use super::clock::Reading;
use super::event::Event;
use super::state::Rollout;
use super::step::step;

/// The version of a record's form.
pub const SCHEMA: u32 = 1;

/// One event, as it is written before anything is done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// `SCHEMA`.
    pub schema: u32,
    /// The service's number, without a gap.
    pub seq: u64,
    /// The epoch of the driver that wrote it.
    pub epoch: u64,
    /// The steady time at which it happened; every deadline is counted on it.
    pub at: u64,
    /// What the clocks said then.
    pub clock: Reading,
    /// What happened.
    pub event: Event,
}

/// Why records do not fold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// There is no record.
    #[error("the journal is empty")]
    Empty,
    /// The first record does not say what was asked for.
    #[error("the journal's first record is not a submission")]
    NoSubmission,
    /// A record has a form that this version does not know.
    #[error("record {seq} has schema {schema}, and this guanka reads only {SCHEMA}")]
    Schema {
        /// Its number.
        seq: u64,
        /// Its schema.
        schema: u32,
    },
    /// A number is missing or stands twice.
    #[error("record {found} follows where {expected} is due")]
    Gap {
        /// The number due.
        expected: u64,
        /// The number found.
        found: u64,
    },
}

/// Folds one rollout's records, from its submission on, to the rollout they describe.
pub fn fold(records: &[Record]) -> Result<Rollout, FoldError> {
    let first = records.first().ok_or(FoldError::Empty)?;
    let Event::Submitted { spec, .. } = &first.event else {
        return Err(FoldError::NoSubmission);
    };
    let mut rollout = Rollout::draft((**spec).clone(), first.epoch, first.seq.saturating_sub(1));
    for record in records {
        if record.schema != SCHEMA {
            return Err(FoldError::Schema { seq: record.seq, schema: record.schema });
        }
        if record.seq != rollout.seq + 1 {
            return Err(FoldError::Gap { expected: rollout.seq + 1, found: record.seq });
        }
        rollout = step(&rollout, record.at, &record.event).rollout;
    }
    Ok(rollout)
}
