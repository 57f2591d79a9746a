//! SQLite stores: the journal and the audit log (write-ahead, synced at each commit, hash-chained),
//! and the metrics (disposable). A store keeps and gives back; what it means is core's.

pub mod audit;
pub mod chain;
pub mod journal;
pub mod metrics;

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite said no: disk full, not readable, locked too long.
    #[error("the store could not be used: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The store's folder could not be made.
    #[error("the store's folder could not be made: {0}")]
    Folder(#[from] std::io::Error),
    /// The next number is another: somebody else has written.
    #[error("expected to write number {expected}, but the next one is {next}")]
    OutOfTurn {
        /// What the caller thought.
        expected: u64,
        /// What is true.
        next: u64,
    },
    /// A row does not hash to what the next one says.
    #[error("row {number} has been changed or is missing")]
    Broken {
        /// The first wrong row.
        number: u64,
    },
    /// A newer guanka has written this store.
    #[error("the store has version {found}, this guanka knows {known}")]
    TooNew {
        /// The version in the file.
        found: i64,
        /// The version of this program.
        known: i64,
    },
}

/// How durable a commit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Synced before the commit returns: journal and audit.
    Full,
    /// Synced now and then: metrics, which can be counted again.
    Normal,
}

/// Opens a store, making its folder and tables where they are missing.
fn open(
    path: &Path,
    durability: Durability,
    version: i64,
    tables: &str,
) -> Result<Connection, StoreError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let connection = Connection::open(path)?;
    // A second process (a reader, an agent that is just ending) may hold the file for a moment.
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    let synchronous = match durability {
        Durability::Full => "full",
        Durability::Normal => "normal",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > version {
        return Err(StoreError::TooNew { found, known: version });
    }
    connection.execute_batch(tables)?;
    connection.pragma_update(None, "user_version", version)?;
    secure(path)?;
    Ok(connection)
}

/// Gives the store to its owner alone.
fn secure(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}
