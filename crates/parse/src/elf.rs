//! Reads an ELF file's header, what its loader will look at, and where its bytes lie in memory.
//! The file itself decides, never a tool that runs it. A cut or broken file is unknown.

use guanka_core::facts::binary::Elf;
use guanka_core::facts::{Fact, Provenance, Reason, Sourced};
use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader, SectionHeader};
use object::{Endian, Endianness};

/// The most libraries, dynamic entries and version needs that are looked at.
const ENTRIES_MAX: usize = 4096;
/// The longest name that is taken from a string table.
const NAME_MAX: usize = 4096;

/// Reads what the loader will look at.
pub fn read(file: &str, bytes: &[u8]) -> Fact<Elf> {
    if !bytes.starts_with(b"\x7fELF") {
        return Fact::Unknown(Reason::NotThere(format!("{file}: ELF header")));
    }
    match Image::new(bytes).and_then(|image| elf(&image)) {
        Some(value) => {
            let from = Provenance::Binary { file: file.to_owned(), offset: 0 };
            Fact::Known(Sourced { value, from })
        }
        None => Fact::Unknown(Reason::NotReadable(format!("{file}: ELF, cut or broken"))),
    }
}

/// An ELF file as it will lie in memory.
pub(crate) struct Image<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) endian: Endianness,
    machine: u16,
    bits: u8,
    is_position_independent: bool,
    is_fixed: bool,
    interpreter: Option<String>,
    dynamic: Vec<(i64, u64)>,
    segments: Vec<Segment>,
    /// Offset and size of the section `.go.buildinfo`.
    pub(crate) build_section: Option<(u64, u64)>,
}

struct Segment {
    address: u64,
    offset: u64,
    size: u64,
    is_writable: bool,
}

impl<'a> Image<'a> {
    /// Reads the tables; `None` when the file is no whole ELF file.
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        match bytes.get(4)? {
            1 => Self::of::<FileHeader32<Endianness>>(bytes, 32),
            2 => Self::of::<FileHeader64<Endianness>>(bytes, 64),
            _ => None,
        }
    }

    fn of<H: FileHeader<Endian = Endianness>>(bytes: &'a [u8], bits: u8) -> Option<Self> {
        let header = H::parse(bytes).ok()?;
        let endian = header.endian().ok()?;
        let kind = header.e_type(endian);
        let mut image = Self {
            bytes,
            endian,
            machine: header.e_machine(endian).0,
            bits,
            is_position_independent: kind == elf::ET_DYN,
            is_fixed: kind == elf::ET_EXEC,
            interpreter: None,
            dynamic: Vec::new(),
            segments: Vec::new(),
            build_section: None,
        };
        for program in header.program_headers(endian, bytes).ok()? {
            if program.p_type(endian) == elf::PT_LOAD {
                image.segments.push(Segment {
                    address: program.p_vaddr(endian).into(),
                    offset: program.p_offset(endian).into(),
                    size: program.p_filesz(endian).into(),
                    is_writable: program.p_flags(endian).0 & elf::PF_W.0 != 0,
                });
            }
            if let Some(path) = program.interpreter(endian, bytes).ok()? {
                image.interpreter = Some(String::from_utf8_lossy(path).into_owned());
            }
            if let Some(list) = program.dynamic(endian, bytes).ok()? {
                let pairs = list.iter().map(|d| (d.d_tag(endian).0, d.d_val(endian).into()));
                let ends = |pair: &(i64, u64)| pair.0 != 0;
                image.dynamic = pairs.take(ENTRIES_MAX).take_while(ends).collect();
            }
        }
        // A stripped file may have no sections; the loader does not need them.
        if let Ok(sections) = header.sections(endian, bytes) {
            image.build_section = sections
                .section_by_name(endian, b".go.buildinfo")
                .and_then(|(_, section)| section.file_range(endian));
        }
        Some(image)
    }

    /// Returns the bytes of the file from an address in memory to the end of its segment.
    pub(crate) fn at(&self, address: u64) -> Option<&'a [u8]> {
        let holds = |s: &&Segment| s.address <= address && address - s.address < s.size;
        let segment = self.segments.iter().find(holds)?;
        let inside = address - segment.address;
        let start = usize::try_from(segment.offset.checked_add(inside)?).ok()?;
        let length = usize::try_from(segment.size - inside).ok()?;
        let rest = self.bytes.get(start..)?;
        Some(&rest[..length.min(rest.len())])
    }

    /// Returns offset and size of the first segment that may be written.
    pub(crate) fn data_segment(&self) -> Option<(u64, u64)> {
        self.segments.iter().find(|s| s.is_writable).map(|s| (s.offset, s.size))
    }

    fn dynamic_value(&self, tag: i64) -> Option<u64> {
        self.dynamic.iter().find(|(own, _)| *own == tag).map(|(_, value)| *value)
    }

    /// Returns a name of the dynamic string table.
    fn name(&self, offset: u64) -> Option<String> {
        let table = self.at(self.dynamic_value(elf::DT_STRTAB.0)?)?;
        let rest = table.get(usize::try_from(offset).ok()?..)?;
        let end = rest.iter().take(NAME_MAX).position(|b| *b == 0)?;
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    }

    fn half(&self, bytes: &[u8], at: usize) -> Option<u16> {
        Some(self.endian.read_u16(bytes.get(at..at + 2)?.try_into().ok()?))
    }

    fn word(&self, bytes: &[u8], at: usize) -> Option<u32> {
        Some(self.endian.read_u32(bytes.get(at..at + 4)?.try_into().ok()?))
    }

    /// Returns every version the file needs of its libraries (`Elf64_Verneed`, `Elf64_Vernaux`).
    fn versions(&self) -> Option<Vec<String>> {
        let mut found = Vec::new();
        let Some(address) = self.dynamic_value(elf::DT_VERNEED.0) else { return Some(found) };
        let table = self.at(address)?;
        let mut need = 0usize;
        for _ in 0..ENTRIES_MAX {
            let count = self.half(table, need.checked_add(2)?)?;
            let mut aux = need.checked_add(self.word(table, need + 8)? as usize)?;
            for _ in 0..count {
                if found.len() >= ENTRIES_MAX {
                    return Some(found);
                }
                let name = self.word(table, aux.checked_add(8)?)?;
                found.push(self.name(u64::from(name))?);
                match self.word(table, aux + 12)? as usize {
                    0 => break,
                    next => aux = aux.checked_add(next)?,
                }
            }
            match self.word(table, need + 12)? as usize {
                0 => break,
                next => need = need.checked_add(next)?,
            }
        }
        Some(found)
    }
}

