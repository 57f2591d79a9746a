//! Getting guanka onto a host by the user's own ssh: learn the host's key, send this program, have
//! it install itself. The remote shell sees constants, a checked path and a public key.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use guanka_core::quantity::Millis;

use super::ssh::{self, FaultKind, Options, SshFault, Target};
use crate::files;
use crate::hash;
use crate::process::{self, Output};

/// How long a short command on the host may take.
const SHORT: Millis = Millis::from_secs(40);
/// How long sending the program may take on a thin line.
const SEND: Millis = Millis::from_secs(600);
/// How long the installation on the host may take.
const INSTALL: Millis = Millis::from_secs(120);
/// Keeps what comes in under a name that nobody else can have chosen, and says the name.
const RECEIVE: &str =
    "f=$(mktemp /tmp/guanka.XXXXXXXX) && cat >\"$f\" && chmod 700 \"$f\" && echo \"$f\"";

/// What a host is, asked before anything is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// `x86_64`, as `uname -m` says.
    pub machine: String,
    /// Whoever logs in is root.
    pub is_root: bool,
}

/// Runs words on a host and returns what was printed; an end of ssh's own is an `SshFault`.
fn run(
    target: &Target,
    options: &Options,
    words: &[&str],
    (input, limit): (Stdio, Millis),
) -> io::Result<Output> {
    let mut command = ssh::command(target, options, words)?;
    let output = process::run_with(&mut command, input, limit)?;
    if output.is_success() {
        return Ok(output);
    }
    let code = output.status.and_then(|status| status.code());
    let said = if output.status.is_none() { "timed out" } else { output.stderr.as_str() };
    if code == Some(255) || code.is_none() {
        return Err(io::Error::other(ssh::classify(code, said)));
    }
    let text = format!("{}{}", output.stdout, output.stderr);
    Err(io::Error::other(format!("{} on {}: {}", words.join(" "), target.as_str(), text.trim())))
}

/// Asks a host what it is; fails with `UnknownKey` where its key must be learnt first.
pub fn look(target: &Target, options: &Options) -> io::Result<Machine> {
    let output = run(target, options, &["uname -m; id -u"], (Stdio::null(), SHORT))?;
    let mut lines = output.stdout.lines().map(str::trim);
    let machine = lines.next().unwrap_or_default().to_owned();
    let is_root = lines.next() == Some("0");
    Ok(Machine { machine, is_root })
}

/// Asks a host for its keys without trusting it: they are kept in a file of their own until a
/// person has compared the fingerprint. Returns the file's lines and the fingerprints.
pub fn learn_key(target: &Target, options: &Options) -> io::Result<(String, Vec<String>)> {
    let folder = ssh::own_folder()?;
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("learning-{}", std::process::id()));
    let learnt = learn_into(target, options, &file);
    // Left behind it would only be litter.
    let _ = fs::remove_file(&file);
    learnt
}

fn learn_into(
    target: &Target,
    options: &Options,
    file: &Path,
) -> io::Result<(String, Vec<String>)> {
    fs::write(file, "")?;
    let options = Options { known_hosts: vec![file.to_owned()], ..options.clone() };
    let plain = ssh::command(target, &options, &["true"])?;
    let mut command = Command::new(plain.get_program());
    command.env("LC_ALL", "C");
    // Only here an unknown key is written down, and only into this file.
    command.args(["-o", "StrictHostKeyChecking=accept-new", "-o", "HashKnownHosts=no"]);
    command.args(plain.get_args());
    let output = process::run(&mut command, SHORT)?;
    let lines = files::read_text(file, 1 << 20)?;
    if lines.trim().is_empty() {
        let code = output.status.and_then(|status| status.code());
        return Err(io::Error::other(ssh::classify(code, &output.stderr)));
    }
    let mut keygen = Command::new("ssh-keygen");
    let shown = process::run(keygen.arg("-lf").arg(file), SHORT)?;
    let prints = shown.stdout.lines().filter_map(|line| line.split_whitespace().nth(1));
    Ok((lines, prints.map(str::to_owned).collect()))
}

/// Adds a host's keys to guanka's own file of known hosts.
pub fn trust_key(known_hosts: &Path, lines: &str) -> io::Result<()> {
    let text = match files::read_text(known_hosts, 4 << 20) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other?,
    };
    files::replace(known_hosts, with_keys(&text, lines).as_bytes(), 0o600)
}

