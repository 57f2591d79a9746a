//! The ports of the arms: two per service in 18000-18999, stored for all services in one file. An
//! idle arm's port is held bound without listening, so that no other program takes its requests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use guanka_core::name::{Arm, ServiceName};
use guanka_core::say::Said;
use guanka_parse::procnet::{self, State};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::files;
use crate::hash;
use crate::hostroot::HostRoot;

/// The first port; the range lies below the ephemeral ports of every common kernel.
const FIRST: u16 = 18000;
/// The number of pairs in the range.
const PAIRS: u16 = 500;
/// The key under which the ports stand in the agent's file.
const KEY: &str = "ports";

/// The two ports of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmPorts {
    /// Blue's.
    pub blue: u16,
    /// Green's.
    pub green: u16,
}

/// A port bound without listening: nobody is answered and nobody else can take it.
#[derive(Debug)]
pub struct HeldPort {
    port: u16,
    _socket: OwnedFd,
}

/// A process that listens on a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The process.
    pub pid: u32,
    /// Its program file, unless it may not be read.
    pub exe: Option<PathBuf>,
}

/// Why there is no port.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Another process has it.
    #[error("port {port} is taken{}", by(owner.as_ref()))]
    Taken {
        /// The port.
        port: u16,
        /// Who listens there; `None` when nobody listens and it is only bound, or it cannot be
        /// told.
        owner: Option<Owner>,
    },
    /// Every pair is allotted or taken.
    #[error("no two free ports are left in 18000-18999")]
    NoneFree,
    /// The agent's file is not readable as one.
    #[error("{path} is damaged: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl ArmPorts {
    /// Returns an arm's port.
    pub const fn of(self, arm: Arm) -> u16 {
        match arm {
            Arm::Blue => self.blue,
            Arm::Green => self.green,
        }
    }
}

/// Returns a service's ports, allotting and storing two free ones the first time.
pub fn allot(host: &HostRoot, service: &ServiceName) -> Result<ArmPorts, PortError> {
    files::make_dir(&host.state(), 0o711)?;
    let _lock = files::Lock::hold(&host.state().join(".agent.lock"))?;
    let (mut whole, mut ports) = load(host)?;
    if let Some(found) = ports.get(&service.to_string()) {
        return Ok(*found);
    }
    let found = free_pair(host, service, &ports)?;
    ports.insert(service.to_string(), found);
    store(host, &mut whole, &ports)?;
    Ok(found)
}

/// Stores a service's ports where one of them is given: an adopted program's own is blue's.
pub fn adopt(host: &HostRoot, service: &ServiceName, blue: u16) -> Result<ArmPorts, PortError> {
    files::make_dir(&host.state(), 0o711)?;
    let _lock = files::Lock::hold(&host.state().join(".agent.lock"))?;
    let (mut whole, mut ports) = load(host)?;
    if let Some(found) = ports.get(&service.to_string()).filter(|found| found.blue == blue) {
        return Ok(*found);
    }
    let green = free_pair(host, service, &ports)?.green;
    let found = ArmPorts { blue, green };
    ports.insert(service.to_string(), found);
    store(host, &mut whole, &ports)?;
    Ok(found)
}

/// Returns the ports that a service has or would be allotted now; nothing is stored.
pub fn preview(host: &HostRoot, service: &ServiceName) -> Result<ArmPorts, PortError> {
    let ports = load(host)?.1;
    match ports.get(&service.to_string()) {
        Some(found) => Ok(*found),
        None => free_pair(host, service, &ports),
    }
}

/// Finds two neighbouring ports that nobody has.
fn free_pair(host: &HostRoot, service: &ServiceName, ports: &Ports) -> Result<ArmPorts, PortError> {
    let taken: BTreeSet<u16> = ports.values().flat_map(|p| [p.blue, p.green]).collect();
    let start = first_pair(host, service);
    let pair = (0..PAIRS)
        .map(|i| FIRST + 2 * ((start + i) % PAIRS))
        .filter(|port| !taken.contains(port) && !taken.contains(&(port + 1)))
        .find(|port| hold(*port).is_ok() && hold(port + 1).is_ok())
        .ok_or(PortError::NoneFree)?;
    Ok(ArmPorts { blue: pair, green: pair + 1 })
}

/// Returns a service's ports if it has some.
pub fn allotted(host: &HostRoot, service: &ServiceName) -> Result<Option<ArmPorts>, PortError> {
    Ok(load(host)?.1.get(&service.to_string()).copied())
}

