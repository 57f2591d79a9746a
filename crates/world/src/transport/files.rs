//! The files that follow a request, read from the connection as they come: an agent that lives for
//! months never holds one as a whole, however large it is.

use std::cell::RefCell;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use super::frame::{self, FrameKind};

/// The most that one file of a release holds.
const FILE_MAX: usize = 1 << 30;

/// The files of one request, in the order in which they were announced.
pub struct Files {
    pieces: Rc<RefCell<Pieces>>,
    given: usize,
}

/// Where the connection stands.
struct Pieces {
    stream: UnixStream,
    /// How many files have ended.
    ended: usize,
    /// What the present file has given.
    taken: usize,
    /// What is left of the present piece.
    left: usize,
}

/// One of the files.
struct File {
    pieces: Rc<RefCell<Pieces>>,
    number: usize,
}

impl Files {
    pub(super) fn new(stream: UnixStream) -> Self {
        let pieces = Pieces { stream, ended: 0, taken: 0, left: 0 };
        Self { pieces: Rc::new(RefCell::new(pieces)), given: 0 }
    }

    /// Returns the next file's content. What was not read of the one before is passed over.
    pub fn next_file(&mut self) -> Box<dyn Read> {
        let number = self.given;
        self.given += 1;
        Box::new(File { pieces: Rc::clone(&self.pieces), number })
    }

    /// Passes over what nobody has read of the first files: the asker sends all of them, and hears
    /// the answer only then.
    pub fn pass(self, count: usize) -> io::Result<()> {
        self.pieces.borrow_mut().pass(count)
    }
}

impl Read for File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut pieces = self.pieces.borrow_mut();
        pieces.pass(self.number)?;
        // A file that has ended stays at its end, whatever was read after it.
        if pieces.ended > self.number { Ok(0) } else { pieces.read(buffer) }
    }
}

impl Pieces {
    /// Reads of the present file; 0 is its end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let wrong = || io::Error::new(io::ErrorKind::InvalidData, "no piece of a file");
            let Some((FrameKind::Bytes, length)) = frame::read_head(&mut self.stream)? else {
                return Err(wrong());
            };
            if length == 0 {
                (self.ended, self.taken) = (self.ended + 1, 0);
                return Ok(0);
            }
            self.taken += length;
            if self.taken > FILE_MAX {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a file of more than 1 GiB",
                ));
            }
            self.left = length;
        }
        let most = self.left.min(buffer.len());
        let read = frame::read_some(&mut self.stream, &mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the asker hung up"));
        }
        self.left -= read;
        Ok(read)
    }

    /// Reads until so many files have ended.
    fn pass(&mut self, count: usize) -> io::Result<()> {
        let mut unread = [0; 16 << 10];
        while self.ended < count {
            self.read(&mut unread)?;
        }
        Ok(())
    }
}
