//! A small HTTP/1.1 client for probes: one request, bounded answer, one time limit over connecting,
//! sending and receiving. It follows no redirects and never panics on a hostile answer.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use guanka_core::quantity::{Bytes, Millis};
use serde::{Deserialize, Serialize};

use crate::load::framing::{AnswerTo, AtEnd, KeepHead, Response, Step};
use crate::load::plan::{is_header_value, is_path, is_token};

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers in their order; names as they came, values that are not UTF-8 made so.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The time from the first connect to the last byte.
    pub elapsed: Millis,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpErrorKind {
    /// The question itself holds letters it must not hold.
    BadQuestion,
    /// Nobody listens.
    Refused,
    /// The time was over.
    Timeout,
    /// The peer broke the connection off.
    Reset,
    /// The peer closed before the first byte.
    EofBeforeAnswer,
    /// The answer stopped in the middle.
    Truncated,
    /// What came was not an HTTP/1.1 answer.
    BadFraming,
    /// The body is larger than allowed.
    TooLarge,
    /// Something else; the source says what.
    Other,
}

/// No answer came from an address.
#[derive(Debug, thiserror::Error)]
#[error("no answer from {addr}: {}", kind.phrase())]
pub struct HttpError {
    /// Whom was asked.
    pub addr: SocketAddr,
    /// Why it failed.
    pub kind: HttpErrorKind,
    /// What the system said, if it was the system.
    #[source]
    pub source: Option<io::Error>,
}

impl HttpErrorKind {
    /// Returns the kind in a few words.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::BadQuestion => "the request holds letters it must not hold",
            Self::Refused => "connection refused",
            Self::Timeout => "time limit reached",
            Self::Reset => "connection reset",
            Self::EofBeforeAnswer => "closed before the first byte",
            Self::Truncated => "closed in the middle of the answer",
            Self::BadFraming => "not an HTTP/1.1 answer",
            Self::TooLarge => "the body is larger than allowed",
            Self::Other => "the connection failed",
        }
    }
}

impl Answer {
    /// Returns the first header of a name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Finds the address of a host and port, asking the system's resolver if it is a name.
pub fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let first = (bare, port).to_socket_addrs()?.next();
    first.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

/// Asks once and returns the whole answer.
pub fn get(
    addr: SocketAddr,
    method: &str,
    host: &str,
    path: &str,
    headers: &[(&str, &str)],
    timeout: Millis,
    max_body: Bytes,
) -> Result<Answer, HttpError> {
    let start = Instant::now();
    let end = start + Duration::from_millis(timeout.0);
    let failed = |(kind, source)| HttpError { addr, kind, source };
    let question =
        question(method, host, path, headers).ok_or(failed((HttpErrorKind::BadQuestion, None)))?;
    let to = if method == "HEAD" { AnswerTo::Head } else { AnswerTo::Other };
    let response = exchange(addr, &question, to, end, max_body).map_err(failed)?;
    Ok(Answer {
        status: response.status,
        headers: headers_of(&response.head),
        body: response.body,
        elapsed: Millis(start.elapsed().as_millis() as u64),
    })
}

/// Lays the request out; `None` if a part of it would break it apart.
pub fn question(method: &str, host: &str, path: &str, headers: &[(&str, &str)]) -> Option<Vec<u8>> {
    let is_sound = is_token(method)
        && is_header_value(host)
        && is_path(path)
        && headers.iter().all(|(name, value)| is_token(name) && is_header_value(value));
    if !is_sound {
        return None;
    }
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !matches!(method, "GET" | "HEAD") {
        text.push_str("Content-Length: 0\r\n");
    }
    text.push_str("\r\n");
    Some(text.into_bytes())
}

/// Why an exchange failed, with the system's word if there is one.
type Failed = (HttpErrorKind, Option<io::Error>);

/// Connects, sends and receives, all before one end.
fn exchange(
    addr: SocketAddr,
    question: &[u8],
    to: AnswerTo,
    end: Instant,
    max_body: Bytes,
) -> Result<Response, Failed> {
    let mut stream = TcpStream::connect_timeout(&addr, left(end)?).map_err(of_io)?;
    stream.set_nodelay(true).map_err(of_io)?;
    stream.set_write_timeout(Some(left(end)?)).map_err(of_io)?;
    stream.write_all(question).map_err(of_io)?;
    let mut response = Response::new(KeepHead::Yes, max_body.0.min(1 << 30) as usize);
    response.reset(to);
    let mut buffer = [0; 16 << 10];
    loop {
        stream.set_read_timeout(Some(left(end)?)).map_err(of_io)?;
        let got = match stream.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other.map_err(of_io)?,
        };
        let is_whole = if got == 0 {
            match response.at_end() {
                AtEnd::Whole => true,
                AtEnd::BeforeFirstByte => return Err((HttpErrorKind::EofBeforeAnswer, None)),
                AtEnd::Truncated => return Err((HttpErrorKind::Truncated, None)),
            }
        } else {
            let step =
                response.feed(&buffer[..got]).map_err(|_| (HttpErrorKind::BadFraming, None))?;
            step != Step::More
        };
        if response.body_len > max_body.0 {
            return Err((HttpErrorKind::TooLarge, None));
        }
        if is_whole {
            return Ok(response);
        }
    }
}

