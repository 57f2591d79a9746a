//! The names of a host's users, from its own passwd file.

use std::collections::BTreeMap;

use super::tree::HostTree;

/// How many lines of passwd are read.
const LINES_MAX: usize = 100_000;

/// A host's users by number.
pub(crate) struct Accounts(BTreeMap<u32, String>);

impl Accounts {
    /// Reads `/etc/passwd` of a host; the first name of a number counts.
    pub(crate) fn read(tree: &HostTree) -> Self {
        let mut names = BTreeMap::new();
        for line in tree.text("/etc/passwd").unwrap_or_default().lines().take(LINES_MAX) {
            let mut fields = line.split(':');
            let name = fields.next().unwrap_or_default();
            if let Some(Ok(uid)) = fields.nth(1).map(str::parse::<u32>)
                && !name.is_empty()
            {
                names.entry(uid).or_insert_with(|| name.to_owned());
            }
        }
        Self(names)
    }

    /// Returns a user's name, its number when the host has no name for it.
    pub(crate) fn name(&self, uid: u32) -> String {
        self.0.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }
}
