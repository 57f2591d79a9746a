//! Arms under a real Supervisor: started as another user through the launcher, stopped, restarted
//! after a crash, given up, and never at the cost of a program of somebody else.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use guanka_core::facts::declared::{LogPlace, Logs};
use guanka_core::name::{Arm, ServiceName};
use guanka_core::quantity::{Bytes, CpuPercent, Millis};
use guanka_world::clock;
use guanka_world::hash;
use guanka_world::hostroot::HostRoot;
use guanka_world::logs::{Unfinished, stream};
use guanka_world::managers::spec::{ArmSpec, RunAs, mark_active};
use guanka_world::managers::supervisor::Supervisor;
use guanka_world::managers::{ArmStatus, Installed, Manager, ManagerError};
use guanka_world::managers::{credentials, launch, users};
use guanka_world::ports::{self, ArmPorts, PortError};
use guanka_world::rotate::{self, Outcome, Turn};

use crate::root::{LIMIT, Root, Running, has, service};

/// Is `guanka exec` of these tests; returns at once in an ordinary run.
pub(crate) fn launcher() {
    let args: Vec<String> = std::env::args().skip_while(|arg| arg != "exec").collect();
    let value = |name: &str| args.iter().skip_while(|a| *a != name).nth(1).cloned();
    let (Some(root), Some(service), Some(arm)) =
        (value("--root"), value("--service"), value("--arm"))
    else {
        return;
    };
    let service = ServiceName::try_from(service).expect("a service");
    let arm = Arm::parse(&arm).expect("an arm");
    let error = launch::become_arm(&HostRoot::new(root), &service, arm);
    panic!("{error}");
}

/// A host with Supervisor running a program of the user's, and two arms installed.
struct Kept {
    root: Root,
    ports: ArmPorts,
    supervisor: Supervisor,
    run_as: RunAs,
    daemon: Running,
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Asked politely, Supervisor ends its programs before itself.
        let pid = rustix::process::Pid::from_child(&self.daemon.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        clock::wait_for(LIMIT, Millis(20), || self.daemon.0.try_wait().ok().flatten());
    }
}

impl Kept {
    fn new() -> Self {
        let root = Root::new();
        root.write("etc/supervisor/supervisord.conf", DAEMON);
        root.write("www/server/panel/plugin/supervisor/profile/api.ini", FOREIGN);
        root.write("www/server/panel/plugin/supervisor/config.json", "[{\"program\":\"api\"}]");
        let exe = std::env::current_exe().expect("this executable");
        let script =
            format!("#!/bin/sh\nexec {} --exact launcher --nocapture -- \"$@\"\n", exe.display());
        root.write("launcher", &script);
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(root.at("launcher"), executable).expect("executable");
        let mut daemon = Command::new("supervisord");
        daemon.arg("-n").arg("-c").arg(root.at("etc/supervisor/supervisord.conf"));
        daemon.stdout(Stdio::null()).stderr(Stdio::null());
        let daemon = Running(daemon.spawn().expect("supervisord starts"));
        let socket = root.at("run/supervisor.sock");
        clock::wait_for(LIMIT, Millis(5), || socket.exists().then_some(())).expect("it listens");
        let supervisor = Supervisor::find(&root.host).expect("usable").expect("there");
        let ports = ports::allot(&root.host, &service()).expect("two ports");
        let run_as = users::resolve(&root.host, &service(), None).expect("a user");
        mark_active(&root.host, &service(), Arm::Blue).expect("marked");
        for arm in [Arm::Blue, Arm::Green] {
            root.arm_with(arm, arm.as_str());
        }
        Self { root, ports, supervisor, run_as, daemon }
    }

    fn install(&self, arm: Arm) -> Installed {
        let spec = self.root.spec(arm, self.ports.of(arm), self.run_as.clone());
        self.supervisor.install(&spec).expect("installed")
    }

    fn start(&self, arm: Arm) -> u32 {
        match self.supervisor.start(&service(), arm).expect("started") {
            ArmStatus::Running { pid } => pid,
            other => panic!("{other:?}: {}", self.output(arm)),
        }
    }

    fn output(&self, arm: Arm) -> String {
        fs::read_to_string(self.root.host.arm_log(&service(), arm)).unwrap_or_default()
    }

    fn stop(&self, arm: Arm) {
        self.supervisor.stop(&service(), arm, Millis(1000)).expect("stopped");
    }

