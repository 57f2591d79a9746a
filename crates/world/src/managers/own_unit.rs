//! The agent's own place on a machine: the units of its two halves, the worker's user, the user
//! that may talk to it and do nothing else, the file of who is trusted. Everything may be done
//! again; what a person has changed in the file of trust stays.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use guanka_core::quantity::Millis;

use crate::files;
use crate::hostroot::HostRoot;
use crate::process;

/// The worker's unit, which brings the helper's.
const UNIT: &str = "guanka-agent.service";
/// The helper's unit.
const HELPER_UNIT: &str = "guanka-helper.service";
/// The user that logs in to talk to the agent, and its group, which may use the socket.
pub const USER: &str = "guanka";
/// The user that the worker runs as; its group is that of the sockets.
pub const WORKER: &str = "guanka-agent";
/// That user's home: root's own, so that only root decides which keys log in.
const HOME: &str = "/opt/guanka/home";
/// Where an administrator's units lie.
const UNITS: &str = "/etc/systemd/system";
/// How long `systemctl` or `useradd` may take.
const LIMIT: Millis = Millis::from_secs(30);

/// A unit of guanka's own that is root: what it says for itself, then what root never needs for
/// guanka's work and so is taken away.
macro_rules! root_unit {
    ($own:literal) => {
        concat!(
            $own,
            "LimitNOFILE=65536
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
"
        )
    };
}
pub(super) use root_unit;

/// It needs root for units, releases and nginx's files. The worker's folders are there once it is
/// ready, and not sooner: systemd starts no unit that may write to a folder which is missing.
const HELPER_TEXT: &str = root_unit!(
    "# Written by guanka; an edit here is lost at the next update.
[Unit]
Description=guanka agent: the half that is root
Documentation=man:systemd.service(5)

[Service]
Type=notify
ExecStart=/opt/guanka/bin/guanka agent --root / --helper
Restart=always
RestartSec=1
KillMode=process
Environment=MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=131072
"
);

/// It reads what strangers send: logs, answers to probes, messages. It may write its own folder and
/// its socket's, and nothing else.
const WORKER_TEXT: &str = "# Written by guanka; an edit here is lost at the next update.
[Unit]
Description=guanka agent
Documentation=man:systemd.service(5)
Wants=network-online.target
Requires=guanka-helper.service
After=network-online.target guanka-helper.service

[Service]
Type=exec
User=guanka-agent
Group=guanka
ExecStart=/opt/guanka/bin/guanka agent --root / --worker
Restart=always
RestartSec=1
Environment=MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=131072
LimitNOFILE=65536
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ReadWritePaths=/var/lib/guanka/agent /run/guanka
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
UMask=0077

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
    runs_systemd(host) && unit_file(host, UNIT).is_file()
}

/// Starts the agent by its units.
pub fn start() -> io::Result<()> {
    systemctl(&["start", UNIT])
}

/// Puts this program, its unit, its user and the file of trust in place, lets a key talk to the
/// agent, and starts it anew where anything has changed.
pub fn install(host: &HostRoot, key: Option<&str>) -> io::Result<Done> {
    let mut done = Done::default();
    let is_new = put_program(host, &mut done)?;
    make_users(host)?;
    files::make_dir(&host.at("/etc/guanka"), 0o755)?;
    let trust = host.at("/etc/guanka/trust.toml");
    if !trust.exists() {
        put(&trust, TRUST.as_bytes(), 0o600, &mut done)?;
    }
    if let Some(key) = key {
        authorize(host, key, &mut done)?;
    }
    if runs_systemd(host) {
        // The worker's unit does not start without them, and the helper's is started no sooner.
        files::make_dir(&host.state(), 0o711)?;
        make_worker_folders(host, worker_user(host)?)?;
        for (unit, text) in [(HELPER_UNIT, HELPER_TEXT), (UNIT, WORKER_TEXT)] {
            put(&unit_file(host, unit), text.as_bytes(), 0o644, &mut done)?;
        }
        systemctl(&["daemon-reload"])?;
        systemctl(&["enable", HELPER_UNIT, UNIT])?;
        let needs_it = is_new || done.written.iter().any(|p| p.starts_with(host.at(UNITS)));
        systemctl(&[if needs_it { "restart" } else { "start" }, HELPER_UNIT, UNIT])?;
        done.is_enabled = true;
    }
    Ok(done)
}