/// Returns the time left, which is never zero.
fn left(end: Instant) -> Result<Duration, Failed> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err((HttpErrorKind::Timeout, None)) } else { Ok(left) }
}

/// Sorts an error of the system.
fn of_io(error: io::Error) -> Failed {
    use io::ErrorKind;
    let kind = match error.kind() {
        ErrorKind::ConnectionRefused => HttpErrorKind::Refused,
        ErrorKind::TimedOut | ErrorKind::WouldBlock => HttpErrorKind::Timeout,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            HttpErrorKind::Reset
        }
        _ => HttpErrorKind::Other,
    };
    (kind, Some(error))
}

/// Splits a head into its headers; the status line and lines without a colon are passed over.
fn headers_of(head: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(head);
    let pairs = text.lines().skip(1).filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::thread;

    use guanka_core::quantity::{Bytes, Millis};

    use super::{Answer, HttpError, HttpErrorKind, get, resolve};

    /// Answers one connection with fixed bytes, then closes it or holds it until the peer goes.
    fn server(answer: &'static str, holds: bool) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut question = [0; 4096];
            let _ = stream.read(&mut question);
            let _ = stream.write_all(answer.as_bytes());
            while holds && stream.read(&mut question).is_ok_and(|got| got > 0) {}
        });
        addr
    }

    fn ask(addr: SocketAddr, method: &str) -> Result<Answer, HttpError> {
        get(addr, method, "shop.test", "/healthz", &[("X-Run", "1")], Millis(500), Bytes(10))
    }

    #[test]
    fn an_answer_comes_with_status_headers_and_body() {
        let addr = server("HTTP/1.1 503 No\r\nX-Release: abc\r\nContent-Length: 2\r\n\r\nhi", true);
        let answer = ask(addr, "GET").expect("an answer");
        assert_eq!((answer.status, answer.body.as_slice()), (503, b"hi".as_slice()));
        assert_eq!(answer.header("x-release"), Some("abc"));
        let addr = server("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n", true);
        assert_eq!(ask(addr, "HEAD").map(|a| a.status).ok(), Some(200));
        let addr = server("HTTP/1.0 200 OK\r\n\r\nuntil end", false);
        assert_eq!(ask(addr, "GET").map(|a| a.body).ok(), Some(b"until end".to_vec()));
    }

    #[test]
    fn each_way_to_fail_has_its_own_kind() {
        let length = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890";
        let cases = [
            (server("", false), HttpErrorKind::EofBeforeAnswer),
            (server("", true), HttpErrorKind::Timeout),
            (
                server("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na", false),
                HttpErrorKind::Truncated,
            ),
            (server("220 mail ready\r\n\r\n", true), HttpErrorKind::BadFraming),
            (server(length, true), HttpErrorKind::TooLarge),
        ];
        for (addr, kind) in cases {
            assert_eq!(ask(addr, "GET").map_err(|e| e.kind), Err(kind));
        }
        let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr();
        let closed = closed.expect("an address");
        assert_eq!(ask(closed, "GET").map_err(|e| e.kind), Err(HttpErrorKind::Refused));
        assert_eq!(ask(closed, "G T").map_err(|e| e.kind), Err(HttpErrorKind::BadQuestion));
    }

    #[test]
    fn addresses_resolve_with_and_without_brackets() {
        assert_eq!(resolve("127.0.0.1", 80).ok(), Some(([127, 0, 0, 1], 80).into()));
        assert_eq!(resolve("[::1]", 80).ok(), "[::1]:80".parse().ok());
    }
}
