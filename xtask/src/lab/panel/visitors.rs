//! Visitors of a site while it is worked on: clients that close after each request, clients that
//! keep a connection and look whether it was closed before they use it again, and naive ones.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How soon a close that was on its way is met: the request and it cross on the loopback.
const CROSSING: Duration = Duration::from_millis(20);
/// The most that is read of one answer.
const ANSWER_MAX: usize = 1 << 20;

/// How a client treats its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// One request a connection.
    Closing,
    /// It keeps the connection, and looks for an end before each request.
    FinAware,
    /// It keeps the connection and trusts it.
    Naive,
}

/// What visitors met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Met {
    /// How many requests were sent.
    pub(crate) requests: u64,
    /// How many found no answer or another one than 200.
    pub(crate) failed: u64,
    /// What the first of those saw.
    pub(crate) first: Option<String>,
    /// Requests of those who look first that crossed with the close of their idle connection: it
    /// came between the look and the write, and no look can be closer. What is cut under way is
    /// told by the closing visitors, who cannot meet such a close.
    pub(crate) crossed: u64,
}

/// Why a request came to nothing.
enum Miss {
    Failed(String),
    Crossed,
}

/// Visitors under way.
pub(crate) struct Visitors {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    requests: AtomicU64,
    failed: AtomicU64,
    crossed: AtomicU64,
    first: Mutex<Option<String>>,
}

impl Visitors {
    /// Begins: so many connections, each with so many requests a second.
    pub(crate) fn start(port: u16, host: &str, class: Class, (many, rate): (u32, u32)) -> Self {
        let shared = Arc::new(Shared::default());
        let pause = Duration::from_secs(1) / rate.max(1);
        let threads = (0..many).map(|number| {
            let (shared, host) = (Arc::clone(&shared), host.to_owned());
            thread::spawn(move || {
                // Spread over the interval, so that requests do not come in bursts.
                thread::sleep(pause * number / many);
                let mut client = Client { port, host, class, number, asked: 0, open: None };
                let mut due = Instant::now();
                while !shared.stop.load(Ordering::SeqCst) {
                    shared.requests.fetch_add(1, Ordering::SeqCst);
                    match client.ask() {
                        Ok(()) => {}
                        Err(Miss::Crossed) => {
                            shared.crossed.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(Miss::Failed(saw)) => {
                            shared.failed.fetch_add(1, Ordering::SeqCst);
                            if let Ok(mut first) = shared.first.lock() {
                                first.get_or_insert(saw);
                            }
                        }
                    }
                    due += pause;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                }
            })
        });
        let threads = threads.collect();
        Self { shared, threads }
    }

    /// Sends everyone home.
    pub(crate) fn end(mut self) -> Met {
        self.stop();
        Met {
            requests: self.shared.requests.load(Ordering::SeqCst),
            failed: self.shared.failed.load(Ordering::SeqCst),
            first: self.shared.first.lock().ok().and_then(|first| first.clone()),
            crossed: self.shared.crossed.load(Ordering::SeqCst),
        }
    }

    fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            // A visitor's own mistake has been counted or not.
            let _ = thread.join();
        }
    }
}

impl Drop for Visitors {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Client {
    port: u16,
    host: String,
    class: Class,
    /// Each request is another user's: its cookie holds both.
    number: u32,
    asked: u32,
    open: Option<TcpStream>,
}

impl Client {
    fn ask(&mut self) -> Result<(), Miss> {
        if self.class == Class::FinAware && self.open.as_ref().is_some_and(has_ended) {
            self.open = None;
        }
        let was_open = self.class == Class::FinAware && self.open.is_some();
        let since = Instant::now();
        let asked = self.try_ask();
        if asked.is_err() || self.class == Class::Closing {
            self.open = None;
        }
        match asked {
            Ok(200) => Ok(()),
            Ok(status) => Err(Miss::Failed(format!("status {status}"))),
            Err(error) if was_open && is_close(&error) && since.elapsed() < CROSSING => {
                Err(Miss::Crossed)
            }
            Err(error) => Err(Miss::Failed(error.to_string())),
        }
    }

