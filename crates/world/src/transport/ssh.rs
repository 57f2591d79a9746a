//! The way to another host: one connection of the system's OpenSSH, with the user's own
//! configuration and keys. What ends it is told apart: silence, a closed port, a key that is not
//! the host's, a person who may not.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use guanka_core::quantity::Millis;
use guanka_core::say::Said;

use crate::clock;

/// The program that connects this host's agent to its standard streams.
const CONNECT: &[&str] = &["/opt/guanka/bin/guanka", "agent", "--connect"];
/// How long a connection may take to be set up.
const CONNECT_SECS: u32 = 10;
/// How often a silent peer is asked for a sign, and how many may stay out.
const ALIVE_SECS: u32 = 5;
const ALIVE_TRIES: u32 = 3;
/// The most of what ssh says that is kept.
const SAID_MAX: u64 = 16 << 10;
/// How long ssh may take to say why it has ended.
const END_LIMIT: Millis = Millis::from_secs(2);

/// Where to connect to: `user@host` or a name of the user's ssh configuration, never an option.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target(String);

/// How connections are made beside what the user's own configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// A configuration file in place of the user's own.
    pub config: Option<PathBuf>,
    /// A key that is used alone.
    pub identity: Option<PathBuf>,
    /// Files of known host keys in place of the user's own.
    pub known_hosts: Vec<PathBuf>,
}

/// Why a connection ended or never was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct SshFault {
    /// What kind of end.
    pub kind: FaultKind,
    /// What ssh said, its last lines.
    pub text: String,
}

/// The kinds of ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The host did not answer in time: it is off, or a firewall drops.
    Silent,
    /// The host answers and nobody listens on its ssh port.
    Refused,
    /// The name is unknown.
    NoSuchHost,
    /// No key of the host is known yet.
    UnknownKey,
    /// The host's key is another one than the known one.
    ChangedKey,
    /// No key or no right of ours was accepted.
    Denied,
    /// There is no guanka on the host.
    NoAgent,
    /// Something else; the text says what.
    Other,
}

