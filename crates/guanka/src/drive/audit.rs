//! The audit log as a driver writes it: one entry for each thing that a journal record lets people
//! see, and those that a killed driver had journaled and not told.

use std::collections::BTreeSet;

use guanka_core::rollout::audit::Audit;
use guanka_core::rollout::event::Event;
use guanka_core::rollout::state::Rollout;
use guanka_core::rollout::step::step;
use guanka_world::transport::wire::Request;
use serde_json::json;

use super::driver::Driver;
use crate::failure::Failure;

impl Driver {
    /// Writes one entry of the audit log.
    pub(super) fn tell(
        &mut self,
        number: u64,
        rollout: &Rollout,
        audit: &Audit,
    ) -> Result<(), Failure> {
        let record = json!({
            "rollout": number,
            "release": rollout.release().release,
            "epoch": self.epoch,
            "audit": audit,
        });
        let (service, record) = (self.ledger.service.clone(), record.to_string());
        self.link.ask(&Request::Audit { service, epoch: self.epoch, record })?;
        Ok(())
    }

    /// Writes the entries of the audit log that a killed driver had journaled and not told: each
    /// journal record has its entries, however often drivers were killed in between.
    pub(crate) fn tell_missing(&mut self) -> Result<(), Failure> {
        let Some(chapter) = self.ledger.newest().cloned() else { return Ok(()) };
        let entries = self.link.audit_log()?;
        let service = self.ledger.service.to_string();
        let told: BTreeSet<String> = entries
            .iter()
            .filter(|entry| entry.service == service)
            .filter_map(|entry| serde_json::from_str::<serde_json::Value>(&entry.record).ok())
            .filter_map(|record| record.get("audit").map(ToString::to_string))
            .collect();
        let Some(first) = chapter.records.first() else { return Ok(()) };
        let Event::Submitted { spec, .. } = &first.event else { return Ok(()) };
        let mut rollout = Rollout::draft((**spec).clone(), first.epoch, first.seq - 1);
        for record in &chapter.records {
            let led = step(&rollout, record.at, &record.event);
            rollout = led.rollout;
            for audit in &led.audit {
                if !told.contains(&json!(audit).to_string()) {
                    self.tell(chapter.number, &rollout, audit)?;
                }
            }
        }
        Ok(())
    }
}
