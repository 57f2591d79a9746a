//! Frames: a kind, a length, the bytes. Bounded, so that a broken peer cannot fill the memory.

use std::io::{self, Read, Write};

/// The most that one frame holds: a chunk of a file, or an answer with three days of windows.
pub const FRAME_MAX: u32 = 64 << 20;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A message as JSON.
    Message,
    /// A piece of a file.
    Bytes,
}

/// Writes one frame.
pub fn write(stream: &mut impl Write, kind: FrameKind, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= FRAME_MAX);
    let length = length.ok_or_else(|| io::Error::other("a frame of more than 64 MiB"))?;
    let tag = match kind {
        FrameKind::Message => b'M',
        FrameKind::Bytes => b'B',
    };
    let mut head = [tag, 0, 0, 0, 0];
    head[1..].copy_from_slice(&length.to_be_bytes());
    stream.write_all(&head)?;
    stream.write_all(bytes)?;
    stream.flush()
}

/// Reads one frame; `None` when the peer has ended before one began.
pub fn read(stream: &mut impl Read) -> io::Result<Option<(FrameKind, Vec<u8>)>> {
    read_within(stream, FRAME_MAX)
}

/// Reads one frame of at most `most` bytes.
pub fn read_within(stream: &mut impl Read, most: u32) -> io::Result<Option<(FrameKind, Vec<u8>)>> {
    let Some((kind, length)) = head_within(stream, most)? else { return Ok(None) };
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(Some((kind, bytes)))
}

/// Reads a frame's kind and length and leaves its bytes to be read.
pub fn read_head(stream: &mut impl Read) -> io::Result<Option<(FrameKind, usize)>> {
    head_within(stream, FRAME_MAX)
}

/// Reads what has come. A socket with a time limit is interrupted when its process is stopped and
/// goes on, or is looked at by a debugger: that is no end of the peer.
fn first(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

fn head_within(stream: &mut impl Read, most: u32) -> io::Result<Option<(FrameKind, usize)>> {
    let mut head = [0; 5];
    match first(stream, &mut head)? {
        0 => return Ok(None),
        some => stream.read_exact(&mut head[some..])?,
    }
    let kind = match head[0] {
        b'M' => FrameKind::Message,
        b'B' => FrameKind::Bytes,
        other => {
            let text = format!("a frame of the unknown kind {other}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
    };
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    if length > most {
        let text = format!("a frame of {length} bytes, where {most} are the most");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(Some((kind, length as usize)))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use super::{FrameKind, read, write};

    /// A stream that is interrupted before every read.
    struct Interrupted<'a>(&'a [u8], bool);

    impl Read for Interrupted<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 { Err(io::ErrorKind::Interrupted.into()) } else { self.0.read(buffer) }
        }
    }

    #[test]
    fn an_interruption_ends_no_conversation() {
        let mut stream = Vec::new();
        write(&mut stream, FrameKind::Message, b"{}").expect("written");
        let mut reader = Interrupted(&stream, false);
        let first = read(&mut reader).expect("whole");
        assert_eq!(first, Some((FrameKind::Message, b"{}".to_vec())));
        assert_eq!(read(&mut reader).expect("the end"), None);
    }

    #[test]
    fn frames_come_back_and_a_cut_one_is_an_error() {
        let mut stream = Vec::new();
        write(&mut stream, FrameKind::Message, b"{}").expect("written");
        write(&mut stream, FrameKind::Bytes, &[0; 1000]).expect("written");
        let mut reader = stream.as_slice();
        let first = read(&mut reader).expect("whole");
        assert_eq!(first, Some((FrameKind::Message, b"{}".to_vec())));
        assert_eq!(read(&mut reader).expect("whole").map(|(_, b)| b.len()), Some(1000));
        assert_eq!(read(&mut reader).expect("the end"), None);
        for cut in 1..stream.len() {
            let mut reader = &stream[..cut];
            while let Ok(Some(_)) = read(&mut reader) {}
            assert!(reader.is_empty(), "cut at {cut}");
        }
    }

    #[test]
    fn a_length_beyond_the_bound_is_refused_before_any_memory_is_taken() {
        let hostile = [b'M', 0xff, 0xff, 0xff, 0xff];
        assert!(read(&mut hostile.as_slice()).is_err());
    }
}
