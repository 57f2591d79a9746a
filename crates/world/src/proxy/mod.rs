//! guanka behind nginx: three small files of its own beside the site's, and share directories that
//! move traffic by one rename. Files change, and nginx is reloaded, only when a service is
//! installed, changed or removed; a release does neither.

mod backend;
pub mod block;
mod control;
pub mod drift;
mod install;
mod listen;
mod location;
mod pending;
pub mod reach;
mod render;
mod request_path;
pub mod share;
mod site;
mod site_error;
mod text;
mod wiring;

pub use backend::backend_port;
pub use control::{Nginx, Turnover};
pub(crate) use install::worker;
pub use install::{Applied, InstallError, install, ready, recover, remove};
pub use listen::{First, Listen, Over};
pub use reach::{Way, ways};
pub use render::{Intent, Key, LOG_FIELDS, NONCE_HEADER};
pub use site::{Consent, LocationForm, SiteLog};
pub use site_error::SiteError;
pub use wiring::{
    PlannedFile, Readers, Wiring, WiringError, access_log_of, access_log_planned, passwords, plan,
    plan_with, reopen_logs, services,
};
