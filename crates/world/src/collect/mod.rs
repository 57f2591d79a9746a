//! Collectors: read files, /proc and the panel's databases of a host root into facts. They write
//! nothing, work without root's rights, and say what they could not see.

pub(crate) mod accounts;
pub(crate) mod arguments;
pub mod binary;
pub mod fitness;
mod goheader;
pub mod gomodule;
pub mod host;
pub(crate) mod keepers;
mod listeners;
pub mod memory;
pub mod nginx;
pub mod panel;
pub mod processes;
pub mod rotators;
pub mod scripts;
pub mod supervisor;
pub(crate) mod tree;
pub mod units;
pub mod webroots;

use std::path::Path;

use guanka_core::facts::Facts;

/// Reads what a host root says; nothing of any source.
pub fn host_facts(root: &Path) -> Facts {
    let nginx = nginx::read(root);
    let (supervisor, mut problems) = supervisor::read(root);
    let (units, more) = units::read(root);
    problems.extend(more);
    Facts {
        scripts: scripts::read(root, &supervisor),
        host: Some(host::read(root, nginx.as_ref())),
        nginx,
        supervisor,
        units,
        problems,
        ..Facts::default()
    }
}
