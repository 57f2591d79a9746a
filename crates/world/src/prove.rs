//! Proof through nginx that requests land where the share says: probes with a secret of their own
//! are found in the access log, and the arm that served them runs the release's own binary.

mod ask;
pub mod closed;
mod door;
mod log;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use guanka_core::facts::declared::Sticky;
use guanka_core::name::{Arm, Digest, Domain, ServiceName};
use guanka_core::quantity::{Millis, SharePercent};
use guanka_core::say::Said;
use guanka_core::signals::slot::Slot;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use crate::hash;
use crate::hostroot::HostRoot;
use crate::ports::{self, ArmPorts};
use crate::proxy::share::{self, ShareError};
use crate::proxy::{Listen, Nginx, Over, worker};
use ask::Ask;
use door::Reply;
use log::{Line, Log};

/// The secret of one run of probes or load. Only a value that the agent made up itself counts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(String);

/// What is to be proven.
#[derive(Clone)]
pub struct Question<'a> {
    /// The service.
    pub service: &'a ServiceName,
    /// The site's domain.
    pub domain: &'a Domain,
    /// Where the site can be asked. One that sends its askers to https is passed over for one with
    /// TLS.
    pub listens: &'a [Listen],
    /// The service's access log.
    pub access_log: &'a Path,
    /// What keeps a user on one arm.
    pub sticky: &'a Sticky,
    /// The arms' ports.
    pub ports: ArmPorts,
    /// Green's share that should be in force.
    pub green: SharePercent,
    /// The SHA-256 of the program each arm should run; an arm adopted from elsewhere has none.
    pub programs: &'a BTreeMap<Arm, Digest>,
    /// Finds who listens on an arm's port and what it runs; `program_on` where that may be seen.
    pub serving: &'a Serving<'a>,
    /// The path to ask; a health path changes nothing.
    pub path: &'a str,
    /// How long each answer and the log may take.
    pub limit: Millis,
}

/// Finds the process on an arm's port and the SHA-256 of its program.
pub type Serving<'a> = dyn Fn(Arm) -> io::Result<Option<(u32, Digest)>> + 'a;

/// Requests landed where the share says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The run's secret, by which its lines are left out of the users' evidence.
    pub nonce: Nonce,
    /// Green's share that was in force.
    pub green: SharePercent,
    /// The requests found in the log, as slot and arm.
    pub seen: Vec<Seen>,
    /// The arms that served, each with its process and program.
    pub arms: BTreeMap<Arm, Served>,
}

/// One request in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its slot.
    pub slot: String,
    /// The arm chosen, which also served it.
    pub arm: Arm,
}

/// Who serves an arm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// The process.
    pub pid: u32,
    /// The SHA-256 of its program.
    pub program: Digest,
}

