//! The limits of processor time that a process stands under, read from its control groups: version
//! 2 and version 1, its own group and all those around it that are seen from here.

use std::fs;
use std::path::Path;

use guanka_core::plan::processors::Room;
use guanka_core::quantity::CpuPercent;

/// The quota of a period, in microseconds each.
type Quota = (u64, u64);

/// Returns what a process of this group stands under: `/proc/self/cgroup` for this one.
pub fn own_room() -> Room {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let quotas = quotas(Path::new("/sys/fs/cgroup"), &groups);
    let (own, around) = split(&quotas);
    Room { processors: processors(), own, around }
}

/// Returns what a unit of the system's will stand under, with a limit of its own.
pub fn room_of_unit(own: Option<CpuPercent>) -> Room {
    let groups = "0::/system.slice/x\n1:cpu:/system.slice/x\n";
    let quotas = quotas(Path::new("/sys/fs/cgroup"), groups);
    Room { processors: processors(), own, around: quotas.into_iter().skip(1).flatten().min() }
}

/// Returns the processors that this process may run on.
fn processors() -> u32 {
    let allowed = rustix::thread::sched_getaffinity(None);
    allowed.map_or(1, |set| set.count().max(1))
}

fn split(quotas: &[Option<CpuPercent>]) -> (Option<CpuPercent>, Option<CpuPercent>) {
    let own = quotas.first().copied().flatten();
    (own, quotas.iter().skip(1).flatten().min().copied())
}

/// Returns the quota of the named group and of each one around it, innermost first. Of the two
/// versions the one that has the controller counts.
fn quotas(mounts: &Path, groups: &str) -> Vec<Option<CpuPercent>> {
    let of = |is_it: &dyn Fn(&str) -> bool| {
        groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            is_it(controllers).then_some(path)
        })
    };
    let first = of(&|names| names.split(',').any(|name| name == "cpu"));
    let folders = ["cpu", "cpu,cpuacct"].map(|name| mounts.join(name));
    if let (Some(group), Some(folder)) = (first, folders.iter().find(|f| f.is_dir())) {
        return walk(folder, group, &|at| {
            let number = |file: &str| read_number(&at.join(file));
            // -1 is no limit, and no unsigned number.
            Some((number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?))
        });
    }
    let group = of(&str::is_empty).unwrap_or("/");
    walk(mounts, group, &|at| {
        let text = fs::read_to_string(at.join("cpu.max")).ok()?;
        let (quota, period) = text.trim().split_once(' ')?;
        Some((quota.parse().ok()?, period.parse().ok()?))
    })
}

fn walk(
    mount: &Path,
    group: &str,
    read: &dyn Fn(&Path) -> Option<Quota>,
) -> Vec<Option<CpuPercent>> {
    let inside = Path::new(group.trim_start_matches('/'));
    inside.ancestors().map(|part| read(&mount.join(part)).and_then(percent)).collect()
}

fn percent((quota, period): Quota) -> Option<CpuPercent> {
    let percent = quota.checked_mul(100)?.checked_div(period)?;
    u32::try_from(percent.max(1)).ok().map(CpuPercent)
}

fn read_number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use guanka_core::quantity::CpuPercent;

    use super::{quotas, split};

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    #[test]
    fn quotas_of_version_2_are_read_up_to_the_root() {
        let dir = tempfile::tempdir().expect("a folder");
        write(dir.path(), "system.slice/x.service/cpu.max", "50000 100000\n");
        write(dir.path(), "system.slice/cpu.max", "max 100000\n");
        write(dir.path(), "cpu.max", "300000 100000\n");
        let found = quotas(dir.path(), "0::/system.slice/x.service\n");
        assert_eq!(found, [Some(CpuPercent(50)), None, Some(CpuPercent(300))]);
        assert_eq!(split(&found), (Some(CpuPercent(50)), Some(CpuPercent(300))));
    }

    #[test]
    fn quotas_of_version_1_count_where_the_controller_is_bound_there() {
        let dir = tempfile::tempdir().expect("a folder");
        write(dir.path(), "cpu/a/cpu.cfs_quota_us", "-1\n");
        write(dir.path(), "cpu/a/cpu.cfs_period_us", "100000\n");
        write(dir.path(), "cpu/cpu.cfs_quota_us", "150000\n");
        write(dir.path(), "cpu/cpu.cfs_period_us", "100000\n");
        write(dir.path(), "b/cpu.max", "10000 100000\n");
        let found = quotas(dir.path(), "1:cpu:/a\n0::/b\n");
        assert_eq!(found, [None, Some(CpuPercent(150))]);
        assert_eq!(quotas(dir.path(), ""), [None]);
    }
}
