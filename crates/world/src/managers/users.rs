//! The system user a service runs as: `gk_<app>_<env>`, looked up or made. Below a root folder that
//! is not the machine's own, the folder's passwd and group files are the truth.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use guanka_core::name::ServiceName;
use guanka_core::quantity::Millis;
use rustix::process::geteuid;

use super::spec::RunAs;
use crate::files;
use crate::hostroot::HostRoot;
use crate::process;

/// The numbers given out below a root folder: system users, above what distributions hand out.
const IDS: std::ops::RangeInclusive<u32> = 900..=999;
/// How long useradd may take; it waits for a lock of its own.
const USERADD_LIMIT: Millis = Millis::from_secs(20);

/// Returns whom a service's arms run as: the named user, else its own, made when missing. Without
/// root nobody's user can be changed, and the arms run as whoever starts them.
pub fn resolve(host: &HostRoot, service: &ServiceName, wanted: Option<&str>) -> io::Result<RunAs> {
    if !geteuid().is_root() {
        return Ok(RunAs::Caller);
    }
    let own = service.user();
    let name = wanted.unwrap_or(&own);
    if let Some(found) = look_up(host, name)? {
        return Ok(found);
    }
    if wanted.is_some() {
        return Err(nobody(name));
    }
    if host.is_machine() {
        add_to_machine(name)?
    } else {
        add_to_folder(host, name)?
    }
    look_up(host, name)?.ok_or_else(|| io::Error::other(format!("user {name} was not made")))
}

/// Returns whom a service's arms would run as, with nobody made. A user that is still to be made
/// has no number yet; its name is all that a manager's file holds.
pub fn preview(host: &HostRoot, service: &ServiceName, wanted: Option<&str>) -> io::Result<RunAs> {
    if !geteuid().is_root() {
        return Ok(RunAs::Caller);
    }
    let name = wanted.map_or_else(|| service.user(), str::to_owned);
    match (look_up(host, &name)?, wanted) {
        (Some(found), _) => Ok(found),
        (None, Some(_)) => Err(nobody(&name)),
        (None, None) => Ok(RunAs::User { name, uid: u32::MAX, gid: u32::MAX }),
    }
}

fn nobody(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no user {name} on this host"))
}

/// Makes a folder for data that outlives releases and gives it to the service's user. One that is
/// there already is left as it is: its owner and mode are somebody's choice.
pub fn give_folder(path: &Path, run_as: &RunAs) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o750))?;
    if let RunAs::User { uid, gid, .. } = run_as {
        std::os::unix::fs::chown(path, Some(*uid), Some(*gid))?;
    }
    files::sync_parent(path)
}

/// Finds a user by name; the numbers are never assumed.
fn look_up(host: &HostRoot, name: &str) -> io::Result<Option<RunAs>> {
    let found = read(&host.at("/etc/passwd"))?.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let is_it = fields.first() == Some(&name);
        let number = |i: usize| fields.get(i).and_then(|f| f.parse().ok());
        is_it.then(|| Some((number(2)?, number(3)?))).flatten()
    });
    Ok(found.map(|(uid, gid)| RunAs::User { name: name.to_owned(), uid, gid }))
}

fn add_to_machine(name: &str) -> io::Result<()> {
    let mut command = Command::new("useradd");
    command.args(["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]);
    command.args(["--shell", "/usr/sbin/nologin", name]);
    let output = process::run(&mut command, USERADD_LIMIT)?;
    if output.is_success() {
        return Ok(());
    }
    Err(io::Error::other(format!("useradd {name}: {}", output.stderr.trim())))
}

/// Adds a group and then a user with the same free number, each file replaced in one step.
fn add_to_folder(host: &HostRoot, name: &str) -> io::Result<()> {
    files::make_dir(&host.state(), 0o711)?;
    let _lock = files::Lock::hold(&host.state().join(".agent.lock"))?;
    let (passwd, group) = (host.at("/etc/passwd"), host.at("/etc/group"));
    let (users, groups) = (read(&passwd)?, read(&group)?);
    let number = |line: &str| line.split(':').nth(2).and_then(|id| id.parse::<u32>().ok());
    let taken: BTreeSet<u32> = users.lines().chain(groups.lines()).filter_map(number).collect();
    let id = IDS
        .rev()
        .find(|id| !taken.contains(id))
        .ok_or_else(|| io::Error::other("no free system user number is left in 900-999"))?;
    append(&group, &groups, &format!("{name}:x:{id}:"))?;
    let line = format!("{name}:x:{id}:{id}::/nonexistent:/usr/sbin/nologin");
    append(&passwd, &users, &line)
}

fn append(path: &Path, text: &str, line: &str) -> io::Result<()> {
    let mode = fs::metadata(path).map_or(0o644, |m| m.permissions().mode() & 0o777);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    files::replace(path, format!("{text}{gap}{line}\n").as_bytes(), mode)
}

fn read(path: &Path) -> io::Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use guanka_core::name::ServiceName;

    use super::super::spec::RunAs;
    use super::{preview, resolve};
    use crate::hostroot::HostRoot;

    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped test says why")]
    fn a_service_gets_a_user_of_its_own_once() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: users are made by root only");
            return;
        }
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("etc")).expect("made");
        let passwd = dir.path().join("etc/passwd");
        fs::write(&passwd, "root:x:0:0::/:/bin/sh\nx:x:999:5::/:/bin/sh").expect("written");
        fs::write(dir.path().join("etc/group"), "y:x:998:\n").expect("written");
        let host = HostRoot::new(dir.path());
        let service = ServiceName::new("shop-api", "prod").expect("a good name");
        let coming = preview(&host, &service, None).expect("named");
        assert!(matches!(coming, RunAs::User { name, .. } if name == "gk_shop_api_prod"));
        let found = resolve(&host, &service, None).expect("made");
        let name = "gk_shop_api_prod".to_owned();
        assert_eq!(found, RunAs::User { name, uid: 997, gid: 997 });
        let text = fs::read_to_string(&passwd).expect("there");
        assert_eq!(resolve(&host, &service, None).expect("found"), found);
        assert_eq!(fs::read_to_string(&passwd).expect("there"), text);
        assert_eq!(text.lines().count(), 3, "{text}");
        for ask in [resolve, preview] {
            assert!(ask(&host, &service, Some("nobody-here")).is_err());
        }
    }
}