/// Why nothing is proven, by its cause.
#[derive(Debug, thiserror::Error)]
pub enum NotProven {
    /// The site can be asked nowhere.
    #[error(
        "the site listens at no TCP address of this machine that HTTP can be asked at: add a line \
         to it, listen 127.0.0.1:PORT with a free port"
    )]
    NoListen,
    /// Users are kept by address, and this machine has none that falls to an arm.
    #[error(
        "this machine has no address to ask {listen} from that falls to {arm} at a share of \
         {green} for green: let the site listen on IPv4 too, or set proxy.sticky = \"cookie:NAME\""
    )]
    NoClient {
        /// Where the site can be asked.
        listen: Listen,
        /// The arm.
        arm: Arm,
        /// Green's share.
        green: SharePercent,
    },
    /// The site did not answer.
    #[error("{listen} did not answer: {source}")]
    NoAnswer {
        /// Who was asked.
        listen: Listen,
        /// Why not.
        source: io::Error,
    },
    /// The answers came, and the log has no line of them.
    #[error("the site answered with status {status}, and {log} has no line of it")]
    NotLogged {
        /// The last status.
        status: u16,
        /// The log.
        log: PathBuf,
    },
    /// The site forces https and does not speak it on this machine.
    #[error(
        "{listen} sends every request to https, and the site listens nowhere here with TLS: where \
         TLS ends at a CDN before it, browsers go round in circles; switch forced HTTPS off in \
         the panel, force it at the CDN, and set proxy.forwarded_proto = \"https\""
    )]
    SentToHttps {
        /// Who was asked.
        listen: Listen,
    },
    /// Something answered before guanka's location chose an arm.
    #[error("a request was answered with {status} before an arm was chosen")]
    NoArm {
        /// Its status.
        status: String,
    },
    /// nginx's workers may not look into the share folders, so green gets nothing.
    #[error("nginx's user {user} may not look at {path}, so every request goes to blue")]
    Permission {
        /// The workers' user.
        user: String,
        /// What it cannot see.
        path: PathBuf,
    },
    /// nginx does not see the share, although its user may.
    #[error(
        "slot {slot} went to {arm} at a share of {green} for green; nginx does not see the \
             share: look at open_file_cache, disable_symlinks, a container or SELinux"
    )]
    ShareNotSeen {
        /// The slot.
        slot: String,
        /// Where it went.
        arm: Arm,
        /// Green's share.
        green: SharePercent,
    },
    /// The chosen arm did not serve it.
    #[error("a request for {arm} was served by {served_by:?}: the arm is down or marked down")]
    FailedOver {
        /// The arm.
        arm: Arm,
        /// The addresses in the log: those that failed, and the one that served.
        served_by: String,
    },
    /// No arm served it at all.
    #[error("a request for {arm} did not reach it (cache status {cache:?}, status {status})")]
    NotServed {
        /// The arm.
        arm: Arm,
        /// What the cache said.
        cache: String,
        /// The status.
        status: String,
    },
    /// The keys that were sent did not decide the slots.
    #[error(
        "no probe fell to {arm} at a share of {green} for green: the key sent is not the one \
             that nginx sees"
    )]
    KeyNotSeen {
        /// The arm without a probe.
        arm: Arm,
        /// Green's share.
        green: SharePercent,
    },
    /// Nobody, or nobody that can be told, listens on the arm's port.
    #[error("nobody is seen listening on {arm}'s port {port}")]
    NoListener {
        /// The arm.
        arm: Arm,
        /// Its port.
        port: u16,
    },
    /// Another program serves the arm.
    #[error("process {pid} on {arm}'s port {port} runs another program than the release's")]
    OtherProgram {
        /// The arm.
        arm: Arm,
        /// Its port.
        port: u16,
        /// The process.
        pid: u32,
    },
    /// The operating system refused.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why not.
        source: io::Error,
    },
}

impl Nonce {
    /// Makes a secret of 128 random bits.
    pub fn fresh() -> io::Result<Self> {
        let mut bytes = [0; 16];
        let made = SystemRandom::new().fill(&mut bytes);
        made.map_err(|_| io::Error::other("the system gave no random bytes"))?;
        Ok(Self(bytes.iter().map(|b| format!("{b:02x}")).collect()))
    }

    /// Returns the text that stands in the header and in the log.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Nonce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonce(…)")
    }
}

