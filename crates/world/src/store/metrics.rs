//! The metrics store: 10 s windows per service and how far each log was read, written in one
//! transaction, so a count is neither lost nor doubled over any kill. Disposable otherwise.

use std::path::Path;

use guanka_core::name::ServiceName;
use guanka_core::signals::window::Window;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Durability, StoreError, open};
use crate::signals::position::Position;

const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS windows (
        service TEXT NOT NULL, source TEXT NOT NULL, start_ms INTEGER NOT NULL,
        counts TEXT NOT NULL, PRIMARY KEY (service, source, start_ms)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS positions (
        service TEXT NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL,
        position TEXT NOT NULL, seen_ms INTEGER NOT NULL,
        PRIMARY KEY (service, device, inode)) WITHOUT ROWID;
";

/// How long the position of a file that is no longer read is kept.
const POSITION_KEPT_MS: i64 = 30 * 86_400_000;

/// Whose requests a window counts. The kinds are never added up.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Users' requests, from the access log.
    Live,
    /// guanka's own requests to the candidate.
    Synthetic,
}

/// The metrics' store.
pub struct Metrics {
    connection: Connection,
}

impl Source {
    const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Synthetic => "synthetic",
        }
    }
}

impl Metrics {
    /// Opens the store.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: open(path, Durability::Normal, VERSION, TABLES)? })
    }

    /// Adds windows to those that are there and takes the logs' positions as reached, all or
    /// nothing.
    pub fn add(
        &mut self,
        service: &ServiceName,
        source: Source,
        windows: &[Window],
        positions: &[Position],
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let name = service.to_string();
        let transaction = self.connection.transaction()?;
        for window in windows {
            let mut sum = find(&transaction, &name, source, window.start_ms)?
                .unwrap_or_else(|| Window { start_ms: window.start_ms, ..Window::default() });
            sum.merge(window);
            let counts = serde_json::to_string(&sum).expect("a window is plain data");
            transaction.execute(
                "INSERT OR REPLACE INTO windows (service, source, start_ms, counts)
                 VALUES (?, ?, ?, ?)",
                params![name, source.word(), sum.start_ms as i64, counts],
            )?;
        }
        for position in positions {
            let text = serde_json::to_string(position).expect("a position is plain data");
            transaction.execute(
                "INSERT OR REPLACE INTO positions (service, device, inode, position, seen_ms)
                 VALUES (?, ?, ?, ?, ?)",
                params![name, position.device as i64, position.inode as i64, text, now_ms as i64],
            )?;
        }
        transaction.commit().map_err(StoreError::from)
    }

    /// Returns the windows that begin at `from_ms` or later and before `to_ms`.
    pub fn windows(
        &self,
        service: &ServiceName,
        source: Source,
        from_ms: u64,
        to_ms: u64,
    ) -> Result<Vec<Window>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT counts FROM windows
             WHERE service = ? AND source = ? AND start_ms >= ? AND start_ms < ? ORDER BY start_ms",
        )?;
        let rows = statement.query_map(
            params![service.to_string(), source.word(), from_ms as i64, to_ms as i64],
            |row| row.get::<_, String>(0),
        )?;
        let mut windows = Vec::new();
        for text in rows {
            windows.extend(serde_json::from_str::<Window>(&text?).ok());
        }
        Ok(windows)
    }

    /// Returns how far each of a service's logs was read.
    pub fn positions(&self, service: &ServiceName) -> Result<Vec<Position>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT position FROM positions WHERE service = ? ORDER BY seen_ms")?;
        let rows =
            statement.query_map(params![service.to_string()], |row| row.get::<_, String>(0))?;
        let mut positions = Vec::new();
        for text in rows {
            positions.extend(serde_json::from_str::<Position>(&text?).ok());
        }
        Ok(positions)
    }

    /// Drops windows older than a time, and positions that nobody has read for a month.
    pub fn prune(
        &self,
        service: &ServiceName,
        before_ms: u64,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let name = service.to_string();
        self.connection.execute(
            "DELETE FROM windows WHERE service = ? AND start_ms < ?",
            params![name, before_ms as i64],
        )?;
        self.connection.execute(
            "DELETE FROM positions WHERE service = ? AND seen_ms < ?",
            params![name, now_ms as i64 - POSITION_KEPT_MS],
        )?;
        Ok(())
    }
}

fn find(
    connection: &Connection,
    service: &str,
    source: Source,
    start_ms: u64,
) -> Result<Option<Window>, StoreError> {
    let text: Option<String> = connection
        .query_row(
            "SELECT counts FROM windows WHERE service = ? AND source = ? AND start_ms = ?",
            params![service, source.word(), start_ms as i64],
            |row| row.get(0),
        )
        .optional()?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use guanka_core::name::{Arm, Route, ServiceName};
    use guanka_core::signals::window::{Counts, Key, Window};

    use super::{Metrics, Source};

    #[test]
    fn windows_of_one_time_add_up_and_kinds_do_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let service = ServiceName::new("shop", "demo").expect("a good name");
        let mut metrics = Metrics::open(&dir.path().join("metrics.db")).expect("opens");
        let key = Key { route: Route("GET /a".to_owned()), arm: Arm::Green };
        let counts = Counts { requests: 3, ..Counts::default() };
        let cells = BTreeMap::from([(key.clone(), counts)]);
        let window = Window { start_ms: 10_000, cells, ..Window::default() };
        for source in [Source::Live, Source::Live, Source::Synthetic] {
            metrics.add(&service, source, std::slice::from_ref(&window), &[], 0).expect("added");
        }
        let live = metrics.windows(&service, Source::Live, 0, 20_000).expect("read");
        assert_eq!(live[0].cells[&key].requests, 6);
        let own = metrics.windows(&service, Source::Synthetic, 0, 20_000).expect("read");
        assert_eq!(own[0].cells[&key].requests, 3);
        assert!(metrics.windows(&service, Source::Live, 0, 10_000).expect("read").is_empty());
    }
}