/// Returns a file of known hosts with the keys that it lacks, each on a line of its own.
pub fn with_keys(known: &str, lines: &str) -> String {
    let mut text = known.to_owned();
    for line in lines.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        if !text.lines().any(|known| known.trim_end() == line) {
            // A last line that a person's editor left open would become one with the new one.
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Makes the key that logs in to talk to one host's agent; returns its public half.
pub fn make_key(path: &Path) -> io::Result<String> {
    let public = public_half(path);
    if !path.exists() {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "guanka", "-f"]).arg(path);
        let output = process::run(&mut keygen, SHORT)?;
        if !output.is_success() {
            return Err(io::Error::other(format!("ssh-keygen: {}", output.stderr.trim())));
        }
    }
    files::read_text(&public, 1 << 16).map_err(|error| {
        io::Error::new(error.kind(), format!("reading {}: {error}", public.display()))
    })
}

/// Returns where ssh-keygen puts a key's public half.
pub fn public_half(key: &Path) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

/// Sends this program and has it install itself; returns what it printed, a line of JSON.
pub fn install(
    target: &Target,
    options: &Options,
    machine: &Machine,
    public_key: &str,
) -> io::Result<String> {
    let own = process::own_program()?;
    let input = Stdio::from(fs::File::open(&own)?);
    let sent = run(target, options, &[RECEIVE], (input, SEND))?;
    let path = received(&sent.stdout).ok_or_else(|| {
        io::Error::other(format!("the host named no file: {}", sent.stdout.trim()))
    })?;
    let installed = install_from(target, options, machine, (&path, public_key, &own));
    // Whatever came of it, what was sent is not left behind.
    let _ = run(target, options, &["rm", "-f", &path], (Stdio::null(), SHORT));
    installed
}

fn install_from(
    target: &Target,
    options: &Options,
    machine: &Machine,
    (path, public_key, own): (&str, &str, &Path),
) -> io::Result<String> {
    let summed = run(target, options, &["sha256sum", path], (Stdio::null(), SHORT))?;
    let digest = hash::of_file(own)?;
    if summed.stdout.split_whitespace().next() != Some(digest.as_str()) {
        return Err(io::Error::other("the program arrived changed; try again"));
    }
    let mut words: Vec<&str> = public_key.split_whitespace().take(2).collect();
    let key = format!("'{}'", words.join(" "));
    words = if machine.is_root { Vec::new() } else { vec!["sudo", "-n"] };
    words.extend([path, "agent", "--install", "--authorize", key.as_str(), "--json"]);
    run(target, options, &words, (Stdio::null(), INSTALL)).map(|output| output.stdout)
}

/// Returns the name that the host gave to what was sent.
fn received(text: &str) -> Option<String> {
    let path = text.trim();
    let rest = path.strip_prefix("/tmp/guanka.")?;
    let good = rest.len() == 8 && rest.bytes().all(|b| b.is_ascii_alphanumeric());
    good.then(|| path.to_owned())
}

/// Returns whether a failure is that no key of the host is known.
pub fn is_unknown_key(error: &io::Error) -> bool {
    SshFault::of(error).is_some_and(|fault| fault.kind == FaultKind::UnknownKey)
}

#[cfg(test)]
mod tests {
    use super::{received, trust_key, with_keys};

    #[test]
    fn only_a_name_of_mktemps_is_taken_back() {
        assert_eq!(received("/tmp/guanka.aB3dE6gH\n").as_deref(), Some("/tmp/guanka.aB3dE6gH"));
        for bad in
            ["", "/tmp/guanka.aB3dE6g", "/tmp/guanka.aB3dE6g;", "/etc/x", "/tmp/guanka.a b c d"]
        {
            assert_eq!(received(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_key_is_trusted_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("known_hosts");
        trust_key(&file, "h ssh-ed25519 AAAA\n").expect("written");
        trust_key(&file, "h ssh-ed25519 AAAA\n\ng ssh-rsa BBBB\n").expect("written");
        let text = std::fs::read_to_string(&file).expect("there");
        assert_eq!(text, "h ssh-ed25519 AAAA\ng ssh-rsa BBBB\n");
        assert_eq!(with_keys("h a", "g b"), "h a\ng b\n");
    }
}
