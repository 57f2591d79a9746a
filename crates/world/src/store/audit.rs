//! The audit log: who did what, when, on which evidence. One hash chain over all services.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use super::chain::{Link, genesis};
use super::{Durability, Page, StoreError, open};

const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS audit (
        number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, service TEXT NOT NULL,
        record TEXT NOT NULL, hash TEXT NOT NULL);
    CREATE TRIGGER IF NOT EXISTS audit_keeps BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
    CREATE TRIGGER IF NOT EXISTS audit_stays BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
";

/// The audit log's store.
pub struct AuditLog {
    connection: Connection,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// Its number, from 1.
    pub number: u64,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// The service it is about.
    pub service: String,
    /// The record's JSON.
    pub record: String,
    /// Its hash in the chain.
    pub hash: String,
}

impl AuditLog {
    /// Opens the store.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: open(path, Durability::Full, VERSION, TABLES)? })
    }

    /// Appends an entry. A record that is the last one of its service already is not written twice.
    pub fn append(&mut self, service: &str, at_ms: u64, record: &str) -> Result<Entry, StoreError> {
        let transaction = self.connection.transaction()?;
        let same: Option<Entry> = transaction
            .query_row(
                "SELECT number, at_ms, service, record, hash FROM audit
                 WHERE service = ? ORDER BY number DESC LIMIT 1",
                params![service],
                entry_of,
            )
            .optional()?
            .filter(|entry: &Entry| entry.record == record);
        if let Some(entry) = same {
            return Ok(entry);
        }
        let last: Option<(i64, String)> = transaction
            .query_row("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let number = last.as_ref().map_or(1, |(number, _)| *number as u64 + 1);
        let previous = last.map_or_else(genesis, |(_, hash)| hash);
        let hash = Link { previous: &previous, number, at_ms, subject: service, record }.hash();
        transaction.execute(
            "INSERT INTO audit (number, at_ms, service, record, hash) VALUES (?, ?, ?, ?, ?)",
            params![number as i64, at_ms as i64, service, record, hash.as_str()],
        )?;
        transaction.commit()?;
        Ok(Entry {
            number,
            at_ms,
            service: service.to_owned(),
            record: record.to_owned(),
            hash: hash.as_str().to_owned(),
        })
    }

    /// Returns the next entries from a number on, as many as fit a page.
    pub fn page(&self, from: u64) -> Result<Page<Entry>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT number, at_ms, service, record, hash FROM audit WHERE number >= ? ORDER BY 1",
        )?;
        let entries = statement.query_map(params![from as i64], entry_of)?;
        super::page(entries, |entry| (entry.number, entry.record.len()))
    }

    /// Checks the chain and returns how many entries it has and the last hash.
    pub fn verify(&self) -> Result<(u64, String), StoreError> {
        let mut previous = genesis();
        let mut count = 0;
        let mut statement = self
            .connection
            .prepare_cached("SELECT number, at_ms, service, record, hash FROM audit ORDER BY 1")?;
        for entry in statement.query_map([], entry_of)? {
            let entry = entry?;
            count += 1;
            let link = Link {
                previous: &previous,
                number: entry.number,
                at_ms: entry.at_ms,
                subject: &entry.service,
                record: &entry.record,
            };
            if entry.number != count || link.hash().as_str() != entry.hash {
                return Err(StoreError::Broken { number: count });
            }
            previous = entry.hash;
        }
        Ok((count, previous))
    }
}

fn entry_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        number: row.get::<_, i64>(0)? as u64,
        at_ms: row.get::<_, i64>(1)? as u64,
        service: row.get(2)?,
        record: row.get(3)?,
        hash: row.get(4)?,
    })
}

#[cfg(test)]
mod tests {
    use super::{AuditLog, StoreError};

    #[test]
    fn a_missing_entry_is_found() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("audit.db");
        let mut audit = AuditLog::open(&path).expect("opens");
        for number in 1..=4u64 {
            audit.append("shop.demo", number, &format!("{{\"n\":{number}}}")).expect("appended");
        }
        audit.append("shop.demo", 9, "{\"n\":4}").expect("the last one again is one entry");
        assert_eq!(audit.verify().expect("whole").0, 4);
        let raw = rusqlite::Connection::open(&path).expect("opens");
        raw.execute_batch("DROP TRIGGER audit_stays; DELETE FROM audit WHERE number = 2")
            .expect("forged");
        assert!(matches!(audit.verify(), Err(StoreError::Broken { number: 2 })));
    }
}
