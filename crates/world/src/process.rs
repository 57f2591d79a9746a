//! Child processes: argument lists only, never a shell, each with a time limit and bounded output.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use guanka_core::quantity::Millis;
use rustix::process::pidfd_send_signal;
use rustix::process::{Pid, PidfdFlags, Signal, getpgid, kill_process_group, pidfd_open};

use crate::clock;

/// The most a child may print on each stream before the rest is dropped (4 MiB: the longest
/// compiler error output worth showing).
const OUTPUT_MAX: u64 = 4 << 20;

/// How a child ended and what it said.
#[derive(Clone, Debug)]
pub struct Output {
    /// The argument list.
    pub argv: Vec<String>,
    /// The exit status; `None` when it was ended for being late.
    pub status: Option<ExitStatus>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// Returns whether it ended by itself with 0.
    pub fn is_success(&self) -> bool {
        self.status.is_some_and(|s| s.success())
    }
}

/// Has the C library's allocator give memory back: a process that lives for months and now and then
/// reads a program of some megabytes would otherwise keep that much for each of its threads.
pub const SPARING: [(&str, &str); 2] =
    [("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "131072")];

/// Runs a child to its end or to the limit, whichever comes first.
pub fn run(command: &mut Command, limit: Millis) -> io::Result<Output> {
    run_with(command, Stdio::null(), limit)
}

/// Runs a child that reads something.
pub fn run_with(command: &mut Command, input: Stdio, limit: Millis) -> io::Result<Output> {
    let mut argv = vec![command.get_program().to_string_lossy().into_owned()];
    argv.extend(command.get_args().map(|a| a.to_string_lossy().into_owned()));
    let mut child = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let out = drain(child.stdout.take());
    let err = drain(child.stderr.take());
    let status = wait(&mut child, limit)?;
    let text = |t: thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&t.join().unwrap_or_default()).into_owned()
    };
    Ok(Output { argv, status, stdout: text(out), stderr: text(err) })
}

/// Returns the number of the user that this process acts as.
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Has this process end when the one that started it does.
pub fn end_with_parent() -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(())
}

/// Returns this program's own file.
pub fn own_program() -> io::Result<std::path::PathBuf> {
    std::fs::read_link("/proc/self/exe")
}

/// Returns when a process started, in clock ticks since boot: with its number it names one process
/// and no later one of the same number. A process that has ended and waits to be collected is gone.
pub fn started(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold blanks and brackets; what follows the last one may not.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(fields.first(), Some(&("Z" | "X"))) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

/// Returns whether a process lives that this one may not look at: `/proc` hides other users'
/// processes on some machines.
pub fn is_hidden(pid: u32) -> bool {
    use rustix::process::{Pid, test_kill_process};
    let known = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(known) = known else { return false };
    test_kill_process(known) == Err(rustix::io::Errno::PERM)
        && !std::path::Path::new(&format!("/proc/{pid}")).exists()
}

/// How a process came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It wrote down what it was doing, as Go does on SIGQUIT, and ended.
    WithTrace,
    /// It had to be killed.
    Killed,
}

/// Ends a process that hangs, for its manager to start it anew: SIGQUIT first, on which Go writes
/// what every goroutine was doing, then SIGKILL. Where it leads a group of its own, nothing of that
/// group stays. `start` says that the number is still that process.
pub fn end_hung(pid: u32, start: u64, limit: Millis) -> io::Result<Ended> {
    let gone = || io::Error::new(io::ErrorKind::NotFound, format!("no process {pid}"));
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
    // Held open, the number cannot become another process's before the signal.
    let handle = pidfd_open(number, PidfdFlags::empty())?;
    let is_there = || started(pid) == Some(start);
    if !is_there() {
        return Err(gone());
    }
    let leads = getpgid(Some(number)).is_ok_and(|group| group == number);
    pidfd_send_signal(&handle, Signal::QUIT)?;
    let ended = || (!is_there()).then_some(());
    let how = match clock::wait_for(limit, Millis(20), ended) {
        Some(()) => Ended::WithTrace,
        None => {
            pidfd_send_signal(&handle, Signal::KILL)?;
            Ended::Killed
        }
    };
    if leads {
        // Nobody may be left in it.
        let _ = kill_process_group(number, Signal::KILL);
    }
    Ok(how)
}