/// Gives a removed service's ports back.
pub fn give_back(host: &HostRoot, service: &ServiceName) -> Result<(), PortError> {
    if !host.agent_file().exists() {
        return Ok(());
    }
    let _lock = files::Lock::hold(&host.state().join(".agent.lock"))?;
    let (mut whole, mut ports) = load(host)?;
    if ports.remove(&service.to_string()).is_some() {
        store(host, &mut whole, &ports)?;
    }
    Ok(())
}

/// Binds a loopback port without listening. Connections of an arm that has just ended may still be
/// in TIME_WAIT there, which only a socket with SO_REUSEADDR may bind over; the option is taken off
/// again at once, so that another program's listen is refused by the kernel.
pub fn hold(port: u16) -> Result<HeldPort, PortError> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)
        .map_err(io::Error::from)?;
    sockopt::set_socket_reuseaddr(&socket, true).map_err(io::Error::from)?;
    match bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)) {
        Ok(()) => {}
        Err(rustix::io::Errno::ADDRINUSE) => {
            return Err(PortError::Taken { port, owner: owner_of(port) });
        }
        Err(error) => return Err(io::Error::from(error).into()),
    }
    sockopt::set_socket_reuseaddr(&socket, false).map_err(io::Error::from)?;
    Ok(HeldPort { port, _socket: socket })
}

impl HeldPort {
    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Lets go of the port, so that its arm can be started.
    pub fn release(self) {}
}

/// Who listened on a port when it was last asked. The next answer is mostly the same, and to walk
/// through every process's files costs thousands of calls; what is remembered is looked at first
/// and believed only where it still holds.
static LAST: Mutex<BTreeMap<u16, u32>> = Mutex::new(BTreeMap::new());

/// Returns the process that listens on a port of the loopback or of any address.
pub fn owner_of(port: u16) -> Option<Owner> {
    let sockets: BTreeSet<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| procnet::read(&table))
        .filter(|socket| socket.state == State::Listen && socket.port == port)
        .map(|socket| format!("socket:[{}]", socket.inode))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).get(&port).copied();
    let pid = match last.filter(|pid| has_socket(*pid, &sockets)) {
        Some(pid) => pid,
        None => walk(&sockets)?,
    };
    LAST.lock().unwrap_or_else(PoisonError::into_inner).insert(port, pid);
    Some(Owner { pid, exe: fs::read_link(format!("/proc/{pid}/exe")).ok() })
}

/// Returns the oldest process that has one of these sockets open.
fn walk(sockets: &BTreeSet<String>) -> Option<u32> {
    let pids = fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    pids.filter(|pid| has_socket(*pid, sockets)).min()
}

/// Returns how many connections of clients are established to a local port.
pub fn connections_to(port: u16) -> usize {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| procnet::read(&table))
        .filter(|socket| socket.state == State::Established && socket.port == port)
        .count()
}

/// Returns whether a process has one of these sockets open.
fn has_socket(pid: u32, sockets: &BTreeSet<String>) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| target.to_str().is_some_and(|text| sockets.contains(text)))
}

/// Returns the pair to try first: spread by name, so that a service added again after a removal
/// does not inherit the requests of another.
fn first_pair(host: &HostRoot, service: &ServiceName) -> u16 {
    let text = format!("{}\n{service}", host.root().display());
    let digest = hash::of_bytes(text.as_bytes());
    u16::from_str_radix(&digest.as_str()[..4], 16).map_or(0, |n| n % PAIRS)
}

type Ports = BTreeMap<String, ArmPorts>;

/// Reads the agent's file, keeping keys of others.
fn load(host: &HostRoot) -> Result<(Map<String, Value>, Ports), PortError> {
    let path = host.agent_file();
    let damaged =
        |e: serde_json::Error| PortError::Damaged { path: path.clone(), why: e.to_string() };
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
        Err(e) => return Err(e.into()),
    };
    let whole: Map<String, Value> = serde_json::from_slice(&bytes).map_err(damaged)?;
    let ports = match whole.get(KEY) {
        Some(value) => serde_json::from_value(value.clone()).map_err(damaged)?,
        None => Ports::new(),
    };
    Ok((whole, ports))
}

fn store(host: &HostRoot, whole: &mut Map<String, Value>, ports: &Ports) -> Result<(), PortError> {
    let value = serde_json::to_value(ports).map_err(io::Error::from)?;
    whole.insert(KEY.to_owned(), value);
    let text = serde_json::to_vec_pretty(whole).map_err(io::Error::from)?;
    Ok(files::replace(&host.agent_file(), &text, 0o600)?)
}