fn elf(image: &Image<'_>) -> Option<Elf> {
    let needed: Option<Vec<String>> = image
        .dynamic
        .iter()
        .filter(|(tag, _)| *tag == elf::DT_NEEDED.0)
        .map(|(_, offset)| image.name(*offset))
        .collect();
    let glibc = image
        .versions()?
        .into_iter()
        .filter_map(|name| name.strip_prefix("GLIBC_").map(str::to_owned))
        .filter(|version| version.starts_with(|c: char| c.is_ascii_digit()))
        .max_by_key(|version| numbers(version));
    // A library is position-independent too; a program says so or names its loader.
    let says_program =
        image.dynamic_value(elf::DT_FLAGS_1.0).is_some_and(|flags| flags & elf::DF_1_PIE.0 != 0);
    let is_pie = image.is_position_independent && (says_program || image.interpreter.is_some());
    Some(Elf {
        machine: image.machine,
        bits: image.bits,
        interpreter: image.interpreter.clone(),
        needed: needed?,
        glibc,
        is_executable: image.is_fixed || is_pie,
    })
}

/// Returns the parts of a version as numbers: `2.4` stands before `2.34`.
fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use guanka_core::facts::{Fact, Reason};

    use super::{numbers, read};

    /// A little-endian 64-bit header for x86-64 with no tables behind it.
    fn header(kind: u8) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        bytes[16] = kind;
        bytes[18] = 62;
        bytes[20] = 1;
        bytes[52] = 64;
        bytes
    }

    #[test]
    fn a_fixed_program_without_a_loader_is_read() {
        let found = read("a", &header(2));
        let elf = found.known().expect("an ELF file");
        assert_eq!((elf.machine, elf.bits, elf.is_executable), (62, 64, true));
        assert_eq!((&elf.interpreter, elf.needed.len(), &elf.glibc), (&None, 0, &None));
        assert!(!read("a", &header(3)).known().expect("an ELF file").is_executable);
    }

    #[test]
    fn what_is_no_elf_and_what_is_cut_are_told_apart() {
        let reason = |bytes: &[u8]| match read("a", bytes) {
            Fact::Unknown(reason) => reason,
            other => panic!("{other:?}"),
        };
        assert!(matches!(reason(b"#!/bin/sh\n"), Reason::NotThere(_)));
        assert!(matches!(reason(b""), Reason::NotThere(_)));
        assert!(matches!(reason(&header(2)[..40]), Reason::NotReadable(_)));
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(numbers("2.34") > numbers("2.4"));
        assert!(numbers("2.2.5") < numbers("2.17"));
    }

    #[test]
    fn any_bytes_behind_a_header_are_read_without_a_panic() {
        arbtest::arbtest(|u| {
            let mut bytes = header(u.arbitrary()?);
            bytes[4] = u.int_in_range(0..=3)?;
            let tables: [u8; 24] = u.arbitrary()?;
            bytes[28..52].copy_from_slice(&tables);
            let sizes: [u8; 10] = u.arbitrary()?;
            bytes[54..64].copy_from_slice(&sizes);
            bytes.extend(u.arbitrary::<Vec<u8>>()?);
            read("a", &bytes);
            Ok(())
        });
    }
}
