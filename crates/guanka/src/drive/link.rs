//! The way to a host's agent: connected, started first where it is this machine's and does not run,
//! asked again over a restart, and with every refusal turned into a failure a person can act on.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;

use guanka_core::facts::declared::HostAddress;
use guanka_core::name::ServiceName;
use guanka_core::quantity::Millis;
use guanka_core::rollout::clock::Reading;
use guanka_core::say::Said;
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::own_unit;
use guanka_world::store::audit::Entry;
use guanka_world::store::journal::Row;
use guanka_world::transport::client::Client;
use guanka_world::transport::hosts;
use guanka_world::transport::ssh::{FaultKind, SshFault};
use guanka_world::transport::wire::{Answer, FailedKind, HostView, PROTOCOL, Request, Taking};
use guanka_world::{clock, files, obstacle, process};

use super::seat::Seat;
use crate::failure::codes::{
    AGENT, CHAIN, DAMAGED, FENCED, HOST_REFUSED, LOCKED, NOT_THERE, PORT_TAKEN, SSH,
};
use crate::failure::{Failure, because};

/// How long one answer may take: the reload of an install waits for old workers.
const ANSWER_LIMIT: Millis = Millis::from_secs(120);
/// How long a started agent may take until it answers.
const START_LIMIT: Millis = Millis::from_secs(20);

/// A connection to one host's agent.
pub(crate) struct Link {
    address: HostAddress,
    client: Option<Client>,
}

impl Link {
    /// Connects to the agent of a declared host.
    pub(crate) fn to(address: &HostAddress) -> Result<Self, Failure> {
        let address = match address {
            HostAddress::Local(root) => {
                let shown = Path::new(root);
                let root = files::absolute(shown).map_err(|error| unreachable(root, &error))?;
                HostAddress::Local(root.display().to_string())
            }
            HostAddress::Ssh(name) => HostAddress::Ssh(name.clone()),
        };
        let mut link = Self { address, client: None };
        link.connect()?;
        Ok(link)
    }

    /// Returns where it leads.
    pub(crate) fn address(&self) -> &HostAddress {
        &self.address
    }

    /// Asks; over a restart of the agent the same question is asked again, which is allowed for
    /// each.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Answer, Failure> {
        let mut last = std::io::Error::other("no connection");
        for _ in 0..3 {
            if self.client.is_none() {
                self.connect()?;
            }
            match self.client.as_mut().map(|client| client.ask(request)) {
                Some(Ok(answer)) => return checked(answer),
                Some(Err(error)) => last = error,
                None => {}
            }
            self.client = None;
        }
        Err(self.unreachable(&last))
    }

    /// Reads a service's whole journal, page by page.
    pub(crate) fn journal(&mut self, service: &ServiceName) -> Result<Vec<Row>, Failure> {
        let (mut rows, mut from) = (Vec::new(), Some(0));
        while let Some(number) = from {
            let request = Request::ReadJournal { service: service.clone(), from: number };
            match self.ask(&request)? {
                Answer::Journal { rows: more, next } => {
                    rows.extend(more);
                    from = next.filter(|next| *next > number);
                }
                other => return Err(unexpected(&other)),
            }
        }
        Ok(rows)
    }

    /// Reads the host's whole audit log, page by page.
    pub(crate) fn audit_log(&mut self) -> Result<Vec<Entry>, Failure> {
        let (mut entries, mut from) = (Vec::new(), Some(0));
        while let Some(number) = from {
            match self.ask(&Request::ReadAudit { from: number })? {
                Answer::AuditLog { entries: more, next } => {
                    entries.extend(more);
                    from = next.filter(|next| *next > number);
                }
                other => return Err(unexpected(&other)),
            }
        }
        Ok(entries)
    }

    /// Asks and sends files along.
    pub(crate) fn ask_with_files(
        &mut self,
        request: &Request,
        paths: &[PathBuf],
    ) -> Result<Answer, Failure> {
        if self.client.is_none() {
            self.connect()?;
        }
        let mut contents = paths.iter().map(|path| files::read_bytes(path, 1 << 30));
        let asked = self.client.as_mut().map(|c| c.ask_with_files(request, &mut contents));
        match asked {
            Some(Ok(answer)) => checked(answer),
            Some(Err(error)) => {
                self.client = None;
                Err(self.unreachable(&error))
            }
            None => Err(self.unreachable(&std::io::Error::other("no connection"))),
        }
    }

    /// Returns what the clocks of the host say.
    pub(crate) fn reading(&mut self) -> Result<Reading, Failure> {
        match self.ask(&Request::Hello { protocol: PROTOCOL })? {
            Answer::Hello { clock, .. } => Ok(clock),
            other => Err(unexpected(&other)),
        }
    }

    /// Returns what the host's machine runs, as Go calls it.
    pub(crate) fn arch(&mut self) -> Result<String, Failure> {
        match self.ask(&Request::Hello { protocol: PROTOCOL })? {
            Answer::Hello { arch, .. } => Ok(arch),
            other => Err(unexpected(&other)),
        }
    }

    fn connect(&mut self) -> Result<(), Failure> {
        let mut client = match &self.address {
            HostAddress::Local(root) => local(&HostRoot::new(root))?,
            HostAddress::Ssh(name) => hosts::way_to(name)
                .and_then(|(target, options)| {
                    Client::connect_over_ssh(&target, &options, ANSWER_LIMIT)
                })
                .map_err(|error| self.unreachable(&error))?,
        };
        let hello = client.ask(&Request::Hello { protocol: PROTOCOL });
        match (hello, &self.address) {
            (Ok(answer), _) => same_protocol(checked(answer)?)?,
            // How the connection went shows with the first answer.
            (Err(error), HostAddress::Ssh(_)) => return Err(self.unreachable(&error)),
            // An agent of this machine that ends now is started again at the next question.
            (Err(_), HostAddress::Local(_)) => {}
        }
        self.client = Some(client);
        Ok(())
    }

    fn unreachable(&self, error: &std::io::Error) -> Failure {
        match (&self.address, SshFault::of(error)) {
            (HostAddress::Ssh(name), Some(fault)) => over_ssh(name, fault),
            (HostAddress::Local(name) | HostAddress::Ssh(name), _) => unreachable(name, error),
        }
    }
}

