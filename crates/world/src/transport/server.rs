//! The answering side: a unix socket that only its owner may use, one thread a connection, bounded
//! in number: who comes beyond is told so, before anything is read. What is asked and answered is
//! the caller's: the agent's messages, or the helper's.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use guanka_core::quantity::Millis;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::files::Files;
use super::frame::{self, FrameKind};
use crate::clock;
use crate::files::Lock;

/// The most connections at a time: a driver, a few people looking, a bench.
pub const CONNECTIONS_MAX: usize = 64;
/// A peer that says nothing for this long is let go; a driver asks every second.
const IDLE: Duration = Duration::from_secs(300);
/// How long a starting agent waits for one that was killed to be gone: its lock goes with it.
const LOCK_WAIT: Millis = Millis::from_secs(2);

/// One asker's connection, seen from a request that files follow.
pub struct Session<'a> {
    stream: &'a mut UnixStream,
}

/// What answers a request; files may follow it on the session.
pub type Answering<Q, A> = dyn Fn(Q, &mut Session<'_>) -> A + Send + Sync;

/// Who may ask, by the user that the kernel names for the peer.
pub type Admitting = dyn Fn(u32) -> bool + Send + Sync;

/// A socket to answer on.
pub struct Server {
    listener: UnixListener,
    /// Two agents that start at once both find no answer on the socket: the lock lets one through.
    _lock: Lock,
}

impl Server {
    /// Takes the socket. A file left by an agent that was killed is replaced; a living agent keeps
    /// it, and the caller is told.
    pub fn bind(socket: &Path) -> io::Result<Self> {
        if let Some(folder) = socket.parent() {
            fs::create_dir_all(folder)?;
        }
        let taken = || io::Error::new(io::ErrorKind::AddrInUse, "another one answers there");
        let lock = clock::wait_for(LOCK_WAIT, Millis(20), || {
            if UnixStream::connect(socket).is_ok() {
                return Some(Err(taken()));
            }
            match Lock::hold_within(&socket.with_extension("lock"), Millis::ZERO) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => None,
                other => Some(other),
            }
        });
        let lock = lock.unwrap_or_else(|| Err(taken()))?;
        match fs::remove_file(socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(socket)?;
        fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, _lock: lock })
    }

    /// Answers everybody who may open the socket, for ever.
    pub fn serve<Q, A>(&self, answer: Arc<Answering<Q, A>>) -> io::Result<()>
    where
        Q: DeserializeOwned + 'static,
        A: Serialize + 'static,
    {
        self.serve_only(Arc::new(|_| true), answer)
    }

    /// Answers for ever those whose user is admitted; others are hung up on.
    pub fn serve_only<Q, A>(
        &self,
        admits: Arc<Admitting>,
        answer: Arc<Answering<Q, A>>,
    ) -> io::Result<()>
    where
        Q: DeserializeOwned + 'static,
        A: Serialize + 'static,
    {
        self.each(Arc::new(move |stream| {
            let peer = rustix::net::sockopt::socket_peercred(&stream);
            if peer.is_ok_and(|peer| admits(peer.uid.as_raw())) {
                // A peer that breaks off is its own affair; what it asked for was done or refused.
                let _ = converse(stream, answer.as_ref());
            }
        }))
    }

    /// Gives each connection to a thread of its own, for ever.
    pub fn each(&self, take: Arc<dyn Fn(UnixStream) + Send + Sync>) -> io::Result<()> {
        let open = Arc::new(AtomicUsize::new(0));
        for stream in self.listener.incoming() {
            let stream = stream?;
            let Some(seat) = Seat::take(&open) else {
                turn_away(stream);
                continue;
            };
            let take = Arc::clone(&take);
            thread::spawn(move || {
                let _seat = seat;
                take(stream);
            });
        }
        Ok(())
    }
}

/// One of the connections at a time; given back however its thread ends.
struct Seat(Arc<AtomicUsize>);

impl Seat {
    fn take(open: &Arc<AtomicUsize>) -> Option<Self> {
        let seat = Self(Arc::clone(open));
        (open.fetch_add(1, Ordering::SeqCst) < CONNECTIONS_MAX).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Tells a peer that nothing of its question was read. A frame this small never waits for a peer.
fn turn_away(mut stream: UnixStream) {
    // Whoever has gone already need not be told.
    let _ = stream.set_nonblocking(true);
    let _ = frame::write(&mut stream, FrameKind::Full, &[]);
}

fn converse<Q: DeserializeOwned, A: Serialize>(
    mut stream: UnixStream,
    answer: &Answering<Q, A>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    while let Some((kind, bytes)) = frame::read(&mut stream)? {
        if kind != FrameKind::Message {
            return Err(io::Error::other("a file that no request announced"));
        }
        let request = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
        let given = answer(request, &mut Session { stream: &mut stream });
        let message = serde_json::to_vec(&given).map_err(io::Error::other)?;
        frame::write(&mut stream, FrameKind::Message, &message)?;
    }
    Ok(())
}

impl Session<'_> {
    /// Returns the files that follow the request.
    pub fn files(&mut self) -> io::Result<Files> {
        Ok(Files::new(self.stream.try_clone()?))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::{Arc, Barrier};
    use std::thread;

    use guanka_core::quantity::Millis;

    use super::{CONNECTIONS_MAX, Server, Session};
    use crate::transport::client::Client;
    use crate::transport::wire::{Answer, Request};

    #[test]
    fn a_request_gets_its_answer_and_a_second_agent_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let socket = dir.path().join("run/agent.sock");
        let server = Server::bind(&socket).expect("bound");
        let answer = |request: Request, _: &mut Session<'_>| match request {
            Request::Services => Answer::Services { services: Vec::new() },
            _ => Answer::Done,
        };
        thread::spawn(move || server.serve(Arc::new(answer)));
        let mut client = Client::connect(&socket, Millis::from_secs(5)).expect("connected");
        let services = client.ask(&Request::Services).expect("answered");
        assert!(matches!(services, Answer::Services { .. }));
        assert!(matches!(client.ask(&Request::Verify).expect("answered"), Answer::Done));
        assert!(Server::bind(&socket).is_err());
    }

