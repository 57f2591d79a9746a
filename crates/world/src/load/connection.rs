//! One connection slot: a socket that never blocks, the request on it and its answer. It reports
//! what happened; when to use it is the worker's part.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
    sockopt,
};

use super::framing::{AtEnd, KeepHead, Response, Step};
use super::run::{ErrorKind, Outcome};

/// A request under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    /// Its kind's place in the plan.
    pub(super) kind: usize,
    /// Its user.
    pub(super) user: Option<u32>,
    /// When it was due.
    pub(super) due_ns: u64,
    /// When it got its connection.
    pub(super) sent_ns: u64,
}

/// Where a slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No socket.
    Closed,
    /// The connection is being made.
    Connecting,
    /// Connected, without a request.
    Idle,
    /// A part of the request waits for room in the socket.
    Sending,
    /// The answer is awaited.
    Receiving,
}

/// What reading or writing led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// Nothing to tell yet.
    Nothing,
    /// The connection stands.
    Connected,
    /// The request ended so.
    Ended(Outcome),
    /// The peer closed a connection that carried no request.
    Gone,
}

/// A connection slot.
#[derive(Debug)]
pub(super) struct Slot {
    socket: Option<OwnedFd>,
    rest: Vec<u8>,
    rest_at: usize,
    answers: u64,
    /// Where it stands.
    pub(super) state: State,
    /// Counts the sockets it has had: an event of an earlier one is told apart by it.
    pub(super) generation: u32,
    /// The request on it.
    pub(super) flight: Option<Flight>,
    /// The answer to it.
    pub(super) response: Response,
}

impl Slot {
    /// Builds a slot without a socket that keeps so many bytes of each body.
    pub(super) fn new(keep_body: usize) -> Self {
        Self {
            socket: None,
            rest: Vec::new(),
            rest_at: 0,
            answers: 0,
            state: State::Closed,
            generation: 0,
            flight: None,
            response: Response::new(KeepHead::No, keep_body),
        }
    }

    /// Begins to connect.
    pub(super) fn open(&mut self, queue: &OwnedFd, index: usize, target: SocketAddr) -> Happened {
        match self.begin(queue, index, target) {
            Ok(()) => {
                self.state = State::Idle;
                Happened::Connected
            }
            Err(Errno::INPROGRESS) => {
                self.state = State::Connecting;
                Happened::Nothing
            }
            Err(errno) => self.failed(errno),
        }
    }

    /// Makes the socket, connects it and puts it into the event queue.
    fn begin(&mut self, queue: &OwnedFd, index: usize, target: SocketAddr) -> Result<(), Errno> {
        self.close();
        self.generation = self.generation.wrapping_add(1);
        let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        let connected = connect(&socket, &target);
        if connected.is_err_and(|errno| errno != Errno::INPROGRESS) {
            return connected;
        }
        let data = EventData::new_u64(u64::from(self.generation) << 32 | index as u64);
        let edges = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(queue, &socket, data, edges)?;
        self.socket = Some(socket);
        connected
    }