/// Connects to the agent of a root of this machine, and starts it where it does not run.
fn local(host: &HostRoot) -> Result<Client, Failure> {
    reached(host, |socket| Client::connect(socket, ANSWER_LIMIT))
}

/// Returns the socket of this machine's agent, started where it does not run: for who only passes
/// on what is said.
pub(crate) fn socket(host: &HostRoot) -> Result<UnixStream, Failure> {
    reached(host, |socket| UnixStream::connect(socket))
}

fn reached<T>(
    host: &HostRoot,
    connect: impl Fn(&Path) -> std::io::Result<T>,
) -> Result<T, Failure> {
    let socket = host.agent_socket();
    let shown = host.root().display().to_string();
    match connect(&socket) {
        Ok(way) => return Ok(way),
        // It is there and not for this user: a second one is no way out.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(unreachable(&shown, &obstacle::at(&socket)(error)));
        }
        Err(_) => {}
    }
    let mut started = start(host)?;
    let answered = clock::wait_for(START_LIMIT, Millis(50), || match connect(&socket) {
        Ok(way) => Some(Ok(way)),
        Err(_) => started.ended(host).map(Err),
    });
    answered.unwrap_or_else(|| {
        let log = agent_log(host);
        let last = files::last_lines(&log, 3).unwrap_or_default().join("; ");
        let secs = START_LIMIT.0 / 1000;
        Err(silent(
            &shown,
            Said::new(
                format!("{secs} 秒内没有应答;{} 的末尾:{last}", log.display()),
                format!("no answer within {secs} s; the end of {}: {last}", log.display()),
            ),
        ))
    })
}

fn agent_log(host: &HostRoot) -> PathBuf {
    host.at("/var/log/guanka/agent.log")
}

/// An agent that was told to start.
enum Started {
    /// By the system's manager, which starts it again where it ends.
    ByUnit,
    /// As a process of its own, with the size that its log had before.
    Process(Child, u64),
}

impl Started {
    /// Returns why it has ended. Where another one was quicker, that one is waited for.
    fn ended(&mut self, host: &HostRoot) -> Option<Failure> {
        let Self::Process(child, since) = self else { return None };
        let status = child.try_wait().ok().flatten()?;
        if UnixStream::connect(host.helper_socket()).is_ok() {
            return None;
        }
        // Its failure is its only line; what it says at length is in its log.
        let said = files::appended(&agent_log(host), *since, 1 << 16).unwrap_or_default();
        let why = said.lines().rev().find_map(|line| {
            let told: serde_json::Value = serde_json::from_str(line).ok()?;
            serde_json::from_value(told["error"]["why"].clone()).ok()
        });
        let bare = || Said::new(format!("它已结束:{status}"), format!("it ended: {status}"));
        Some(silent(&host.root().display().to_string(), why.unwrap_or_else(bare)))
    }
}

/// Starts the agent of this machine's root: by its unit where it has one, else as a program of its
/// own.
fn start(host: &HostRoot) -> Result<Started, Failure> {
    let root = host.root();
    let failed = |error: &std::io::Error| unreachable(&root.display().to_string(), error);
    if !root.is_dir() {
        let none = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no such folder");
        return Err(failed(&none));
    }
    if own_unit::is_installed(host) {
        return own_unit::start().map(|()| Started::ByUnit).map_err(|error| failed(&error));
    }
    let own = process::own_program().map_err(|error| failed(&error))?;
    let log = agent_log(host);
    files::make_dir(&host.at("/var/log/guanka"), 0o755).map_err(|e| failed(&e))?;
    let since = files::size(&log);
    // Why it cannot start is read from its log, in both languages.
    let arguments = ["agent".as_ref(), "--root".as_ref(), root.as_os_str(), "--json".as_ref()];
    let child = process::start_detached(&own, &arguments, &log).map_err(|error| failed(&error))?;
    Ok(Started::Process(child, since))
}