/// Starts both halves of the agent anew by their units.
pub(super) fn restart() -> io::Result<()> {
    systemctl(&["restart", HELPER_UNIT, UNIT])
}

/// Puts this program in its place; returns whether another one was there.
pub(super) fn put_program(host: &HostRoot, done: &mut Done) -> io::Result<bool> {
    let launcher = host.at("/opt/guanka/bin/guanka");
    for folder in ["/opt/guanka", "/opt/guanka/bin"] {
        files::make_dir(&host.at(folder), 0o755)?;
    }
    let own = process::own_program()?;
    if own != launcher {
        put(&launcher, &files::read_bytes(&own, 1 << 30)?, 0o755, done)?;
    }
    Ok(done.written.contains(&launcher))
}

pub(super) fn runs_systemd(host: &HostRoot) -> bool {
    host.is_machine() && Path::new("/run/systemd/system").is_dir()
}

fn unit_file(host: &HostRoot, unit: &str) -> PathBuf {
    host.at(UNITS).join(unit)
}

/// Writes a file that differs.
pub(super) fn put(path: &Path, bytes: &[u8], mode: u32, done: &mut Done) -> io::Result<()> {
    if fs::read(path).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    files::replace(path, bytes, mode)?;
    done.written.push(path.to_owned());
    Ok(())
}

/// Makes the user that logs in and the worker's. `*` is no password and, other than `!`, no lock
/// for sshd.
fn make_users(host: &HostRoot) -> io::Result<()> {
    let passwd = files::read_text(&host.at("/etc/passwd"), 16 << 20)?;
    let is_there = |user: &str| passwd.lines().any(|line| line.split(':').next() == Some(user));
    if !host.is_machine() {
        return Ok(());
    }
    if !is_there(USER) {
        let mut command = Command::new("useradd");
        command.args(["--system", "--user-group", "--no-create-home", "--home-dir", HOME]);
        command.args(["--shell", "/bin/sh", "--password", "*", USER]);
        succeed(&mut command)?;
    }
    if !is_there(WORKER) {
        let mut command = Command::new("useradd");
        command.args(["--system", "--gid", USER, "--no-create-home", "--home-dir", "/"]);
        command.args(["--shell", "/usr/sbin/nologin", WORKER]);
        succeed(&mut command)?;
    }
    Ok(())
}

/// The user and group of the agent's worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerUser {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// Returns whom the worker runs as. On a machine whose root we are it has a user of its own, made
/// where it is missing; below any other root, and without root, there is nobody but the caller.
pub fn worker_user(host: &HostRoot) -> io::Result<Option<WorkerUser>> {
    if !host.is_machine() || !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    make_users(host)?;
    let passwd = files::read_text(&host.at("/etc/passwd"), 16 << 20)?;
    let found = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        if fields.first() != Some(&WORKER) {
            return None;
        }
        Some(WorkerUser { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
    });
    let none = || io::Error::new(io::ErrorKind::NotFound, "useradd made no user guanka-agent");
    found.map(Some).ok_or_else(none)
}

/// Starts the worker of a root as its user, with that user's group and no other.
pub fn start_worker(host: &HostRoot, worker: Option<WorkerUser>) -> io::Result<Child> {
    let mut command = Command::new(process::own_program()?);
    command.arg("agent").arg("--root").arg(host.root()).arg("--worker");
    command.stdin(Stdio::null()).envs(process::SPARING);
    if let Some(WorkerUser { uid, gid }) = worker {
        std::os::unix::process::CommandExt::gid(&mut command, gid);
        std::os::unix::process::CommandExt::uid(&mut command, uid);
    }
    command.spawn()
}