/// Asks through nginx with keys on both sides of the share and follows each request to its program.
pub fn prove(host: &HostRoot, question: &Question<'_>) -> Result<Proof, NotProven> {
    let log_error = |source| NotProven::Io {
        doing: format!("reading {}", question.access_log.display()),
        source,
    };
    let nonce = Nonce::fresh()
        .map_err(|source| NotProven::Io { doing: "making a nonce".to_owned(), source })?;
    let mut rest = question.listens;
    let (mut log, listen, asks, last) = loop {
        let [listen, others @ ..] = rest else { return Err(NotProven::NoListen) };
        rest = others;
        let asks = match ask::asks(question, *listen) {
            Ok(asks) => asks,
            Err(_) if !others.is_empty() => continue,
            Err(arm) => {
                let (listen, green) = (*listen, question.green);
                return Err(NotProven::NoClient { listen, arm, green });
            }
        };
        let log = Log::at_end(question.access_log).map_err(log_error)?;
        match ask_all(question, *listen, others, &asks, &nonce) {
            Ok(Some(last)) => break (log, *listen, asks, last),
            Ok(None) => {}
            Err(_) if !others.is_empty() => {}
            Err(source) => return Err(NotProven::NoAnswer { listen: *listen, source }),
        }
    };
    let lines = log.lines_of(&nonce, asks.len(), question.limit).map_err(log_error)?;
    if lines.len() < asks.len() {
        let log = question.access_log.to_owned();
        return Err(match last.sends_to_https() {
            true => NotProven::SentToHttps { listen },
            false => NotProven::NotLogged { status: last.status, log },
        });
    }
    let mut seen = Vec::new();
    for line in &lines {
        seen.push(judge(host, question, line)?);
    }
    let arms: BTreeSet<Arm> = seen.iter().map(|s| s.arm).collect();
    if let Some(arm) = expected_arms(question.green).into_iter().find(|arm| !arms.contains(arm)) {
        return Err(NotProven::KeyNotSeen { arm, green: question.green });
    }
    let arms = arms.into_iter().map(|arm| Ok((arm, who_serves(question, arm)?)));
    let arms = arms.collect::<Result<_, NotProven>>()?;
    Ok(Proof { nonce, green: question.green, seen, arms })
}

/// Sends every probe to one address and returns the last answer; `None` where the address only
/// sends its askers on to https and one of the others speaks that.
fn ask_all(
    question: &Question<'_>,
    listen: Listen,
    others: &[Listen],
    asks: &[Ask],
    nonce: &Nonce,
) -> io::Result<Option<Reply>> {
    let has_tls = others.iter().any(|other| other.over == Over::Tls);
    let mut last = None;
    for ask in asks {
        let reply = ask.send(question, listen, nonce)?;
        if reply.sends_to_https() && listen.over == Over::Plain && has_tls {
            return Ok(None);
        }
        last = Some(reply);
    }
    last.map(Some).ok_or_else(|| io::Error::other("there was nothing to ask"))
}

/// Returns the arms that get requests at a share.
fn expected_arms(green: SharePercent) -> Vec<Arm> {
    match green {
        SharePercent::NONE => vec![Arm::Blue],
        SharePercent::ALL => vec![Arm::Green],
        _ => vec![Arm::Blue, Arm::Green],
    }
}

/// Compares one line with the share: the chosen arm by the slot, the serving one by its address.
fn judge(host: &HostRoot, question: &Question<'_>, line: &Line) -> Result<Seen, NotProven> {
    let (Some(arm), Some(slot)) = (Arm::parse(&line.arm), slot(&line.slot)) else {
        return Err(NotProven::NoArm { status: line.status.clone() });
    };
    if arm != slot.arm(question.green) {
        return Err(unseen(host, question, &line.slot, arm));
    }
    let own = format!("127.0.0.1:{}", question.ports.of(arm));
    match line.only_upstream() {
        Some(address) if address == own => Ok(Seen { slot: line.slot.clone(), arm }),
        Some("" | "-") => {
            let (cache, status) = (line.upstream_cache_status.clone(), line.status.clone());
            Err(NotProven::NotServed { arm, cache, status })
        }
        _ => Err(NotProven::FailedOver { arm, served_by: line.upstream_addr.clone() }),
    }
}

/// Reads `s07`.
fn slot(text: &str) -> Option<Slot> {
    let digits = text.strip_prefix('s').filter(|digits| digits.len() == 2)?;
    Slot::new(digits.parse().ok()?)
}

