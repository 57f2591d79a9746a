//! `guanka load`: sends requests at a fixed rate whatever the answers do, and reports latencies
//! from the moment each was due. With a limit it ends like the load gate: 0 proven, 3 broken, 9
//! neither. Plain HTTP only: it is made for an arm's loopback port.

mod gate;
mod report;
mod requests;

use std::io::{IsTerminal, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use guanka_core::gates::dispersion::slice_length;
use guanka_core::quantity::{Millis, Proportion, Rate};
use guanka_core::rollout::verdict::Verdict;
use guanka_core::say::Said;
use guanka_world::http;
use guanka_world::load::{self, Arrivals, CookieUsers, LoadError, LoadPlan, Progress};

use requests::Kind;

use crate::failure::codes::{UNREACHABLE, USAGE};
use crate::failure::{Exit, Failure, because, say};
use crate::terminal::Terminal;

/// The options of `guanka load`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to load, `http://127.0.0.1:18000/orders`; with --request, what comes before each path.
    url: String,
    /// How many requests are due, `1000/s`.
    #[arg(long, value_parser = Rate::parse)]
    rate: Rate,
    /// For how long they count, `60s`.
    #[arg(long = "for", value_name = "DURATION", value_parser = Millis::parse,
          required_unless_present = "until_eof")]
    duration: Option<Millis>,
    /// Go on until standard input is closed. Without a length set beforehand there is no verdict.
    #[arg(long, conflicts_with_all = ["duration", "limit", "error_limit"])]
    until_eof: bool,
    /// For how long they are sent before they count.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = Millis::parse)]
    warm_up: Millis,
    /// How many connections are held open.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How many threads share them.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How long a request waits for a connection, and then for its answer.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = Millis::parse)]
    timeout: Millis,
    /// One kind of request, `POST /orders {"id":1}`; several take turns.
    #[arg(long = "request", value_name = "REQUEST", value_parser = requests::kind,
          conflicts_with_all = ["method", "body"])]
    requests: Vec<Kind>,
    /// The method.
    #[arg(long, default_value = "GET")]
    method: String,
    /// The body: a text, or `@FILE`.
    #[arg(long)]
    body: Option<String>,
    /// A header, `Name: value`; may be repeated.
    #[arg(long = "header", value_name = "HEADER", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The cookie that tells users apart.
    #[arg(long, value_name = "NAME")]
    cookie: Option<String>,
    /// How many users the requests come from.
    #[arg(long, value_name = "COUNT", default_value_t = 1000, requires = "cookie")]
    users: u32,
    /// The latency that the quantile must not exceed; without it there is no verdict.
    #[arg(long, value_name = "LATENCY", value_parser = Millis::parse)]
    limit: Option<Millis>,
    /// The quantile that the limit is about.
    #[arg(long, default_value = "p95", value_parser = quantile)]
    quantile: f64,
    /// The share of bad answers that must not be exceeded, `0.1%`.
    #[arg(long, value_name = "SHARE", value_parser = Proportion::parse)]
    error_limit: Option<Proportion>,
    /// Let requests come independently of one another instead of at equal distances.
    #[arg(long)]
    poisson: bool,
    /// Where the random numbers begin.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Where a URL leads.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    host: String,
    port: u16,
    path: String,
}

/// Loads, reports and judges.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let plan = plan(args)?;
    let objectives = gate::objectives(args.quantile, args.limit, args.error_limit);
    let is_live = std::io::stderr().is_terminal();
    let mut progress = |progress: Progress| {
        if is_live {
            live(terminal, &progress);
        }
    };
    let stop = Arc::new(AtomicBool::new(false));
    if args.until_eof {
        stop_at_eof(Arc::clone(&stop));
    }
    let done = load::run(&plan, &stop, &mut progress);
    if is_live {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    let mut run = done.map_err(|error| not_run(args, &error))?;
    // What has no length of its own was not cut short.
    run.stopped_early &= !args.until_eof;
    let outcome = gate::judge(&objectives, args.limit, &run);
    if terminal.json {
        terminal.line(&report::json(&args.url, &run, &outcome).to_string());
    } else {
        let is_loopback = plan.target.ip().is_loopback();
        for line in report::lines(terminal.lang, &args.url, is_loopback, &run, &outcome) {
            terminal.line(&line);
        }
    }
    Ok(match outcome.verdict {
        None | Some(Verdict::Good) => Exit::Done,
        Some(Verdict::Bad) => Exit::Blocked,
        Some(Verdict::NotYet | Verdict::Invalid) => Exit::NotProven,
    })
}