/// Makes the folders that the worker writes to: its state and its socket's.
pub fn make_worker_folders(host: &HostRoot, worker: Option<WorkerUser>) -> io::Result<()> {
    for (folder, mode) in [(host.worker_state(), 0o700), (host.at("/run/guanka"), 0o755)] {
        files::make_dir(&folder, mode)?;
        if let Some(WorkerUser { uid, gid }) = worker {
            std::os::unix::fs::chown(&folder, Some(uid), Some(gid))?;
        }
    }
    Ok(())
}

/// Tells the system's manager, where it asked to be told, that this process is ready.
pub fn tell_ready() -> io::Result<()> {
    match std::env::var_os("NOTIFY_SOCKET") {
        Some(name) => tell(name.as_bytes(), b"READY=1"),
        None => Ok(()),
    }
}

/// Sends a manager's socket a text; `@` begins a name that is no file's.
fn tell(name: &[u8], text: &[u8]) -> io::Result<()> {
    let address = match name.strip_prefix(b"@") {
        Some(hidden) => SocketAddr::from_abstract_name(hidden)?,
        None => SocketAddr::from_pathname(OsStr::from_bytes(name))?,
    };
    UnixDatagram::unbound()?.send_to_addr(text, &address).map(|_| ())
}

/// Gives the helper's socket to the worker alone.
pub fn give_helper_socket(socket: &Path, worker: Option<WorkerUser>) -> io::Result<()> {
    let Some(WorkerUser { uid, .. }) = worker else { return Ok(()) };
    if let Some(folder) = socket.parent() {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    std::os::unix::fs::chown(socket, Some(uid), None)
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

pub(super) fn systemctl(args: &[&str]) -> io::Result<()> {
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

/// Opens the agent's socket to the group that may talk to the agent, where the process is the
/// worker's user: the socket is of its group then.
pub fn give_socket(host: &HostRoot, socket: &Path) -> io::Result<()> {
    let is_worker = host.is_machine() && !rustix::process::geteuid().is_root();
    let mode = if is_worker { 0o660 } else { 0o600 };
    fs::set_permissions(socket, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::time::Duration;

    use super::{HELPER_TEXT, WORKER_TEXT, plain_key, tell};

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
    fn a_manager_is_told_at_a_file_and_at_a_name_that_is_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("notify");
        let hidden = format!("guanka-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&hidden).expect("a name");
        for (socket, name) in [
            (UnixDatagram::bind(&file).expect("bound"), file.display().to_string()),
            (UnixDatagram::bind_addr(&address).expect("bound"), format!("@{hidden}")),
        ] {
            socket.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
            tell(name.as_bytes(), b"READY=1").expect("told");
            let mut found = [0; 16];
            let length = socket.recv(&mut found).expect("a text");
            assert_eq!(&found[..length], b"READY=1");
        }
        fs::remove_file(&file).expect("removed");
        tell(file.as_os_str().as_bytes(), b"READY=1").expect_err("nobody is there");
    }

    #[test]
    fn the_units_read_back_without_a_problem() {
        for (text, half) in [(HELPER_TEXT, "--helper"), (WORKER_TEXT, "--worker")] {
            let (unit, problems) = guanka_parse::systemd::read(("a", "a", text), &[]);
            assert!(problems.is_empty(), "{problems:?}");
            let start = unit.last("Service", "ExecStart").map(|entry| entry.value.clone());
            assert_eq!(start, Some(format!("/opt/guanka/bin/guanka agent --root / {half}")));
            let kind = unit.last("Service", "Type").map(|entry| entry.value.clone());
            let wanted = if half == "--helper" { "notify" } else { "exec" };
            assert_eq!(kind.as_deref(), Some(wanted), "the worker waits for the helper's folders");
        }
    }
}
