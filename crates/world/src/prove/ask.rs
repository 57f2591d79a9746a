//! The probes of a proof: one key below the share and one not, or as many requests as it takes
//! where nothing keeps a user on one arm.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use guanka_core::facts::declared::Sticky;
use guanka_core::name::Arm;
use guanka_core::signals::slot::Slot;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use super::{Nonce, Question, expected_arms};
use crate::proxy::NONCE_HEADER;

/// Keys that are tried to find one in a given set of slots: with a share of one in a hundred, the
/// chance to miss it this often is below one in a million million.
const KEYS_MAX: u32 = 3000;
/// Requests without a key: at one in a hundred, 1,000 miss it once in 23,000 proofs.
const LOOSE_MAX: u32 = 1000;
/// At a half the chance that so many requests all fall to one side is one in half a million.
const LOOSE_MIN: u32 = 20;
/// The most of an answer that is read; only its first line is looked at.
const ANSWER_MAX: u64 = 64 << 10;

/// One probe.
pub(super) struct Ask {
    from: Option<Ipv4Addr>,
    cookie: Option<String>,
}

/// Returns the probes that together show both sides of the share.
pub(super) fn asks(question: &Question<'_>) -> Vec<Ask> {
    let sides = expected_arms(question.green);
    let falls_to = |text: &str, arm: Arm| {
        Slot::of(format!("{}{text}", question.service).as_bytes()).arm(question.green) == arm
    };
    match question.sticky {
        Sticky::Cookie(name) => {
            let one = |arm: &Arm| {
                let mut keys = (0..KEYS_MAX).map(|i| format!("guanka-{i}"));
                let found = keys.find(|text| falls_to(text, *arm))?;
                Some(Ask { from: None, cookie: Some(format!("{name}={found}")) })
            };
            sides.iter().filter_map(one).collect()
        }
        Sticky::Client => {
            let one = |arm: &Arm| {
                let mut addresses = (0..KEYS_MAX).map(loopback);
                let found = addresses.find(|address| falls_to(&address.to_string(), *arm))?;
                Some(Ask { from: Some(found), cookie: None })
            };
            sides.iter().filter_map(one).collect()
        }
        Sticky::Request => {
            let share = u32::from(question.green.get().min(question.green.rest().get()));
            // With all requests on one arm, one shows it.
            let count = LOOSE_MAX.checked_div(share).map_or(1, |count| count.max(LOOSE_MIN));
            (0..count).map(|_| Ask { from: None, cookie: None }).collect()
        }
    }
}

/// Returns an address of the loopback network; each is a client of its own to nginx.
fn loopback(i: u32) -> Ipv4Addr {
    let [_, _, high, low] = (i + 1).to_be_bytes();
    Ipv4Addr::new(127, 77, high, low)
}

impl Ask {
    /// Sends the probe and returns the status of the answer.
    pub(super) fn send(&self, question: &Question<'_>, nonce: &Nonce) -> io::Result<u16> {
        let mut stream = self.connect(question)?;
        let mut text = format!("GET {} HTTP/1.1\r\nHost: {}\r\n", question.path, question.domain);
        text.push_str(&format!("{NONCE_HEADER}: {}\r\nConnection: close\r\n", nonce.as_str()));
        if let Some(cookie) = &self.cookie {
            text.push_str(&format!("Cookie: {cookie}\r\n"));
        }
        text.push_str("User-Agent: guanka\r\n\r\n");
        stream.write_all(text.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
        status(&answer).ok_or_else(|| io::Error::other("the answer is not HTTP"))
    }

    /// Connects from the probe's own address. The time limit of writing also bounds the connect.
    fn connect(&self, question: &Question<'_>) -> io::Result<TcpStream> {
        let SocketAddr::V4(to) = question.listen else {
            return Err(io::Error::other("only IPv4 addresses are asked"));
        };
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        if let Some(from) = self.from {
            bind(&socket, &SocketAddrV4::new(from, 0))?;
        }
        let stream = TcpStream::from(socket);
        let limit = Some(Duration::from_millis(question.limit.0.max(1)));
        stream.set_write_timeout(limit)?;
        stream.set_read_timeout(limit)?;
        connect(&stream, &to)?;
        Ok(stream)
    }
}

/// Reads the status out of `HTTP/1.1 200 OK`.
fn status(answer: &[u8]) -> Option<u16> {
    let line = String::from_utf8_lossy(answer.get(..32.min(answer.len()))?).into_owned();
    let mut words = line.split_ascii_whitespace();
    words.next()?.strip_prefix("HTTP/1.")?;
    words.next()?.parse().ok()
}
