//! guanka behind nginx: three small files of its own beside the site's, and share directories that
//! move traffic by one rename. Files change, and nginx is reloaded, only when a service is
//! installed, changed or removed; a release does neither.

mod control;
mod install;
mod pending;
mod render;
pub mod share;
mod site;
mod text;
mod wiring;

pub use control::{Nginx, Turnover};
pub(crate) use install::worker;
pub use install::{Applied, InstallError, install, ready, recover, remove};
pub use render::{Intent, Key, LOG_FIELDS, NONCE_HEADER};
pub use site::{LocationForm, SiteError, SiteLog};
pub use wiring::{PlannedFile, Wiring, WiringError, access_log_of, plan, reopen_logs};
