//! Where a user's controller has its place, and the list of the rollouts it drives: a small file,
//! replaced in one step, that outlives a kill. What drives them and how is not known here.

use std::io;
use std::path::{Path, PathBuf};

use guanka_core::facts::declared::HostAddress;
use guanka_core::name::{Digest, ServiceName};
use guanka_core::say::Said;
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

use crate::files;

/// The version of the list's form.
const SCHEMA: u32 = 1;
/// The most the list may hold in bytes, and the most rollouts.
const FILE_MAX: u64 = 4 << 20;
const ROLLOUTS_MAX: usize = 256;
/// A folder in place of the user's own, for a controller beside it.
const FOLDER_VARIABLE: &str = "GUANKA_SERVE_DIR";

/// Where a controller has its socket and its list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The socket, 0600.
    pub socket: PathBuf,
    /// The folder of the list, 0700.
    pub folder: PathBuf,
}

/// A rollout that the controller has taken on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The host.
    pub host: HostAddress,
    /// The service.
    pub service: ServiceName,
    /// The rollout's number within the service.
    pub number: u64,
    /// The project's folder, as it was handed over.
    pub project: String,
    /// The digest of the declaration, as it was handed over.
    pub declared: Digest,
    /// Why it is not driven any more although it has not ended.
    pub stopped: Option<Said>,
}

/// The list of the rollouts that are not at their end.
#[derive(Debug)]
pub struct Roster {
    path: PathBuf,
    entries: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    schema: u32,
    rollouts: Vec<Entry>,
}

impl Place {
    /// Returns this user's own: below `/run` and `/var/lib` for root, below the XDG folders for
    /// others.
    pub fn own() -> io::Result<Self> {
        let set =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        if let Some(folder) = set(FOLDER_VARIABLE) {
            return Ok(Self { socket: folder.join("serve.sock"), folder });
        }
        if geteuid().is_root() {
            let (socket, folder) =
                ("/run/guanka/serve.sock".into(), "/var/lib/guanka/serve".into());
            return Ok(Self { socket, folder });
        }
        let none = |what| io::Error::new(io::ErrorKind::NotFound, what);
        let home = set("HOME").ok_or_else(|| none("HOME is not set"))?;
        let state = set("XDG_STATE_HOME").unwrap_or_else(|| home.join(".local/state"));
        let folder = state.join("guanka/serve");
        let run = set("XDG_RUNTIME_DIR").map(|run| run.join("guanka"));
        Ok(Self { socket: run.unwrap_or_else(|| folder.clone()).join("serve.sock"), folder })
    }

    /// Makes the folders; only this user may look into the list's.
    pub fn prepare(&self) -> io::Result<()> {
        files::make_dir(&self.folder, 0o700)?;
        match self.socket.parent() {
            // The agent shares this folder with us; its mode is not ours to change.
            Some(folder) if !folder.exists() => files::make_dir(folder, 0o755),
            _ => Ok(()),
        }
    }
}

impl Entry {
    /// Returns whether an entry is of the same service on the same host.
    pub fn is_of(&self, host: &HostAddress, service: &ServiceName) -> bool {
        self.host == *host && self.service == *service
    }
}

impl Roster {
    /// Reads the list; without a file nothing is driven. One that cannot be understood is an error:
    /// what it holds must not be forgotten silently.
    pub fn load(folder: &Path) -> io::Result<Self> {
        let path = folder.join("rollouts.json");
        files::clear_beside(&path)?;
        let text = match files::read_text(&path, FILE_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path, entries: Vec::new() });
            }
            other => other?,
        };
        let wrong = |why: String| {
            let why = format!("{}: {why}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, why)
        };
        let stored: Stored =
            serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if stored.schema != SCHEMA {
            return Err(wrong(format!("of another guanka, schema {}", stored.schema)));
        }
        Ok(Self { path, entries: stored.rollouts })
    }

    /// Returns the rollouts.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Puts a rollout on the list, in the place of an older one of the same service.
    pub fn put(&mut self, entry: Entry) -> io::Result<()> {
        let mut entries = self.without(&entry.host, &entry.service);
        if entries.len() >= ROLLOUTS_MAX {
            let why = format!("{ROLLOUTS_MAX} rollouts are driven already");
            return Err(io::Error::other(why));
        }
        entries.push(entry);
        self.keep(entries)
    }

    /// Takes a rollout off the list; one that is not on it is off already.
    pub fn remove(&mut self, host: &HostAddress, service: &ServiceName) -> io::Result<()> {
        let entries = self.without(host, service);
        if entries.len() == self.entries.len() { Ok(()) } else { self.keep(entries) }
    }

    fn without(&self, host: &HostAddress, service: &ServiceName) -> Vec<Entry> {
        self.entries.iter().filter(|known| !known.is_of(host, service)).cloned().collect()
    }

    /// What is on disk comes first: the list in memory never says more than survives a kill.
    fn keep(&mut self, entries: Vec<Entry>) -> io::Result<()> {
        let stored = Stored { schema: SCHEMA, rollouts: entries };
        files::replace(&self.path, &serde_json::to_vec_pretty(&stored)?, 0o600)?;
        self.entries = stored.rollouts;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use guanka_core::facts::declared::HostAddress;
    use guanka_core::name::ServiceName;

    use super::{Entry, ROLLOUTS_MAX, Roster};

    fn entry(service: &str, number: u64) -> Entry {
        Entry {
            host: HostAddress::Local("/".to_owned()),
            service: ServiceName::try_from(service.to_owned()).expect("a name"),
            number,
            project: "/srv/shop".to_owned(),
            declared: crate::hash::of_bytes(b"declared"),
            stopped: None,
        }
    }

    #[test]
    fn the_list_comes_back_with_one_rollout_a_service() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut roster = Roster::load(dir.path()).expect("none yet");
        for given in [entry("a.prod", 1), entry("b.prod", 4), entry("a.prod", 2)] {
            roster.put(given).expect("kept");
        }
        let read = Roster::load(dir.path()).expect("read");
        assert_eq!(read.entries(), [entry("b.prod", 4), entry("a.prod", 2)]);
        roster.remove(&entry("b.prod", 4).host, &entry("b.prod", 4).service).expect("removed");
        let read = Roster::load(dir.path()).expect("read");
        assert_eq!(read.entries(), [entry("a.prod", 2)]);
    }

    #[test]
    fn a_list_that_cannot_be_understood_is_an_error_and_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("rollouts.json");
        for text in ["", "{", "{\"schema\":2,\"rollouts\":[]}", "[]"] {
            std::fs::write(&path, text).expect("written");
            let error = Roster::load(dir.path()).expect_err("refused");
            assert!(error.to_string().contains("rollouts.json"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).expect("there"), text);
        }
    }

    #[test]
    fn the_list_has_an_end_and_a_full_one_stays_as_it_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut roster = Roster::load(dir.path()).expect("none yet");
        for number in 0..ROLLOUTS_MAX {
            roster.entries.push(entry(&format!("a{number}.prod"), 1));
        }
        assert!(roster.put(entry("more.prod", 1)).is_err());
        assert!(roster.put(entry("a7.prod", 9)).is_ok(), "in the place of its own older one");
        assert_eq!(roster.entries().len(), ROLLOUTS_MAX);
    }
}
