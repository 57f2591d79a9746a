//! SQLite stores: the journal and the audit log (write-ahead, synced at each commit, hash-chained),
//! and the metrics (disposable). A store keeps and gives back; what it means is core's.

pub mod audit;
pub mod chain;
pub mod journal;
pub mod metrics;

use std::path::Path;
use std::time::Duration;

use guanka_core::say::Said;
use rusqlite::Connection;

use crate::{files, obstacle};

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite said no: disk full, not readable, locked too long.
    #[error("the store could not be used: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The operating system refused a file beside it.
    #[error("{0}")]
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

/// What one answer holds of a store's records: years of them must not fill the memory of an agent,
/// or a frame.
const PAGE_BYTES: usize = 2 << 20;

/// What a folder must take for a store to work: more than its write-ahead log's index.
const TRIAL_BYTES: usize = 64 << 10;

/// Some of a store's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The records, in order.
    pub records: Vec<T>,
    /// From where to read on; nothing where these were the last.
    pub next: Option<u64>,
}

/// How durable a commit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Synced before the commit returns: journal and audit.
    Full,
    /// Synced now and then: metrics, which can be counted again.
    Normal,
}

impl StoreError {
    /// Returns the reason that a person can act on. SQLite tells a full and a read-only disk in
    /// many ways, so the store's folder itself is asked whether it takes a file.
    #[must_use]
    pub fn in_folder(self, folder: &Path) -> Self {
        match self {
            Self::Sqlite(error) => match files::takes(folder, TRIAL_BYTES) {
                Err(refused) => Self::Folder(refused),
                Ok(()) => Self::Sqlite(error),
            },
            Self::Folder(error) => Self::Folder(obstacle::at(folder)(error)),
            other => other,
        }
    }

    /// Returns the sentence for people.
    pub fn said(&self) -> Said {
        let zh = match self {
            Self::Sqlite(error) => format!("存储无法使用:{error}"),
            Self::Folder(error) => return obstacle::said(error),
            Self::OutOfTurn { expected, next } => {
                format!("本应写入第 {expected} 号,但下一号是 {next}")
            }
            Self::Broken { number } => format!("第 {number} 行被改动过或已缺失"),
            Self::TooNew { found, known } => {
                format!("存储的版本是 {found},这个 guanka 只认识 {known}")
            }
        };
        Said::new(zh, self.to_string())
    }
}

/// Opens a store, making its folder and tables where they are missing.
fn open(
    path: &Path,
    durability: Durability,
    version: i64,
    tables: &str,
) -> Result<Connection, StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    prepared(path, durability, version, tables).map_err(|error| error.in_folder(folder))
}

fn prepared(
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
    // In KiB: three stores with SQLite's own 2 MB each would be most of what an idle agent has.
    connection.pragma_update(None, "cache_size", -512)?;
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

/// Takes as many records as fit a page, one at least.
fn page<T>(
    records: impl Iterator<Item = rusqlite::Result<T>>,
    measure: impl Fn(&T) -> (u64, usize),
) -> Result<Page<T>, StoreError> {
    let mut page = Page { records: Vec::new(), next: None };
    let mut bytes = 0;
    for record in records {
        let record = record?;
        let (number, size) = measure(&record);
        bytes += size;
        if bytes > PAGE_BYTES && !page.records.is_empty() {
            page.next = Some(number);
            break;
        }
        page.records.push(record);
    }
    Ok(page)
}

/// Gives the store to its owner alone.
fn secure(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}
