//! A service behind a real nginx: wired once, its traffic moved without a reload, each move proven,
//! and every way of not being proven called by its name.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use guanka_core::facts::declared::{Proxy, Sticky};
use guanka_core::name::{Arm, Digest};
use guanka_core::quantity::{Millis, SharePercent};
use guanka_core::signals::slot::Slot;
use guanka_world::clock;
use guanka_world::ports::{self, ArmPorts};
use guanka_world::prove::{NotProven, Proof, Question, program_on, prove};
use guanka_world::proxy::share::{self, Swapped};
use guanka_world::proxy::{self, Applied, InstallError, Nginx, Turnover, Wiring, WiringError};

use crate::root::{self, Client, LIMIT, Root, Running, has, service};

/// A service wired in front of two running arms.
pub(crate) struct Wired {
    pub(crate) root: Root,
    pub(crate) wiring: Wiring,
    pub(crate) ports: ArmPorts,
    programs: BTreeMap<Arm, Digest>,
    sticky: Sticky,
    pub(crate) arms: BTreeMap<Arm, Running>,
}

impl Wired {
    fn new(sticky: Sticky) -> Self {
        Self::on(Root::new(), &root::proxy(sticky))
    }

    /// Wires a service on a host that is laid out, its nginx not yet started.
    pub(crate) fn on(root: Root, proxy: &Proxy) -> Self {
        root.start_nginx();
        let ports = ports::allot(&root.host, &service()).expect("two ports");
        let mut programs = BTreeMap::new();
        let mut arms = BTreeMap::new();
        for arm in [Arm::Blue, Arm::Green] {
            programs.insert(arm, root.arm_with(arm, arm.as_str()));
            arms.insert(arm, root.start_arm(arm, ports.of(arm)));
        }
        let wiring = proxy::plan(&root.host, &service(), proxy, ports).expect("a plan");
        proxy::install(&root.host, &wiring).expect("installed");
        Self { root, wiring, ports, programs, sticky: proxy.sticky.clone(), arms }
    }

    pub(crate) fn swap(&self, green: u8) -> Swapped {
        share::swap(&self.root.host, &service(), root::share(green)).expect("swapped")
    }

    pub(crate) fn prove(&self, green: u8) -> Result<Proof, NotProven> {
        let proxy = root::proxy(self.sticky.clone());
        let ports = self.ports;
        let serving = move |arm: Arm| program_on(ports.of(arm));
        let question = Question {
            service: &service(),
            domain: &proxy.domain,
            listens: &self.wiring.listens,
            access_log: &self.wiring.access_log,
            sticky: &self.sticky,
            ports: self.ports,
            green: root::share(green),
            programs: &self.programs,
            serving: &serving,
            path: "/",
            limit: Millis(5000),
        };
        prove(&self.root.host, &question)
    }
}

fn plan(root: &Root, sticky: &Sticky, ports: ArmPorts) -> Result<Wiring, WiringError> {
    proxy::plan(&root.host, &service(), &root::proxy(sticky.clone()), ports)
}

pub(crate) fn cookie() -> Sticky {
    Sticky::Cookie("sid".to_owned())
}

/// Returns the arm a cookie must get at a share of green's.
fn expected(cookie: &str, green: u8) -> &'static str {
    let slot = Slot::of(format!("{}{cookie}", service()).as_bytes());
    slot.arm(root::share(green)).as_str()
}

