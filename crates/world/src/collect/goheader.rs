//! Tells whether a running program was built by Go, and by which version, from a few kilobytes of
//! its file: enough for a list of processes, where reading every binary whole would be too much.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What marks Go's build information in a binary.
const MAGIC: &[u8] = b"\xff Go buildinf:";

/// How much is looked at behind the place where the build information begins.
const WINDOW: usize = 64 << 10;

/// How many sections or segments are looked at; real binaries have below a hundred.
const HEADERS_MAX: usize = 1_000;

/// Returns the Go version and module of a program, `go1.22.5 example.com/shop/api`; `None` when it
/// was not built by Go or cannot be read.
pub(super) fn read(path: &Path) -> Option<String> {
    let elf = Elf::open(path)?;
    let starts = elf.build_info_section().map_or_else(|| elf.data_segments(), |at| vec![at]);
    starts.into_iter().take(HEADERS_MAX).find_map(|start| {
        let window = elf.bytes(start, WINDOW);
        let found = window.chunks(16).position(|chunk| chunk.starts_with(MAGIC))?;
        let at = start + found as u64 * 16;
        Some(describe(&elf.bytes(at, WINDOW)))
    })
}

/// Reads the two texts behind the mark. Go before 1.18 kept pointers there instead.
fn describe(info: &[u8]) -> String {
    const INLINE: u8 = 2;
    if info.get(15).is_none_or(|flags| flags & INLINE == 0) {
        return "go < 1.18".to_owned();
    }
    let Some((version, rest)) = info.get(32..).and_then(text) else { return "go".to_owned() };
    let version = version.split(' ').next().unwrap_or_default().to_owned();
    // Sixteen bytes of another mark stand before the first line.
    let mods = text(rest).map(|(mods, _)| mods).unwrap_or_default();
    let after = |key: &str| {
        let (_, found) = mods.split_once(key)?;
        found.split(['\t', '\n']).next().map(str::to_owned)
    };
    let module = after("\nmod\t").or_else(|| after("path\t"));
    match module {
        Some(module) => format!("{version} {module}"),
        None => version,
    }
}

/// Reads a length and as much of the text behind it as is there.
fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let mut length = 0_u64;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let rest = &bytes[at + 1..];
            let end = usize::try_from(length).map_or(rest.len(), |l| l.min(rest.len()));
            return Some((String::from_utf8_lossy(&rest[..end]).into_owned(), &rest[end..]));
        }
    }
    None
}

/// An ELF file's own description of itself.
struct Elf {
    file: File,
    head: Vec<u8>,
    is_wide: bool,
    is_little: bool,
}

impl Elf {
    fn open(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        let mut elf = Self { file, head: Vec::new(), is_wide: true, is_little: true };
        elf.head = elf.bytes(0, 64);
        if elf.head.len() < 52 || !elf.head.starts_with(b"\x7fELF") {
            return None;
        }
        elf.is_wide = elf.head[4] == 2;
        elf.is_little = elf.head[5] == 1;
        Some(elf)
    }

    /// Returns where the section of that purpose starts.
    fn build_info_section(&self) -> Option<u64> {
        let (table, size, count) = match self.is_wide {
            true => (self.number(&self.head, 40, 8), 58, 60),
            false => (self.number(&self.head, 32, 4), 46, 48),
        };
        let size = self.number(&self.head, size, 2) as usize;
        let count = (self.number(&self.head, count, 2) as usize).min(HEADERS_MAX);
        let names_at = self.number(&self.head, if self.is_wide { 62 } else { 50 }, 2) as usize;
        let headers = self.bytes(table, size.checked_mul(count)?);
        let header = |at: usize| headers.get(at.checked_mul(size)?..)?.get(..size);
        let offset = |h: &[u8]| match self.is_wide {
            true => self.number(h, 24, 8),
            false => self.number(h, 16, 4),
        };
        let names = self.bytes(offset(header(names_at)?), WINDOW);
        (0..count).filter_map(header).find_map(|h| {
            let name = names.get(self.number(h, 0, 4) as usize..)?;
            name.starts_with(b".go.buildinfo\0").then(|| offset(h))
        })
    }

