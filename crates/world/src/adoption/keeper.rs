//! Ends an adopted program through whoever keeps it, so that it is not started again, and brings it
//! back as it was.

use std::fs;
use std::path::Path;

use guanka_core::quantity::Millis;
use rustix::process::{Pid, Signal, kill_process};

use super::error::{ENDED_LATE, io_at};
use super::{ARM, AdoptError, Adopted, ChangedFile, Keeper, Phase, back};
use crate::clock;
use crate::files;
use crate::hostroot::HostRoot;
use crate::managers::supervisor::Supervisor;
use crate::managers::systemd;
use crate::ports;

/// How often a port is looked at.
const EVERY: Millis = Millis(50);
/// How long a keeper may take beyond the program's own time to end.
const MARGIN: Millis = Millis::from_secs(10);
/// How long a program may take to listen again.
const UP_LIMIT: Millis = Millis::from_secs(30);
/// The most that is read of a keeper's file.
const FILE_MAX: u64 = 1 << 20;

/// Ends the adopted program. How it comes back is durable before anything is changed; called again
/// it goes on where it stood.
pub fn retire(host: &HostRoot, adopted: &mut Adopted, grace: Millis) -> Result<(), AdoptError> {
    if adopted.is_external(ARM) {
        adopted.phase = Phase::Retired {
            changed: planned_change(&adopted.running.keeper)?,
            was_enabled: is_enabled(&adopted.running.keeper)?,
            is_ended: false,
        };
        adopted.store(host).map_err(io_at("storing how it comes back"))?;
    }
    stop(host, adopted, grace)?;
    if let Phase::Retired { is_ended, .. } = &mut adopted.phase {
        *is_ended = true;
    }
    adopted.store(host).map_err(io_at("storing that it is ended"))
}

/// Has its keeper end it and not start it again; done twice it is done once.
fn stop(host: &HostRoot, adopted: &Adopted, grace: Millis) -> Result<(), AdoptError> {
    let running = &adopted.running;
    match &running.keeper {
        Keeper::Nobody => end(adopted.process(), Signal::TERM),
        Keeper::GoProject { pid_file, .. } => {
            // First: the panel's guard starts again what has a pid file.
            files::remove(pid_file).map_err(io_at(pid_file.display().to_string()))?;
            end(adopted.process(), Signal::TERM);
        }
        Keeper::Supervisor { program, .. } => {
            let found = supervisor(host)?;
            found.command(&["stop", &format!("{program}:*")], Millis(grace.0 + MARGIN.0))?;
            if let Phase::Retired { changed: Some(file), .. } = &adopted.phase {
                write(file, &file.before, &file.after)?;
                found.command(&["update", program], UP_LIMIT)?;
            }
        }
        Keeper::Systemd { unit } => systemd::retire(unit, Millis(grace.0 + MARGIN.0))?,
    }
    if is_free_within(running.port, grace) {
        return Ok(());
    }
    // As every keeper does with a program that outlasts its time.
    end(adopted.process(), Signal::KILL);
    if is_free_within(running.port, MARGIN) {
        return Ok(());
    }
    let limit = Millis(grace.0 + MARGIN.0);
    Err(AdoptError::Late { port: running.port, what: ENDED_LATE, limit })
}

