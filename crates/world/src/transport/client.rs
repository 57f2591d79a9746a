//! The asking side: one connection to an agent or its helper, to a socket or over ssh, one request
//! and one answer at a time, each with a time limit.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use guanka_core::quantity::Millis;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::files::Files;
use super::frame::{self, FrameKind};
use super::ssh::{self, Options, Ssh, Target};

/// A connection to an agent.
pub struct Client {
    stream: UnixStream,
    ssh: Option<Ssh>,
}

impl Client {
    /// Connects to an agent's socket. Each answer must come within the limit.
    pub fn connect(socket: &Path, limit: Millis) -> io::Result<Self> {
        Self::over(UnixStream::connect(socket)?, None, limit)
    }

    /// Connects to the agent of a host over ssh. Each answer must come within the limit; how the
    /// connection itself went shows with the first one.
    pub fn connect_over_ssh(target: &Target, options: &Options, limit: Millis) -> io::Result<Self> {
        let (stream, ssh) = ssh::connect(target, options)?;
        Self::over(stream, Some(ssh), limit)
    }

    fn over(stream: UnixStream, ssh: Option<Ssh>, limit: Millis) -> io::Result<Self> {
        stream.set_read_timeout(Some(Duration::from_millis(limit.0)))?;
        stream.set_write_timeout(Some(Duration::from_millis(limit.0)))?;
        Ok(Self { stream, ssh })
    }

    /// Asks and waits for the answer.
    pub fn ask<Q: Serialize, A: DeserializeOwned>(&mut self, request: &Q) -> io::Result<A> {
        self.ask_with_files(request, &mut std::iter::empty())
    }

    /// Asks, sends the files that belong to the request, and waits for the answer.
    pub fn ask_with_files<Q: Serialize, A: DeserializeOwned>(
        &mut self,
        request: &Q,
        files: &mut dyn Iterator<Item = io::Result<Vec<u8>>>,
    ) -> io::Result<A> {
        let asked = self.converse(request, files);
        asked.map_err(|error| match self.ssh.as_mut().and_then(Ssh::fault) {
            Some(fault) => io::Error::other(fault),
            None => error,
        })
    }

    /// Asks and passes on, piece by piece, the files that came with somebody else's request. What
    /// was taken of them does not come again: who may be turned away asks something smaller first.
    pub fn ask_forwarding<Q: Serialize, A: DeserializeOwned>(
        &mut self,
        request: &Q,
        files: &mut Files,
        count: usize,
    ) -> io::Result<A> {
        self.send(request, &mut std::iter::empty())?;
        let mut piece = vec![0; 256 << 10];
        for _ in 0..count {
            let mut file = files.next_file();
            loop {
                let read = file.read(&mut piece)?;
                frame::write(&mut self.stream, FrameKind::Bytes, &piece[..read])?;
                if read == 0 {
                    break;
                }
            }
        }
        self.answer()
    }

    fn converse<Q: Serialize, A: DeserializeOwned>(
        &mut self,
        request: &Q,
        files: &mut dyn Iterator<Item = io::Result<Vec<u8>>>,
    ) -> io::Result<A> {
        match self.send(request, files) {
            Ok(()) => self.answer(),
            // Whoever was turned away before the question has the reason waiting to be read.
            Err(sent) if is_hung_up(&sent) => match self.answer::<A>() {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Err(error),
                _ => Err(sent),
            },
            Err(sent) => Err(sent),
        }
    }

    fn send<Q: Serialize>(
        &mut self,
        request: &Q,
        files: &mut dyn Iterator<Item = io::Result<Vec<u8>>>,
    ) -> io::Result<()> {
        let message = serde_json::to_vec(request).map_err(io::Error::other)?;
        frame::write(&mut self.stream, FrameKind::Message, &message)?;
        for file in files {
            send_file(&mut self.stream, &file?)?;
        }
        Ok(())
    }

    fn answer<A: DeserializeOwned>(&mut self) -> io::Result<A> {
        match frame::read(&mut self.stream)? {
            Some((FrameKind::Message, bytes)) => {
                serde_json::from_slice(&bytes).map_err(io::Error::other)
            }
            Some((FrameKind::Full, _)) => Err(frame::full()),
            Some((FrameKind::Bytes, _)) => Err(io::Error::other("the agent sent a file")),
            None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the agent hung up")),
        }
    }
}

fn is_hung_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// Sends one file in pieces, ended by an empty one.
fn send_file(stream: &mut UnixStream, bytes: &[u8]) -> io::Result<()> {
    for piece in bytes.chunks(1 << 20) {
        frame::write(stream, FrameKind::Bytes, piece)?;
    }
    frame::write(stream, FrameKind::Bytes, &[])
}
