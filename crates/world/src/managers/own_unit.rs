//! The agent's own place on a machine: its unit, the user that may talk to it and do nothing else,
//! the file of who is trusted. Everything may be done again; what a person has changed in the file
//! of trust stays.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use guanka_core::quantity::Millis;

use crate::files;
use crate::hostroot::HostRoot;
use crate::process;

/// The unit's name.
const UNIT: &str = "guanka-agent.service";
/// The user that logs in to talk to the agent, and its group, which may use the socket.
pub const USER: &str = "guanka";
/// That user's home: root's own, so that only root decides which keys log in.
const HOME: &str = "/opt/guanka/home";
/// How long `systemctl` or `useradd` may take.
const LIMIT: Millis = Millis::from_secs(30);

/// It needs root for units, releases and nginx's files; what it never needs is taken away.
const TEXT: &str = "# Written by guanka; an edit here is lost at the next update.
[Unit]
Description=guanka agent
Documentation=man:systemd.service(5)
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
ExecStart=/opt/guanka/bin/guanka agent --root /
Restart=always
RestartSec=1
KillMode=process
LimitNOFILE=65536
NoNewPrivileges=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectClock=yes
ProtectHostname=yes
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
UMask=0022

[Install]
WantedBy=multi-user.target
";

const TRUST: &str = "# Who may sign releases and approve them on this host. Only root reads it.
schema = 1
signers = []
approvers = []
";

/// What an installation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// The files that were written.
    pub written: Vec<PathBuf>,
    /// The agent is started at boot and runs.
    pub is_enabled: bool,
}

/// Returns whether the machine has the agent's unit and a systemd that starts it.
pub fn is_installed(host: &HostRoot) -> bool {
    runs_systemd(host) && unit_file(host).is_file()
}

/// Starts the agent by its unit.
pub fn start() -> io::Result<()> {
    systemctl(&["start", UNIT])
}

/// Puts this program, its unit, its user and the file of trust in place, lets a key talk to the
/// agent, and starts it anew where anything has changed.
pub fn install(host: &HostRoot, key: Option<&str>) -> io::Result<Done> {
    let mut done = Done::default();
    let launcher = host.at("/opt/guanka/bin/guanka");
    for folder in ["/opt/guanka", "/opt/guanka/bin"] {
        files::make_dir(&host.at(folder), 0o755)?;
    }
    let own = process::own_program()?;
    if own != launcher {
        put(&launcher, &files::read_bytes(&own, 1 << 30)?, 0o755, &mut done)?;
    }
    make_user(host)?;
    files::make_dir(&host.at("/etc/guanka"), 0o755)?;
    let trust = host.at("/etc/guanka/trust.toml");
    if !trust.exists() {
        put(&trust, TRUST.as_bytes(), 0o600, &mut done)?;
    }
    if let Some(key) = key {
        authorize(host, key, &mut done)?;
    }
    if runs_systemd(host) {
        put(&unit_file(host), TEXT.as_bytes(), 0o644, &mut done)?;
        systemctl(&["daemon-reload"])?;
        systemctl(&["enable", UNIT])?;
        let needs_it = done.written.iter().any(|p| *p == launcher || *p == unit_file(host));
        systemctl(&[if needs_it { "restart" } else { "start" }, UNIT])?;
        done.is_enabled = true;
    }
    Ok(done)
}

fn runs_systemd(host: &HostRoot) -> bool {
    host.is_machine() && Path::new("/run/systemd/system").is_dir()
}

fn unit_file(host: &HostRoot) -> PathBuf {
    host.at("/etc/systemd/system").join(UNIT)
}

/// Writes a file that differs.
fn put(path: &Path, bytes: &[u8], mode: u32, done: &mut Done) -> io::Result<()> {
    if fs::read(path).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    files::replace(path, bytes, mode)?;
    done.written.push(path.to_owned());
    Ok(())
}