/// Brings the program back under whoever kept it, as it was. The port must be free, or the program
/// there already.
pub fn revive(host: &HostRoot, adopted: &Adopted) -> Result<(), AdoptError> {
    let Phase::Retired { changed, was_enabled, .. } = &adopted.phase else { return Ok(()) };
    let running = &adopted.running;
    match &running.keeper {
        Keeper::Nobody => back::start(host, adopted).map(|_| ())?,
        Keeper::GoProject { pid_file, .. } => {
            let pid = back::start(host, adopted)?;
            // The folder is open to everyone: a link that somebody has put there is replaced and
            // never followed.
            files::replace(pid_file, format!("{pid}\n").as_bytes(), 0o644)
                .map_err(io_at(pid_file.display().to_string()))?;
        }
        Keeper::Supervisor { program, .. } => {
            let found = supervisor(host)?;
            if let Some(file) = changed {
                write(file, &file.after, &file.before)?;
                found.command(&["update", program], UP_LIMIT)?;
            }
            // Where it starts by itself this says only that it runs already.
            found.command(&["start", &format!("{program}:*")], UP_LIMIT)?;
        }
        Keeper::Systemd { unit } => systemd::revive(unit, *was_enabled)?,
    }
    let up = clock::wait_for(UP_LIMIT, EVERY, || adopted.process());
    up.map(|_| ()).ok_or(AdoptError::Late {
        port: running.port,
        what: "does not answer",
        limit: UP_LIMIT,
    })
}

fn supervisor(host: &HostRoot) -> Result<Supervisor, AdoptError> {
    let gone = || AdoptError::Io {
        doing: "looking for Supervisor".to_owned(),
        source: std::io::ErrorKind::NotFound.into(),
    };
    Supervisor::find(host)?.ok_or_else(gone)
}

/// Returns what is changed so that the keeper does not start the program by itself.
fn planned_change(keeper: &Keeper) -> Result<Option<ChangedFile>, AdoptError> {
    let Keeper::Supervisor { program, file } = keeper else { return Ok(None) };
    let before = files::read_text(file, FILE_MAX).map_err(io_at(file.display().to_string()))?;
    let after = not_started_by_itself(&before, program);
    Ok(Some(ChangedFile { path: file.clone(), before, after }))
}

/// Writes `autostart=false` into a program's section, in place of what is said there.
fn not_started_by_itself(text: &str, program: &str) -> String {
    let head = format!("[program:{program}]");
    let mut is_inside = false;
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        if bare.starts_with('[') {
            is_inside = bare == head;
        }
        let key = bare.split('=').next().unwrap_or_default().trim();
        if is_inside && key == "autostart" {
            continue;
        }
        out.push_str(line);
        if bare == head {
            if !line.ends_with('\n') {
                out.push('\n');
            }
            out.push_str("autostart=false\n");
        }
    }
    out
}

fn is_enabled(keeper: &Keeper) -> Result<bool, AdoptError> {
    match keeper {
        Keeper::Systemd { unit } => Ok(systemd::is_enabled(unit)?),
        _ => Ok(true),
    }
}

/// Writes one text in place of another; a file that is neither was changed by its owner.
fn write(file: &ChangedFile, from: &str, to: &str) -> Result<(), AdoptError> {
    let path: &Path = &file.path;
    let found = files::read_text(path, FILE_MAX).map_err(io_at(path.display().to_string()))?;
    if found == to {
        return Ok(());
    }
    if found != from {
        return Err(AdoptError::Changed(path.to_owned()));
    }
    let mode = fs::metadata(path)
        .map(|meta| std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o777);
    files::replace(path, to.as_bytes(), mode.unwrap_or(0o644))
        .map_err(io_at(path.display().to_string()))
}

fn end(pid: Option<u32>, signal: Signal) {
    let pid = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended by itself; the port tells.
        let _ = kill_process(pid, signal);
    }
}

fn is_free_within(port: u16, limit: Millis) -> bool {
    clock::wait_for(limit, EVERY, || ports::owner_of(port).is_none().then_some(())).is_some()
}

#[cfg(test)]
mod tests {
    use super::not_started_by_itself;

    #[test]
    fn only_the_programs_own_section_is_told_not_to_start() {
        let text = "[program:pay]\nautostart=true\n[program:api]\ncommand=/x\nautostart = true\n";
        assert_eq!(
            not_started_by_itself(text, "api"),
            "[program:pay]\nautostart=true\n[program:api]\nautostart=false\ncommand=/x\n"
        );
        assert_eq!(
            not_started_by_itself("[program:api]", "api"),
            "[program:api]\nautostart=false\n"
        );
    }
}
