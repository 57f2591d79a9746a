//! The truth of the load engine: a server frozen for a second must be seen frozen for a second, and
//! a generator that was itself frozen must say so. Real processes are stopped and continued.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use guanka_core::quantity::{Bytes, Millis, Rate};
use guanka_world::load::{LoadPlan, LoadRun, SelfCheckLimits, run};
use guanka_world::{clock, http};
use rustix::process::{Pid, Signal, kill_process};

/// A child that is ended with the test, even if it was stopped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Tells whoever reads the test's output.
fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Stops a process for a second and returns for how long it really stood.
fn freeze(child: &Child) -> Duration {
    let pid = Pid::from_child(child);
    let start = Instant::now();
    kill_process(pid, Signal::STOP).expect("a child of ours can be stopped");
    clock::pause(Millis(1000));
    kill_process(pid, Signal::CONT).expect("a child of ours can be continued");
    start.elapsed()
}

/// Starts nginx as one process that answers everything with 200; `None` without nginx.
fn nginx(dir: &std::path::Path) -> Option<(Running, SocketAddr)> {
    let addr = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?;
    let config = dir.join("nginx.conf");
    let text = format!(
        "daemon off; master_process off; pid {0}/pid; error_log {0}/error.log;
         events {{ worker_connections 512; }}
         http {{ access_log off; keepalive_requests 1000000;
           server {{ listen {addr}; location / {{ return 200 \"ok\\n\"; }} }} }}",
        dir.display()
    );
    fs::write(&config, text).expect("a file in a fresh folder");
    let mut command = Command::new("nginx");
    command.arg("-e").arg(dir.join("error.log")).arg("-c").arg(&config);
    let child = Running(command.stderr(Stdio::null()).spawn().ok()?);
    let probe = || http::get(addr, "GET", "t", "/", &[], Millis(500), Bytes(100)).ok();
    clock::wait_for(Millis(5000), Millis(20), probe).expect("nginx answers within five seconds");
    Some((child, addr))
}

/// Loads a server that is frozen for a second from the third second on.
fn load_while_frozen(server: &Running, addr: SocketAddr) -> (LoadRun, f64) {
    let mut plan = LoadPlan::new(addr, "/", Rate(1000.0), Some(Millis(8000)));
    plan.thresholds = vec![Millis(500)];
    let (started, wait) = mpsc::channel();
    thread::scope(|scope| {
        let frozen = scope.spawn(move || {
            wait.recv().expect("the run starts");
            freeze(&server.0)
        });
        let mut reports = 0;
        let run = run(&plan, &AtomicBool::new(false), &mut |_| {
            reports += 1;
            if reports == 3 {
                started.send(()).expect("the freezer waits");
            }
        });
        let stood = frozen.join().expect("the freezer ends");
        (run.expect("a plan that can be carried out"), stood.as_secs_f64() * 1000.0)
    })
}

#[test]
fn a_server_frozen_for_one_second_of_eight_is_seen_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let Some((server, addr)) = nginx(dir.path()) else {
        note("skipped: nginx could not be started here");
        return;
    };
    for attempt in 1..=3 {
        let (run, stood_ms) = load_while_frozen(&server, addr);
        let total = run.total();
        assert_eq!((total.requests, total.bad), (8000, 0), "{:?}", total.errors);
        let faults = run.self_check.faults(None, &SelfCheckLimits::default());
        if !faults.is_empty() && attempt < 3 {
            note(&format!("the generator was late itself, once more: {faults:?}"));
            continue;
        }
        assert_eq!(faults, []);
        // Requests due in the freeze wait evenly from its length down to nothing.
        let expected = |share: f64| stood_ms - (1.0 - share) * 8000.0;
        let seen = |share: f64| total.latency.quantile_us(share) as f64 / 1000.0;
        for (share, below, above) in [
            (0.90, 5.0, 60.0),
            (0.95, expected(0.95) * 0.05, expected(0.95) * 0.05),
            (0.99, expected(0.99) * 0.05, expected(0.99) * 0.05),
        ] {
            let off = seen(share) - expected(share);
            assert!(
                -below <= off && off <= above,
                "p{share}: {} of {}",
                seen(share),
                expected(share)
            );
        }
        let over = total.over(Millis(500)).expect("a counted threshold");
        assert!(over.abs_diff((stood_ms - 500.0) as u64) < 40, "{over}");
        // The naive view of the same run hides the freeze: only what was under way felt it.
        assert!(total.naive.quantile_us(0.95) < total.latency.quantile_us(0.95) / 3);
        return;
    }
}

const TARGET: &str = "GUANKA_TEST_LOAD_TARGET";

/// The generator as a process of its own, started by the test below; does nothing otherwise.
#[test]
fn generator_for_the_test_that_stops_it() {
    let Ok(target) = env::var(TARGET) else { return };
    let addr: SocketAddr = target.parse().expect("an address from the parent");
    let plan = LoadPlan::new(addr, "/", Rate(500.0), Some(Millis(4000)));
    let run = run(&plan, &AtomicBool::new(false), &mut |_| {}).expect("a plan");
    let faults = run.self_check.faults(Some(Millis(800)), &SelfCheckLimits::default());
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nfaults: {} of {}", faults.len(), run.total().requests).expect("a parent");
}

#[test]
fn a_generator_frozen_for_a_second_voids_its_own_run() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    let (asked, wait) = mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let asked = asked.clone();
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|got| got > 0) {
                    let _ = asked.send(());
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                }
            });
        }
    });
    let mut command = Command::new(env::current_exe().expect("this test"));
    command.args(["--exact", "--nocapture", "generator_for_the_test_that_stops_it"]);
    command.env(TARGET, addr.to_string()).stdout(Stdio::piped());
    let mut child = Running(command.spawn().expect("this test starts again"));
    for _ in 0..300 {
        wait.recv_timeout(Duration::from_secs(20)).expect("the generator sends");
    }
    freeze(&child.0);
    let mut said = String::new();
    let mut out = child.0.stdout.take().expect("a pipe");
    out.read_to_string(&mut said).expect("the generator's words");
    assert!(said.contains(" of 2000") && !said.contains("faults: 0"), "{said}");
}
