//! Reads the systemd units of a host that run something of the user's, with their drop-ins.

use std::fs;
use std::path::Path;

use guanka_core::facts::Problem;
use guanka_core::facts::systemd::Unit;
use guanka_parse::systemd;

use super::supervisor::unreadable;
use super::tree::HostTree;

/// Where an administrator's units lie.
const FOLDER: &str = "/etc/systemd/system";

/// How many units are read.
const UNITS_MAX: usize = 5_000;

/// Folders whose programs come with the distribution.
const DISTRIBUTION: &[&str] = &["/usr/", "/bin/", "/sbin/", "/lib/", "/lib64/"];

/// Programs of the distribution that only start something else, which is then the user's.
const STARTERS: &[&str] = &[
    "sh",
    "bash",
    "dash",
    "env",
    "nohup",
    "setsid",
    "nice",
    "ionice",
    "taskset",
    "numactl",
    "systemd-run",
    "chroot",
    "sudo",
    "runuser",
    "su",
    "python3",
    "node",
    "java",
];

/// Reads the units of a host root: services whose command is not the distribution's own.
pub fn read(root: &Path) -> (Vec<Unit>, Vec<Problem>) {
    let tree = HostTree::new(root);
    let mut units = Vec::new();
    let mut problems = Vec::new();
    for path in tree.glob(&format!("{FOLDER}/*.service")).into_iter().take(UNITS_MAX) {
        let is_own = match fs::symlink_metadata(&path) {
            // A link is another name for a unit, or masks one; neither is written by hand here.
            Ok(meta) => meta.is_file(),
            Err(_) => false,
        };
        if !is_own {
            continue;
        }
        let file = path.display().to_string();
        match tree.text(&file) {
            Ok(text) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let extra = drop_ins(&tree, &name, &mut problems);
                let (unit, faults) = systemd::read((&name, &file, &text), &extra);
                if runs_own_program(&unit) {
                    units.push(unit);
                    problems.extend(faults);
                }
            }
            Err(reason) => problems.push(unreadable(&file, &reason)),
        }
    }
    (units, problems)
}

/// Reads a unit's drop-ins in the order of their names, which is systemd's.
fn drop_ins(tree: &HostTree, name: &str, problems: &mut Vec<Problem>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for path in tree.glob(&format!("{FOLDER}/{name}.d/*.conf")) {
        let file = path.display().to_string();
        match tree.text(&file) {
            Ok(text) => found.push((file, text)),
            Err(reason) => problems.push(unreadable(&file, &reason)),
        }
    }
    found
}

fn runs_own_program(unit: &Unit) -> bool {
    unit.list("Service", "ExecStart").iter().any(|entry| {
        // Signs before the path change how systemd runs it, not what.
        let command = entry.value.trim_start_matches(['-', '@', ':', '+', '!', '|']).trim_start();
        let program = command.split_whitespace().next().unwrap_or_default().trim_matches('"');
        let is_local = program.starts_with("/usr/local/");
        let is_distribution =
            !program.starts_with('/') || DISTRIBUTION.iter().any(|d| program.starts_with(d));
        let name = program.rsplit('/').next().unwrap_or(program);
        is_local || !is_distribution || STARTERS.contains(&name)
    })
}

#[cfg(test)]
mod tests {
    use guanka_parse::systemd;

    use super::runs_own_program;

    fn is_own(command: &str) -> bool {
        let text = format!("[Service]\nExecStart={command}\n");
        runs_own_program(&systemd::read(("a.service", "a", &text), &[]).0)
    }

    #[test]
    fn units_of_the_distribution_are_left_out() {
        assert!(is_own("/www/api/api -c x"));
        assert!(is_own("-/opt/api"));
        assert!(is_own("/usr/local/bin/api"));
        assert!(is_own("/bin/bash /root/start.sh"));
        assert!(!is_own("/usr/sbin/nginx -g x"));
        assert!(!is_own("!!/lib/systemd/systemd-timesyncd"));
        assert!(!is_own(""));
    }
}
