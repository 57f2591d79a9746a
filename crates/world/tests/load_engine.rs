//! The load engine against small servers made here: every framing, every way to fail, overload,
//! users' cookies, threads. Timed assertions only where the ratio is large.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use guanka_core::quantity::{Millis, Rate};
use guanka_world::clock;
use guanka_world::load::{
    Arrivals, CookieUsers, ErrorKind, LoadPlan, LoadRun, Nonce, Outcome, Progress, RequestSpec,
    SelfCheckLimits, run, run_observed,
};

/// What a server does with one request's head; `false` closes the connection.
type Answer = dyn Fn(&str, &mut TcpStream) -> bool + Send + Sync;

/// Serves each connection from a thread of its own until the peer goes.
fn serve(answer: impl Fn(&str, &mut TcpStream) -> bool + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    let answer: Arc<Answer> = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = Arc::clone(&answer);
            thread::spawn(move || serve_one(stream, &*answer));
        }
    });
    addr
}

/// Serves one connection.
fn serve_one(mut stream: TcpStream, answer: &Answer) {
    let (mut got, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        while let Some(end) = got.windows(4).position(|w| w == b"\r\n\r\n") {
            let head: Vec<u8> = got.drain(..end + 4).collect();
            if !answer(&String::from_utf8_lossy(&head), &mut stream) {
                return;
            }
        }
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => got.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
}

/// Sends bytes; whether they arrive is the client's matter.
fn put(stream: &mut TcpStream, bytes: &str) -> bool {
    stream.write_all(bytes.as_bytes()).is_ok()
}

fn plan(addr: SocketAddr, rate: f64, duration_ms: u64) -> LoadPlan {
    let plan = LoadPlan::new(addr, "/", Rate(rate), Some(Millis(duration_ms)));
    LoadPlan { connections: 8, ..plan }
}

fn carry_out(plan: &LoadPlan) -> LoadRun {
    run(plan, &AtomicBool::new(false), &mut |_| {}).expect("a plan that can be carried out")
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

#[test]
fn every_framing_is_counted_as_one_good_answer() {
    let addr = serve(|head, stream| {
        let path = head.split(' ').nth(1).unwrap_or("");
        match path {
            "/chunked" => put(
                stream,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            ),
            "/large" => {
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n";
                put(stream, head) && put(stream, &"x".repeat(1 << 20))
            }
            "/close" => {
                put(stream, "HTTP/1.1 200 OK\r\n\r\nuntil the end");
                false
            }
            "/head" => put(stream, "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"),
            "/204" => put(stream, "HTTP/1.1 204 No Content\r\n\r\n"),
            "/interim" => put(stream, "HTTP/1.1 103 Early Hints\r\n\r\n") && put(stream, OK),
            _ => false,
        }
    });
    let mut plan = plan(addr, 120.0, 1000);
    plan.requests = ["/chunked", "/large", "/close", "/head", "/204", "/interim"]
        .map(|path| {
            let method = if path == "/head" { "HEAD" } else { "GET" };
            RequestSpec { method: method.into(), ..RequestSpec::get(path) }
        })
        .into();
    let run = carry_out(&plan);
    for kind in &run.kinds {
        assert_eq!((kind.requests, kind.bad), (20, 0), "{}: {:?}", kind.name, kind.errors);
    }
    assert_eq!(run.total().statuses.get(&204), Some(&20));
    // Each answer until close costs its connection, and nothing else does.
    assert!(run.self_check.reconnects <= 20, "{}", run.self_check.reconnects);
}

#[test]
fn one_bad_answer_in_four_is_25_percent() {
    let count = AtomicU64::new(0);
    let addr = serve(move |_, stream| match count.fetch_add(1, Ordering::Relaxed) % 4 {
        3 => put(stream, "HTTP/1.1 500 Error\r\nContent-Length: 0\r\n\r\n"),
        _ => put(stream, OK),
    });
    let total = carry_out(&plan(addr, 400.0, 1000)).total();
    assert_eq!((total.requests, total.bad), (400, 100));
    assert_eq!(format!("{:.1} %", total.bad_share() * 100.0), "25.0 %");
}

#[test]
fn requests_without_an_answer_are_in_the_histogram_at_the_time_limit_or_later() {
    let count = AtomicU64::new(0);
    let addr = serve(move |_, stream| match count.fetch_add(1, Ordering::Relaxed) % 4 {
        3 => true,
        _ => put(stream, OK),
    });
    let mut plan = plan(addr, 100.0, 1000);
    (plan.timeout, plan.connections) = (Millis(300), 16);
    plan.thresholds = vec![Millis(250), Millis(950)];
    let total = carry_out(&plan).total();
    assert_eq!((total.requests, total.bad), (100, 25));
    assert_eq!(total.errors.get(&ErrorKind::Timeout), Some(&25));
    assert_eq!(total.over(Millis(950)), Some(25));
    assert_eq!(total.latency.count(), 100);
    assert!(total.latency.quantile_us(0.80) >= 300_000);
}

#[test]
fn each_way_to_fail_has_its_own_class() {
    let fresh = serve(|_, _| false);
    let cut = serve(|_, stream| {
        put(stream, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab");
        false
    });
    let other = serve(|_, stream| put(stream, "220 mail ready\r\n\r\n"));
    let refused = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr();
    let refused = refused.expect("an address");
    for (addr, class) in [
        (fresh, ErrorKind::EofFresh),
        (cut, ErrorKind::Truncated),
        (other, ErrorKind::BadFraming),
        (refused, ErrorKind::Refused),
    ] {
        let total = carry_out(&plan(addr, 100.0, 500)).total();
        assert_eq!((total.requests, total.bad), (50, 50));
        assert_eq!(total.errors.get(&class), Some(&50), "{:?}", total.errors);
    }
}

#[test]
fn a_used_connection_closed_before_the_first_byte_is_a_class_of_its_own() {
    let count = AtomicU64::new(0);
    // The second request of each connection is read and then answered with nothing.
    let addr = serve(move |_, stream| {
        count.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) && put(stream, OK)
    });
    let one = LoadPlan { connections: 1, ..plan(addr, 100.0, 500) };
    let total = carry_out(&one).total();
    assert_eq!(total.errors.get(&ErrorKind::EofReused), Some(&25), "{:?}", total.errors);
    assert_eq!(total.bad, 25);
}

#[test]
fn a_server_that_takes_half_the_rate_is_bad_and_never_the_generators_fault() {
    let turn = Mutex::new(());
    let addr = serve(move |_, stream| {
        let _turn = turn.lock();
        clock::pause(Millis(10));
        put(stream, OK)
    });
    let mut plan = plan(addr, 200.0, 4000);
    (plan.drain, plan.thresholds) = (Millis(300), vec![Millis(950)]);
    let run = carry_out(&plan);
    let total = run.total();
    assert_eq!(total.requests, 800);
    assert!(total.errors.get(&ErrorKind::Unsent).is_some_and(|&n| n > 200), "{:?}", total.errors);
    assert!(total.over(Millis(950)).is_some_and(|over| over > 400));
    assert!(total.latency.quantile_us(0.95) > 1_000_000);
    assert_eq!(run.self_check.faults(Some(Millis(800)), &SelfCheckLimits::default()), []);
    assert!(run.self_check.waited_for_busy > 600);
}

#[test]
fn threads_together_send_exactly_the_plan_and_cut_the_warm_up() {
    let addr = serve(|_, stream| put(stream, OK));
    let mut plan = plan(addr, 500.0, 1000);
    (plan.threads, plan.warm_up, plan.slice) = (2, Millis(400), Millis(250));
    plan.requests = vec![RequestSpec::get("/a"), RequestSpec::get("/b")];
    let run = carry_out(&plan);
    let requests: Vec<u64> = run.kinds.iter().map(|kind| kind.requests).collect();
    assert_eq!(requests, [250, 250]);
    let slices: Vec<u64> = run.total_slices().iter().map(|slice| slice.requests).collect();
    assert_eq!(slices.len(), 4);
    assert!(slices.iter().all(|count| count.abs_diff(125) <= 2), "{slices:?}");
    assert_eq!(run.self_check.opened, 8);
    let text = serde_json::to_string(&run).expect("a run is JSON");
    let back: LoadRun = serde_json::from_str(&text).expect("what was written reads back");
    assert_eq!(back.kinds, run.kinds);
    let mut twice = run.clone();
    twice.merge(&back).expect("the same shape");
    assert_eq!(twice.total().latency.count(), 1000);
}

#[test]
fn many_users_carry_the_runs_mark_and_an_observer_sees_who_answered() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    let addr = serve(move |head, stream| {
        kept.lock().expect("no test thread died").push(head.to_owned());
        put(stream, OK)
    });
    let mut plan = plan(addr, 1000.0, 1000);
    let users = CookieUsers { name: "uid".into(), users: 2000 };
    (plan.cookies, plan.arrivals) = (Some(users.clone()), Arrivals::Poisson);
    plan.nonce = Some(Nonce { header: "X-Run".into(), value: "n42".into() });
    let seen = Mutex::new(BTreeSet::new());
    let run = run_observed(&plan, &AtomicBool::new(false), &mut |_| {}, &|answer| {
        assert_eq!((answer.outcome, answer.body_start), (Outcome::Status(200), &b"ok\n"[..]));
        seen.lock().expect("no observer died").insert(answer.user.expect("a user"));
    })
    .expect("a plan that can be carried out");
    let heads = heads.lock().expect("no server died");
    assert_eq!(heads.len() as u64, run.total().requests);
    assert!(heads.iter().all(|head| head.contains("\r\nX-Run: n42\r\n")));
    let seen = seen.into_inner().expect("no observer died");
    let cookies: BTreeSet<String> =
        seen.iter().map(|user| format!("Cookie: uid={}\r\n", users.value(*user))).collect();
    assert!(seen.len() > 500, "{}", seen.len());
    assert!(cookies.iter().all(|cookie| heads.iter().any(|head| head.contains(cookie))));
}

#[test]
fn requests_leave_when_they_are_due_and_not_at_the_next_millisecond() {
    let addr = serve(|_, stream| put(stream, OK));
    // Due every 3.7 ms; waits of whole milliseconds would leave half of them 0.5 ms late. A busy
    // machine gets three tries.
    let is_punctual = (0..3).any(|_| {
        let check = carry_out(&plan(addr, 270.27, 1000)).self_check;
        check.lateness.quantile_us(0.5) < 350
    });
    assert!(is_punctual);
}

#[test]
fn an_endless_run_reports_every_interval_and_ends_when_told() {
    let addr = serve(|_, stream| put(stream, OK));
    let mut plan = plan(addr, 200.0, 1000);
    (plan.duration, plan.snapshot_every) = (None, Millis(100));
    let stop = AtomicBool::new(false);
    let mut heard: Vec<Progress> = Vec::new();
    let run = run(&plan, &stop, &mut |progress| {
        heard.push(progress);
        if heard.len() == 5 {
            stop.store(true, Ordering::Relaxed);
        }
    })
    .expect("a plan that can be carried out");
    let last = heard.last().expect("a report");
    assert!(run.stopped_early && heard.len() >= 6);
    assert_eq!((last.ended, last.due, last.backlog), (run.total().requests, last.ended, 0));
    assert!(run.total().requests > 60 && run.total().bad == 0);
}
