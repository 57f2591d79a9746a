//! Starts an adopted program again as it was, where no keeper does: its arguments, environment,
//! folder and user. Under systemd it is systemd's child and has nothing of the agent's sandbox.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use guanka_core::name::ServiceName;
use guanka_core::quantity::Millis;

use super::error::io_at;
use super::find::variables;
use super::{AdoptError, Adopted, Running, bare};
use crate::clock;
use crate::hostroot::HostRoot;
use crate::managers::systemd;

/// How often a process is looked for.
const EVERY: Millis = Millis(50);
/// How long systemd may take until the program is what its process runs.
const LIMIT: Millis = Millis::from_secs(10);

/// Starts the program, or finds it started already by one who was killed before this was written
/// down. Returns its process.
pub(super) fn start(host: &HostRoot, adopted: &Adopted) -> Result<u32, AdoptError> {
    let running = &adopted.running;
    if let Some(pid) = same(running) {
        return Ok(pid);
    }
    if systemd::Systemd::find(host).is_none() {
        return spawn(running);
    }
    systemd::start_returned(host, &adopted.service)?;
    clock::wait_for(LIMIT, EVERY, || same(running)).ok_or(AdoptError::Late {
        port: running.port,
        what: "does not answer",
        limit: LIMIT,
    })
}

/// Becomes the adopted program of a service; returns only when that failed.
pub fn become_program(host: &HostRoot, service: &ServiceName) -> io::Error {
    let none = || io::Error::new(io::ErrorKind::NotFound, "nothing was adopted");
    let built = Adopted::load(host, service).and_then(|found| {
        let adopted = found.ok_or_else(none)?;
        command(&adopted.running).map_err(io::Error::other)
    });
    match built {
        Ok(mut command) => command.exec(),
        Err(error) => error,
    }
}

/// Starts it as a process of this one's, which need not outlive it.
fn spawn(running: &Running) -> Result<u32, AdoptError> {
    let doing = format!("starting {}", running.program.display());
    let mut command = command(running)?;
    command.process_group(0);
    let mut child = command.spawn().map_err(io_at(doing))?;
    let pid = child.id();
    // Somebody has to collect it should it end while this process lives.
    thread::spawn(move || child.wait());
    Ok(pid)
}

/// Builds the program's command as it was, its output appended where it went.
fn command(running: &Running) -> Result<Command, AdoptError> {
    let mut command = Command::new(&running.program);
    command.args(&running.args).env_clear().envs(&running.env).current_dir(&running.folder);
    command.stdin(Stdio::null());
    if rustix::process::geteuid().is_root() {
        command.gid(running.gid).uid(running.uid);
    }
    match &running.output {
        Some(path) => {
            // Its folder may be open to everyone: no link is followed.
            let no_link = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
            let mut options = OpenOptions::new();
            options.create(true).append(true).custom_flags(no_link);
            let file = options.open(path).map_err(io_at(path.display().to_string()))?;
            let again = file.try_clone().map_err(io_at(path.display().to_string()))?;
            command.stdout(file).stderr(again);
        }
        None => {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
    }
    Ok(command)
}

/// Returns a process that is this very program: its file, arguments, folder, user and environment.
fn same(running: &Running) -> Option<u32> {
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| is_same(running, *pid).unwrap_or(false))
}

fn is_same(running: &Running, pid: u32) -> io::Result<bool> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    if bare(&fs::read_link(proc.join("exe"))?) != running.program {
        return Ok(false);
    }
    let line = fs::read(proc.join("cmdline"))?;
    let words = line.strip_suffix(b"\0").unwrap_or(&line).split(|byte| *byte == 0);
    let args: Vec<String> =
        words.skip(1).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    Ok(args == running.args
        && fs::read_link(proc.join("cwd"))? == running.folder
        && fs::metadata(&proc)?.uid() == running.uid
        && variables(&fs::read(proc.join("environ"))?) == running.env)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::symlink;

    use super::{command, same, spawn};
    use crate::adoption::{Keeper, Running};

    fn running(program: &str, args: &[&str], folder: &std::path::Path) -> Running {
        Running {
            pid: 1,
            program: std::fs::canonicalize(program).expect("a program"),
            args: args.iter().map(|word| (*word).to_owned()).collect(),
            env: BTreeMap::from([("OWN".to_owned(), folder.display().to_string())]),
            folder: folder.to_owned(),
            user: String::new(),
            uid: crate::process::own_user(),
            gid: rustix::process::getegid().as_raw(),
            output: None,
            port: 1,
            keeper: Keeper::Nobody,
            data_dirs: Vec::new(),
        }
    }

    #[test]
    fn a_link_in_place_of_the_old_output_is_not_written_through() {
        let dir = tempfile::tempdir().expect("a folder");
        let (victim, output) = (dir.path().join("victim"), dir.path().join("out.log"));
        std::fs::write(&victim, "whole").expect("written");
        symlink(&victim, &output).expect("a link");
        let running = Running { output: Some(output), ..running("/bin/true", &[], dir.path()) };
        assert!(command(&running).is_err());
        assert_eq!(std::fs::read_to_string(&victim).expect("there"), "whole");
    }

    #[test]
    fn a_program_that_was_started_already_is_found_and_no_other_of_its_kind() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = std::fs::canonicalize(dir.path()).expect("a folder");
        let running = running("/bin/sleep", &["60"], &folder);
        assert_eq!(same(&running), None);
        let pid = spawn(&running).expect("started");
        let limit = guanka_core::quantity::Millis::from_secs(10);
        let seen = crate::clock::wait_for(limit, super::EVERY, || same(&running));
        let other = Running { env: BTreeMap::new(), ..running };
        let of_other = same(&other);
        let raw = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(raw.expect("a pid"), rustix::process::Signal::KILL)
            .expect("ended");
        assert_eq!((seen, of_other), (Some(pid), None));
    }
}