    fn try_ask(&mut self) -> io::Result<u16> {
        let mut stream = match self.open.take() {
            Some(open) => open,
            None => {
                let stream = connect(self.port)?;
                stream.set_read_timeout(Some(LIMIT))?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        let connection = if self.class == Class::Closing { "close" } else { "keep-alive" };
        let head = format!(
            "GET /products?q=tea HTTP/1.1\r\nHost: {}\r\nCookie: shop_user=u{}-{}\r\n\
             Connection: {connection}\r\n\r\n",
            self.host, self.number, self.asked
        );
        self.asked += 1;
        stream.write_all(head.as_bytes())?;
        let (status, stays_open) = answer(&mut stream)?;
        self.open = stays_open.then_some(stream);
        Ok(status)
    }
}

/// Returns whether an error is what a closed connection gives.
fn is_close(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof
    )
}

/// Connects; a connect that a signal has interrupted says nothing of the site.
fn connect(port: u16) -> io::Result<TcpStream> {
    let mut last = TcpStream::connect(("127.0.0.1", port));
    for _ in 0..3 {
        match last {
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                last = TcpStream::connect(("127.0.0.1", port));
            }
            other => return other,
        }
    }
    last
}

/// Looks whether the other side has closed a connection, without waiting.
fn has_ended(stream: &TcpStream) -> bool {
    let mut byte = [0];
    let looked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut byte));
    let blocks = stream.set_nonblocking(false).is_ok();
    let is_open = matches!(looked, Err(e) if e.kind() == ErrorKind::WouldBlock);
    !is_open || !blocks
}

/// Reads one whole answer; returns its status and whether the connection stays.
fn answer(stream: &mut TcpStream) -> io::Result<(u16, bool)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 8192];
    loop {
        if let Some(found) = whole(&bytes) {
            return Ok(found);
        }
        let read = match stream.read(&mut piece) {
            Ok(read) if read > 0 && bytes.len() <= ANSWER_MAX => read,
            // This process was stopped and goes on: nobody cut anything.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // An answer that had begun was cut, however that shows.
            other if !bytes.is_empty() => {
                let text = format!("an answer cut after {} bytes: {other:?}", bytes.len());
                return Err(io::Error::new(ErrorKind::InvalidData, text));
            }
            Ok(_) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection ended")),
            Err(error) => return Err(error),
        };
        bytes.extend_from_slice(&piece[..read]);
    }
}

/// Reads an answer of a known length, if all of it is there.
fn whole(bytes: &[u8]) -> Option<(u16, bool)> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    let value = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let is_whole = match value("content-length") {
        Some(length) => body.len() >= length.parse().ok()?,
        None => body.ends_with("0\r\n\r\n"),
    };
    let stays = !value("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    is_whole.then_some((status, stays))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    use super::{Class, Client, whole};

    /// A server that closes each connection a moment after its first answer.
    fn closes_idle() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        thread::spawn(move || {
            for stream in listener.incoming().take(8).flatten() {
                let mut stream = stream;
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        });
        port
    }

    #[test]
    fn a_naive_client_fails_where_one_that_looks_first_does_not() {
        let failures = |class| {
            let host = "x".to_owned();
            let mut client =
                Client { port: closes_idle(), host, class, number: 0, asked: 0, open: None };
            let asked: Vec<bool> = (0..4)
                .map(|_| {
                    let failed = client.ask().is_err();
                    thread::sleep(Duration::from_millis(50));
                    failed
                })
                .collect();
            asked.iter().filter(|failed| **failed).count()
        };
        assert_eq!(failures(Class::Closing), 0);
        assert_eq!(failures(Class::FinAware), 0);
        assert_eq!(failures(Class::Naive), 2, "every second one meets the end");
    }

    #[test]
    fn an_answer_is_whole_by_its_length_or_its_last_piece() {
        let of = |text: &str| whole(text.as_bytes());
        assert_eq!(of("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"), None);
        assert_eq!(of("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"), Some((200, true)));
        let closing = "HTTP/1.1 502 x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(of(closing), Some((502, false)));
    }
}