/// Makes the user that logs in. `*` is no password and, other than `!`, no lock for sshd.
fn make_user(host: &HostRoot) -> io::Result<()> {
    let passwd = files::read_text(&host.at("/etc/passwd"), 16 << 20)?;
    if passwd.lines().any(|line| line.split(':').next() == Some(USER)) || !host.is_machine() {
        return Ok(());
    }
    let mut command = Command::new("useradd");
    command.args(["--system", "--user-group", "--no-create-home", "--home-dir", HOME]);
    command.args(["--shell", "/bin/sh", "--password", "*", USER]);
    succeed(&mut command)
}

/// Lets a public key talk to the agent, and to nothing else: no terminal, no forwarding, no other
/// command whatever is asked for.
fn authorize(host: &HostRoot, key: &str, done: &mut Done) -> io::Result<()> {
    let line = authorized_line(key).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "this is no public key of ssh's")
    })?;
    for folder in [HOME.to_owned(), format!("{HOME}/.ssh")] {
        files::make_dir(&host.at(&folder), 0o755)?;
    }
    let path = host.at(HOME).join(".ssh/authorized_keys");
    let mut text = match files::read_text(&path, 1 << 20) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other?,
    };
    if plain_key(key).is_some_and(|key| text.lines().any(|known| known.ends_with(&key))) {
        return Ok(());
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&line);
    text.push('\n');
    put(&path, text.as_bytes(), 0o644, done)
}

/// Returns the line that lets a public key talk to the agent; `None` for what is no key.
pub fn authorized_line(key: &str) -> Option<String> {
    let key = plain_key(key)?;
    Some(format!("restrict,command=\"/opt/guanka/bin/guanka agent --connect\" {key}"))
}

/// Returns `type base64` of a public key without its comment.
fn plain_key(text: &str) -> Option<String> {
    let mut words = text.split_whitespace();
    let (kind, body) = (words.next()?, words.next()?);
    let good_kind = kind.bytes().all(|b| b.is_ascii_alphanumeric() || b"-@.".contains(&b));
    let good_body = body.starts_with("AAAA")
        && body.len() <= 8192
        && body.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
    let is_known = ["ssh-", "ecdsa-", "sk-"].iter().any(|start| kind.starts_with(start));
    (good_kind && good_body && is_known).then(|| format!("{kind} {body}"))
}

fn systemctl(args: &[&str]) -> io::Result<()> {
    let mut command = Command::new("systemctl");
    command.args(["--no-pager", "--no-ask-password"]).args(args);
    succeed(&mut command)
}

fn succeed(command: &mut Command) -> io::Result<()> {
    let output = process::run(command, LIMIT)?;
    if output.is_success() {
        return Ok(());
    }
    let text = format!("{}{}", output.stdout, output.stderr);
    Err(io::Error::other(format!("{}: {}", output.argv.join(" "), text.trim())))
}

/// Gives a socket to the group that may talk to the agent, where there is one.
pub fn give_socket(host: &HostRoot, socket: &Path) -> io::Result<()> {
    let groups = files::read_text(&host.at("/etc/group"), 16 << 20).unwrap_or_default();
    let gid = groups.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        if fields.first() != Some(&USER) {
            return None;
        }
        fields.get(2)?.parse::<u32>().ok()
    });
    let Some(gid) = gid.filter(|_| rustix::process::geteuid().is_root()) else { return Ok(()) };
    std::os::unix::fs::chown(socket, None, Some(gid))?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o660))
}

#[cfg(test)]
mod tests {
    use super::{TEXT, plain_key};

    #[test]
    fn a_key_is_two_plain_words_or_refused() {
        let good = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0+/x= me@here";
        assert_eq!(plain_key(good).as_deref(), Some("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0+/x="));
        for bad in [
            "",
            "ssh-ed25519",
            "command=\"sh\" ssh-ed25519 AAAA",
            "ssh-ed25519 AAAA\"x",
            "ssh-rsa BBBB",
            "x AAAA",
        ] {
            assert_eq!(plain_key(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_unit_reads_back_without_a_problem() {
        let (unit, problems) = guanka_parse::systemd::read(("a", "a", TEXT), &[]);
        assert!(problems.is_empty(), "{problems:?}");
        let start = unit.last("Service", "ExecStart").map(|entry| entry.value.as_str());
        assert_eq!(start, Some("/opt/guanka/bin/guanka agent --root /"));
    }
}
