//! Where one HTTP/1.1 answer ends: Content-Length, chunks, until close, or no body at all. Fed with
//! whatever the socket gave, it never panics and never keeps more than it was allowed to.

/// The longest head, and the longest trailer, that is read (nginx allows 8 KiB a line).
const HEAD_MAX: usize = 64 << 10;
/// The most 1xx answers before the real one.
const INTERIM_MAX: u8 = 16;

/// Why bytes are not an HTTP/1.1 answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadFraming;

/// How far one feeding came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The answer goes on.
    More,
    /// The answer is whole; so many bytes belonged to it.
    Done(usize),
}

/// What the end of the stream means for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtEnd {
    /// It was an answer until close, and is whole.
    Whole,
    /// Nothing had come.
    BeforeFirstByte,
    /// Something was missing.
    Truncated,
}

/// Whether the answer's head is kept after it was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeepHead {
    /// For a client that reads headers.
    Yes,
    /// For the load engine.
    No,
}

/// Which answer is expected: one to HEAD has no body whatever its head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerTo {
    /// A HEAD request.
    Head,
    /// Any other request.
    Other,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Head,
    Fixed(u64),
    ChunkSize { size: u64, digits: u8, extension: bool },
    ChunkData(u64),
    ChunkEnd { seen_cr: bool },
    Trailer { line: usize, total: usize },
    UntilClose,
}

/// The head of an answer, as far as framing needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    keep_alive: bool,
    body: Phase,
}

/// One answer on its way.
#[derive(Debug)]
pub(crate) struct Response {
    phase: Phase,
    to: AnswerTo,
    keep_head: KeepHead,
    keep_body: usize,
    interim: u8,
    started: bool,
    /// The status, once the head is there.
    pub(crate) status: u16,
    /// Whether another request may follow on the connection.
    pub(crate) keep_alive: bool,
    /// The head's bytes while they come, and afterwards if wanted.
    pub(crate) head: Vec<u8>,
    /// The first bytes of the body.
    pub(crate) body: Vec<u8>,
    /// How long the body is so far.
    pub(crate) body_len: u64,
}

impl Response {
    /// Builds a reader that keeps so many bytes of each body.
    pub(crate) fn new(keep_head: KeepHead, keep_body: usize) -> Self {
        Self {
            phase: Phase::Head,
            to: AnswerTo::Other,
            keep_head,
            keep_body,
            interim: 0,
            started: false,
            status: 0,
            keep_alive: false,
            head: Vec::new(),
            body: Vec::new(),
            body_len: 0,
        }
    }

    /// Makes ready for the next answer.
    pub(crate) fn reset(&mut self, to: AnswerTo) {
        self.phase = Phase::Head;
        self.to = to;
        self.interim = 0;
        self.started = false;
        self.status = 0;
        self.keep_alive = false;
        self.head.clear();
        self.body.clear();
        self.body_len = 0;
    }

    /// Takes the next bytes of the stream.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Step, BadFraming> {
        self.started |= !bytes.is_empty();
        let mut at = 0;
        loop {
            if self.phase == Phase::Fixed(0) {
                return Ok(Step::Done(at));
            }
            let rest = &bytes[at..];
            if rest.is_empty() {
                return Ok(Step::More);
            }
            at += match self.phase {
                Phase::Head => self.take_head(rest)?,
                Phase::Fixed(left) => {
                    let taken = self.take_body(rest, left);
                    self.phase = Phase::Fixed(left - taken as u64);
                    taken
                }
                Phase::ChunkData(left) => {
                    let taken = self.take_body(rest, left);
                    self.phase = match left - taken as u64 {
                        0 => Phase::ChunkEnd { seen_cr: false },
                        more => Phase::ChunkData(more),
                    };
                    taken
                }
                Phase::UntilClose => self.take_body(rest, u64::MAX),
                Phase::ChunkSize { .. } | Phase::ChunkEnd { .. } | Phase::Trailer { .. } => {
                    self.phase = after_byte(self.phase, rest[0])?;
                    1
                }
            };
        }
    }

    /// Says what the end of the stream means here.
    pub(crate) fn at_end(&self) -> AtEnd {
        match self.phase {
            Phase::UntilClose => AtEnd::Whole,
            Phase::Head if !self.started => AtEnd::BeforeFirstByte,
            _ => AtEnd::Truncated,
        }
    }

    /// Takes bytes of the head; once it is whole, decides what follows.
    fn take_head(&mut self, rest: &[u8]) -> Result<usize, BadFraming> {
        let is_simple = self.head.is_empty() && self.keep_head == KeepHead::No;
        if let Some(end) = head_end(rest, 0).filter(|_| is_simple) {
            self.understand(&rest[..end])?;
            return Ok(end);
        }
        let before = self.head.len();
        let room = HEAD_MAX.saturating_sub(before).min(rest.len());
        self.head.extend_from_slice(&rest[..room]);
        match head_end(&self.head, before.saturating_sub(3)) {
            Some(end) => {
                self.head.truncate(end);
                let head = std::mem::take(&mut self.head);
                let understood = self.understand(&head);
                if self.keep_head == KeepHead::Yes && self.phase != Phase::Head {
                    self.head = head;
                }
                understood?;
                Ok(end - before)
            }
            None if self.head.len() >= HEAD_MAX => Err(BadFraming),
            None => Ok(room),
        }
    }

    /// Reads a whole head; an interim one is passed over.
    fn understand(&mut self, head: &[u8]) -> Result<(), BadFraming> {
        let head = parse_head(head)?;
        if head.status < 200 {
            self.interim += 1;
            let is_upgrade = head.status == 101;
            let is_too_many = self.interim > INTERIM_MAX;
            return if is_upgrade || is_too_many { Err(BadFraming) } else { Ok(()) };
        }
        let is_bodiless = self.to == AnswerTo::Head || head.status == 204 || head.status == 304;
        self.phase = if is_bodiless { Phase::Fixed(0) } else { head.body };
        self.status = head.status;
        self.keep_alive = head.keep_alive && self.phase != Phase::UntilClose;
        Ok(())
    }

    /// Takes bytes of the body, as many as are left of it.
    fn take_body(&mut self, rest: &[u8], left: u64) -> usize {
        let taken = left.min(rest.len() as u64) as usize;
        let room = self.keep_body.saturating_sub(self.body.len()).min(taken);
        self.body.extend_from_slice(&rest[..room]);
        self.body_len += taken as u64;
        taken
    }
}

