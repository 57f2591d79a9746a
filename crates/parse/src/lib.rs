//! guanka's parsers: bytes in, facts and problems with spans out. A parser never fails and never
//! panics: it returns what it understood. Nothing here reads a file; guanka-world does.

pub mod accesslog;
pub mod buildinfo;
pub mod elf;
pub mod gomod;
pub mod gosource;
pub mod logrotate;
pub mod logtime;
pub mod manifest;
pub mod nginx;
pub mod procnet;
pub mod script;
pub mod supervisor;
pub mod systemd;
pub mod systemd_analyze;
pub mod text;
pub mod xmlrpc;
