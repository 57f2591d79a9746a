//! The journal: one append-only, hash-chained list of records per service, with the service's
//! highest epoch and the answers already given to effects. Committed and synced before anybody acts
//! on it.

use std::path::Path;

use guanka_core::name::ServiceName;
use rusqlite::{Connection, OptionalExtension, params};

use super::chain::{Link, genesis};
use super::{Durability, Page, StoreError, open};

const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS journal (
        service TEXT NOT NULL, number INTEGER NOT NULL, at_ms INTEGER NOT NULL,
        record TEXT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (service, number)) WITHOUT ROWID;
    CREATE TRIGGER IF NOT EXISTS journal_keeps BEFORE UPDATE ON journal
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
    CREATE TRIGGER IF NOT EXISTS journal_stays BEFORE DELETE ON journal
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
    CREATE TABLE IF NOT EXISTS epochs (service TEXT PRIMARY KEY, epoch INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS answers (
        service TEXT NOT NULL, key TEXT NOT NULL, answer TEXT NOT NULL,
        PRIMARY KEY (service, key)) WITHOUT ROWID;
";

/// The journal's store.
pub struct Journal {
    connection: Connection,
}

/// One record of a service.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Row {
    /// Its number, from 1.
    pub number: u64,
    /// When it was written, milliseconds since 1970.
    pub at_ms: u64,
    /// The record's JSON.
    pub record: String,
    /// Its hash in the chain.
    pub hash: String,
}

impl Journal {
    /// Opens the store.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: open(path, Durability::Full, VERSION, TABLES)? })
    }

    /// Appends a record as number `number`. The same record a second time is the same append; any
    /// other number than the next one is refused, so two writers cannot both be right.
    pub fn append(
        &mut self,
        service: &ServiceName,
        number: u64,
        at_ms: u64,
        record: &str,
    ) -> Result<Row, StoreError> {
        let name = service.to_string();
        let transaction = self.connection.transaction()?;
        let last = last(&transaction, &name)?;
        if let Some(row) = &last
            && row.number == number
            && row.record == record
        {
            return Ok(row.clone());
        }
        let next = last.as_ref().map_or(1, |row| row.number + 1);
        if number != next {
            return Err(StoreError::OutOfTurn { expected: number, next });
        }
        let previous = last.map_or_else(genesis, |row| row.hash);
        let hash = Link { previous: &previous, number, at_ms, subject: &name, record }.hash();
        transaction.execute(
            "INSERT INTO journal (service, number, at_ms, record, hash) VALUES (?, ?, ?, ?, ?)",
            params![name, number as i64, at_ms as i64, record, hash.as_str()],
        )?;
        transaction.commit()?;
        Ok(Row { number, at_ms, record: record.to_owned(), hash: hash.as_str().to_owned() })
    }

    /// Returns the next records from a number on, as many as fit a page.
    pub fn page(&self, service: &ServiceName, from: u64) -> Result<Page<Row>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT number, at_ms, record, hash FROM journal
             WHERE service = ? AND number >= ? ORDER BY number",
        )?;
        let rows = statement.query_map(params![service.to_string(), from as i64], row_of)?;
        super::page(rows, |row| (row.number, row.record.len()))
    }

    /// Returns the services that have records.
    pub fn services(&self) -> Result<Vec<ServiceName>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT DISTINCT service FROM journal ORDER BY 1")?;
        let names = statement.query_map([], |row| row.get::<_, String>(0))?;
        let names: Vec<String> = names.collect::<Result<_, _>>()?;
        Ok(names.into_iter().filter_map(|name| ServiceName::try_from(name).ok()).collect())
    }

    /// Checks a service's chain and returns how many records it has.
    pub fn verify(&self, service: &ServiceName) -> Result<u64, StoreError> {
        let name = service.to_string();
        let mut previous = genesis();
        let mut count = 0;
        let mut statement = self.connection.prepare_cached(
            "SELECT number, at_ms, record, hash FROM journal WHERE service = ? ORDER BY number",
        )?;
        for row in statement.query_map(params![name], row_of)? {
            let row = row?;
            count += 1;
            let link = Link {
                previous: &previous,
                number: row.number,
                at_ms: row.at_ms,
                subject: &name,
                record: &row.record,
            };
            if row.number != count || link.hash().as_str() != row.hash {
                return Err(StoreError::Broken { number: count });
            }
            previous = row.hash;
        }
        Ok(count)
    }

    /// Returns the highest epoch a service has seen.
    pub fn epoch(&self, service: &ServiceName) -> Result<u64, StoreError> {
        let found: Option<i64> = self
            .connection
            .query_row(
                "SELECT epoch FROM epochs WHERE service = ?",
                params![service.to_string()],
                |row| row.get(0),
            )
            .optional()?;
        Ok(found.unwrap_or(0) as u64)
    }

    /// Raises a service's epoch; it never goes down.
    pub fn raise_epoch(&self, service: &ServiceName, epoch: u64) -> Result<(), StoreError> {
        self.connection.execute(
            "INSERT INTO epochs (service, epoch) VALUES (?1, ?2)
             ON CONFLICT (service) DO UPDATE SET epoch = max(epoch, ?2)",
            params![service.to_string(), epoch as i64],
        )?;
        Ok(())
    }

    /// Returns the answer already given to an effect.
    pub fn answer(&self, service: &ServiceName, key: &str) -> Result<Option<String>, StoreError> {
        let found = self.connection.query_row(
            "SELECT answer FROM answers WHERE service = ? AND key = ?",
            params![service.to_string(), key],
            |row| row.get(0),
        );
        found.optional().map_err(StoreError::from)
    }

    /// Remembers the answer to an effect.
    pub fn remember(
        &self,
        service: &ServiceName,
        key: &str,
        answer: &str,
    ) -> Result<(), StoreError> {
        self.connection.execute(
            "INSERT OR REPLACE INTO answers (service, key, answer) VALUES (?, ?, ?)",
            params![service.to_string(), key, answer],
        )?;
        Ok(())
    }
}

