//! The controller's own place on a machine: the program and its unit. Everything may be done again.

use std::io;
use std::path::PathBuf;

use rustix::process::geteuid;

use super::own_unit::{self, put, put_program, root_unit, runs_systemd, systemctl};
use crate::hostroot::HostRoot;

/// The unit's name.
const UNIT: &str = "guanka-serve.service";

/// It builds what it ships and reaches hosts with root's own keys, so it runs as root and sees
/// root's home. `KillMode=process`: an agent that it started lives on.
const TEXT: &str = root_unit!(
    "# Written by guanka; an edit here is lost at the next update.
[Unit]
Description=guanka controller
Documentation=man:systemd.service(5)
Wants=network-online.target
After=network-online.target guanka-agent.service

[Service]
Type=exec
User=root
ExecStart=/opt/guanka/bin/guanka serve
Restart=always
RestartSec=1
KillMode=process
TimeoutStopSec=20
"
);

/// Puts this program and the unit in place and starts the controller, anew where anything has
/// changed. Returns the files that were written.
pub fn install(host: &HostRoot) -> io::Result<Vec<PathBuf>> {
    if !geteuid().is_root() || !runs_systemd(host) {
        let why = "it needs root and a running systemd";
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    let mut done = own_unit::Done::default();
    let is_new = put_program(host, &mut done)?;
    put(&host.at("/etc/systemd/system").join(UNIT), TEXT.as_bytes(), 0o644, &mut done)?;
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", UNIT])?;
    systemctl(&[if done.written.is_empty() { "start" } else { "restart" }, UNIT])?;
    if is_new && own_unit::is_installed(host) {
        // The agent is the same program and must not stay the older one.
        own_unit::restart()?;
    }
    Ok(done.written)
}

#[cfg(test)]
mod tests {
    use super::TEXT;

    #[test]
    fn the_unit_reads_back_without_a_problem() {
        let (unit, problems) = guanka_parse::systemd::read(("a", "a", TEXT), &[]);
        assert!(problems.is_empty(), "{problems:?}");
        let value = |key| unit.last("Service", key).map(|entry| entry.value.as_str());
        assert_eq!(value("ExecStart"), Some("/opt/guanka/bin/guanka serve"));
        assert_eq!(value("KillMode"), Some("process"), "an agent started here lives on");
    }
}
