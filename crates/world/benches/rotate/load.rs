//! Who writes: clients that send numbered requests to nginx, and a program that appends numbered
//! lines to its own output. A number that was answered, or written, must be read once.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use guanka_core::quantity::Millis;
use guanka_world::clock;

use crate::{Fallible, LIMIT, LINES_MAX};

/// How many requests a client sends at once.
const AT_ONCE: u32 = 4;

/// Numbers given out, and which of them were answered.
pub(crate) struct Numbers {
    next: AtomicU32,
    answered: Vec<AtomicU8>,
}

/// Clients of an nginx.
pub(crate) struct Load {
    pub(crate) numbers: Arc<Numbers>,
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

/// A program that writes lines and never opens its output anew.
pub(crate) struct Program {
    is_over: Arc<AtomicBool>,
    /// It writes while the file is smaller.
    room: Arc<AtomicU64>,
    writer: JoinHandle<io::Result<()>>,
}

impl Numbers {
    pub(crate) fn new() -> Self {
        let answered = (0..LINES_MAX).map(|_| AtomicU8::new(0)).collect();
        Self { next: AtomicU32::new(0), answered }
    }

    /// Takes some numbers; `None` when the bound is reached.
    fn take(&self, count: u32) -> Option<u32> {
        let first = self.next.fetch_add(count, Ordering::SeqCst);
        (first < LINES_MAX - count).then_some(first)
    }

    fn answer(&self, number: u32) {
        self.answered[number as usize].store(1, Ordering::SeqCst);
    }

    /// Returns whether a number was answered.
    pub(crate) fn is_answered(&self, number: u32) -> bool {
        self.answered[number as usize].load(Ordering::SeqCst) == 1
    }

    /// Returns how many were given out.
    pub(crate) fn given(&self) -> u32 {
        self.next.load(Ordering::SeqCst).min(LINES_MAX)
    }

    /// Returns how many were answered.
    pub(crate) fn answered(&self) -> usize {
        (0..self.given()).filter(|number| self.is_answered(*number)).count()
    }
}

impl Load {
    /// Starts some clients.
    pub(crate) fn start(address: SocketAddr, clients: u32) -> Fallible<Self> {
        let (numbers, is_over) = (Arc::new(Numbers::new()), Arc::new(AtomicBool::new(false)));
        let start = |_| {
            let (numbers, is_over) = (Arc::clone(&numbers), Arc::clone(&is_over));
            thread::spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    // A reload closes connections; what was not answered counts for nothing.
                    match ask(address, &numbers, &is_over) {
                        Ok(()) => return,
                        Err(_) => clock::pause(Millis(1)),
                    }
                }
            })
        };
        let clients = (0..clients).map(start).collect();
        Ok(Self { numbers, is_over, clients })
    }

    /// Stops them and returns what they sent.
    pub(crate) fn stop(self) -> Fallible<Arc<Numbers>> {
        self.is_over.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.join().map_err(|_| "a client panicked")?;
        }
        Ok(self.numbers)
    }
}

/// Sends requests on one connection until all is over.
fn ask(address: SocketAddr, numbers: &Numbers, is_over: &AtomicBool) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_millis(LIMIT.0)))?;
    stream.set_nodelay(true)?;
    while !is_over.load(Ordering::SeqCst) {
        let Some(first) = numbers.take(AT_ONCE) else { return Ok(()) };
        let requests: String = (first..first + AT_ONCE)
            .map(|n| {
                format!("GET /i?n={n} HTTP/1.1\r\nHost: a\r\nUser-Agent: {USER_AGENT}\r\n\r\n")
            })
            .collect();
        stream.write_all(requests.as_bytes())?;
        let (mut answered, mut tail) = (0, Vec::new());
        while answered < AT_ONCE {
            let mut bytes = [0; 4096];
            let read = stream.read(&mut bytes)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            tail.extend_from_slice(&bytes[..read]);
            // An answer 204 ends with its head.
            while let Some(end) = tail.windows(4).position(|four| four == b"\r\n\r\n") {
                tail.drain(..end + 4);
                numbers.answer(first + answered);
                answered += 1;
            }
        }
        clock::pause(Millis(1));
    }
    Ok(())
}

impl Program {
    /// Starts to write lines.
    pub(crate) fn start(log: &Path, numbers: &Arc<Numbers>) -> Fallible<Self> {
        let file = OpenOptions::new().create(true).append(true).open(log)?;
        let (is_over, room) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (over, may, numbers) = (Arc::clone(&is_over), Arc::clone(&room), Arc::clone(numbers));
        let writer = thread::spawn(move || write(file, &over, &may, &numbers));
        Ok(Self { is_over, room, writer })
    }

    /// Lets it write while its file is smaller than a size.
    pub(crate) fn may_write(&self, room: u64) {
        self.room.store(room, Ordering::SeqCst);
    }

    /// Ends it.
    pub(crate) fn stop(self) -> Fallible<()> {
        self.is_over.store(true, Ordering::SeqCst);
        Ok(self.writer.join().map_err(|_| "the program panicked")??)
    }
}

fn write(
    mut file: File,
    is_over: &AtomicBool,
    room: &AtomicU64,
    numbers: &Numbers,
) -> io::Result<()> {
    while !is_over.load(Ordering::SeqCst) {
        if file.metadata()?.len() >= room.load(Ordering::SeqCst) {
            clock::pause(Millis(1));
            continue;
        }
        let Some(number) = numbers.take(1) else { return Ok(()) };
        file.write_all(format!("{{\"n\":{number},\"text\":\"{USER_AGENT}\"}}\n").as_bytes())?;
        numbers.answer(number);
    }
    Ok(())
}

const USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
