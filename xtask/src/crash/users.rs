//! Users of the site while everything is killed: one request after another through nginx, each with
//! a connection and a cookie of its own, at a modest rate. None of them may notice.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The site.
pub(crate) const SITE: &str = "shop.example.com";
/// Forty requests a second: enough for a canary to be judged, little beside the ships.
const PAUSE: Duration = Duration::from_millis(25);
/// How long one request may take on a machine that builds and starts programs meanwhile.
const LIMIT: Duration = Duration::from_secs(10);

/// The users of one host.
pub(crate) struct Users {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    requests: AtomicU64,
    failed: AtomicU64,
    /// What the first failed one saw.
    first: Mutex<Option<String>>,
}

impl Users {
    /// Begins to ask a port.
    pub(crate) fn start(port: u16) -> Self {
        let shared = Arc::new(Shared::default());
        let told = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            while !told.stop.load(Ordering::SeqCst) {
                let number = told.requests.fetch_add(1, Ordering::SeqCst);
                let saw = match ask(port, "/products?q=tea", number) {
                    Ok(answer) if answer.status == 200 => None,
                    Ok(answer) => Some(format!("status {}", answer.status)),
                    Err(error) => Some(error.to_string()),
                };
                if let (Some(saw), Ok(mut first)) = (saw, told.first.lock()) {
                    told.failed.fetch_add(1, Ordering::SeqCst);
                    first.get_or_insert(format!("request {number}: {saw}"));
                }
                thread::sleep(PAUSE);
            }
        });
        Self { shared, thread: Some(thread) }
    }

    /// Returns how many requests were sent and how many failed so far.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::SeqCst);
        (read(&self.shared.requests), read(&self.shared.failed))
    }

    /// Returns what the first failed request saw.
    pub(crate) fn first_failure(&self) -> Option<String> {
        self.shared.first.lock().ok().and_then(|first| first.clone())
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // Its own mistake has been counted or not; there is nothing to do about it here.
            let _ = thread.join();
        }
    }
}

/// An answer of the site.
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// Its body.
    pub(crate) body: String,
}

/// Asks through nginx as one user.
pub(crate) fn ask(port: u16, path: &str, user: u64) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {SITE}\r\nCookie: shop_user=u{user}\r\n\
         Connection: close\r\n\r\n"
    )?;
    let mut bytes = Vec::new();
    stream.take(1 << 20).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| cut("an answer without body"))?;
    let status = head.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| cut("an answer without status"))?;
    Ok(Answer { status, body: body.to_owned() })
}

fn cut(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, what)
}
