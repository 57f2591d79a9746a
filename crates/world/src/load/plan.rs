//! What to send, how fast, for how long: the plan of a load run, checked before the first byte
//! leaves. Nothing here knows whether an answer is good enough; that is the gate's part.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;

use guanka_core::quantity::{Millis, Rate};
use serde::{Deserialize, Serialize};

/// The most requests one run may plan: the counters of what stayed unsent are filled one by one,
/// and this many take some seconds.
const REQUESTS_MAX: f64 = 500e6;
/// The most connections: above it a single client address runs out of ports.
const CONNECTIONS_MAX: usize = 20_000;
/// The most slices a run keeps (27 hours of 10 s); an endless run adds the rest to the last one.
pub(super) const SLICES_MAX: usize = 10_000;
/// The largest request body.
const BODY_MAX: usize = 16 << 20;

/// How due times are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// At equal distances.
    Constant,
    /// Independent of one another, as many users are.
    Poisson,
}

/// One kind of request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestSpec {
    /// The name under which it is counted.
    pub name: String,
    /// The method.
    pub method: String,
    /// The path with its query, beginning with `/`.
    pub path: String,
    /// Further headers; `Host` and `Content-Length` are added by themselves.
    pub headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
    /// The lowest status that counts as bad.
    pub bad_from_status: u16,
}

/// A cookie that makes the traffic look like that of many users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieUsers {
    /// The cookie's name.
    pub name: String,
    /// How many different users there are.
    pub users: u32,
}

/// A header that marks the requests of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce {
    /// The header's name.
    pub header: String,
    /// The run's value.
    pub value: String,
}

/// A whole load run.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadPlan {
    /// Where to connect.
    pub target: SocketAddr,
    /// The `Host` header.
    pub host: String,
    /// The kinds of requests, sent in turn.
    pub requests: Vec<RequestSpec>,
    /// How many requests are due in a second, over all kinds and threads.
    pub rate: Rate,
    /// How due times are spread.
    pub arrivals: Arrivals,
    /// Where the random numbers begin.
    pub seed: u64,
    /// How long requests are sent before they count.
    pub warm_up: Millis,
    /// How long requests count; `None` until the stop flag is set.
    pub duration: Option<Millis>,
    /// How long, after the last due time, answers are awaited and late requests still sent.
    pub drain: Millis,
    /// How long a request waits for a connection, and then for its answer.
    pub timeout: Millis,
    /// How many connections are held open.
    pub connections: usize,
    /// How many threads share them.
    pub threads: usize,
    /// The latencies with an exact counter of what was slower.
    pub thresholds: Vec<Millis>,
    /// The length of one slice of counts.
    pub slice: Millis,
    /// How often progress is reported.
    pub snapshot_every: Millis,
    /// The cookie of many users.
    pub cookies: Option<CookieUsers>,
    /// The mark of this run.
    pub nonce: Option<Nonce>,
}

/// Why a load run did not start.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan cannot be carried out.
    #[error("the load plan cannot be carried out: {0}")]
    Plan(&'static str),
    /// The kernel gave no event queue.
    #[error("the event queue could not be set up")]
    Queue(#[source] io::Error),
}

impl RequestSpec {
    /// Builds a plain GET of one path; anything from 400 up is bad.
    pub fn get(path: &str) -> Self {
        Self {
            name: path.to_owned(),
            method: "GET".to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            bad_from_status: 400,
        }
    }

    /// Reads a request body from a file, 16 MiB at most.
    pub fn body_from(path: &Path) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        std::fs::File::open(path)?.take(BODY_MAX as u64 + 1).read_to_end(&mut body)?;
        if body.len() > BODY_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "more than 16 MiB"));
        }
        Ok(body)
    }
}

impl CookieUsers {
    /// Returns one user's cookie value: 16 hex digits, spread evenly whatever hash reads them.
    pub fn value(&self, user: u32) -> String {
        cookie_value(user)
    }
}

/// Returns one user's cookie value.
pub(super) fn cookie_value(user: u32) -> String {
    format!("{:016x}", super::schedule::mix(u64::from(user) + 1))
}

impl LoadPlan {
    /// Builds a plan of one GET on 64 connections from one thread, at equal distances.
    pub fn new(target: SocketAddr, path: &str, rate: Rate, duration: Option<Millis>) -> Self {
        Self {
            target,
            host: target.to_string(),
            requests: vec![RequestSpec::get(path)],
            rate,
            arrivals: Arrivals::Constant,
            seed: 1,
            warm_up: Millis::ZERO,
            duration,
            drain: Millis(2000),
            timeout: Millis(10_000),
            connections: 64,
            threads: 1,
            thresholds: Vec::new(),
            slice: Millis(10_000),
            snapshot_every: Millis(1000),
            cookies: None,
            nonce: None,
        }
    }