/// Takes one byte between chunks.
fn after_byte(phase: Phase, byte: u8) -> Result<Phase, BadFraming> {
    match (phase, byte) {
        (Phase::ChunkSize { size, digits: 1.., .. }, b'\n') => Ok(match size {
            0 => Phase::Trailer { line: 0, total: 0 },
            _ => Phase::ChunkData(size),
        }),
        (Phase::ChunkSize { size, digits, extension: false }, _) if byte.is_ascii_hexdigit() => {
            // Fifteen digits are far more than any body and cannot overflow.
            let digit = char::from(byte).to_digit(16).ok_or(BadFraming)?;
            let digits = digits + 1;
            let size = size * 16 + u64::from(digit);
            if digits > 15 {
                Err(BadFraming)
            } else {
                Ok(Phase::ChunkSize { size, digits, extension: false })
            }
        }
        (Phase::ChunkSize { size, digits: digits @ 1.., extension }, _) => {
            let is_allowed = extension || matches!(byte, b';' | b' ' | b'\t' | b'\r');
            if !is_allowed {
                return Err(BadFraming);
            }
            Ok(Phase::ChunkSize { size, digits, extension: true })
        }
        (Phase::ChunkEnd { seen_cr: false }, b'\r') => Ok(Phase::ChunkEnd { seen_cr: true }),
        (Phase::ChunkEnd { .. }, b'\n') => {
            Ok(Phase::ChunkSize { size: 0, digits: 0, extension: false })
        }
        (Phase::Trailer { line: 0, .. }, b'\n') => Ok(Phase::Fixed(0)),
        (Phase::Trailer { total, .. }, b'\n') => Ok(Phase::Trailer { line: 0, total: total + 1 }),
        (Phase::Trailer { line, total }, b'\r') => Ok(Phase::Trailer { line, total: total + 1 }),
        (Phase::Trailer { line, total }, _) if total < HEAD_MAX => {
            Ok(Phase::Trailer { line: line + 1, total: total + 1 })
        }
        _ => Err(BadFraming),
    }
}

/// Returns where a head ends: behind the first empty line.
fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(found) = bytes[at..].iter().position(|&b| b == b'\n') {
        at += found + 1;
        match bytes[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// Reads a whole head.
fn parse_head(head: &[u8]) -> Result<Head, BadFraming> {
    let mut lines = head.split(|&b| b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l));
    let (minor, status) = parse_status_line(lines.next().ok_or(BadFraming)?)?;
    let (mut keep_alive, mut length, mut chunked) = (minor >= 1, None, None);
    for line in lines {
        // Only three headers matter here; their first letters are c and t.
        match line.first() {
            None => break,
            Some(b'C' | b'c' | b'T' | b't') => {}
            Some(_) => continue,
        }
        let colon = line.iter().position(|&b| b == b':').ok_or(BadFraming)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let said = parse_length(value)?;
            if length.is_some_and(|known| known != said) {
                return Err(BadFraming);
            }
            length = Some(said);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            chunked = Some(last_item(value).eq_ignore_ascii_case(b"chunked"));
        } else if name.eq_ignore_ascii_case(b"connection") {
            keep_alive = wants_keep_alive(value, keep_alive);
        }
    }
    let body = match (chunked, length) {
        (Some(true), _) => Phase::ChunkSize { size: 0, digits: 0, extension: false },
        (None, Some(length)) => Phase::Fixed(length),
        (Some(false), _) | (None, None) => Phase::UntilClose,
    };
    // Both lengths at once are a trap set by someone: the connection is not used again.
    let keep_alive = keep_alive && !(chunked.is_some() && length.is_some());
    Ok(Head { status, keep_alive, body })
}