    /// Returns the process of the user's own program.
    fn foreign(&self) -> String {
        let mut client = Command::new("supervisorctl");
        client.arg("-c").arg(self.root.at("etc/supervisor/supervisord.conf")).arg("pid").arg("api");
        let output = client.output().expect("supervisorctl runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

#[test]
fn an_arm_runs_as_its_user_through_the_launcher_and_stops_without_touching_others() {
    if !has(&["supervisord", "supervisorctl"]) {
        return;
    }
    let kept = Kept::new();
    let foreign = kept.foreign();
    assert_eq!(kept.install(Arm::Blue), Installed::Written);
    assert_eq!(kept.install(Arm::Blue), Installed::Unchanged);
    let status = |arm| kept.supervisor.status(&service(), arm).expect("a status");
    assert_eq!(status(Arm::Blue), ArmStatus::Stopped, "an install starts nothing");
    let held = ports::hold(kept.ports.blue).expect("held while idle");
    held.release();

    let pid = kept.start(Arm::Blue);
    let listens = || ports::owner_of(kept.ports.blue).filter(|owner| owner.pid == pid);
    clock::wait_for(LIMIT, Millis(10), listens).expect("the very process listens");
    let program = kept.root.host.arm(&service(), Arm::Blue).join("bin/shop");
    let running = hash::of_file(Path::new(&format!("/proc/{pid}/exe"))).expect("readable");
    assert_eq!(running, hash::of_file(&program).expect("readable"));
    let owner = fs::metadata(format!("/proc/{pid}")).expect("runs");
    if let RunAs::User { uid, gid, .. } = kept.run_as {
        assert_eq!((owner.uid(), owner.gid()), (uid, gid));
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("readable");
        let groups = status.lines().find(|line| line.starts_with("Groups:")).expect("a line");
        assert_eq!(groups.trim_end(), "Groups:", "root's groups are dropped");
    }
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("readable");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
    assert_eq!(files.split_whitespace().nth(3), Some("4096"), "{files}");

    assert_eq!(kept.start(Arm::Blue), pid, "a start that is repeated changes nothing");
    let taken = ports::hold(kept.ports.blue).expect_err("the arm has it");
    assert!(matches!(taken, PortError::Taken { owner: Some(o), .. } if o.pid == pid));
    let mut other = kept.root.spec(Arm::Blue, kept.ports.blue, kept.run_as.clone());
    other.nofile = 5000;
    let error = kept.supervisor.install(&other).expect_err("it runs");
    assert!(matches!(error, ManagerError::Running { .. }), "{error}");

    kept.stop(Arm::Blue);
    assert_eq!(status(Arm::Blue), ArmStatus::Stopped);
    ports::hold(kept.ports.blue).expect("free again");
    kept.stop(Arm::Blue);
    other.stop_grace = Millis(9000);
    other.store(&kept.root.host).expect("stored before it is installed");
    assert_eq!(kept.supervisor.install(&other).expect("installed"), Installed::Written);
    let ini = fs::read_to_string(kept.supervisor.file(&service(), Arm::Blue)).expect("there");
    assert!(ini.contains("stopwaitsecs=14\n") && ini.contains("autostart=false\n"), "{ini}");
    assert_eq!(kept.foreign(), foreign, "the user's program was never touched");
    assert!(foreign.parse::<u32>().is_ok_and(|pid| pid > 0), "{foreign}");
}

#[test]
fn a_crashed_arm_comes_back_and_a_broken_one_is_not_called_running() {
    if !has(&["supervisord", "supervisorctl"]) {
        return;
    }
    let kept = Kept::new();
    kept.install(Arm::Blue);
    let first = kept.start(Arm::Blue);
    let pid = rustix::process::Pid::from_raw(first as i32).expect("a process");
    let listens = || ports::owner_of(kept.ports.blue);
    clock::wait_for(LIMIT, Millis(10), listens).expect("it listens");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    let again = || match kept.supervisor.status(&service(), Arm::Blue) {
        Ok(ArmStatus::Running { pid }) if pid != first => Some(pid),
        _ => None,
    };
    clock::wait_for(LIMIT, Millis(50), again).expect("it comes back");

    let broken = kept.root.spec(Arm::Green, 0, kept.run_as.clone());
    kept.supervisor.install(&broken).expect("installed");
    let status = kept.supervisor.start(&service(), Arm::Green).expect("asked");
    assert!(matches!(status, ArmStatus::Retrying { .. }), "{status:?}");
    assert!(kept.output(Arm::Green).contains("told to fail"), "{}", kept.output(Arm::Green));
    let blue = again().expect("blue runs on");

    let gone = kept.supervisor.remove(&service(), Arm::Green, Millis(1000));
    gone.expect("removed");
    assert!(!kept.supervisor.file(&service(), Arm::Green).exists());
    let list = fs::read_to_string(kept.root.at("www/server/panel/plugin/supervisor/config.json"));
    let list = list.expect("there");
    assert!(list.contains("guanka-shop.prod-blue") && list.contains("\"api\""), "{list}");
    assert!(!list.contains("guanka-shop.prod-green"), "{list}");
    assert_eq!(again(), Some(blue));
}

#[test]
fn secrets_and_the_one_right_that_is_asked_for_reach_the_program_and_no_other() {
    if !has(&["supervisord", "supervisorctl"]) {
        return;
    }
    let kept = Kept::new();
    let secret = credentials::source(&kept.root.host, &service(), "db");
    fs::create_dir_all(secret.parent().expect("a folder")).expect("made");
    fs::write(&secret, "correct horse").expect("written");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("set");
    let plain = kept.root.spec(Arm::Green, kept.ports.green, kept.run_as.clone());
    let mut full = kept.root.spec(Arm::Blue, kept.ports.blue, kept.run_as.clone());
    full.credentials = vec!["db".to_owned()];
    full.low_ports = true;
    full.cpu = Some(CpuPercent(100));
    let started = |spec: &ArmSpec| {
        kept.supervisor.install(spec).expect("installed");
        let pid = kept.start(spec.arm);
        let listens = || ports::owner_of(spec.port).filter(|owner| owner.pid == pid);
        clock::wait_for(LIMIT, Millis(10), listens).expect("the very process listens");
        let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).expect("readable");
        let text = |name: &str| String::from_utf8_lossy(&read(name)).replace('\0', "\n");
        (text("environ"), text("status"))
    };
    let has_line = |text: &str, line: &str| text.lines().any(|l| l == line);
    let folder = credentials::folder(&kept.root.host, &service(), Arm::Blue);
    let (environ, status) = started(&full);
    let variable = format!("CREDENTIALS_DIRECTORY={}", folder.display());
    assert!(has_line(&environ, &variable) && !environ.contains("correct"), "{environ}");
    if processors() > 1 {
        assert!(has_line(&environ, "GOMAXPROCS=1"), "{environ}");
    }
    let file = fs::metadata(folder.join("db")).expect("handed over");
    assert_eq!(file.permissions().mode() & 0o777, 0o400);
    let (bare_environ, bare_status) = started(&plain);
    assert!(!bare_environ.contains("CREDENTIALS") && !bare_environ.contains("GOMAXPROCS"));
    if let RunAs::User { uid, gid, .. } = kept.run_as {
        assert_eq!((file.uid(), file.gid()), (uid, gid));
        // The tenth capability, to bind low ports, and nothing beside it.
        for (status, right) in [(&status, "0000000000000400"), (&bare_status, "0000000000000000")] {
            for set in ["CapEff", "CapPrm", "CapAmb"] {
                assert!(has_line(status, &format!("{set}:\t{right}")), "{set}: {status}");
            }
            assert!(has_line(status, "NoNewPrivs:\t1"), "{status}");
        }
    }
    let gone = kept.supervisor.remove(&service(), Arm::Blue, Millis(1000));
    gone.expect("removed");
    assert!(!folder.exists(), "the secret does not outlive its arm");
}

/// Returns how many processors the tests may use: with one there is nothing to tell.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[test]
fn output_rotated_by_rename_under_supervisor_is_read_line_by_line_once() {
    if !has(&["supervisord", "supervisorctl"]) {
        return;
    }
    let kept = Kept::new();
    let log = kept.root.at("run/chatter.log");
    kept.root.write("www/server/panel/plugin/supervisor/profile/chatter.ini", CHATTER);
    let mut client = Command::new("supervisorctl");
    client
        .arg("-c")
        .arg(kept.root.at("etc/supervisor/supervisord.conf"))
        .args(["update", "chatter"]);
    assert!(client.output().expect("supervisorctl runs").status.success());
    let logs = Logs {
        rotate: Bytes(1),
        every: None,
        keep: 3,
        budget: Bytes(1 << 30),
        place: LogPlace::File,
    };
    let (mut place, mut seen, mut rotations) = (0, Vec::new(), 0);
    let all = clock::wait_for(LIMIT, Millis(1), || {
        if rotations < 10 {
            let turn = Turn { log: &log, logs: &logs, now_ms: clock::now_ms() };
            let mut reopen = || kept.supervisor.reopen_logs().map_err(std::io::Error::other);
            let done = rotate::by_rename(&turn, &mut reopen).expect("rotated");
            rotations += u32::from(done == Outcome::Rotated);
        }
        let piece = stream::read(&log, place, Unfinished::Left).expect("read");
        place = piece.next;
        seen.extend(piece.lines);
        (seen.len() >= LINES && rotations == 10).then_some(())
    });
    let numbered: Vec<String> = (0..LINES).map(|n| format!("line {n}")).collect();
    let first = seen.iter().zip(&numbered).position(|(is, was)| is != was);
    assert!(all.is_some() && seen == numbered, "{} lines, wrong at {first:?}", seen.len());
    assert_eq!(rotations, 10);
}

/// How many lines the program prints, in ten parts with a pause of the shell's between them.
const LINES: usize = 20_000;

const CHATTER: &str = "[program:chatter]
command=/bin/sh -c 'i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); \
    [ $((i %% 100)) -eq 0 ] && sleep 0.02; done; exec sleep 600'
startsecs=0
stopasgroup=true
redirect_stderr=true
stdout_logfile=ROOT/run/chatter.log
stdout_logfile_maxbytes=0
";

const DAEMON: &str = "[unix_http_server]
file=ROOT/run/supervisor.sock
[supervisord]
logfile=ROOT/run/supervisord.log
pidfile=ROOT/run/supervisord.pid
childlogdir=ROOT/run
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://ROOT/run/supervisor.sock
[include]
files = ROOT/www/server/panel/plugin/supervisor/profile/*.ini
";

const FOREIGN: &str = "[program:api]
command=sleep 600
startsecs=0
stopasgroup=true
";
