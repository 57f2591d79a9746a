//! One request to a site of this machine, plain or under TLS, with the PROXY protocol's line before
//! it where the site wants one, from an address of its own: what the program looks like from
//! outside.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use guanka_core::quantity::Millis;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use crate::proxy::{First, Listen, Over};
use crate::tls;

/// The most of an answer that is read.
const ANSWER_MAX: usize = 64 << 10;

/// What is asked for.
pub(super) struct Wanted<'a> {
    /// The site's name, also the one that TLS asks for.
    pub(super) name: &'a str,
    pub(super) path: &'a str,
    /// More header lines, each with its end.
    pub(super) headers: String,
}

/// An answer, cut at a bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Where it sends the asker.
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// Returns whether the asker is only told to come back with https.
    pub(super) fn sends_to_https(&self) -> bool {
        matches!(self.status, 301 | 302 | 303 | 307 | 308)
            && self.location.as_ref().is_some_and(|to| to.starts_with("https:"))
    }
}

/// Asks once and returns the answer; all of it within the limit.
pub(super) fn ask(
    listen: Listen,
    from: Option<IpAddr>,
    wanted: &Wanted<'_>,
    limit: Millis,
) -> io::Result<Reply> {
    let end = Instant::now() + Duration::from_millis(limit.0.max(1));
    let mut socket = connected(listen.address, from, end)?;
    if listen.first == First::ProxyLine {
        let line = proxy_line(socket.local_addr()?, socket.peer_addr()?);
        socket.write_all(line.as_bytes())?;
    }
    let text = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\n{}Connection: close\r\nUser-Agent: guanka\r\n\r\n",
        wanted.path, wanted.name, wanted.headers
    );
    let answer = match listen.over {
        Over::Plain => {
            let clock = socket.try_clone()?;
            exchange(socket, &clock, text.as_bytes(), end)?
        }
        Over::Tls => {
            let clock = socket.try_clone()?;
            exchange(tls::to_this_machine(socket, wanted.name)?, &clock, text.as_bytes(), end)?
        }
    };
    reply(&answer).ok_or_else(|| io::Error::other("the answer is not HTTP"))
}

/// Connects from the asker's own address. The time limit of writing also bounds the connect.
fn connected(to: SocketAddr, from: Option<IpAddr>, end: Instant) -> io::Result<TcpStream> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if let Some(from) = from {
        // A socket of IPv6 has its own form for an address of IPv4.
        let from = match (from, to) {
            (IpAddr::V4(from), SocketAddr::V6(_)) => from.to_ipv6_mapped().into(),
            _ => from,
        };
        bind(&socket, &SocketAddr::new(from, 0))?;
    }
    let stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(left(end)?))?;
    connect(&stream, &to)?;
    Ok(stream)
}

/// Returns the PROXY protocol's line for a connection that nobody passes on: the asker is who the
/// connection says, whichever of the two the site goes by.
fn proxy_line(own: SocketAddr, peer: SocketAddr) -> String {
    let family = if own.is_ipv4() { "TCP4" } else { "TCP6" };
    format!("PROXY {family} {} {} {} {}\r\n", own.ip(), peer.ip(), own.port(), peer.port())
}

/// Sends and receives up to the end of the answer or of what is read of it. `clock` is the same
/// socket, by which the time that is left is set.
fn exchange(
    mut stream: impl Read + Write,
    clock: &TcpStream,
    text: &[u8],
    end: Instant,
) -> io::Result<Vec<u8>> {
    clock.set_read_timeout(Some(left(end)?))?;
    stream.write_all(text)?;
    stream.flush()?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 8 << 10]);
    while answer.len() < ANSWER_MAX {
        clock.set_read_timeout(Some(left(end)?))?;
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => answer.extend_from_slice(&buffer[..got]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // Some end TLS without its own word for the end; what came has come.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof && !answer.is_empty() => break,
            Err(e) => return Err(e),
        }
    }
    Ok(answer)
}

fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Reads status, `Location` and body; a body in chunks stays as it came.
fn reply(answer: &[u8]) -> Option<Reply> {
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..at]);
    let mut lines = head.lines();
    let mut words = lines.next()?.split_ascii_whitespace();
    words.next()?.strip_prefix("HTTP/1.")?;
    let status = words.next()?.parse().ok()?;
    let location = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("location").then(|| value.trim().to_owned())
    });
    Some(Reply { status, location, body: answer[at + 4..].to_vec() })
}

#[cfg(test)]
mod tests {
    use super::{proxy_line, reply};

    #[test]
    fn an_answer_is_read_and_what_is_none_is_not() {
        let found = reply(b"HTTP/1.1 301 Moved\r\nlocation: https://x/\r\n\r\nbody").expect("one");
        assert_eq!((found.status, found.location.as_deref()), (301, Some("https://x/")));
        assert_eq!(found.body, b"body");
        for bad in [&b"SSH-2.0-x\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1\r\n\r\n", b""] {
            assert_eq!(reply(bad), None);
        }
    }

    #[test]
    fn the_proxy_protocols_line_names_both_ends() {
        let of = |own: &str, peer: &str| {
            proxy_line(own.parse().expect("one"), peer.parse().expect("one"))
        };
        let four = of("127.77.0.1:5", "127.0.0.1:80");
        assert_eq!(four, "PROXY TCP4 127.77.0.1 127.0.0.1 5 80\r\n");
        assert_eq!(of("[::1]:5", "[::1]:80"), "PROXY TCP6 ::1 ::1 5 80\r\n");
    }
}
