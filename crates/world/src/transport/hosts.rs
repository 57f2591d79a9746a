//! The hosts that this user has added: how each is reached, kept in `~/.config/guanka/hosts.json`.
//! It holds no secret; keys lie beside it in files of their own.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ssh::{Options, Target, own_folder};
use crate::files;

/// The version of the file's form.
const SCHEMA: u32 = 1;
/// The most the file may hold.
const FILE_MAX: u64 = 4 << 20;
/// A configuration of ssh in place of the user's own; for hosts that are reached by special means.
const CONFIG_VARIABLE: &str = "GUANKA_SSH_CONFIG";

/// The hosts that were added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hosts {
    schema: u32,
    /// By the name they have in guanka.toml.
    pub hosts: BTreeMap<String, KnownHost>,
}

/// A host that was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownHost {
    /// Whom guanka logs in as: a user that may talk to the agent and do nothing else.
    pub login: String,
    /// The key for that user, below guanka's own folder.
    pub identity: PathBuf,
    /// When it was added, milliseconds since 1970.
    pub added_ms: u64,
}

impl Hosts {
    /// Reads the file; without one no host was added.
    pub fn load() -> io::Result<Self> {
        Self::load_from(&own_folder()?)
    }

    fn load_from(folder: &Path) -> io::Result<Self> {
        let none = Self { schema: SCHEMA, hosts: BTreeMap::new() };
        let path = folder.join("hosts.json");
        let text = match files::read_text(&path, FILE_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(none),
            other => other?,
        };
        let hosts: Self = serde_json::from_str(&text)?;
        if hosts.schema == SCHEMA {
            return Ok(hosts);
        }
        let why = format!("{} is of another guanka: schema {}", path.display(), hosts.schema);
        Err(io::Error::new(io::ErrorKind::InvalidData, why))
    }

    /// Writes the file.
    pub fn store(&self) -> io::Result<()> {
        self.store_to(&own_folder()?)
    }

    fn store_to(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let text = serde_json::to_vec_pretty(self)?;
        files::replace(&folder.join("hosts.json"), &text, 0o600)
    }
}

/// Returns guanka's own file of known host keys.
pub fn own_known_hosts() -> io::Result<PathBuf> {
    Ok(own_folder()?.join("known_hosts"))
}

/// Returns how a host is reached by the user's own means.
pub fn plain_options() -> Options {
    let mut known_hosts = Vec::new();
    if let Ok(own) = own_known_hosts()
        && own.exists()
    {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        known_hosts.extend(home.map(|home| home.join(".ssh/known_hosts")));
        known_hosts.push(own);
    }
    let config = std::env::var_os(CONFIG_VARIABLE).map(PathBuf::from);
    Options { config, identity: None, known_hosts }
}

/// Returns where a declared host is logged in to and how: with the key that it was added with, or
/// by the user's own means where it never was.
pub fn way_to(name: &str) -> io::Result<(Target, Options)> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is no host"));
    let options = plain_options();
    match Hosts::load()?.hosts.get(name) {
        Some(known) => {
            let target = Target::parse(&known.login).ok_or_else(wrong)?;
            Ok((target, Options { identity: Some(known.identity.clone()), ..options }))
        }
        None => Ok((Target::parse(name).ok_or_else(wrong)?, options)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Hosts, KnownHost};

    #[test]
    fn hosts_come_back_and_another_form_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("guanka");
        let mut hosts = Hosts::load_from(&folder).expect("none yet");
        assert!(hosts.hosts.is_empty());
        let known = KnownHost {
            login: "guanka@web1".to_owned(),
            identity: folder.join("keys/web1"),
            added_ms: 7,
        };
        hosts.hosts.insert("root@web1".to_owned(), known);
        hosts.store_to(&folder).expect("stored");
        assert_eq!(Hosts::load_from(&folder).expect("read"), hosts);
        hosts.schema = 2;
        hosts.store_to(&folder).expect("stored");
        assert!(Hosts::load_from(&folder).is_err());
    }
}
