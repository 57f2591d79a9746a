//! The way to a host's agent: connected, started first where it is this machine's and does not run,
//! asked again over a restart, and with every refusal turned into a failure a person can act on.

use std::path::{Path, PathBuf};

use guanka_core::facts::declared::HostAddress;
use guanka_core::name::ServiceName;
use guanka_core::quantity::Millis;
use guanka_core::rollout::clock::Reading;
use guanka_core::say::Said;
use guanka_world::hostroot::HostRoot;
use guanka_world::transport::client::Client;
use guanka_world::transport::wire::{Answer, FailedKind, PROTOCOL, Request, Taking};
use guanka_world::{clock, files, process};

use crate::failure::codes::{
    AGENT, CHAIN, DAMAGED, FENCED, HOST_REFUSED, LOCKED, NOT_THERE, PORT_TAKEN,
};
use crate::failure::{Failure, because};

/// How long one answer may take: the reload of an install waits for old workers.
const ANSWER_LIMIT: Millis = Millis::from_secs(120);
/// How long a started agent may take until it answers.
const START_LIMIT: Millis = Millis::from_secs(20);

/// A connection to one host's agent.
pub(crate) struct Link {
    host: HostRoot,
    client: Option<Client>,
}

impl Link {
    /// Connects to the agent of a declared host.
    pub(crate) fn to(address: &HostAddress) -> Result<Self, Failure> {
        match address {
            HostAddress::Local(root) => Self::local(Path::new(root)),
            HostAddress::Ssh(name) => Err(super::submission::ssh(name)),
        }
    }

    /// Connects to the agent of a root folder of this machine.
    pub(crate) fn local(root: &Path) -> Result<Self, Failure> {
        let root = files::absolute(root).map_err(|error| unreachable(root, &error))?;
        let mut link = Self { host: HostRoot::new(root), client: None };
        link.connect()?;
        Ok(link)
    }

    /// Returns the root folder of the host.
    pub(crate) fn root(&self) -> &Path {
        self.host.root()
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
        Err(unreachable(self.host.root(), &last))
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
                Err(unreachable(self.host.root(), &error))
            }
            None => Err(unreachable(self.host.root(), &std::io::Error::other("no connection"))),
        }
    }

    /// Returns what the clocks of the host say.
    pub(crate) fn reading(&mut self) -> Result<Reading, Failure> {
        match self.ask(&Request::Hello { protocol: PROTOCOL })? {
            Answer::Hello { clock, .. } => Ok(clock),
            other => Err(unexpected(&other)),
        }
    }

    fn connect(&mut self) -> Result<(), Failure> {
        let socket = self.host.agent_socket();
        let connect = || Client::connect(&socket, ANSWER_LIMIT).ok();
        let client = match connect() {
            Some(client) => client,
            None => {
                self.start()?;
                clock::wait_for(START_LIMIT, Millis(50), connect).ok_or_else(|| {
                    let log = self.host.at("/var/log/guanka/agent.log");
                    let last = files::last_lines(&log, 3).unwrap_or_default().join("; ");
                    let late = std::io::Error::other(format!("it does not answer. {last}"));
                    unreachable(self.host.root(), &late)
                })?
            }
        };
        self.client = Some(client);
        let hello = self.client.as_mut().map(|c| c.ask(&Request::Hello { protocol: PROTOCOL }));
        match hello {
            Some(Ok(answer)) => checked(answer).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Starts the agent of this machine's root as a program of its own.
    fn start(&self) -> Result<(), Failure> {
        let root = self.host.root();
        let failed = |error: &dyn std::error::Error| unreachable(root, error);
        if !root.is_dir() {
            let none = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no such folder");
            return Err(failed(&none));
        }
        let own = process::own_program().map_err(|error| failed(&error))?;
        let log = self.host.at("/var/log/guanka/agent.log");
        files::make_dir(&self.host.at("/var/log/guanka"), 0o755).map_err(|e| failed(&e))?;
        let arguments = ["agent".as_ref(), "--root".as_ref(), root.as_os_str()];
        process::start_detached(&own, &arguments, &log).map_err(|error| failed(&error))?;
        Ok(())
    }
}

/// Turns a refusal into a failure.
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

fn unreachable(root: &Path, error: &dyn std::error::Error) -> Failure {
    let shown = root.display();
    let doing =
        Said::new(format!("正在联系 {shown} 的 agent"), format!("reaching the agent of {shown}"));
    Failure::new(&AGENT, doing, because(error))
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

/// Returns the request that takes a service's lease for this process.
pub(crate) fn take_lease(service: &ServiceName, taking: Taking) -> Request {
    Request::TakeLease { service: service.clone(), holder: crate::agent::own_name(), taking }
}