fn by(owner: Option<&Owner>) -> String {
    match owner {
        Some(Owner { pid, exe: Some(exe) }) => format!(" by process {pid}, {}", exe.display()),
        Some(Owner { pid, exe: None }) => format!(" by process {pid}"),
        None => String::new(),
    }
}

impl PortError {
    /// Returns the sentence for people.
    pub fn said(&self) -> Said {
        let zh = match self {
            Self::Taken { port, owner: Some(Owner { pid, exe }) } => {
                let program = exe.as_deref().unwrap_or(Path::new("?")).display();
                format!("端口 {port} 被进程 {pid}({program})占用")
            }
            Self::Taken { port, owner: None } => format!("端口 {port} 已被占用"),
            Self::NoneFree => "18000-18999 中已没有两个空闲端口".to_owned(),
            Self::Damaged { path, why } => format!("{} 已损坏:{why}", path.display()),
            Self::Io(error) => error.to_string(),
        };
        Said::new(zh, self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use guanka_core::name::{Arm, ServiceName};

    use super::{PortError, allot, allotted, give_back, hold, owner_of};
    use crate::hostroot::HostRoot;

    fn service(app: &str) -> ServiceName {
        ServiceName::new(app, "prod").expect("a good name")
    }

    #[test]
    fn a_service_keeps_its_two_ports_and_others_get_other_ones() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = HostRoot::new(dir.path());
        let shop = allot(&host, &service("shop")).expect("two ports");
        std::fs::write(host.agent_file(), {
            let text = std::fs::read_to_string(host.agent_file()).expect("there");
            text.replacen('{', "{\"epoch\": 7,", 1)
        })
        .expect("a key of the agent's");
        let pay = allot(&host, &service("pay")).expect("two ports");
        assert_eq!(allot(&host, &service("shop")).expect("stored"), shop);
        assert!((18000..19000).contains(&shop.of(Arm::Blue)) && shop.green == shop.blue + 1);
        assert!(pay.blue != shop.blue);
        let text = std::fs::read_to_string(host.agent_file()).expect("there");
        assert!(text.contains("\"epoch\": 7"), "{text}");
        give_back(&host, &service("shop")).expect("given back");
        assert_eq!(allotted(&host, &service("shop")).expect("read"), None);
    }

    /// Listens, says so and waits for its end.
    const LISTEN: &str = "import socket, sys\nl = socket.create_server(('127.0.0.1', \
                          int(sys.argv[1])))\nprint('x', flush=True)\nl.accept()\n";

    #[test]
    fn a_port_taken_by_another_process_is_passed_over_and_its_owner_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = HostRoot::new(dir.path());
        let first = allot(&host, &service("shop")).expect("two ports");
        give_back(&host, &service("shop")).expect("given back");
        let listener = TcpListener::bind(("127.0.0.1", first.green)).expect("free a moment ago");
        let second = allot(&host, &service("shop")).expect("two others");
        assert!(second.blue != first.blue, "{second:?}");
        let Err(PortError::Taken { port, owner: Some(owner) }) = hold(first.green) else {
            panic!("the port is taken");
        };
        assert_eq!((port, owner.pid), (first.green, std::process::id()));
        assert_eq!(owner.exe, std::env::current_exe().ok());
        drop(listener);
        assert_eq!(owner_of(first.green), None);
        // The next one is not taken for the last one.
        let mut python = std::process::Command::new("python3");
        python.args(["-c", LISTEN, &first.green.to_string()]).stdout(std::process::Stdio::piped());
        let Ok(mut other) = python.spawn() else { return };
        let mut said = [0];
        let out = other.stdout.as_mut().expect("its output");
        std::io::Read::read_exact(out, &mut said).expect("it listens");
        let owner = owner_of(first.green);
        other.kill().expect("ended");
        let listened = other.id();
        other.wait().expect("ended");
        assert_eq!(owner.map(|owner| owner.pid), Some(listened));
        assert_eq!(owner_of(first.green), None);
    }

    #[test]
    fn a_held_port_refuses_connections_and_other_listeners_even_over_time_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        let client = TcpStream::connect(address).expect("connected");
        let (served, _) = listener.accept().expect("accepted");
        // The serving side closes first, as an arm does in its Shutdown: TIME_WAIT stays there.
        drop(served);
        drop(client);
        drop(listener);
        let held = hold(address.port()).expect("held over TIME_WAIT");
        assert!(TcpStream::connect(address).is_err());
        assert!(TcpListener::bind(address).is_err());
        held.release();
        assert!(TcpListener::bind(address).is_ok());
    }
}