/// Returns every file of guanka's below the site folder with its bytes.
fn files_of(root: &Root) -> Vec<(PathBuf, String)> {
    let vhost = root.at("www/server/panel/vhost/nginx");
    let mut found = Vec::new();
    for folder in [vhost.clone(), vhost.join("extension/shop")] {
        for entry in fs::read_dir(folder).expect("there").flatten() {
            if entry.path().is_file() {
                found.push((entry.path(), fs::read_to_string(entry.path()).expect("readable")));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn requests_land_by_slot_at_every_share_and_each_move_is_proven() {
    if !has(&["nginx"]) {
        return;
    }
    let wired = Wired::new(cookie());
    let workers = worker_pids(&wired.root);
    for green in [0, 10, 50, 100, 1, 99] {
        wired.swap(green);
        for i in 0..200 {
            let cookie = format!("user-{i}");
            let (status, body) = wired.root.ask("/x.js?a=%2F", &cookie);
            assert_eq!((status, body.as_str()), (200, expected(&cookie, green)), "{cookie}");
        }
        let proof = wired.prove(green).expect("proven");
        let sides = if green == 0 || green == 100 { 1 } else { 2 };
        assert_eq!((proof.seen.len(), proof.arms.len()), (sides, sides));
    }
    assert_eq!(worker_pids(&wired.root), workers, "no move may reload nginx");
    let again = proxy::install(&wired.root.host, &wired.wiring).expect("installed already");
    assert_eq!(again, Applied::Unchanged);
    let (status, body) = wired.root.ask("/.well-known/a", "x");
    assert_eq!((status, body.as_str()), (200, "the site's own\n"));
    let (_, headers) = wired.root.ask("/headers", "x");
    assert!(headers.contains("\"x-forwarded-proto\": \"http\""), "{headers}");
    assert!(!headers.contains("nonce") && !headers.contains("\"connection\""), "{headers}");
    let own = fs::read_to_string(wired.root.at("www/wwwlogs/shop.log")).expect("written on");
    assert!(own.lines().count() > 1000);
}

#[test]
fn without_a_cookie_the_client_or_the_request_decides() {
    if !has(&["nginx"]) {
        return;
    }
    for sticky in [Sticky::Client, Sticky::Request] {
        let wired = Wired::new(sticky);
        for green in [0, 30, 100] {
            wired.swap(green);
            wired.prove(green).expect("proven");
        }
    }
}

fn is_named_ours(path: &std::path::Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains("guanka"))
}

#[test]
fn the_log_format_stays_while_another_service_is_installed() {
    if !has(&["nginx"]) {
        return;
    }
    let wired = Wired::new(cookie());
    let folder = wired.root.at("www/server/panel/vhost/nginx");
    fs::write(folder.join("zz_guanka_pay.prod.conf"), "# guanka pay.prod: x\n").expect("written");
    proxy::remove(&wired.root.host, &service()).expect("removed");
    assert!(folder.join("0.guanka_log_format.conf").is_file());
    assert!(Nginx::find(&wired.root.host).expect("there").test().is_ok());
}

#[test]
fn a_service_is_removed_in_an_order_that_never_breaks_nginx() {
    if !has(&["nginx"]) {
        return;
    }
    let wired = Wired::new(cookie());
    let removed = proxy::remove(&wired.root.host, &service()).expect("removed");
    assert!(matches!(removed, Applied::Reloaded { files, .. } if files.len() == 3));
    assert_eq!(files_of(&wired.root).iter().filter(|(p, _)| is_named_ours(p)).count(), 0);
    assert!(Nginx::find(&wired.root.host).expect("there").test().is_ok());
    assert_eq!(wired.root.ask("/", "x").0, 403, "the site answers by itself again");
    let again = proxy::remove(&wired.root.host, &service()).expect("removed already");
    assert_eq!(again, Applied::Unchanged);
}

#[test]
fn a_broken_foreign_file_stops_the_install_before_anything_changes() {
    if !has(&["nginx"]) {
        return;
    }
    let root = Root::new();
    root.start_nginx();
    let ports = ports::allot(&root.host, &service()).expect("two ports");
    let wiring = plan(&root, &cookie(), ports).expect("a plan");
    let before = files_of(&root);
    root.write("www/server/panel/vhost/nginx/user.conf", "health_check;\n");
    let error = proxy::install(&root.host, &wiring).expect_err("red already");
    let text = error.to_string();
    assert!(matches!(error, InstallError::RedBefore { .. }), "{text}");
    assert!(text.contains("health_check"), "{text}");
    fs::remove_file(root.at("www/server/panel/vhost/nginx/user.conf")).expect("removed");
    assert_eq!(files_of(&root), before);
    let pid = root.at("www/server/nginx/logs/nginx.pid");
    let master = fs::read(&pid).expect("there");
    fs::write(&pid, "1").expect("broken");
    let error = proxy::install(&root.host, &wiring).expect_err("no master");
    fs::write(&pid, master).expect("whole again");
    assert!(matches!(error, InstallError::NoMaster { .. }), "{error}");
    assert_eq!(files_of(&root), before);
}

#[test]
fn what_nginx_refuses_is_taken_back_to_the_byte() {
    if !has(&["nginx"]) {
        return;
    }
    let wired = Wired::new(cookie());
    let before = files_of(&wired.root);
    let mut broken = wired.wiring.clone();
    broken.files[1].text = broken.files[1].text.replace("split_clients", "split_client");
    let error = proxy::install(&wired.root.host, &broken).expect_err("refused");
    assert!(matches!(error, InstallError::Refused { again: None, .. }), "{error}");
    assert!(error.to_string().contains("split_client"), "{error}");
    assert_eq!(files_of(&wired.root), before);
    let after = proxy::recover(&wired.root.host).expect("nothing to take back");
    assert_eq!(after, Applied::Unchanged);
    assert_eq!(wired.root.ask("/", "x").0, 200);
}

/// Is the process that installs and is killed in the middle; returns at once in an ordinary run.
pub(crate) fn installer() {
    let Ok(folder) = std::env::var("GUANKA_TEST_INSTALL") else { return };
    let host = guanka_world::hostroot::HostRoot::new(folder);
    let ports = ports::allot(&host, &service()).expect("two ports");
    let proxy = root::proxy(cookie());
    let wiring = proxy::plan(&host, &service(), &proxy, ports).expect("a plan");
    proxy::install(&host, &wiring).expect("installed");
}

#[test]
fn an_install_killed_before_any_rename_or_removal_is_recovered() {
    if !has(&["nginx", "strace"]) {
        return;
    }
    let root = Root::new();
    root.start_nginx();
    let ports = ports::allot(&root.host, &service()).expect("two ports");
    let _blue = {
        root.arm_with(Arm::Blue, "blue");
        root.start_arm(Arm::Blue, ports.blue)
    };
    let clean = files_of(&root);
    let nginx = Nginx::find(&root.host).expect("there");
    share::build(&root.host, &service()).expect("built");
    let mut kills = 0;
    for call in ["rename", "unlink"] {
        // Each call of the install in turn; the first run that meets no such call is the whole one.
        for nth in 1..40 {
            let mut command = Command::new("strace");
            command.args(["-f", "-o", "/dev/null", "-e"]).arg(format!("trace={call}"));
            command.arg("-e").arg(format!("inject={call}:signal=KILL:when={nth}"));
            command.arg(std::env::current_exe().expect("this executable"));
            command.args(["--exact", "installer"]).env("GUANKA_TEST_INSTALL", root.host.root());
            let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
            let is_whole = status.expect("strace runs").success();
            proxy::recover(&root.host).expect("recovered");
            nginx.test().expect("green after every kill");
            let now = files_of(&root);
            assert!(now == clean || now.len() == clean.len() + 3 || is_whole, "{now:?}");
            let answer = root.ask("/", "x").0;
            let is_wired = now.iter().any(|(path, _)| path.ends_with("shop/guanka.conf"));
            assert_eq!(answer, if is_wired { 200 } else { 403 }, "{call} {nth}");
            assert!(!root.at("var/lib/guanka/nginx-change.json").exists());
            proxy::remove(&root.host, &service()).expect("removed");
            let format = root.at("www/server/panel/vhost/nginx/0.guanka_log_format.conf");
            let _ = fs::remove_file(format);
            if is_whole {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills >= 6, "only {kills} kills: the injection did not work");
}

#[test]
fn every_way_of_being_silently_blue_is_named() {
    if !has(&["nginx"]) {
        return;
    }
    let mut wired = Wired::new(cookie());
    wired.swap(100);
    wired.prove(100).expect("proven");

    let open = fs::Permissions::from_mode(0o711);
    if rustix::process::geteuid().is_root() {
        let closed = fs::Permissions::from_mode(0o700);
        fs::set_permissions(wired.root.host.state(), closed).expect("closed");
        let error = wired.prove(100).expect_err("all blue");
        assert!(matches!(&error, NotProven::Permission { user, .. } if user == "www-data"));
        fs::set_permissions(wired.root.host.state(), open).expect("opened");
    }
    wired.swap(0);
    let error = wired.prove(100).expect_err("the share is another");
    assert!(matches!(error, NotProven::ShareNotSeen { arm: Arm::Blue, .. }), "{error}");

    wired.swap(100);
    let other = wired.programs.insert(Arm::Green, guanka_world::hash::of_bytes(b"other"));
    let error = wired.prove(100).expect_err("another program");
    assert!(matches!(error, NotProven::OtherProgram { arm: Arm::Green, .. }), "{error}");
    wired.programs.insert(Arm::Green, other.expect("there"));

    wired.arms.remove(&Arm::Green);
    let held = ports::hold(wired.ports.green).expect("held");
    let error = wired.prove(100).expect_err("the arm is down");
    assert!(matches!(error, NotProven::FailedOver { arm: Arm::Green, .. }), "{error}");
    assert_eq!(wired.root.ask("/", "x"), (200, "blue".to_owned()), "clients see no error");
    drop(held);

    let wellknown = wired.root.at("www/server/panel/vhost/nginx/extension/shop/a.conf");
    fs::write(&wellknown, "location ~ ^/ { return 418; }\n").expect("written");
    let nginx = Nginx::find(&wired.root.host).expect("there");
    assert_eq!(nginx.reload().expect("reloaded"), Turnover::Complete);
    let error = wired.prove(0).expect_err("another location answers");
    assert!(matches!(error, NotProven::NotLogged { status: 418, .. }), "{error}");
}

#[test]
fn no_request_fails_while_the_share_moves_and_some_do_when_nginx_reloads() {
    if !has(&["nginx"]) {
        return;
    }
    let wired = Wired::new(cookie());
    let shares = [0, 1, 10, 25, 50, 75, 90, 99, 100];
    let moved = under_load(&wired, |i| {
        wired.swap(shares[i % shares.len()]);
        i < 300
    });
    assert_eq!(moved.failed, 0, "{moved:?}");
    assert_eq!(moved.wrong, 0, "{moved:?}");
    assert!(moved.green > 0 && moved.blue > 0, "{moved:?}");

    let nginx = Nginx::find(&wired.root.host).expect("there");
    let reloaded = under_load(&wired, |i| {
        nginx.reload().expect("reloaded");
        i < 5
    });
    assert!(reloaded.failed > 0, "this load cannot see a loss: {reloaded:?}");
}

#[test]
fn an_arm_that_dies_under_load_costs_no_request() {
    if !has(&["nginx"]) {
        return;
    }
    let wired = Wired::new(cookie());
    wired.swap(50);
    let green = wired.arms[&Arm::Green].0.id();
    let pid = rustix::process::Pid::from_raw(green as i32).expect("a process");
    let seen = under_load(&wired, |i| {
        if i == 5 {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
        }
        i < 60
    });
    assert_eq!((seen.failed, seen.wrong), (0, 0), "{seen:?}");
    assert!(seen.green > 0 && seen.blue > 0, "{seen:?}");
}

/// What clients that keep their connections and never retry saw.
#[derive(Debug)]
struct Seen {
    failed: u64,
    wrong: u64,
    blue: u64,
    green: u64,
}

/// Sends requests from several connections while `act` is called with 0, 1, … until it says no.
fn under_load(wired: &Wired, mut act: impl FnMut(usize) -> bool) -> Seen {
    let (stop, counts) = (AtomicBool::new(false), [const { AtomicU64::new(0) }; 4]);
    thread::scope(|scope| {
        for thread in 0..6 {
            let (stop, counts) = (&stop, &counts);
            scope.spawn(move || {
                let mut client = Client::connect(wired.root.listen).ok();
                for i in 0..2_000_000 {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let cookie = format!("{thread}-{i}");
                    let answer = client.as_mut().map(|c| c.get("/", &cookie));
                    let kind = match &answer {
                        Some(Ok((200, body))) if body == "blue" => 2,
                        Some(Ok((200, body))) if body == "green" => 3,
                        Some(Ok(_)) => 1,
                        _ => 0,
                    };
                    counts[kind].fetch_add(1, Ordering::Relaxed);
                    if kind < 2 {
                        client = Client::connect(wired.root.listen).ok();
                    }
                }
            });
        }
        for i in 0.. {
            let sum = |c: &[AtomicU64; 4]| c.iter().map(|n| n.load(Ordering::Relaxed)).sum::<u64>();
            let before = sum(&counts);
            let is_on = act(i);
            // Each move is felt by some requests before the next one.
            clock::wait_for(LIMIT, Millis(1), || (sum(&counts) >= before + 20).then_some(()));
            if !is_on {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let [failed, wrong, blue, green] = counts.map(AtomicU64::into_inner);
    Seen { failed, wrong, blue, green }
}

/// Returns the processes whose parent is nginx's master.
fn worker_pids(root: &Root) -> Vec<u32> {
    let master = root.master().expect("running");
    let path = format!("/proc/{master}/task/{master}/children");
    let text = fs::read_to_string(path).expect("readable");
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[test]
fn the_share_in_force_is_read_back_from_the_link() {
    let root = Root::new();
    assert_eq!(share::read(&root.host, &service()), None);
    share::build(&root.host, &service()).expect("built");
    assert_eq!(share::read(&root.host, &service()), Some(SharePercent::NONE));
}
