//! Connects an agent's socket to the standard streams: what `ssh` runs on a host. It understands
//! nothing of what passes.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;

/// Copies both ways until either side has ended.
pub fn run(stream: UnixStream) -> io::Result<()> {
    let mut to_agent = stream.try_clone()?;
    thread::spawn(move || {
        // Whichever way it ends, the agent is to see the end.
        let _ = io::copy(&mut io::stdin().lock(), &mut to_agent);
        let _ = to_agent.shutdown(Shutdown::Write);
    });
    let mut from_agent = stream;
    let mut out = Unbuffered(io::stdout());
    io::copy(&mut from_agent, &mut out).map(|_| ())
}

/// Standard output without its line buffer: a frame's end is no line's end.
struct Unbuffered(io::Stdout);

impl io::Write for Unbuffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = self.0.lock();
        out.write_all(bytes)?;
        out.flush()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().flush()
    }
}