/// Finds out why nginx's choice is not the share's.
fn unseen(host: &HostRoot, question: &Question<'_>, slot: &str, arm: Arm) -> NotProven {
    let user = Nginx::find(host).and_then(|nginx| worker(&nginx));
    let look = user.as_ref().map(|(name, uid, gid)| (name.as_str(), *uid, *gid));
    match share::check_visible(host, question.service, look) {
        Err(ShareError::Invisible { user, path }) => NotProven::Permission { user, path },
        _ => NotProven::ShareNotSeen { slot: slot.to_owned(), arm, green: question.green },
    }
}

/// Compares the program that listens on an arm's port with the release's.
fn who_serves(question: &Question<'_>, arm: Arm) -> Result<Served, NotProven> {
    let port = question.ports.of(arm);
    let doing = || format!("reading the program on port {port}");
    let found =
        (question.serving)(arm).map_err(|source| NotProven::Io { doing: doing(), source })?;
    let (pid, program) = found.ok_or(NotProven::NoListener { arm, port })?;
    match question.programs.get(&arm) {
        Some(expected) if *expected != program => Err(NotProven::OtherProgram { arm, port, pid }),
        _ => Ok(Served { pid, program }),
    }
}

/// Returns the process that listens on a port and the SHA-256 of the program it runs. Another
/// user's program is seen by root alone.
pub fn program_on(port: u16) -> io::Result<Option<(u32, Digest)>> {
    let Some(owner) = ports::owner_of(port) else { return Ok(None) };
    let program = hash::of_file(Path::new(&format!("/proc/{}/exe", owner.pid)))?;
    Ok(Some((owner.pid, program)))
}

impl NotProven {
    /// Returns the sentence for people.
    pub fn said(&self) -> Said {
        let zh = match self {
            Self::NoListen => "站点没有可从本机用 HTTP 访问的 TCP 监听地址:请为它加一行 listen \
                               127.0.0.1:端口(任一空闲端口)"
                .to_owned(),
            Self::NoClient { listen, arm, green } => format!(
                "green 份额为 {green} 时,本机没有可用来访问 {listen} 且落到 {arm} 的地址:请让站点也\
                 监听 IPv4,或设 proxy.sticky = \"cookie:名称\""
            ),
            Self::NoAnswer { listen, source } => format!("{listen} 没有应答:{source}"),
            Self::NotLogged { status, log } => {
                format!("站点返回了 {status},但 {} 中没有对应的一行", log.display())
            }
            Self::SentToHttps { listen } => format!(
                "{listen} 把所有请求重定向到 https,而站点在本机没有 TLS 监听:若 TLS 在前面的 CDN \
                 终止,浏览器会无限重定向;请在面板关闭强制 HTTPS,改在 CDN 上强制,并设 \
                 proxy.forwarded_proto = \"https\""
            ),
            Self::NoArm { status } => format!("请求在选择臂之前就被应答({status})"),
            Self::Permission { user, path } => {
                format!("nginx 用户 {user} 无权查看 {},请求会全部走 blue", path.display())
            }
            Self::ShareNotSeen { slot, arm, green } => format!(
                "green 份额为 {green} 时槽位 {slot} 走了 {arm};nginx 看不到份额,请检查 \
                 open_file_cache、disable_symlinks、容器或 SELinux"
            ),
            Self::FailedOver { arm, served_by } => {
                format!("选中 {arm} 的请求由 {served_by} 应答:该臂已停或被标记为不可用")
            }
            Self::NotServed { arm, cache, status } => {
                format!("选中 {arm} 的请求没有到达程序(缓存 {cache:?},状态 {status})")
            }
            Self::KeyNotSeen { arm, green } => {
                format!("green 份额为 {green} 时没有探测落到 {arm}:nginx 看到的键不是所发的键")
            }
            Self::NoListener { arm, port } => format!("{arm} 的端口 {port} 没有进程监听"),
            Self::OtherProgram { arm, port, pid } => {
                format!("{arm} 的端口 {port} 由进程 {pid} 监听,但它不是该发布的程序")
            }
            Self::Io { doing, source } => format!("{doing}:{source}"),
        };
        Said::new(zh, self.to_string())
    }
}
