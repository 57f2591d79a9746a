//! The questions about a host: nginx and its own test, its pid file, Supervisor, the panel, disk,
//! clock, guanka's agent.

use std::path::Path;

use guanka_core::facts::nginx::Nginx;
use guanka_core::facts::systemd::Exposure;
use guanka_core::facts::{Fact, Reason};
use guanka_world::collect::fitness::{self, PidFile, Socket};
use guanka_world::collect::rotators::{self, SecondRotator};
use guanka_world::collect::{nginx, panel};
use guanka_world::hostroot::HostRoot;
use guanka_world::managers::systemd;
use guanka_world::process::Output;
use guanka_world::{clock, files, proxy};

use super::Item;

/// The oldest nginx that guanka's files load on: `worker_shutdown_timeout` came with it.
const NGINX_MIN: (u32, u32, u32) = (1, 11, 11);

/// The least free space: three releases of a large binary, logs of a day, and room to unpack.
const FREE_MIN: u64 = 1 << 30;

/// The score of exposure that guanka's own units stay below.
const EXPOSURE_MAX: Exposure = Exposure(20);

/// Where guanka's files go on a host.
const PLACES: &[&str] = &["/opt/guanka", "/var/lib/guanka", "/var/log/guanka"];

/// Asks them for a host root. A laptop without nginx and panel is only asked about disk and clock.
pub(super) fn ask(root: &Path) -> Vec<Item> {
    let mut items = Vec::new();
    let panel = panel::read(root);
    let found = nginx::read(root);
    let is_host = panel.is_some() || found.is_some();
    if let Some(panel) = &panel {
        items.push(panel_item(&panel.kind, &panel.version));
    }
    match &found {
        Some(found) => {
            items.push(nginx_item(&found.version));
            // The pid file is looked at before nginx's test could touch it.
            let pid = pid_item(root, found);
            items.push(test_item(fitness::nginx_test(root, found)));
            items.push(pid);
        }
        None if panel.is_some() => items.push(no_nginx()),
        None => {}
    }
    if let Some((path, socket)) = fitness::supervisor_socket(root) {
        items.push(supervisor_item(&path, &socket));
    }
    items.extend(sandbox_item(&systemd::exposures(&HostRoot::new(root))));
    items.push(disk_item(root));
    items.extend(rotators(root));
    items.push(clock_item(fitness::is_clock_synchronized(), clock::now_ms()));
    if is_host {
        let (path, socket) = fitness::agent_socket(root);
        items.push(agent_item(&path, &socket));
    }
    items
}

fn panel_item(kind: &str, version: &Fact<String>) -> Item {
    let name = if kind == "aapanel" { "aaPanel" } else { "BaoTa" };
    match version {
        Fact::Known(version) => {
            let shown = format!("{name} {}", version.value);
            Item::passed("panel", shown.clone(), shown)
        }
        Fact::Unknown(reason) => {
            let why = why(reason);
            Item::unknown(
                "panel",
                format!("{name},版本无法得知:{why}"),
                format!("{name}; its version could not be told: {why}"),
            )
            .fix("用 root 运行 guanka doctor", "Run guanka doctor as root")
        }
        Fact::Conflict(_) => Item::unknown("panel", name, name),
    }
}

fn no_nginx() -> Item {
    Item::failed(
        "nginx",
        "有面板但没有 nginx;Apache 与 OpenLiteSpeed 不受支持",
        "there is a panel but no nginx; Apache and OpenLiteSpeed are not supported",
    )
    .fix("在面板的软件商店安装 nginx", "Install nginx in the panel's app store")
}

fn nginx_item(version: &Fact<guanka_core::facts::nginx::NginxVersion>) -> Item {
    let Some(found) = version.known() else {
        let reason = match version {
            Fact::Unknown(reason) => why(reason),
            _ => String::new(),
        };
        return Item::unknown(
            "nginx",
            format!("nginx 的版本无法得知:{reason}"),
            format!("nginx's version could not be told: {reason}"),
        );
    };
    let (major, minor, patch) = found.number;
    let shown = format!("{} {major}.{minor}.{patch}", found.flavour);
    if found.number >= NGINX_MIN {
        return Item::passed("nginx", shown.clone(), shown);
    }
    let (a, b, c) = NGINX_MIN;
    Item::failed(
        "nginx",
        format!("{shown} 太旧,至少需要 {a}.{b}.{c}"),
        format!("{shown} is too old; {a}.{b}.{c} is needed at least"),
    )
    .fix("在面板或系统包管理器中升级 nginx", "Upgrade nginx in the panel or by the package manager")
}

