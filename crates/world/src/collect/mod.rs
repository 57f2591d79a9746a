//! Collectors: read files, /proc and the panel's databases of a host root into facts. They write
//! nothing, work without root's rights, and say what they could not see.

mod accounts;
mod arguments;
pub mod binary;
pub mod fitness;
mod goheader;
pub mod gomodule;
pub mod host;
mod keepers;
mod listeners;
pub mod nginx;
pub mod panel;
pub mod processes;
pub mod scripts;
pub mod supervisor;
mod tree;
pub mod units;
pub mod webroots;
