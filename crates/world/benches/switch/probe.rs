//! One kept connection that asks every millisecond until the other arm answers; the time of that
//! answer is the end of a switch. A request that is lost is counted, and asked again anew.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use guanka_core::name::Arm;
use guanka_core::quantity::Millis;
use guanka_world::clock;

use crate::Fallible;
use crate::host::{COOKIE, DOMAIN};

/// How long a switch may take before it is given up.
const LIMIT: Duration = Duration::from_secs(15);
/// The pause between two questions.
const EVERY: Millis = Millis(1);
/// The longest head and body of an answer.
const ANSWER_MAX: u64 = 16 << 10;

/// What the probe saw of one switch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// When the other arm's first answer was there.
    pub(crate) at: Instant,
    /// Requests that were lost on the way.
    pub(crate) lost: u64,
}

/// Asks with one cookie until `to` answers; says when the first answer, which must be `from`'s, is
/// there, so that the switch begins under a probe that runs.
pub(crate) fn watch(
    addr: SocketAddr,
    cookie: &str,
    from: Arm,
    to: Arm,
    runs: &Sender<()>,
) -> Fallible<Seen> {
    let text = format!("GET / HTTP/1.1\r\nHost: {DOMAIN}\r\nCookie: {COOKIE}={cookie}\r\n\r\n");
    let mut connection = connect(addr)?;
    let first = ask(&mut connection, &text)?;
    if first != from.as_str() {
        return Err(format!("{first:?} answered a cookie of {from}'s").into());
    }
    runs.send(())?;
    let end = Instant::now() + LIMIT;
    let mut lost = 0;
    while Instant::now() < end {
        clock::pause(EVERY);
        match ask(&mut connection, &text) {
            Ok(body) if body == to.as_str() => return Ok(Seen { at: Instant::now(), lost }),
            Ok(body) if body == from.as_str() => {}
            _ => {
                lost += 1;
                connection = connect(addr)?;
            }
        }
    }
    Err(format!("{to} did not answer within {} s", LIMIT.as_secs()).into())
}

fn connect(addr: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(BufReader::new(stream))
}

/// Asks once and returns the body of a 200.
fn ask(connection: &mut BufReader<TcpStream>, text: &str) -> io::Result<String> {
    connection.get_mut().write_all(text.as_bytes())?;
    let mut answer = connection.by_ref().take(ANSWER_MAX);
    let mut length = 0;
    let mut line = String::new();
    answer.read_line(&mut line)?;
    let is_good = line.starts_with("HTTP/1.1 200 ");
    while line.trim_end() != "" {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        line.clear();
        answer.read_line(&mut line)?;
    }
    let mut body = String::new();
    answer.take(length).read_to_string(&mut body)?;
    if is_good { Ok(body) } else { Err(io::Error::other("no answer with status 200")) }
}
