//! The load engine against wrk: processor time per request, one thread, 64 connections, server and
//! client pinned to a core each, in ABBA order so that the machine's noise cancels. wrk runs as a
//! closed loop; ours is asked for more than any server takes, so it has a request ready always.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::say;

/// Rounds of four runs; the rule for a published ratio is five at least.
const ROUNDS: usize = 7;
/// How long one run takes.
const SECONDS: u32 = 2;
/// More than one core's nginx takes.
const RATE: &str = "200000";
/// What must be reached.
const LIMIT: f64 = 0.9;

/// One run's figures.
#[derive(Clone, Copy, Debug)]
struct Cost {
    ticks: u64,
    requests: u64,
}

/// A child that is ended whatever happens.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Cost {
    fn per_request(self) -> f64 {
        self.ticks as f64 / self.requests.max(1) as f64
    }
}

/// Measures both in turn and fails above the limit.
pub(crate) fn run() -> Result<()> {
    let ours = build()?;
    let dir = std::env::temp_dir().join(format!("guanka-bench-load-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let measured = measure(&ours, &dir);
    fs::remove_dir_all(&dir)?;
    let (mut ratios, mut same) = measured?;
    let (ratio, low, high) = spread(&mut ratios);
    let (guard, _, _) = spread(&mut same);
    let load = fs::read_to_string("/proc/loadavg")?;
    say(&format!("load: {ROUNDS} rounds ABBA, ratio {low:.2} to {high:.2}, ours/ours {guard:.2}"));
    say(&format!("load: load average {}", load.trim()));
    ensure!((0.95..=1.05).contains(&guard), "not valid: the same program differs by {guard:.2}");
    say(&format!("load: CPU per request {ratio:.2} of wrk's (limit {LIMIT})"));
    ensure!(ratio <= LIMIT, "the load engine takes more than {LIMIT} of wrk's CPU per request");
    Ok(())
}

/// Builds our engine by itself and returns where it lies.
fn build() -> Result<PathBuf> {
    let example = ["build", "--release", "-p", "guanka-world", "--example", "load_probe"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the repository")?;
    let mut cargo = Command::new("cargo");
    let status = cargo.args(example).current_dir(root).status().context("starting cargo")?;
    ensure!(status.success(), "the load engine does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    Ok(target.join("release/examples/load_probe"))
}

/// Returns the ratios ours/wrk, and ours/ours as a guard, of every round.
fn measure(ours: &Path, dir: &Path) -> Result<(Vec<f64>, Vec<f64>)> {
    let (_server, addr) = serve(dir)?;
    one_of_ours(ours, addr)?;
    let (mut ratios, mut same) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let first = one_of_ours(ours, addr)?.per_request();
        let wrk = one_of_wrk(addr)?.per_request() + one_of_wrk(addr)?.per_request();
        let last = one_of_ours(ours, addr)?.per_request();
        say(&format!("load: ours {:.1}+{:.1}, wrk {:.1} us", first * 1e4, last * 1e4, wrk * 1e4));
        ratios.push((first + last) / wrk);
        same.push(first / last);
    }
    Ok((ratios, same))
}

/// Starts nginx as one process on the first core.
fn serve(dir: &Path) -> Result<(Server, SocketAddr)> {
    let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let config = dir.join("nginx.conf");
    let text = format!(
        "daemon off; master_process off; pid {0}/pid; error_log {0}/error.log;\n\
         events {{ worker_connections 512; }}\n\
         http {{ access_log off; keepalive_requests 100000000;\n\
         server {{ listen {addr}; location / {{ return 200 \"ok\\n\"; }} }} }}\n",
        dir.display()
    );
    fs::write(&config, text)?;
    let mut command = Command::new("taskset");
    command.args(["-c", "0", "nginx", "-c"]).arg(&config).stderr(Stdio::null());
    let server = Server(command.spawn().context("starting nginx under taskset")?);
    let end = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect(addr).is_err() {
        ensure!(Instant::now() < end, "nginx does not listen after five seconds");
        thread::sleep(Duration::from_millis(20));
    }
    Ok((server, addr))
}

/// Runs our engine once.
fn one_of_ours(ours: &Path, addr: SocketAddr) -> Result<Cost> {
    let mut command = Command::new("taskset");
    command.args(["-c", "1"]).arg(ours).arg(addr.to_string()).args(["/", RATE]);
    let (ticks, said) = timed(command.arg(SECONDS.to_string()))?;
    let mut numbers = said.split_whitespace().map_while(|word| word.parse::<u64>().ok());
    let (Some(requests), Some(0)) = (numbers.next(), numbers.next()) else {
        bail!("the load engine failed: {said}");
    };
    Ok(Cost { ticks, requests })
}

/// Runs wrk once, at its best flags for one core.
fn one_of_wrk(addr: SocketAddr) -> Result<Cost> {
    let mut command = Command::new("taskset");
    command.args(["-c", "1", "wrk", "-t1", "-c64", &format!("-d{SECONDS}")]);
    let (ticks, said) = timed(command.arg(format!("http://{addr}/")))?;
    ensure!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "wrk failed: {said}");
    let line = said.lines().find(|line| line.contains(" requests in ")).context("wrk's count")?;
    let requests = line.split_whitespace().next().context("wrk's count")?.parse()?;
    Ok(Cost { ticks, requests })
}

/// Runs a child to its end; returns the processor time of all its threads in ticks and its words.
/// The times are read while the child has ended but is not yet waited for.
fn timed(command: &mut Command) -> Result<(u64, String)> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("starting taskset")?;
    let end = Instant::now() + Duration::from_secs(30);
    let ticks = loop {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
        let (_, fields) = stat.rsplit_once(')').context("the child's state")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        if fields.first() == Some(&"Z") {
            let time = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok());
            break time(11).zip(time(12)).map(|(user, sys)| user + sys).context("its times")?;
        }
        if Instant::now() >= end {
            child.kill()?;
            bail!("a run did not end within 30 seconds");
        }
        thread::sleep(Duration::from_millis(20));
    };
    let output = child.wait_with_output()?;
    Ok((ticks, String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Returns median, least and greatest.
fn spread(values: &mut [f64]) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}