/// Kills what is left of a group whose leader has ended. While anybody is left in it, its number is
/// nobody else's.
pub fn end_group_without_leader(leader: u32) {
    let is_there = std::path::Path::new(&format!("/proc/{leader}")).exists();
    if let Some(group) = i32::try_from(leader).ok().and_then(Pid::from_raw).filter(|_| !is_there) {
        // Nobody may be left in it.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Returns who runs this process and where, `root@web1`.
pub fn who() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let uid = rustix::process::getuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
    });
    format!("{}@{}", name.unwrap_or_else(|| uid.to_string()), host.trim())
}

/// Starts a program that lives on by itself: in a session of its own, its output in a file.
pub fn start_detached(
    program: &std::path::Path,
    arguments: &[&std::ffi::OsStr],
    log: &std::path::Path,
) -> io::Result<u32> {
    let mut command = Command::new(program);
    command.args(arguments).envs(SPARING);
    let out = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
    let err = out.try_clone()?;
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn()?;
    Ok(child.id())
}

/// Waits for a child to end; one that is late is killed.
fn wait(child: &mut Child, limit: Millis) -> io::Result<Option<ExitStatus>> {
    let end = Instant::now() + Duration::from_millis(limit.0);
    let mut step = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(step);
        step = (step * 2).min(Duration::from_millis(20));
    }
}

/// Reads a stream to its end in a thread of its own, keeping at most `OUTPUT_MAX`.
fn drain(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut stream) = stream {
            let _ = stream.by_ref().take(OUTPUT_MAX).read_to_end(&mut kept);
            let _ = io::copy(&mut stream, &mut io::sink());
        }
        kept
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use guanka_core::quantity::Millis;

    use std::io::Read;
    use std::os::unix::process::CommandExt;
    use std::process::Stdio;

    use super::{Ended, end_hung, run, started};

    #[test]
    fn a_late_child_is_ended() {
        let output = run(Command::new("sleep").arg("60"), Millis(50)).expect("sleep starts");
        assert!(output.status.is_none());
    }

    /// Starts a shell in a group of its own; returns it once it has said that it is ready.
    fn hung(script: &str) -> std::process::Child {
        // Tests started with SIGQUIT ignored would hand that on, and no shell can undo it.
        let mut shell = Command::new("env");
        shell
            .args(["--default-signal=QUIT", "sh", "-c", script])
            .stdout(Stdio::piped())
            .process_group(0);
        let mut child = shell.spawn().expect("sh starts");
        let mut word = [0; 5];
        let out = child.stdout.as_mut().expect("piped");
        out.read_exact(&mut word).expect("it says ready");
        child
    }

    #[test]
    fn a_hung_process_is_asked_for_its_trace_and_then_killed_with_its_group() {
        let limit = Millis(5000);
        let mut polite = hung("trap 'exit 2' QUIT; echo ready; while :; do sleep 0.05; done");
        let start = started(polite.id()).expect("runs");
        assert_eq!(end_hung(polite.id(), start, limit).expect("ended"), Ended::WithTrace);
        assert_eq!(polite.wait().expect("ended").code(), Some(2));

        let mut deaf = hung("trap '' QUIT TERM; sleep 600 & echo $! >&2; echo ready; wait");
        let start = started(deaf.id()).expect("runs");
        let other = end_hung(deaf.id(), start + 1, limit).expect_err("a later process");
        assert_eq!(other.kind(), std::io::ErrorKind::NotFound);
        assert_eq!(end_hung(deaf.id(), start, Millis(50)).expect("ended"), Ended::Killed);
        deaf.wait().expect("ended");
        // Its child holds the other end of the pipe: only when that is gone is there an end.
        let mut rest = Vec::new();
        deaf.stdout.take().expect("piped").read_to_end(&mut rest).expect("closed");
    }

    #[test]
    fn what_a_leader_leaves_behind_in_its_group_is_ended() {
        let mut leader = hung("trap '' TERM; sleep 600 & echo ready; trap - TERM; wait");
        super::end_group_without_leader(leader.id());
        assert!(leader.try_wait().expect("asked").is_none(), "it leads: it is no remnant");
        leader.kill().expect("killed");
        leader.wait().expect("ended");
        super::end_group_without_leader(leader.id());
        // Its child holds the other end of the pipe: only when that is gone is there an end.
        let mut rest = Vec::new();
        leader.stdout.take().expect("piped").read_to_end(&mut rest).expect("closed");
    }

    #[test]
    fn output_and_status_come_back() {
        let output = run(Command::new("echo").arg("a b"), Millis(5000)).expect("echo starts");
        assert!(output.is_success());
        assert_eq!(output.stdout, "a b\n");
        assert_eq!(output.argv, ["echo", "a b"]);
    }
}
