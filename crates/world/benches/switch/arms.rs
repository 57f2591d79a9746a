//! The programs behind nginx: two processes of this bench's own executable that answer every
//! request with their own name and end when their parent does.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;

use guanka_core::name::Arm;
use guanka_core::quantity::Millis;
use guanka_world::clock;

use crate::Fallible;

/// How long an arm may take to listen.
const LIMIT: Millis = Millis::from_secs(10);
/// The most header lines of a request.
const LINES_MAX: usize = 100;

/// A running arm, ended with its owner.
pub(crate) struct Running(Child);

impl Running {
    /// Starts an arm and waits until it listens.
    pub(crate) fn start(arm: Arm, port: u16) -> Fallible<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["arm", arm.as_str(), &port.to_string()]);
        let running = Self(command.stdin(Stdio::piped()).spawn()?);
        let listens = || TcpStream::connect(("127.0.0.1", port)).ok();
        clock::wait_for(LIMIT, Millis(5), listens).ok_or("an arm does not listen")?;
        Ok(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Is an arm, until standard input ends: its parent holds the other side of it.
pub(crate) fn serve(name: &str, port: &str) -> Fallible<()> {
    let listener = TcpListener::bind(("127.0.0.1", port.parse::<u16>()?))?;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            // A connection that breaks is nginx's to notice.
            thread::spawn(move || drop(answer_all(stream, answer.as_bytes())));
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

/// Answers every request of one connection; none of them has a body.
fn answer_all(mut stream: TcpStream, answer: &[u8]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        for _ in 0..LINES_MAX {
            let mut line = Vec::new();
            reader.by_ref().take(8 << 10).read_until(b'\n', &mut line)?;
            match line.as_slice() {
                [] => return Ok(()),
                b"\r\n" => break,
                _ => {}
            }
        }
        stream.write_all(answer)?;
    }
}