fn checked(answer: Answer) -> Result<Answer, Failure> {
    match answer {
        Answer::Failed { kind, why, next } => {
            let code = match kind {
                FailedKind::CouldNot | FailedKind::Refused => &HOST_REFUSED,
                FailedKind::Fenced => &FENCED,
                FailedKind::NotThere => &NOT_THERE,
                FailedKind::Broken => &CHAIN,
                FailedKind::PortTaken => &PORT_TAKEN,
                FailedKind::Damaged => &DAMAGED,
            };
            let doing = Said::new("正在请主机上的 agent 做事", "asking the host's agent");
            Err(Failure::new(code, doing, why).next(next))
        }
        Answer::Held { holder, since_ms, ends_in_ms } => Err(locked(&holder, since_ms, ends_in_ms)),
        other => Ok(other),
    }
}

/// Refuses an agent of another protocol: it may take a request for something else.
fn same_protocol(hello: Answer) -> Result<(), Failure> {
    let protocol = match hello {
        Answer::Hello { protocol: PROTOCOL, .. } => return Ok(()),
        Answer::Hello { protocol, .. } => protocol,
        other => return Err(unexpected(&other)),
    };
    let why = Said::new(
        format!("主机上的 agent 的协议版本是 {protocol},这个命令行的是 {PROTOCOL}"),
        format!("the host's agent speaks protocol {protocol}, this command line {PROTOCOL}"),
    );
    let next = Said::new(
        "让两边用同一版 guanka:停掉旧 agent 后再运行,或再次运行 `guanka host add`",
        "use the same guanka on both sides: end the old agent and run this again, or run \
         `guanka host add` again",
    );
    let doing = Said::new("正在联系主机上的 agent", "talking to the host's agent");
    Err(Failure::new(&AGENT, doing, why).next(next))
}

fn locked(holder: &str, since_ms: u64, ends_in_ms: u64) -> Failure {
    let since = clock::rfc3339(since_ms);
    let secs = ends_in_ms.div_ceil(1000);
    Failure::new(
        &LOCKED,
        Said::new("正在取得服务的租约", "taking the service's lease"),
        Said::new(
            format!("{holder} 自 {since} 起持有;若它不再续约,{secs} 秒后自行失效"),
            format!("{holder} has it since {since}; not renewed, it ends by itself in {secs} s"),
        ),
    )
}

fn unreachable(host: &str, error: &std::io::Error) -> Failure {
    let failed = silent(host, because(error));
    if error.kind() != ErrorKind::PermissionDenied {
        return failed;
    }
    failed.next(Said::new(
        "改用 root(例如 sudo),或启动这个 agent 的用户运行",
        "run it as root (with sudo), or as the user whose agent this is",
    ))
}

fn silent(host: &str, why: Said) -> Failure {
    let doing =
        Said::new(format!("正在联系 {host} 的 agent"), format!("reaching the agent of {host}"));
    Failure::new(&AGENT, doing, why)
}

/// Builds the failure for a connection that ssh ended, with what helps against its kind.
pub(crate) fn over_ssh(name: &str, fault: &SshFault) -> Failure {
    let doing = Said::new(format!("正在经 SSH 连接 {name}"), format!("reaching {name} over SSH"));
    let failed = Failure::new(&SSH, doing, fault.said());
    let host = name.split_once('@').map_or(name, |(_, host)| host);
    match fault.kind {
        FaultKind::UnknownKey | FaultKind::NoAgent => failed.next(Said::new(
            format!("先运行 `guanka host add {name}`"),
            format!("run `guanka host add {name}` first"),
        )),
        FaultKind::ChangedKey => failed.next(Said::new(
            format!("先核实指纹;确认重装后 `ssh-keygen -R {host}`,再 `guanka host add {name}`"),
            format!(
                "ask who keeps the host for its fingerprint; where it was set up anew, \
                 `ssh-keygen -R {host}` and `guanka host add {name}`"
            ),
        )),
        _ => failed,
    }
}

/// Builds the failure for an answer that does not fit the question: another version's agent.
pub(crate) fn unexpected(answer: &Answer) -> Failure {
    let text = serde_json::to_string(answer).unwrap_or_default();
    let text: String = text.chars().take(120).collect();
    Failure::new(
        &AGENT,
        Said::new("正在读取 agent 的应答", "reading the agent's answer"),
        Said::new(format!("应答与问题不符:{text}"), format!("it does not fit: {text}")),
    )
}

/// Takes the service's lease for this process.
pub(crate) fn lease(
    link: &mut Link,
    service: &ServiceName,
    taking: Taking,
    seat: Seat,
) -> Result<u64, Failure> {
    let holder = seat.holder();
    match link.ask(&Request::TakeLease { service: service.clone(), holder, taking })? {
        Answer::Leased { epoch } => Ok(epoch),
        other => Err(unexpected(&other)),
    }
}

/// Returns what the host says of a service.
pub(crate) fn view(link: &mut Link, service: &ServiceName) -> Result<HostView, Failure> {
    match link.ask(&Request::Observe { service: service.clone() })? {
        Answer::Observed { view } => Ok(*view),
        other => Err(unexpected(&other)),
    }
}