/// A child `ssh` whose standard streams are one end of a socket.
pub(super) struct Ssh {
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Target {
    /// Accepts letters, digits and `. - _`, with a user before an `@` or without.
    pub fn parse(text: &str) -> Option<Self> {
        let word = |word: &str| {
            let is_letter = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
            !word.is_empty() && !word.starts_with('-') && word.bytes().all(is_letter)
        };
        let good = match text.split_once('@') {
            Some((user, host)) => word(user) && word(host),
            None => word(text),
        };
        (good && text.len() <= 255).then(|| Self(text.to_owned()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the host without its user.
    pub fn host(&self) -> &str {
        self.0.split_once('@').map_or(self.0.as_str(), |(_, host)| host)
    }
}

/// Builds the command that runs a program on a host. The remote side's shell sees nothing but the
/// words given here, which are constants and checked names.
pub fn command(target: &Target, options: &Options, words: &[&str]) -> io::Result<Command> {
    let mut command = Command::new("ssh");
    command.env("LC_ALL", "C");
    if let Some(config) = &options.config {
        command.arg("-F").arg(config);
    }
    command.args(["-T", "-o", "BatchMode=yes", "-o", "ForwardAgent=no", "-o", "ForwardX11=no"]);
    command.args(["-o", "ClearAllForwardings=yes", "-o", "StrictHostKeyChecking=yes"]);
    command.arg("-o").arg(format!("ConnectTimeout={CONNECT_SECS}"));
    command.arg("-o").arg(format!("ServerAliveInterval={ALIVE_SECS}"));
    command.arg("-o").arg(format!("ServerAliveCountMax={ALIVE_TRIES}"));
    if let Some(identity) = &options.identity {
        command.arg("-o").arg("IdentitiesOnly=yes");
        command.arg("-o").arg(format!("IdentityFile={}", quoted(identity)?));
    }
    if !options.known_hosts.is_empty() {
        let files: Vec<String> =
            options.known_hosts.iter().map(|file| quoted(file)).collect::<io::Result<_>>()?;
        command.arg("-o").arg(format!("UserKnownHostsFile={}", files.join(" ")));
    }
    command.arg("--").arg(target.as_str()).args(words);
    Ok(command)
}

/// Returns a file as ssh's configuration holds it: one word, whatever spaces are in it, and no
/// token. What no version of ssh reads as it is meant is refused.
fn quoted(file: &Path) -> io::Result<String> {
    let text = file.to_str().filter(|text| {
        let is_special = |c: char| matches!(c, '"' | '\\') || c.is_control();
        text.starts_with('/') && !text.contains(is_special) && !text.contains("${")
    });
    text.map(|text| format!("\"{}\"", text.replace('%', "%%"))).ok_or_else(|| {
        let why = format!(
            "ssh cannot be given the file {file:?}: its path must be absolute, without \" \\ ${{"
        );
        io::Error::new(io::ErrorKind::InvalidInput, why)
    })
}

/// Connects to the agent of a host.
pub(super) fn connect(target: &Target, options: &Options) -> io::Result<(UnixStream, Ssh)> {
    let (ours, theirs) = UnixStream::pair()?;
    let input: OwnedFd = theirs.try_clone()?.into();
    let output: OwnedFd = theirs.into();
    let mut command = command(target, options, CONNECT)?;
    let spawned = command.stdin(input).stdout(output).stderr(Stdio::piped()).spawn();
    // The command keeps its copies of the other end; without them an ended ssh is an ended stream.
    drop(command);
    let mut child = spawned.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::other(SshFault {
            kind: FaultKind::Other,
            text: "there is no program ssh on this machine".to_owned(),
        }),
        _ => error,
    })?;
    let said = Arc::new(Mutex::new(Vec::new()));
    if let Some(mut stream) = child.stderr.take() {
        let said = Arc::clone(&said);
        thread::spawn(move || {
            let mut piece = [0; 1024];
            while let Ok(n @ 1..) = stream.read(&mut piece) {
                let mut kept = said.lock().unwrap_or_else(PoisonError::into_inner);
                let room = (SAID_MAX as usize).saturating_sub(kept.len());
                kept.extend(&piece[..n.min(room)]);
            }
        });
    }
    Ok((ours, Ssh { child, said }))
}

impl Ssh {
    /// Returns why the connection ended, once ssh has ended; nothing while it runs on.
    pub(super) fn fault(&mut self) -> Option<SshFault> {
        let status =
            clock::wait_for(END_LIMIT, Millis(20), || self.child.try_wait().ok().flatten())?;
        // What it said last may still be on its way through the pipe.
        let read = || {
            let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8_lossy(&said).trim().to_owned()
        };
        let text =
            clock::wait_for(Millis(300), Millis(20), || Some(read()).filter(|t| !t.is_empty()));
        Some(classify(status.code(), &text.unwrap_or_default()))
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        // It may have ended by itself; both are best effort.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells what ssh's exit code and words mean. It ends with 255 for a fault of its own and with the
/// remote program's code else.
pub fn classify(code: Option<i32>, text: &str) -> SshFault {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let kind = if has(&["REMOTE HOST IDENTIFICATION HAS CHANGED", "differs from the key"]) {
        FaultKind::ChangedKey
    } else if has(&["Host key verification failed", "host key is known for"]) {
        FaultKind::UnknownKey
    } else if has(&["Permission denied", "Too many authentication failures"]) {
        FaultKind::Denied
    } else if has(&["Could not resolve hostname"]) {
        FaultKind::NoSuchHost
    } else if has(&["Connection refused"]) {
        FaultKind::Refused
    } else if has(&["timed out", "Timeout, server", "No route to host", "Network is unreachable"]) {
        FaultKind::Silent
    } else if matches!(code, Some(126 | 127)) {
        FaultKind::NoAgent
    } else {
        FaultKind::Other
    };
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(3)..].join("; ");
    let text = if last.is_empty() { format!("ssh ended with {code:?}") } else { last };
    SshFault { kind, text }
}

impl SshFault {
    /// Returns the fault inside an error of a stream, if ssh's end is what broke it.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }

    /// Returns the sentence for people.
    pub fn said(&self) -> Said {
        let (zh, en) = match self.kind {
            FaultKind::Silent => ("主机没有应答", "the host does not answer"),
            FaultKind::Refused => {
                ("主机在,但没有程序监听 ssh 端口", "the host is there and no ssh listens on it")
            }
            FaultKind::NoSuchHost => ("没有这个主机名", "there is no host of this name"),
            FaultKind::UnknownKey => ("还不认识这台主机的密钥", "no key of this host is known yet"),
            FaultKind::ChangedKey => (
                "主机密钥与记录的不同:可能重装过,也可能有人冒充",
                "the host's key is another one than the known one: set up anew, or somebody else's",
            ),
            FaultKind::Denied => ("ssh 拒绝了我们的密钥", "ssh refused our key"),
            FaultKind::NoAgent => ("主机上没有安装 guanka", "there is no guanka on the host"),
            FaultKind::Other => ("ssh 连接断开", "the ssh connection ended"),
        };
        let text = &self.text;
        Said::new(format!("{zh}({text})"), format!("{en} ({text})"))
    }
}

/// Returns the folder of guanka's own files about hosts: `$XDG_CONFIG_HOME/guanka`, else
/// `~/.config/guanka`.
pub fn own_folder() -> io::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| Path::new(v).is_absolute());
    let base = set("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| Path::new(&home).join(".config")));
    base.map(|base| base.join("guanka")).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "neither XDG_CONFIG_HOME nor HOME is set")
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{FaultKind, Options, Target, classify, command};

    #[test]
    fn only_names_are_targets() {
        for good in ["root@web1", "web1", "deploy@10.0.0.7", "a_b@c-d.example.com"] {
            assert!(Target::parse(good).is_some(), "{good}");
        }
        for bad in
            ["-oProxyCommand=x", "a@-x", "@h", "a@", "a@b@c", "a b", "a;b", "", "a@b:22", "中@h"]
        {
            assert!(Target::parse(bad).is_none(), "{bad}");
        }
        assert_eq!(Target::parse("root@web1").expect("good").host(), "web1");
    }

    #[test]
    fn the_host_key_is_always_checked_and_nothing_is_forwarded() {
        let target = Target::parse("root@web1").expect("good");
        let options = Options { identity: Some("/k".into()), ..Options::default() };
        let command = command(&target, &options, &["true"]).expect("a plain path");
        let args: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
        for word in
            ["StrictHostKeyChecking=yes", "BatchMode=yes", "ForwardAgent=no", "IdentityFile=\"/k\""]
        {
            assert!(args.iter().any(|arg| arg == word), "{word}: {args:?}");
        }
        assert_eq!(args[args.len() - 3..], ["--", "root@web1", "true"]);
    }

    #[test]
    fn a_file_reaches_ssh_as_one_word_or_is_refused() {
        let target = Target::parse("root@web1").expect("good");
        let with = |file: &str| {
            let known_hosts = vec![PathBuf::from("/etc/known"), file.into()];
            command(&target, &Options { known_hosts, ..Options::default() }, &["true"])
        };
        let good = with("/home/张 三/100%/known").expect("one word");
        let wanted = r#"UserKnownHostsFile="/etc/known" "/home/张 三/100%%/known""#;
        assert!(good.get_args().any(|arg| arg == wanted), "{good:?}");
        for bad in ["known", "~/known", "/a\"b", "/a\\b", "/a\nb", "/${HOME}/b"] {
            assert!(with(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_ssh_says_is_told_apart() {
        let cases = [
            (255, "ssh: connect to host h port 22: Connection refused", FaultKind::Refused),
            (255, "ssh: connect to host h port 22: Connection timed out", FaultKind::Silent),
            (255, "Timeout, server h not responding.", FaultKind::Silent),
            (
                255,
                "No ED25519 host key is known for h and you have requested strict checking.\n\
                   Host key verification failed.",
                FaultKind::UnknownKey,
            ),
            (
                255,
                "@@@\nWARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\n@@@\n\
                   Host key verification failed.",
                FaultKind::ChangedKey,
            ),
            (255, "root@h: Permission denied (publickey).", FaultKind::Denied),
            (
                255,
                "ssh: Could not resolve hostname h: Name or service not known",
                FaultKind::NoSuchHost,
            ),
            (
                127,
                "bash: line 1: /opt/guanka/bin/guanka: No such file or directory",
                FaultKind::NoAgent,
            ),
            (255, "Connection closed by h port 22", FaultKind::Other),
            (1, "", FaultKind::Other),
        ];
        for (code, text, kind) in cases {
            assert_eq!(classify(Some(code), text).kind, kind, "{text}");
        }
    }
}
