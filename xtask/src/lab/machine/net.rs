//! One wire: a namespace for the machine, one for who talks to it, and a pair of ends between them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::process;

/// One command of `ip`.
const LIMIT: Duration = Duration::from_secs(20);

/// A wire with an address at each end.
pub(crate) struct Wire {
    /// The machine's namespace.
    pub(crate) machine: String,
    /// The other one.
    pub(crate) client: String,
}

impl Wire {
    /// The machine's address.
    pub(crate) const MACHINE: &'static str = "10.77.1.1";
    const CLIENT: &'static str = "10.77.1.2";

    /// Lays a wire. Both ends are made inside their namespaces, so the machine that runs all this
    /// sees neither.
    pub(super) fn new(name: &str) -> Result<Self> {
        let wire = Self { machine: format!("{name}m"), client: format!("{name}c") };
        let (machine, client) = (wire.machine.as_str(), wire.client.as_str());
        ip(&["netns", "add", machine])?;
        ip(&["netns", "add", client])?;
        ip(&[
            "-n", client, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns",
            machine,
        ])?;
        for (space, address) in [(machine, Self::MACHINE), (client, Self::CLIENT)] {
            ip(&["-n", space, "link", "set", "lo", "up"])?;
            ip(&["-n", space, "addr", "add", &format!("{address}/24"), "dev", "eth0"])?;
            ip(&["-n", space, "link", "set", "eth0", "up"])?;
        }
        Ok(wire)
    }

    /// Builds a command that sits at the other end of the wire.
    pub(crate) fn client(&self, program: &Path) -> Command {
        let mut command = process::clean(Path::new("ip"));
        command.args(["netns", "exec", &self.client]).arg(program);
        command
    }

    /// Cuts the wire or mends it.
    pub(crate) fn set(&self, is_up: bool) -> Result<()> {
        let state = if is_up { "up" } else { "down" };
        ip(&["-n", &self.client, "link", "set", "eth0", state])
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // Best effort; a namespace takes its end of the wire along.
        let _ = ip(&["netns", "del", &self.client]);
        let _ = ip(&["netns", "del", &self.machine]);
    }
}

fn ip(words: &[&str]) -> Result<()> {
    let log = std::env::temp_dir().join(format!("gklab-ip-{}", std::process::id()));
    let mut command = process::clean(Path::new("ip"));
    let done = process::run(command.args(words), &log, LIMIT);
    let _ = std::fs::remove_file(&log);
    done.map(|_| ())
}
