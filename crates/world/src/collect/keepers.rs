//! Who keeps a running program alive: told from its parents, its control group, the panel's pid
//! files and where it lies.

use std::collections::BTreeSet;

use super::processes::{Process, Processes};
use super::tree::HostTree;
use crate::managers::systemd::RETURNED;

/// How many pid files of the panel are read.
const PID_FILES_MAX: usize = 10_000;

/// Returns the processes that the panel started as Go projects, by its pid files.
pub(crate) fn panel_projects(tree: &HostTree) -> BTreeSet<u32> {
    let files = tree.glob("/var/tmp/gopids/*.pid");
    let pids = files.iter().take(PID_FILES_MAX).filter_map(|file| {
        let text = super::tree::read(file, 64).ok()?;
        String::from_utf8_lossy(&text).trim().parse().ok()
    });
    pids.collect()
}

/// Names the keeper of a process. The panel's pid file may name a shell around the program.
pub(crate) fn keeper(
    process: &Process,
    processes: &Processes,
    projects: &BTreeSet<u32>,
    tree: &HostTree,
) -> String {
    let ancestors = processes.ancestors(process);
    if is_guanka(process, tree) {
        return "guanka".to_owned();
    }
    if ancestors.iter().any(|p| is_supervisor(p)) {
        return "supervisor".to_owned();
    }
    let mut chain = std::iter::once(process).chain(ancestors.iter().copied());
    if chain.any(|p| projects.contains(&p.pid)) {
        return "panel go project".to_owned();
    }
    if let Some(kept) = by_group(&process.cgroup) {
        return kept.to_owned();
    }
    match process.parent {
        0 | 1 => "nohup".to_owned(),
        // Started in a user's session and handed to the session's own reaper.
        _ if ancestors.first().is_some_and(|p| p.name == "systemd") => "nohup".to_owned(),
        _ => match ancestors.first() {
            Some(parent) => format!("started by {}", parent.name),
            None => "nohup".to_owned(),
        },
    }
}

/// Says whether a program lies where guanka puts releases.
fn is_guanka(process: &Process, tree: &HostTree) -> bool {
    let homes = [tree.locate("/opt/guanka"), "/opt/guanka".into()];
    let program = process.program.as_deref();
    program.is_some_and(|path| homes.iter().any(|home| path.starts_with(home)))
}

fn is_supervisor(process: &Process) -> bool {
    process.name.starts_with("supervisord")
        || process.argv.iter().take(3).any(|a| a.rsplit('/').next() == Some("supervisord"))
}

/// Reads the keeper from a control group: a service of systemd or a container.
fn by_group(cgroup: &str) -> Option<&'static str> {
    let paths = || cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let containers = ["/docker", "docker-", "libpod-", "cri-containerd-", "/kubepods", "/lxc"];
    if paths().any(|path| containers.iter().any(|sign| path.contains(sign))) {
        return Some("container");
    }
    let is_service = |path: &str| {
        let last = path.rsplit('/').find(|part| part.ends_with(".service"));
        // Programs started from a shell or by the panel stay in the group of their starter.
        last.is_some_and(|unit| {
            let starters = ["ssh", "sshd", "bt", "cron", "crond", "rc-local", "nginx"];
            let name = unit.trim_end_matches(".service");
            let is_starters = name.starts_with("user@") || name.starts_with(RETURNED);
            !is_starters && !starters.contains(&name)
        })
    };
    paths().any(is_service).then_some("systemd")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::keeper;
    use crate::collect::processes::{Process, Processes};
    use crate::collect::tree::HostTree;

    fn process(pid: u32, parent: u32, name: &str, cgroup: &str) -> Process {
        Process {
            pid,
            parent,
            name: name.to_owned(),
            program: Some(format!("/www/{name}").into()),
            cgroup: cgroup.to_owned(),
            ..Process::default()
        }
    }

    fn kept(target: Process, others: &[Process], projects: &[u32]) -> String {
        let all = Processes::of(others.iter().cloned().chain([target.clone()]));
        let projects = BTreeSet::from_iter(projects.iter().copied());
        keeper(&target, &all, &projects, &HostTree::new(Path::new("/")))
    }

    #[test]
    fn each_keeper_is_told_by_its_sign() {
        let supervisor = process(10, 1, "supervisord", "0::/system.slice/supervisor.service");
        let shell = process(11, 10, "sh", "0::/system.slice/supervisor.service");
        let below = process(12, 11, "api", "0::/system.slice/supervisor.service");
        assert_eq!(kept(below, &[supervisor, shell], &[]), "supervisor");
        let unit = process(20, 1, "api", "0::/system.slice/api.service");
        assert_eq!(kept(unit, &[], &[]), "systemd");
        let back = process(21, 1, "api", "0::/system.slice/guanka-returned-api.prod.service");
        assert_eq!(kept(back, &[], &[]), "nohup", "nobody kept it before it was adopted");
        let shell = process(30, 1, "sh", "0::/system.slice/bt.service");
        let project = process(31, 30, "api", "0::/system.slice/bt.service");
        assert_eq!(kept(project, &[shell], &[30]), "panel go project");
        let alone = process(40, 1, "api", "0::/user.slice/user-0.slice/session-1.scope");
        assert_eq!(kept(alone, &[], &[]), "nohup");
        let boxed = process(50, 1, "api", "0::/system.slice/docker-abc.scope");
        assert_eq!(kept(boxed, &[], &[]), "container");
        let shell = process(60, 1, "bash", "0::/user.slice");
        let by_hand = process(61, 60, "api", "0::/user.slice");
        assert_eq!(kept(by_hand, &[shell], &[]), "started by bash");
        let mut ours = process(70, 1, "api", "0::/");
        ours.program = Some("/opt/guanka/api.prod/releases/x/bin/api".into());
        assert_eq!(kept(ours, &[], &[]), "guanka");
    }

    #[test]
    fn parents_in_a_circle_end() {
        let a = process(1, 2, "a", "");
        let b = process(2, 1, "b", "");
        assert_eq!(kept(b, &[a], &[]), "nohup");
    }
}