/// Tells what nginx's own test says, in nginx's own words when it is red.
fn test_item(answer: Result<Output, Reason>) -> Item {
    let output = match answer {
        Ok(output) => output,
        Err(reason) => {
            let why = why(&reason);
            return Item::unknown(
                "nginx-test",
                format!("无法运行 nginx -t:{why}"),
                format!("nginx -t could not be run: {why}"),
            );
        }
    };
    if output.is_success() {
        return Item::passed("nginx-test", "nginx -t 通过", "nginx -t passes");
    }
    let said = output.stderr.trim();
    if output.status.is_none() {
        return Item::unknown("nginx-test", "nginx -t 超时未答", "nginx -t gave no answer in time");
    }
    if said.contains("Permission denied") && !fitness::is_superuser() {
        return Item::unknown(
            "nginx-test",
            "nginx -t 需要 root 权限",
            "nginx -t needs root's rights",
        )
        .fix("用 root 运行 guanka doctor", "Run guanka doctor as root");
    }
    Item::failed(
        "nginx-test",
        format!("在 guanka 改动任何东西之前,nginx -t 就已失败:\n{said}"),
        format!("nginx -t fails before guanka touches anything:\n{said}"),
    )
    .fix(
        "先改正上面那一行;在此之前面板的任何站点操作也会失败",
        "Correct the line above first; until then every site operation of the panel fails too",
    )
}

/// A broken pid file makes the panel's next reload kill and restart nginx.
fn pid_item(root: &Path, found: &Nginx) -> Item {
    let (path, state) = fitness::nginx_pid(root, found);
    let path = path.display();
    let (zh, en) = match state {
        PidFile::Alive(pid) => {
            return Item::passed(
                "nginx-pid",
                format!("{path} 指向运行中的 nginx({pid})"),
                format!("{path} names the running nginx ({pid})"),
            );
        }
        PidFile::NotReadable(why) => {
            return Item::unknown(
                "nginx-pid",
                format!("无法读取 {why}"),
                format!("cannot read {why}"),
            )
            .fix("用 root 运行 guanka doctor", "Run guanka doctor as root");
        }
        PidFile::Missing => (format!("{path} 不存在"), format!("{path} is not there")),
        PidFile::NoNumber => (format!("{path} 为空或不是数字"), format!("{path} holds no number")),
        PidFile::Dead(pid) => (
            format!("{path} 里的进程 {pid} 不存在"),
            format!("{path} names process {pid}, which is not there"),
        ),
        PidFile::Another(pid, name) => (
            format!("{path} 里的进程 {pid} 是 {name},不是 nginx"),
            format!("{path} names process {pid}, which is {name}, not nginx"),
        ),
    };
    Item::failed("nginx-pid", zh, en).fix(
        "启动 nginx,或把 nginx 主进程的进程号写回该文件;否则面板下次重载会强杀并重启 nginx",
        "Start nginx, or write its master's process number back into the file; else the panel's \
         next reload kills and restarts nginx",
    )
}

/// Tells how open the arms' units are by systemd's own score; nothing where there is no unit.
fn sandbox_item(found: &[(String, Exposure)]) -> Option<Item> {
    let (name, worst) = found.iter().max_by_key(|(_, exposure)| *exposure)?;
    if *worst <= EXPOSURE_MAX {
        let count = found.len();
        return Some(Item::passed(
            "sandbox",
            format!("{count} 个臂的 systemd 单元,暴露度至多 {worst}(0 最小,10 最大)"),
            format!("{count} units of arms, exposure {worst} of 10 at most"),
        ));
    }
    let item = Item::failed(
        "sandbox",
        format!("{name} 的暴露度为 {worst},guanka 写入的单元不超过 {EXPOSURE_MAX}"),
        format!("{name} has exposure {worst}; what guanka writes has {EXPOSURE_MAX} at most"),
    );
    Some(item.fix(
        "有人改过该单元;下一次发布会重新写入",
        "Somebody has changed the unit; the next release writes it anew",
    ))
}