fn last(connection: &Connection, service: &str) -> Result<Option<Row>, StoreError> {
    connection
        .query_row(
            "SELECT number, at_ms, record, hash FROM journal
             WHERE service = ? ORDER BY number DESC LIMIT 1",
            params![service],
            row_of,
        )
        .optional()
        .map_err(StoreError::from)
}

fn row_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        number: row.get::<_, i64>(0)? as u64,
        at_ms: row.get::<_, i64>(1)? as u64,
        record: row.get(2)?,
        hash: row.get(3)?,
    })
}

#[cfg(test)]
mod tests {
    use guanka_core::name::ServiceName;

    use super::{Journal, StoreError};

    fn shop() -> ServiceName {
        ServiceName::new("shop", "demo").expect("a good name")
    }

    #[test]
    fn the_same_append_twice_is_one_and_another_number_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::open(&dir.path().join("journal.db")).expect("opens");
        let first = journal.append(&shop(), 1, 10, "{\"a\":1}").expect("appended");
        assert_eq!(journal.append(&shop(), 1, 99, "{\"a\":1}").expect("the same"), first);
        let refused = journal.append(&shop(), 1, 10, "{\"b\":1}");
        assert!(matches!(refused, Err(StoreError::OutOfTurn { expected: 1, next: 2 })));
        assert!(journal.append(&shop(), 3, 10, "{}").is_err());
        journal.append(&shop(), 2, 11, "{}").expect("appended");
        assert_eq!(journal.verify(&shop()).expect("whole"), 2);
        assert_eq!(journal.page(&shop(), 2).expect("read").records.len(), 1);
    }

    #[test]
    fn a_long_journal_is_read_page_by_page_and_each_row_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::open(&dir.path().join("journal.db")).expect("opens");
        for number in 1..=5 {
            let record = format!("{{\"n\":\"{}\"}}", "x".repeat(900 << 10));
            journal.append(&shop(), number, number, &record).expect("appended");
        }
        let (mut numbers, mut pages, mut from) = (Vec::new(), 0, Some(0));
        while let Some(next) = from {
            let page = journal.page(&shop(), next).expect("read");
            numbers.extend(page.records.iter().map(|row| row.number));
            (pages, from) = (pages + 1, page.next);
        }
        assert_eq!((numbers, pages), (vec![1, 2, 3, 4, 5], 3));
    }

    #[test]
    fn a_changed_row_is_found() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("journal.db");
        let mut journal = Journal::open(&path).expect("opens");
        for number in 1..=5 {
            journal
                .append(&shop(), number, number, &format!("{{\"n\":{number}}}"))
                .expect("appended");
        }
        let raw = rusqlite::Connection::open(&path).expect("opens");
        let denied = raw.execute("UPDATE journal SET record = '{}' WHERE number = 3", []);
        assert!(denied.is_err(), "the trigger refuses");
        raw.execute_batch(
            "DROP TRIGGER journal_keeps; UPDATE journal SET at_ms = 4 WHERE number = 3",
        )
        .expect("forged");
        let broken = journal.verify(&shop());
        assert!(matches!(broken, Err(StoreError::Broken { number: 3 })), "{broken:?}");
    }

    #[test]
    fn an_epoch_never_goes_down() {
        let dir = tempfile::tempdir().expect("a folder");
        let journal = Journal::open(&dir.path().join("journal.db")).expect("opens");
        journal.raise_epoch(&shop(), 7).expect("raised");
        journal.raise_epoch(&shop(), 3).expect("kept");
        assert_eq!(journal.epoch(&shop()).expect("read"), 7);
    }
}
