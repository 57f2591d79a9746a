//! The parsers of programs: ELF headers and Go's record in a binary.

use guanka_parse::{buildinfo, elf as headers};

use super::texts;
use crate::tape::Tape;
use crate::target::End;

/// The size of an ELF header of 64 bits, and of one program header.
const HEADER: usize = 64;
const SEGMENT: usize = 56;
/// Go puts 16 bytes before and behind the list of modules; any will do.
const MARK: [u8; 16] = *b"0123456789abcdef";

/// Returns a small program: a header, one loaded segment, Go's record in it.
fn program() -> Vec<u8> {
    let mut bytes = vec![0; HEADER + SEGMENT];
    bytes[..16].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    bytes[16..18].copy_from_slice(&2_u16.to_le_bytes());
    bytes[18..20].copy_from_slice(&62_u16.to_le_bytes());
    bytes[20..24].copy_from_slice(&1_u32.to_le_bytes());
    bytes[32..40].copy_from_slice(&(HEADER as u64).to_le_bytes());
    for (at, value) in [(52, HEADER), (54, SEGMENT), (56, 1)] {
        bytes[at..at + 2].copy_from_slice(&(value as u16).to_le_bytes());
    }
    // The head, the padding up to 32 bytes, the version, the modules between two marks.
    let modules = [&MARK[..], b"path\texample.com/shop\nmod\ta\tb\n", &MARK].concat();
    let length = [modules.len() as u8];
    let head = b"\xff Go buildinf:\x08\x02";
    let record = [head, &[0; 16][..], b"\x08go1.22.3", &length, &modules].concat();
    let whole = (HEADER + SEGMENT + 8 + record.len()) as u64;
    let segment = &mut bytes[HEADER..];
    segment[..4].copy_from_slice(&1_u32.to_le_bytes());
    segment[4..8].copy_from_slice(&6_u32.to_le_bytes());
    segment[32..40].copy_from_slice(&whole.to_le_bytes());
    segment[40..48].copy_from_slice(&whole.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(record);
    bytes
}

pub(super) fn elf(tape: &mut Tape<'_>) -> Result<End, String> {
    let fact = headers::read("p", &texts::bytes(tape, &program()));
    Ok(if fact.known().is_some() { End::Whole } else { End::Refused })
}

pub(super) fn build_info(tape: &mut Tape<'_>) -> Result<End, String> {
    let bytes = texts::bytes(tape, &program());
    let fact = buildinfo::read("p", &bytes);
    // The whole look at a program asks for both and more.
    let _ = buildinfo::binary("p", &bytes);
    Ok(if fact.known().is_some() { End::Whole } else { End::Refused })
}