/// Turns the command line into a plan.
fn plan(args: &Args) -> Result<LoadPlan, Failure> {
    let place = place(&args.url).map_err(|why| Failure::new(&USAGE, reading(&args.url), why))?;
    let target = http::resolve(&place.host, place.port)
        .map_err(|error| Failure::new(&UNREACHABLE, reading(&args.url), because(&error)))?;
    let mut plan = LoadPlan::new(target, &place.path, args.rate, args.duration);
    plan.host = match requests::host_header(&args.headers) {
        Some(host) => host.to_owned(),
        None if place.port == 80 => place.host,
        None => format!("{}:{}", place.host, place.port),
    };
    plan.requests = requests::of(args, &place.path)?;
    let users = |name: &String| CookieUsers { name: name.clone(), users: args.users };
    plan.cookies = args.cookie.as_ref().map(users);
    plan.arrivals = if args.poisson { Arrivals::Poisson } else { Arrivals::Constant };
    plan.seed = args.seed;
    plan.warm_up = args.warm_up;
    plan.connections = args.connections;
    plan.threads = args.threads;
    plan.timeout = args.timeout;
    plan.thresholds = args.limit.into_iter().collect();
    plan.slice = slice_length(args.duration.unwrap_or(Millis::ZERO));
    // A request due at the very end must have time to show that it is over the limit.
    plan.drain = Millis(args.limit.map_or(0, |limit| limit.0 * 2)).max(Millis(2000));
    Ok(plan)
}

/// Takes a URL apart; says what is wrong with one that cannot be loaded.
fn place(url: &str) -> Result<Place, Said> {
    if url.starts_with("https://") {
        return Err(say(
            "暂不支持 https;请对实例的本机 http 端口压测,例如 http://127.0.0.1:18000/。",
            "https is not supported; load the arm's own port over http, like \
             http://127.0.0.1:18000/.",
        ));
    }
    let wrong = || {
        say(
            "这不是 http 地址;写法如 http://127.0.0.1:18000/orders。",
            "this is not an http address; write it like http://127.0.0.1:18000/orders.",
        )
    };
    let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
    let rest = rest.split('#').next().unwrap_or(rest);
    let split = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(split);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let is_bracketed = authority.ends_with(']');
    let (host, port) = match authority.rsplit_once(':').filter(|_| !is_bracketed) {
        Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
        None => (authority, 80),
    };
    let is_open_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    if host.is_empty() || host.contains('@') || is_open_v6 || port == 0 {
        return Err(wrong());
    }
    Ok(Place { host: host.to_owned(), port, path })
}

/// Reads `Name: value`.
fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
        None => Err("a header is written \"Name: value\"".to_owned()),
    }
}

/// Reads `p95` or `P99.9` as a share.
fn quantile(text: &str) -> Result<f64, String> {
    let number = text.strip_prefix(['p', 'P']).and_then(|rest| rest.parse::<f64>().ok());
    match number {
        Some(percent) if percent > 0.0 && percent < 100.0 => Ok(percent / 100.0),
        _ => Err("a quantile is written p95 or p99.9".to_owned()),
    }
}

/// Says what was being read.
fn reading(url: &str) -> Said {
    Said::new(format!("正在准备压测 {url}"), format!("preparing to load {url}"))
}