/// Reads `HTTP/1.1 200 OK`.
fn parse_status_line(line: &[u8]) -> Result<(u8, u16), BadFraming> {
    match line {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'0'..=b'9', b' ', rest @ ..] => {
            let (code, behind) = rest.split_at_checked(3).ok_or(BadFraming)?;
            if !matches!(behind, [] | [b' ', ..]) || !code.iter().all(u8::is_ascii_digit) {
                return Err(BadFraming);
            }
            let status = code.iter().fold(0, |sum, &b| sum * 10 + u16::from(b - b'0'));
            if status < 100 { Err(BadFraming) } else { Ok((minor - b'0', status)) }
        }
        _ => Err(BadFraming),
    }
}

/// Reads a body's length: digits only.
fn parse_length(value: &[u8]) -> Result<u64, BadFraming> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(BadFraming);
    }
    Ok(value.iter().fold(0, |sum, &b| sum * 10 + u64::from(b - b'0')))
}

/// Returns the last item of a list with commas.
fn last_item(value: &[u8]) -> &[u8] {
    value.rsplit(|&b| b == b',').next().unwrap_or(value).trim_ascii()
}

/// Reads the Connection header.
fn wants_keep_alive(value: &[u8], otherwise: bool) -> bool {
    let has = |word: &[u8]| {
        value.split(|&b| b == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(word))
    };
    if has(b"close") { false } else { otherwise || has(b"keep-alive") }
}

#[cfg(test)]
mod tests {
    use super::{AnswerTo, AtEnd, BadFraming, KeepHead, Response, Step};

    /// Feeds an answer whole, and byte by byte; both must come to the same end.
    fn read(to: AnswerTo, text: &str) -> Result<(Step, Response), BadFraming> {
        let mut whole = Response::new(KeepHead::No, 64);
        whole.reset(to);
        let step = whole.feed(text.as_bytes());
        let mut slow = Response::new(KeepHead::Yes, 64);
        slow.reset(to);
        let mut end = Ok(Step::More);
        for (at, byte) in text.bytes().enumerate() {
            end = match slow.feed(&[byte]) {
                Ok(Step::More) => continue,
                Ok(Step::Done(_)) => Ok(Step::Done(at + 1)),
                Err(bad) => Err(bad),
            };
            break;
        }
        assert_eq!(step, end, "{text:?}");
        assert_eq!((whole.status, &whole.body), (slow.status, &slow.body), "{text:?}");
        step.map(|step| (step, whole))
    }

    #[test]
    fn every_framing_ends_where_it_should() {
        // The X behind each answer belongs to the next one.
        let cases = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcX", AnswerTo::Other, "abc"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nX", AnswerTo::Head, ""),
            ("HTTP/1.1 204 No\r\n\r\nX", AnswerTo::Other, ""),
            ("HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\nX", AnswerTo::Other, ""),
            ("HTTP/1.1 200\nContent-Length: 1\n\naX", AnswerTo::Other, "a"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3;x=y\r\nabc\r\n0a\r\n0123456789\r\n0\r\nT: 1\r\n\r\nX",
                AnswerTo::Other,
                "abc0123456789",
            ),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\naX",
                AnswerTo::Other,
                "a",
            ),
        ];
        for (text, to, body) in cases {
            let (step, response) = read(to, text).expect("an answer");
            assert_eq!(step, Step::Done(text.len() - 1), "{text:?}");
            assert_eq!(response.body, body.as_bytes());
            assert!(response.keep_alive);
        }
    }

    #[test]
    fn without_a_length_the_end_of_the_stream_ends_the_answer() {
        let (step, response) =
            read(AnswerTo::Other, "HTTP/1.1 200 OK\r\n\r\nabc").expect("an answer");
        assert_eq!((step, response.at_end()), (Step::More, AtEnd::Whole));
        assert!(!response.keep_alive);
        let (_, cut) = read(AnswerTo::Other, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
            .expect("the beginning of an answer");
        assert_eq!(cut.at_end(), AtEnd::Truncated);
        assert_eq!(Response::new(KeepHead::No, 0).at_end(), AtEnd::BeforeFirstByte);
    }

    #[test]
    fn connection_close_and_http_1_0_are_not_used_again() {
        for (head, keep) in [
            ("HTTP/1.1 200 OK\r\nConnection: close\r\n", false),
            ("HTTP/1.0 200 OK\r\n", false),
            ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", false),
        ] {
            let text = format!("{head}Content-Length: 0\r\n\r\n0\r\n\r\n");
            let mut response = Response::new(KeepHead::No, 0);
            assert!(response.feed(text.as_bytes()).is_ok(), "{head}");
            assert_eq!(response.keep_alive, keep, "{head}");
        }
    }

    #[test]
    fn hostile_answers_are_bad_framing() {
        for text in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/1.1 101 Up\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naXX",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        ] {
            assert!(read(AnswerTo::Other, text).is_err(), "{text:?}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\n{}", "X: y\r\n".repeat(20_000));
        assert!(read(AnswerTo::Other, &endless).is_err());
        let interim = "HTTP/1.1 103 Early\r\n\r\n".repeat(17);
        assert!(read(AnswerTo::Other, &interim).is_err());
    }
}