    /// Says what cannot be carried out.
    pub(super) fn check(&self) -> Result<(), LoadError> {
        let wrong = |what| Err(LoadError::Plan(what));
        if !(1..=64).contains(&self.requests.len()) {
            return wrong("1 to 64 kinds of requests are needed");
        }
        if !(self.rate.0 > 0.0 && self.rate.0 <= 10e6) {
            return wrong("the rate must lie between 0 and 10 million a second");
        }
        if !(1..=CONNECTIONS_MAX).contains(&self.connections) {
            return wrong("1 to 20000 connections are possible");
        }
        if !(1..=64).contains(&self.threads) || self.threads > self.connections {
            return wrong("1 to 64 threads are possible, each with at least one connection");
        }
        if self.slice.0 == 0 || self.timeout.0 == 0 || self.snapshot_every.0 == 0 {
            return wrong("slice, time limit and report interval must be above zero");
        }
        if self.thresholds.len() > 16 {
            return wrong("at most 16 thresholds are counted");
        }
        if let Some(duration) = self.duration {
            let whole = self.warm_up.as_secs_f64() + duration.as_secs_f64();
            if duration.0 == 0 || duration.0.div_ceil(self.slice.0) > SLICES_MAX as u64 {
                return wrong("the duration must be above zero and at most 10000 slices long");
            }
            if whole * self.rate.0 > REQUESTS_MAX {
                return wrong("rate times duration is more than 500 million requests");
            }
        }
        self.check_texts()
    }

    /// Says which text would break the request apart.
    fn check_texts(&self) -> Result<(), LoadError> {
        let headers = self.requests.iter().flat_map(|r| &r.headers);
        let mut pairs: Vec<(&str, &str)> =
            headers.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        pairs.push(("Host", &self.host));
        pairs.extend(self.nonce.iter().map(|n| (n.header.as_str(), n.value.as_str())));
        pairs.extend(self.cookies.iter().map(|c| (c.name.as_str(), "")));
        if !pairs.iter().all(|(name, value)| is_token(name) && is_header_value(value)) {
            return Err(LoadError::Plan("a header or cookie holds letters it must not hold"));
        }
        if !self.requests.iter().all(|r| is_token(&r.method) && is_path(&r.path)) {
            return Err(LoadError::Plan("a method or path holds letters it must not hold"));
        }
        if self.requests.iter().any(|r| r.body.len() > BODY_MAX) {
            return Err(LoadError::Plan("a body is larger than 16 MiB"));
        }
        if self.cookies.as_ref().is_some_and(|c| c.users == 0) {
            return Err(LoadError::Plan("cookies need at least one user"));
        }
        Ok(())
    }
}

/// Returns whether a text can be a method, a header name or a cookie name.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Returns whether a text can be a header's value.
pub(crate) fn is_header_value(text: &str) -> bool {
    text.bytes().all(|b| b == b'\t' || (b >= b' ' && b != 0x7f))
}

/// Returns whether a text can be a request's path.
pub(crate) fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|b| b > b' ' && b != 0x7f)
}

#[cfg(test)]
mod tests {
    use guanka_core::quantity::{Millis, Rate};

    use super::{LoadError, LoadPlan};

    fn plan() -> LoadPlan {
        let target = ([127, 0, 0, 1], 80).into();
        LoadPlan::new(target, "/", Rate(10.0), Some(Millis(1000)))
    }

    #[test]
    fn a_header_with_a_line_break_is_refused() {
        let mut broken = plan();
        broken.requests[0].headers.push(("X".into(), "a\r\nEvil: 1".into()));
        assert!(plan().check().is_ok());
        assert!(matches!(broken.check(), Err(LoadError::Plan(_))));
    }

    #[test]
    fn a_run_that_could_never_be_counted_is_refused() {
        let endless = LoadPlan { duration: Some(Millis::from_secs(1 << 40)), ..plan() };
        let empty = LoadPlan { requests: Vec::new(), ..plan() };
        let threads = LoadPlan { threads: 9, connections: 8, ..plan() };
        for wrong in [endless, empty, threads] {
            assert!(wrong.check().is_err());
        }
    }
}