fn supervisor_item(path: &Path, socket: &Socket) -> Item {
    let path = path.display();
    match socket {
        Socket::Open => Item::passed(
            "supervisor",
            format!("{path} 有应答"),
            format!("somebody answers on {path}"),
        ),
        Socket::NotAllowed(why) => {
            Item::unknown("supervisor", format!("{path}:{why}"), format!("{path}: {why}"))
                .fix("用 root 运行 guanka doctor", "Run guanka doctor as root")
        }
        Socket::Missing | Socket::Refused => Item::failed(
            "supervisor",
            format!("装有 Supervisor,但 {path} 无人应答"),
            format!("Supervisor is installed, but nobody answers on {path}"),
        )
        .fix(
            "启动 supervisord(面板:进程守护管理器)",
            "Start supervisord (panel: its Supervisor plugin)",
        ),
    }
}

/// Tells who else would rotate the logs of the services that are installed here.
fn rotators(root: &Path) -> Vec<Item> {
    let host = HostRoot::new(files::absolute(root).unwrap_or_else(|_| root.to_owned()));
    let services = proxy::services(&host);
    if services.is_empty() {
        return Vec::new();
    }
    let found: Vec<_> =
        services.iter().flat_map(|service| rotators::second(&host, service)).collect();
    if found.is_empty() {
        let (zh, en) = ("guanka 的日志只有 guanka 在切割", "nobody but guanka rotates its logs");
        return vec![Item::passed("log-rotators", zh, en)];
    }
    let item = |second: SecondRotator| {
        Item::failed("log-rotators", second.says.zh, second.says.en).fix(
            "删去那一行,由 guanka 按 [logs] 切割",
            "Take that line out; guanka rotates by [logs]",
        )
    };
    found.into_iter().map(item).collect()
}

/// Tells the least free space over the places that guanka writes to.
fn disk_item(root: &Path) -> Item {
    let spaces: Vec<_> =
        PLACES.iter().map(|place| (*place, fitness::disk_space(root, place))).collect();
    let known = spaces.iter().filter_map(|(place, space)| Some((*place, space.as_ref().ok()?.0)));
    match known.min_by_key(|(_, free)| *free) {
        Some((place, free)) => free_item(place, free),
        None => {
            let reason = spaces.into_iter().find_map(|(_, space)| space.err());
            let why = reason.as_ref().map(why).unwrap_or_default();
            Item::unknown(
                "disk",
                format!("磁盘空间无法得知:{why}"),
                format!("free space could not be told: {why}"),
            )
        }
    }
}

fn free_item(place: &str, free: u64) -> Item {
    let shown = format!("{:.1} GiB", free as f64 / f64::from(1 << 30));
    if free >= FREE_MIN {
        return Item::passed("disk", format!("剩余 {shown}"), format!("{shown} free"));
    }
    Item::failed(
        "disk",
        format!("{place} 所在磁盘只剩 {shown},至少需要 1 GiB"),
        format!("only {shown} free where {place} lies; 1 GiB is needed at least"),
    )
    .fix("清理旧日志与备份,或扩容", "Remove old logs and backups, or enlarge the disk")
}

/// Bake times, leases and log windows all rest on the clock.
fn clock_item(synchronized: Result<bool, Reason>, now_ms: u64) -> Item {
    let shown = clock::rfc3339(now_ms);
    // A clock that stands before the day this program was made is wrong, whoever keeps it.
    if fitness::own_program_time().is_some_and(|made| now_ms < made) {
        return Item::failed(
            "clock",
            format!("系统时间 {shown} 早于本程序的写入时间"),
            format!("it is {shown} here, before this program was written"),
        )
        .fix("timedatectl set-ntp true", "timedatectl set-ntp true");
    }
    match synchronized {
        Ok(true) => {
            Item::passed("clock", format!("{shown},已同步"), format!("{shown}, kept in step"))
        }
        Ok(false) => Item::failed(
            "clock",
            format!("{shown},没有与时间服务器同步"),
            format!("{shown}, not kept in step with a time server"),
        )
        .fix("timedatectl set-ntp true", "timedatectl set-ntp true"),
        Err(reason) => {
            let why = why(&reason);
            Item::unknown(
                "clock",
                format!("{shown},是否同步无法得知:{why}"),
                format!("{shown}; whether it is kept in step could not be told: {why}"),
            )
        }
    }
}

