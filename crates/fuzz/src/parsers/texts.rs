//! Texts that are nearly right: pieces of a format in any order, pieces of a right text with some
//! of its letters changed, or any bytes.

use crate::corpus;
use crate::tape::Tape;

/// The most pieces of a text.
const PIECES_MAX: usize = 24;

/// Returns a text of a format: its right text changed, its pieces, or anything.
pub(super) fn text(tape: &mut Tape<'_>, right: &str, pieces: &[&str]) -> String {
    match tape.below(8) {
        0 => String::from_utf8_lossy(&rest(tape)).into_owned(),
        1 => right.to_owned(),
        2..5 => String::from_utf8_lossy(&changed(tape, right.as_bytes())).into_owned(),
        _ => {
            let count = tape.below(PIECES_MAX);
            (0..count)
                .map(|_| match tape.below(16) {
                    0 => corpus::text(tape, "{}"),
                    _ => tape.pick(pieces).to_owned(),
                })
                .collect()
        }
    }
}

/// Returns the bytes of a format: its right ones changed, or any.
pub(super) fn bytes(tape: &mut Tape<'_>, right: &[u8]) -> Vec<u8> {
    match tape.below(4) {
        0 => rest(tape),
        1 => right.to_vec(),
        _ => changed(tape, right),
    }
}

/// Changes, cuts and doubles parts of something right.
fn changed(tape: &mut Tape<'_>, right: &[u8]) -> Vec<u8> {
    let mut bytes = right.to_vec();
    for _ in 0..=tape.below(6) {
        let at = tape.below(bytes.len() + 1).min(bytes.len());
        let end = bytes.len().min(at + tape.below(24));
        match tape.below(6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = bytes[at..end].to_vec();
                let to = tape.below(bytes.len() + 1).min(bytes.len());
                bytes.splice(to..to, piece);
            }
            3 => {
                let byte = tape.byte();
                bytes.splice(at..end.min(at + 1), [byte]);
            }
            4 => {
                let text = corpus::text(tape, "{}");
                bytes.splice(at..at, text.bytes());
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << tape.below(8);
                }
            }
        }
    }
    bytes
}

/// Returns the rest of the tape.
fn rest(tape: &mut Tape<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !tape.is_over() {
        bytes.push(tape.byte());
    }
    bytes
}