    /// Sends a request on a connection that stands.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Happened {
        let Some(socket) = &self.socket else { return self.failed(Errno::NOTCONN) };
        self.state = State::Receiving;
        match send(socket, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == bytes.len() => Happened::Nothing,
            Ok(sent) => self.keep_rest(&bytes[sent..]),
            Err(Errno::AGAIN | Errno::INTR) => self.keep_rest(bytes),
            Err(errno) => self.failed(errno),
        }
    }

    /// Keeps what the socket did not take.
    fn keep_rest(&mut self, bytes: &[u8]) -> Happened {
        self.rest.clear();
        self.rest.extend_from_slice(bytes);
        self.rest_at = 0;
        self.state = State::Sending;
        Happened::Nothing
    }

    /// Reacts to the socket's event; `buffer` is room to read into.
    pub(super) fn react(&mut self, flags: EventFlags, buffer: &mut [u8]) -> Happened {
        if self.state == State::Connecting {
            return self.finish_connect(flags);
        }
        if self.state == State::Sending && flags.contains(EventFlags::OUT) {
            let sent = self.send_rest();
            if sent != Happened::Nothing {
                return sent;
            }
        }
        let readable = EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        if flags.intersects(readable) { self.receive(flags, buffer) } else { Happened::Nothing }
    }

    /// Learns whether the connection was made.
    fn finish_connect(&mut self, flags: EventFlags) -> Happened {
        let Some(socket) = &self.socket else { return Happened::Nothing };
        if !flags.intersects(EventFlags::OUT | EventFlags::ERR | EventFlags::HUP) {
            return Happened::Nothing;
        }
        match sockopt::socket_error(socket) {
            Ok(Ok(())) => {
                self.state = State::Idle;
                Happened::Connected
            }
            Ok(Err(errno)) | Err(errno) => self.failed(errno),
        }
    }

    /// Sends what is left of the request until it is gone or the socket is full.
    fn send_rest(&mut self) -> Happened {
        while self.rest_at < self.rest.len() {
            let Some(socket) = &self.socket else { return self.failed(Errno::NOTCONN) };
            match send(socket, &self.rest[self.rest_at..], SendFlags::NOSIGNAL) {
                Ok(sent) => self.rest_at += sent,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Happened::Nothing,
                Err(errno) => return self.failed(errno),
            }
        }
        self.state = State::Receiving;
        Happened::Nothing
    }

    /// Reads until the answer is whole or the socket is empty.
    fn receive(&mut self, flags: EventFlags, buffer: &mut [u8]) -> Happened {
        // A short read has emptied the socket, unless the end of the stream stands behind it.
        let may_end = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        loop {
            let Some(socket) = &self.socket else { return Happened::Nothing };
            let got = match recv(socket, &mut *buffer, RecvFlags::empty()) {
                Ok((_, got)) => got,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Happened::Nothing,
                Err(errno) => return self.failed(errno),
            };
            if got == 0 {
                return self.ended();
            }
            if self.flight.is_none() {
                // Bytes nobody asked for: whatever follows cannot be trusted.
                self.close();
                return Happened::Gone;
            }
            match self.response.feed(&buffer[..got]) {
                Ok(Step::More) if got < buffer.len() && !may_end => return Happened::Nothing,
                Ok(Step::More) => {}
                Ok(Step::Done(used)) => {
                    // The edge that tells of the peer's closing comes once; it is not forgotten.
                    let is_clean = used == got && self.state == State::Receiving && !may_end;
                    return self.answered(is_clean && self.response.keep_alive);
                }
                Err(_) => {
                    self.close();
                    return Happened::Ended(Outcome::Error(ErrorKind::BadFraming));
                }
            }
        }
    }

    /// Notes a whole answer; the connection stays if another request may follow.
    fn answered(&mut self, keep: bool) -> Happened {
        if keep {
            self.state = State::Idle;
            self.answers += 1;
        } else {
            self.close();
        }
        Happened::Ended(Outcome::Status(self.response.status))
    }

    /// Notes the end of the stream.
    fn ended(&mut self) -> Happened {
        let is_reused = self.answers > 0;
        self.close();
        if self.flight.is_none() {
            return Happened::Gone;
        }
        Happened::Ended(match self.response.at_end() {
            AtEnd::Whole => Outcome::Status(self.response.status),
            AtEnd::BeforeFirstByte if is_reused => Outcome::Error(ErrorKind::EofReused),
            AtEnd::BeforeFirstByte => Outcome::Error(ErrorKind::EofFresh),
            AtEnd::Truncated => Outcome::Error(ErrorKind::Truncated),
        })
    }

    /// Notes an error of the socket.
    fn failed(&mut self, errno: Errno) -> Happened {
        let is_reused = self.answers > 0;
        let was_standing = !matches!(self.state, State::Closed | State::Connecting);
        self.close();
        if self.flight.is_none() {
            return Happened::Gone;
        }
        Happened::Ended(Outcome::Error(match errno {
            Errno::CONNREFUSED => ErrorKind::Refused,
            Errno::MFILE | Errno::NFILE | Errno::ADDRNOTAVAIL | Errno::NOBUFS | Errno::NOMEM => {
                ErrorKind::OutOfSockets
            }
            // The peer had closed before the request was written: the end of the stream, seen late.
            Errno::PIPE if is_reused => ErrorKind::EofReused,
            _ if was_standing => ErrorKind::Reset,
            Errno::CONNRESET => ErrorKind::Reset,
            _ => ErrorKind::NoConnection,
        }))
    }

    /// Closes the socket; the kernel takes it out of the event queue.
    pub(super) fn close(&mut self) {
        self.socket = None;
        self.state = State::Closed;
        self.answers = 0;
        self.rest.clear();
        self.rest_at = 0;
    }
}