/// Says why a run did not take place.
fn not_run(args: &Args, error: &LoadError) -> Failure {
    let kind = match error {
        LoadError::Plan(_) => &USAGE,
        LoadError::Queue(_) => &UNREACHABLE,
    };
    let url = &args.url;
    let doing = Said::new(format!("正在压测 {url}"), format!("loading {url}"));
    Failure::new(kind, doing, because(error))
}

/// Sets the flag once standard input has ended; what it says is of no interest.
fn stop_at_eof(stop: Arc<AtomicBool>) {
    thread::spawn(move || {
        let mut buffer = [0; 1024];
        // An input that cannot be read any more has ended too.
        while std::io::stdin().read(&mut buffer).is_ok_and(|got| got > 0) {}
        stop.store(true, Ordering::Relaxed);
    });
}

/// Overwrites the line on the terminal with the running totals.
fn live(terminal: &Terminal, progress: &Progress) {
    let Progress { elapsed, due, ended, bad, in_flight, backlog } = progress;
    let seconds = elapsed.as_secs_f64();
    let said = Said::new(
        format!(
            "{seconds:.0} 秒  应发 {due}  完成 {ended}  失败 {bad}  等应答 {in_flight}  \
             等连接 {backlog}"
        ),
        format!(
            "{seconds:.0} s  due {due}  ended {ended}  bad {bad}  in flight {in_flight}  \
             waiting {backlog}"
        ),
    );
    let _ = write!(std::io::stderr(), "\r\x1b[K{}", terminal.harmless(terminal.said(&said)));
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::thread;

    use clap::Parser;
    use guanka_core::say::Lang;

    use super::{Args, Place, place, quantile, run};
    use crate::failure::Exit;
    use crate::terminal::Terminal;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    /// Answers every request with one status.
    fn serve(status: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    while stream.read(&mut buffer).is_ok_and(|got| got > 0) {
                        let _ = stream.write_all(answer.as_bytes());
                    }
                });
            }
        });
        addr
    }

    fn exit(addr: SocketAddr, options: &[&str]) -> Exit {
        let url = format!("http://{addr}/");
        let words = ["guanka", &url, "--rate", "1000/s", "--for", "1s"].into_iter();
        let line = Line::parse_from(words.chain(options.iter().copied()));
        let terminal = Terminal::new(Some(Lang::Zh), false);
        run(&line.args, &terminal).expect("a run")
    }

    #[test]
    fn good_bad_and_too_thin_end_with_0_3_and_9() {
        let ok = serve("200 OK");
        assert_eq!(exit(ok, &[]), Exit::Done);
        assert_eq!(exit(ok, &["--limit", "5s"]), Exit::Done);
        assert_eq!(exit(ok, &["--limit", "5s", "--error-limit", "0.01%"]), Exit::NotProven);
        let failing = serve("500 Error");
        assert_eq!(exit(failing, &["--limit", "5s", "--error-limit", "1%"]), Exit::Blocked);
    }

    #[test]
    fn urls_are_taken_apart_and_https_is_refused() {
        let cases = [
            ("http://127.0.0.1:18000/a?b=1#c", ("127.0.0.1", 18000, "/a?b=1")),
            ("http://shop.test", ("shop.test", 80, "/")),
            ("http://[::1]:81?x", ("[::1]", 81, "/?x")),
            ("http://[::1]/", ("[::1]", 80, "/")),
        ];
        for (url, (host, port, path)) in cases {
            let expected = Place { host: host.into(), port, path: path.into() };
            assert_eq!(place(url), Ok(expected), "{url}");
        }
        for url in ["https://a/", "a/", "http:///x", "http://u:p@a/", "http://a:x/", "http://::1/"]
        {
            assert!(place(url).is_err(), "{url}");
        }
        assert!(place("https://a/").is_err_and(|why| why.zh.contains("https")));
    }

    #[test]
    fn quantiles_are_written_with_a_p() {
        assert_eq!(quantile("p95"), Ok(0.95));
        assert_eq!(quantile("P99.9"), Ok(99.9 / 100.0));
        for text in ["95", "p0", "p100", "p", "pp95"] {
            assert!(quantile(text).is_err(), "{text}");
        }
    }
}