    #[test]
    fn who_comes_beyond_the_bound_is_told_so_and_a_seat_is_given_back_after_a_panic() {
        let dir = tempfile::tempdir().expect("a folder");
        let socket = dir.path().join("agent.sock");
        let server = Server::bind(&socket).expect("bound");
        let answer = |request: Request, _: &mut Session<'_>| match request {
            Request::Verify => panic!("a fault of ours"),
            _ => Answer::Done,
        };
        thread::spawn(move || server.serve(Arc::new(answer)));
        let limit = Millis::from_secs(20);
        let connect = || Client::connect(&socket, limit).expect("connected");
        let ask = |client: &mut Client| client.ask::<_, Answer>(&Request::Services);
        let seated = || {
            let mut client = connect();
            ask(&mut client).map(|_| client)
        };
        let mut all: Vec<Client> =
            (0..CONNECTIONS_MAX).map(|_| seated().expect("a seat")).collect();
        for _ in 0..3 {
            let refused = seated().err().expect("turned away");
            assert_eq!(refused.kind(), std::io::ErrorKind::ResourceBusy, "{refused}");
        }
        // Sent in many pieces, the question meets a connection that was closed long before.
        let mut files = (0..64).map(|_| Ok(vec![0; 1 << 20]));
        let asked = connect().ask_with_files::<_, Answer>(&Request::Services, &mut files);
        let refused = asked.expect_err("turned away");
        assert_eq!(refused.kind(), std::io::ErrorKind::ResourceBusy, "{refused}");
        assert!(all.iter_mut().all(|client| ask(client).is_ok()), "the others are answered");
        let mut last = all.pop().expect("a seat");
        assert!(last.ask::<_, Answer>(&Request::Verify).is_err(), "its thread has panicked");
        let found = crate::clock::wait_for(limit, Millis(5), || seated().ok());
        assert!(found.is_some(), "its seat is free again");
    }

    #[test]
    fn files_are_read_as_they_come_and_what_is_left_of_them_is_passed_over() {
        let dir = tempfile::tempdir().expect("a folder");
        let socket = dir.path().join("agent.sock");
        let server = Server::bind(&socket).expect("bound");
        let answer = |request: Request, session: &mut Session<'_>| match request {
            Request::Verify => {
                let mut files = session.files().expect("a stream");
                let mut some = [0; 3];
                files.next_file().read_exact(&mut some).expect("three bytes");
                let mut second = Vec::new();
                files.next_file().read_to_end(&mut second).expect("a file");
                let is_right = some == *b"\x07\x07\x07" && second == [9; 5];
                files.pass(4).expect("passed over");
                if is_right { Answer::Done } else { Answer::Services { services: Vec::new() } }
            }
            _ => Answer::Done,
        };
        thread::spawn(move || server.serve(Arc::new(answer)));
        let mut client = Client::connect(&socket, Millis::from_secs(5)).expect("connected");
        for _ in 0..2 {
            let sent = [vec![7; 3 << 20], vec![9; 5], Vec::new(), vec![1; 2 << 20]];
            let mut files = sent.into_iter().map(Ok);
            let said = client.ask_with_files(&Request::Verify, &mut files).expect("answered");
            assert!(matches!(said, Answer::Done), "the next request is read from its beginning");
            assert!(matches!(client.ask(&Request::Services).expect("answered"), Answer::Done));
        }
    }

    #[test]
    fn of_agents_that_start_at_once_after_a_kill_one_stays() {
        for _ in 0..20 {
            let dir = tempfile::tempdir().expect("a folder");
            let socket = dir.path().join("run/agent.sock");
            std::fs::create_dir_all(socket.parent().expect("a folder")).expect("made");
            drop(std::os::unix::net::UnixListener::bind(&socket).expect("what a kill leaves"));
            let start = Barrier::new(4);
            let bound: Vec<_> = thread::scope(|scope| {
                let agents: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| {
                            start.wait();
                            Server::bind(&socket)
                        })
                    })
                    .collect();
                agents.into_iter().map(|agent| agent.join().expect("no panic")).collect()
            });
            assert_eq!(bound.iter().filter(|server| server.is_ok()).count(), 1);
        }
    }
}