fn agent_item(path: &Path, socket: &Socket) -> Item {
    let path = path.display();
    match socket {
        Socket::Open => {
            Item::passed("agent", format!("{path} 有应答"), format!("somebody answers on {path}"))
        }
        Socket::Missing => Item::unknown(
            "agent",
            "guanka 的代理未在此运行(首次发布时会安装)",
            "guanka's agent does not run here (the first ship installs it)",
        ),
        Socket::NotAllowed(why) => {
            Item::unknown("agent", format!("{path}:{why}"), format!("{path}: {why}"))
                .fix("用 root 运行 guanka doctor", "Run guanka doctor as root")
        }
        Socket::Refused => Item::failed(
            "agent",
            format!("{path} 存在但无人应答"),
            format!("{path} is there, but nobody answers"),
        )
        .fix(
            "运行 `guanka status`,它会重新启动 agent",
            "run `guanka status`: it starts the agent anew",
        ),
    }
}

/// Returns a reason's own words.
fn why(reason: &Reason) -> String {
    match reason {
        Reason::NotReadable(why)
        | Reason::NotThere(why)
        | Reason::NotReachable(why)
        | Reason::ToolMissing(why)
        | Reason::OutsideOurSight(why) => why.clone(),
        Reason::NotParsed(span) => span.excerpt.clone(),
        Reason::NotConstant { what, .. } => what.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::path::Path;
    use std::process::ExitStatus;

    use guanka_core::facts::Reason;
    use guanka_core::facts::systemd::Exposure;
    use guanka_parse::nginx;
    use guanka_world::collect::fitness::Socket;
    use guanka_world::process::Output;

    use super::super::State;
    use super::{
        agent_item, clock_item, free_item, nginx_item, sandbox_item, supervisor_item, test_item,
    };

    #[test]
    fn a_red_nginx_is_shown_in_its_own_words() {
        let output = |code: i32, stderr: &str| Output {
            argv: Vec::new(),
            status: Some(ExitStatus::from_raw(code << 8)),
            stdout: String::new(),
            stderr: stderr.to_owned(),
        };
        let red = test_item(Ok(output(1, "nginx: [emerg] unknown directive \"x\" in /a:3\n")));
        assert_eq!(red.state, State::Failed);
        assert!(red.says.zh.ends_with("\nnginx: [emerg] unknown directive \"x\" in /a:3"));
        assert_eq!(test_item(Ok(output(0, ""))).state, State::Passed);
        let late = Output { status: None, ..output(0, "") };
        assert_eq!(test_item(Ok(late)).state, State::Unknown);
        let missing = Reason::ToolMissing("nginx".to_owned());
        assert_eq!(test_item(Err(missing)).state, State::Unknown);
    }

    #[test]
    fn each_answer_has_its_state() {
        let version = |text: &str| nginx_item(&nginx::version(text)).state;
        assert_eq!(version("nginx version: nginx/1.22.1"), State::Passed);
        assert_eq!(version("nginx version: nginx/1.8.1"), State::Failed);
        assert_eq!(version("?"), State::Unknown);
        assert_eq!(free_item("/opt", (1 << 30) - 1).state, State::Failed);
        assert_eq!(free_item("/opt", 1 << 30).state, State::Passed);
        let path = Path::new("/run/x.sock");
        assert_eq!(supervisor_item(path, &Socket::Refused).state, State::Failed);
        assert_eq!(supervisor_item(path, &Socket::Open).state, State::Passed);
        assert_eq!(agent_item(path, &Socket::Missing).state, State::Unknown);
        assert_eq!(agent_item(path, &Socket::Refused).state, State::Failed);
        let scored = |tenths| [("x@blue.service".to_owned(), Exposure(tenths))];
        assert!(sandbox_item(&[]).is_none());
        assert_eq!(sandbox_item(&scored(20)).map(|item| item.state), Some(State::Passed));
        assert_eq!(sandbox_item(&scored(21)).map(|item| item.state), Some(State::Failed));
        assert_eq!(clock_item(Ok(true), 0).state, State::Failed, "1970 is before this program");
        assert_eq!(clock_item(Ok(true), u64::MAX / 2_000_000).state, State::Passed);
        assert_eq!(clock_item(Ok(false), u64::MAX / 2_000_000).state, State::Failed);
    }
}