    /// Returns where the writable segments start; the linker puts the build information first.
    fn data_segments(&self) -> Vec<u64> {
        const LOAD: u64 = 1;
        const WRITABLE: u64 = 2;
        let (table, size, count) = match self.is_wide {
            true => (self.number(&self.head, 32, 8), 54, 56),
            false => (self.number(&self.head, 28, 4), 42, 44),
        };
        let size = self.number(&self.head, size, 2) as usize;
        let count = (self.number(&self.head, count, 2) as usize).min(HEADERS_MAX);
        let headers = self.bytes(table, size.saturating_mul(count));
        if size == 0 {
            return Vec::new();
        }
        let (flags, offset, width) = if self.is_wide { (4, 8, 8) } else { (24, 4, 4) };
        headers
            .chunks_exact(size)
            .filter(|h| self.number(h, 0, 4) == LOAD && self.number(h, flags, 4) & WRITABLE != 0)
            .map(|h| self.number(h, offset, width))
            .collect()
    }

    /// Reads a number in the file's byte order; 0 where the bytes are missing.
    fn number(&self, bytes: &[u8], at: usize, width: usize) -> u64 {
        let raw = bytes.get(at..at + width).unwrap_or_default();
        let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        match self.is_little {
            true => raw.iter().rev().fold(0, add),
            false => raw.iter().fold(0, add),
        }
    }

    /// Reads up to a length from an offset; fewer bytes where the file ends.
    fn bytes(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length.min(1 << 20)];
        let mut filled = 0;
        while filled < bytes.len() {
            match self.file.read_at(&mut bytes[filled..], offset.saturating_add(filled as u64)) {
                Ok(0) | Err(_) => break,
                Ok(read) => filled += read,
            }
        }
        bytes.truncate(filled);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{describe, read};

    fn info(version: &str, mods: &str) -> Vec<u8> {
        let mut bytes = b"\xff Go buildinf:\x08\x02".to_vec();
        bytes.resize(32, 0);
        for text in [version, mods] {
            bytes.push(u8::try_from(text.len()).expect("short"));
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }

    #[test]
    fn version_and_module_are_told() {
        let mods = "0w\u{af}..path\texample.com/shop/cmd/api\nmod\texample.com/shop\t(devel)\t\n";
        assert_eq!(describe(&info("go1.22.5", mods)), "go1.22.5 example.com/shop");
        assert_eq!(describe(&info("go1.22.5 X:nofoo", "")), "go1.22.5");
        assert_eq!(
            describe(&info("go1.20", "0wpath\tcommand-line-arguments\n")),
            "go1.20 command-line-arguments"
        );
        assert_eq!(describe(b"\xff Go buildinf:\x08\x00"), "go < 1.18");
    }

    #[test]
    fn a_small_elf_with_go_data_is_found_and_any_cut_of_it_is_survived() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a");
        let mut elf = b"\x7fELF\x02\x01".to_vec();
        elf.resize(64, 0);
        elf[32] = 64;
        elf[54] = 56;
        elf[56] = 1;
        let mut segment = vec![0_u8; 56];
        segment[0] = 1;
        segment[4] = 6;
        segment[8] = 128;
        elf.extend_from_slice(&segment);
        elf.resize(128 + 32, 0);
        elf.extend(info("go1.21.0", "path\texample.com/x\n"));
        fs::write(&path, &elf).expect("written");
        assert_eq!(read(&path).as_deref(), Some("go1.21.0 example.com/x"));
        for length in 0..elf.len() {
            fs::write(&path, &elf[..length]).expect("written");
            let _ = read(&path);
        }
    }

    #[test]
    fn a_program_of_another_language_is_not_go() {
        assert_eq!(read(Path::new("/proc/self/exe")), None);
        assert_eq!(read(Path::new("/nowhere")), None);
    }
}
