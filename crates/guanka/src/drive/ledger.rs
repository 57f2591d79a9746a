//! The journal as a driver sees it: the records of the newest rollout of a service, folded, and the
//! next record appended before anything is done about it.

use guanka_core::facts::declared::Declared;
use guanka_core::name::{Digest, ServiceName};
use guanka_core::rollout::clock::{Reading, begin, steady};
use guanka_core::rollout::event::Event;
use guanka_core::rollout::journal::{Record, SCHEMA, fold};
use guanka_core::rollout::state::{Rollout, State};
use guanka_core::rollout::step::{Step, step};
use guanka_core::say::Said;
use guanka_world::transport::wire::Request;
use serde::{Deserialize, Serialize};

use super::link::Link;
use crate::failure::Failure;
use crate::failure::codes::JOURNAL;

/// A row of the journal: what began a rollout, and what happened to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "row", content = "with")]
pub(crate) enum Row {
    /// A rollout begins; its settings are kept with it, so that a resume needs no source tree.
    Begun {
        /// Its number within the service, from 1.
        number: u64,
        /// The declaration.
        declared: Box<Declared>,
        /// The project's folder.
        project: String,
        /// When the commit was made or the command given, milliseconds since 1970.
        since_ms: u64,
    },
    /// Something happened to it.
    Happened {
        /// The record.
        record: Box<Record>,
    },
}

/// One rollout in the journal.
#[derive(Clone, Debug)]
pub(crate) struct Chapter {
    pub(crate) number: u64,
    pub(crate) declared: Declared,
    pub(crate) project: String,
    pub(crate) since_ms: u64,
    pub(crate) records: Vec<Record>,
}

/// The journal of one service.
pub(crate) struct Ledger {
    pub(crate) service: ServiceName,
    /// The number of the next row.
    next: u64,
    pub(crate) chapters: Vec<Chapter>,
}

impl Ledger {
    /// Reads a service's journal.
    pub(crate) fn read(link: &mut Link, service: &ServiceName) -> Result<Self, Failure> {
        let rows = link.journal(service)?;
        let mut ledger = Self { service: service.clone(), next: 1, chapters: Vec::new() };
        for row in rows {
            ledger.next = row.number + 1;
            let parsed: Row = serde_json::from_str(&row.record)
                .map_err(|error| unreadable(service, row.number, &error.to_string()))?;
            ledger.take(parsed);
        }
        Ok(ledger)
    }

    fn take(&mut self, row: Row) {
        match row {
            Row::Begun { number, declared, project, since_ms } => self.chapters.push(Chapter {
                number,
                declared: *declared,
                project,
                since_ms,
                records: Vec::new(),
            }),
            Row::Happened { record } => {
                if let Some(chapter) = self.chapters.last_mut() {
                    chapter.records.push(*record);
                }
            }
        }
    }

    /// Returns the newest rollout that has begun and said what it is.
    pub(crate) fn newest(&self) -> Option<&Chapter> {
        self.chapters.iter().rev().find(|chapter| !chapter.records.is_empty())
    }

    /// Returns the release that serves now with its arm, as the newest rollouts left it.
    pub(crate) fn marked_bad(&self, release: &Digest) -> bool {
        self.chapters.iter().any(|chapter| {
            let Ok(rollout) = fold(&chapter.records) else { return false };
            let is_bad =
                matches!(&rollout.state, State::RolledBack { cause } if cause.is_the_releases());
            is_bad && rollout.release().release == *release
        })
    }

    /// Returns the number of the last record: it goes on over rollouts, so that no two effects of a
    /// service ever share a key.
    pub(crate) fn last_seq(&self) -> u64 {
        let records = self.chapters.iter().flat_map(|chapter| &chapter.records);
        records.last().map_or(0, |record| record.seq)
    }

    /// Begins a chapter.
    pub(crate) fn begin(
        &mut self,
        link: &mut Link,
        epoch: u64,
        declared: &Declared,
        (project, since_ms): (&str, u64),
    ) -> Result<u64, Failure> {
        let number = self.chapters.last().map_or(1, |chapter| chapter.number + 1);
        let row = Row::Begun {
            number,
            declared: Box::new(declared.clone()),
            project: project.to_owned(),
            since_ms,
        };
        self.append(link, epoch, row)?;
        Ok(number)
    }

    /// Writes an event to the journal, synced, and returns what it leads to.
    pub(crate) fn happen(
        &mut self,
        link: &mut Link,
        epoch: u64,
        rollout: &Rollout,
        event: Event,
    ) -> Result<Step, Failure> {
        let clock = link.reading()?;
        let at = self.steady(&clock);
        let record = Record { schema: SCHEMA, seq: rollout.seq + 1, epoch, at, clock, event };
        let led = step(rollout, at, &record.event);
        self.append(link, epoch, Row::Happened { record: Box::new(record) })?;
        Ok(led)
    }

    /// Returns the steady time of the newest rollout for a reading of the clocks.
    pub(crate) fn steady(&self, clock: &Reading) -> u64 {
        let last = self.chapters.last().and_then(|chapter| chapter.records.last());
        last.map_or_else(|| begin(clock), |last| steady(last.at, &last.clock, clock))
    }

    fn append(&mut self, link: &mut Link, epoch: u64, row: Row) -> Result<(), Failure> {
        let record = serde_json::to_string(&row)
            .map_err(|error| unreadable(&self.service, self.next, &error.to_string()))?;
        let service = self.service.clone();
        link.ask(&Request::Append { service, epoch, number: self.next, record })?;
        self.next += 1;
        self.take(row);
        Ok(())
    }
}

impl Chapter {
    /// Returns the digest of the declaration: what is built, how, and for whom.
    pub(crate) fn declaration(&self) -> Digest {
        let text = serde_json::to_string(&self.declared).unwrap_or_default();
        guanka_world::hash::of_bytes(text.as_bytes())
    }

    /// Returns the rollout that the records fold to.
    pub(crate) fn rollout(&self, service: &ServiceName) -> Result<Rollout, Failure> {
        fold(&self.records).map_err(|error| unreadable(service, 0, &error.to_string()))
    }
}

fn unreadable(service: &ServiceName, number: u64, why: &str) -> Failure {
    Failure::new(
        &JOURNAL,
        Said::new(
            format!("正在读取 {service} 的日志,第 {number} 条"),
            format!("reading the journal of {service}, record {number}"),
        ),
        Said::new(why, why),
    )
}
