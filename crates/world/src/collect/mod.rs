//! Collectors: read files, /proc and the panel's databases of a host root into facts.

pub mod binary;
pub mod gomodule;
