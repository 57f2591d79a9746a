//! A line between two processes of one user on one machine: typed messages over a unix socket. Each
//! side makes sure that the other is the same user's before it reads anything.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use guanka_core::quantity::Millis;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frame::{self, FrameKind};

/// How long a message may take once it has begun to come or go.
const MESSAGE_LIMIT: Duration = Duration::from_secs(30);
/// The most that one message holds: a report of a long rollout with its evidence.
const MESSAGE_MAX: u32 = 8 << 20;

/// One end of a line.
pub struct Line {
    stream: UnixStream,
}

/// What came within a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard<T> {
    /// A message.
    Message(T),
    /// Nothing yet.
    Silence,
    /// The other side has hung up.
    End,
}

impl Line {
    /// Connects to a socket whose owner is this user.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        Self::over(UnixStream::connect(socket)?)
    }

    /// Takes over a connection whose other side is this user's.
    pub fn over(stream: UnixStream) -> io::Result<Self> {
        let (peer, own) = (socket_peercred(&stream)?.uid, geteuid());
        if peer != own {
            let why = format!("the other side is user {peer}, not {own}");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        stream.set_read_timeout(Some(MESSAGE_LIMIT))?;
        stream.set_write_timeout(Some(MESSAGE_LIMIT))?;
        Ok(Self { stream })
    }

    /// Says something.
    pub fn say(&mut self, message: &impl Serialize) -> io::Result<()> {
        let bytes = serde_json::to_vec(message).map_err(io::Error::other)?;
        frame::write(&mut self.stream, FrameKind::Message, &bytes)
    }

    /// Waits for a message; a signal to this process ends the wait early, as silence.
    pub fn hear<T: DeserializeOwned>(&mut self, limit: Millis) -> io::Result<Heard<T>> {
        let limit = Timespec {
            tv_sec: i64::try_from(limit.0 / 1000).unwrap_or(i64::MAX),
            tv_nsec: (limit.0 % 1000) as i64 * 1_000_000,
        };
        let mut waited = [PollFd::new(&self.stream, PollFlags::IN)];
        match poll(&mut waited, Some(&limit)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Heard::Silence),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        match frame::read_within(&mut self.stream, MESSAGE_MAX)? {
            None => Ok(Heard::End),
            Some((FrameKind::Message, bytes)) => {
                serde_json::from_slice(&bytes).map(Heard::Message).map_err(io::Error::other)
            }
            Some((FrameKind::Full, _)) => Err(frame::full()),
            Some((FrameKind::Bytes, _)) => Err(io::Error::other("bytes where a message belongs")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use guanka_core::quantity::Millis;

    use super::{Heard, Line};

    #[test]
    fn messages_come_back_and_silence_and_the_end_are_told_apart() {
        let (one, other) = UnixStream::pair().expect("a pair");
        let (mut one, mut other) =
            (Line::over(one).expect("ours"), Line::over(other).expect("ours"));
        assert_eq!(other.hear::<u32>(Millis(1)).expect("heard"), Heard::Silence);
        one.say(&7).expect("said");
        assert_eq!(other.hear::<u32>(Millis(1000)).expect("heard"), Heard::Message(7));
        drop(one);
        assert_eq!(other.hear::<u32>(Millis(1000)).expect("heard"), Heard::End);
    }

    #[test]
    fn a_message_that_is_too_long_or_makes_no_sense_is_an_error() {
        for bytes in [&b"M\x01\x00\x00\x00"[..], b"M\x00\x00\x00\x01x", b"?\x00\x00\x00\x00"] {
            let (mut one, other) = UnixStream::pair().expect("a pair");
            one.write_all(bytes).expect("written");
            let mut other = Line::over(other).expect("ours");
            assert!(other.hear::<u32>(Millis(1000)).is_err(), "{bytes:?}");
        }
    }
}
