//! Reads Go's own record in a binary: toolchain, module, dependencies, build settings. Both
//! formats are read: strings in place (Go 1.18 and later) and pointers to them (before).

use std::collections::BTreeMap;

use guanka_core::facts::binary::{Binary, BuildInfo};
use guanka_core::facts::{Fact, Provenance, Reason, Sourced};

use crate::elf::{self, Image};

/// What the record begins with.
const MAGIC: &[u8] = b"\xff Go buildinf:";
/// The record's head; the strings follow it when they stand in place.
const HEAD: usize = 32;
/// What stands at both ends of the module text to find it by.
const SENTINEL: usize = 16;
/// The longest string that is believed: the largest programs stay below 100 kB.
const TEXT_MAX: u64 = 16 << 20;

/// Reads a program file: its ELF header and Go's record.
pub fn binary(file: &str, bytes: &[u8]) -> Binary {
    Binary {
        file: file.to_owned(),
        size_bytes: bytes.len() as u64,
        elf: elf::read(file, bytes),
        build: read(file, bytes),
    }
}

/// Reads Go's record.
pub fn read(file: &str, bytes: &[u8]) -> Fact<BuildInfo> {
    let missing = || Fact::Unknown(Reason::NotThere(format!("{file}: Go build info")));
    let Some(image) = Image::new(bytes) else { return missing() };
    let Some(offset) = find(&image) else { return missing() };
    match strings(&image, &bytes[offset..]) {
        Some((go, text)) if !go.is_empty() => {
            let from = Provenance::Binary { file: file.to_owned(), offset: offset as u64 };
            Fact::Known(Sourced { value: info(go, text), from })
        }
        _ => Fact::Unknown(Reason::NotReadable(format!("{file}: Go build info, cut or broken"))),
    }
}

/// Returns where the record stands: 16-byte aligned in its section, or in the data segment.
fn find(image: &Image<'_>) -> Option<usize> {
    let (offset, size) = image.build_section.or_else(|| image.data_segment())?;
    let start = usize::try_from(offset).ok()?;
    let end = start.saturating_add(usize::try_from(size).ok()?).min(image.bytes.len());
    let place = image.bytes.get(start..end)?;
    let at = place.chunks(SENTINEL).position(|chunk| chunk.starts_with(MAGIC))?;
    Some(start + at * SENTINEL)
}

/// Returns the toolchain and the module text.
fn strings(image: &Image<'_>, record: &[u8]) -> Option<(String, String)> {
    let flags = *record.get(15)?;
    let (go, text) = if flags & 2 != 0 {
        let (go, rest) = in_place(record.get(HEAD..)?)?;
        (go, in_place(rest)?.0)
    } else {
        let size = usize::from(*record.get(14)?);
        if !matches!(size, 4 | 8) {
            return None;
        }
        let is_big = flags & 1 != 0;
        let go = behind(image, number(record.get(16..16 + size)?, is_big), size, is_big)?;
        let place = number(record.get(16 + size..16 + 2 * size)?, is_big);
        // A program built outside a module has no module text.
        (go, behind(image, place, size, is_big).unwrap_or_default())
    };
    let is_framed = text.len() > 2 * SENTINEL && text[text.len() - SENTINEL - 1] == b'\n';
    let text = if is_framed { &text[SENTINEL..text.len() - SENTINEL] } else { &[] };
    let go = String::from_utf8_lossy(go).into_owned();
    Some((go, String::from_utf8_lossy(text).into_owned()))
}

/// Returns a string behind its length, and what follows it.
fn in_place(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0u64;
    for (index, byte) in bytes.iter().take(9).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let length = usize::try_from(length).ok()?;
            return bytes.get(index + 1..)?.split_at_checked(length);
        }
    }
    None
}

/// Returns the string whose header (pointer and length) lies at an address.
fn behind<'a>(image: &Image<'a>, address: u64, size: usize, is_big: bool) -> Option<&'a [u8]> {
    let header = image.at(address)?;
    let place = number(header.get(..size)?, is_big);
    let length = number(header.get(size..2 * size)?, is_big);
    if length > TEXT_MAX {
        return None;
    }
    image.at(place)?.get(..length as usize)
}

fn number(bytes: &[u8], is_big: bool) -> u64 {
    let push = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    if is_big { bytes.iter().fold(0, push) } else { bytes.iter().rev().fold(0, push) }
}

/// Reads the module text: a verb and tab-separated words on each line.
fn info(go: String, text: String) -> BuildInfo {
    let mut found = BuildInfo {
        go,
        path: String::new(),
        module: None,
        deps: Vec::new(),
        settings: BTreeMap::new(),
    };
    let mut last_is_dep = false;
    for line in text.lines() {
        let words: Vec<&str> = line.split('\t').collect();
        let pair = |path: &str, version: &str| (path.to_owned(), version.to_owned());
        match words.as_slice() {
            ["path", path] => found.path = (*path).to_owned(),
            ["mod", path, rest @ ..] => {
                found.module = Some(pair(path, rest.first().copied().unwrap_or("")));
                last_is_dep = false;
            }
            ["dep", path, rest @ ..] => {
                found.deps.push(pair(path, rest.first().copied().unwrap_or("")));
                last_is_dep = true;
            }
            ["=>", path, rest @ ..] => {
                let new = pair(path, rest.first().copied().unwrap_or(""));
                match found.deps.last_mut() {
                    Some(old) if last_is_dep => *old = new,
                    _ => found.module = Some(new),
                }
            }
            ["build", ..] => {
                let setting = line.trim_start_matches("build\t");
                if let Some((key, value)) = setting_of(setting) {
                    found.settings.insert(key, value);
                }
            }
            _ => {}
        }
    }
    found
}

/// Splits `key=value`; either side may be a quoted Go string.
fn setting_of(text: &str) -> Option<(String, String)> {
    let (key, rest) = match text.strip_prefix('"') {
        Some(inner) => {
            let end = closing(inner)?;
            (unquoted(&inner[..end]), inner[end + 1..].strip_prefix('=')?)
        }
        None => {
            let (key, rest) = text.split_once('=')?;
            (key.to_owned(), rest)
        }
    };
    let value = match rest.strip_prefix(['"', '`']) {
        Some(inner) if rest.starts_with('"') => unquoted(&inner[..closing(inner)?]),
        Some(inner) => inner.trim_end_matches('`').to_owned(),
        None => rest.to_owned(),
    };
    Some((key, value))
}

/// Returns where a quoted string ends.
fn closing(inner: &str) -> Option<usize> {
    let mut is_escaped = false;
    inner.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })
}

fn unquoted(inner: &str) -> String {
    crate::gosource::unquote(&format!("\"{inner}\"")).unwrap_or_else(|| inner.to_owned())
}

#[cfg(test)]
mod tests {
    use guanka_core::facts::binary::BuildInfo;
    use guanka_core::facts::{Fact, Reason};

    use super::{info, read, setting_of};

    const TEXT: &str = "path\ta.b/c\nmod\ta.b\t(devel)\t\ndep\td.e\tv1.0.0\th1:x=\n\
            =>\tf.g\tv2.0.0\th1:y=\n\
        dep\th.i\tv1.1.0\th1:z=\nbuild\t-ldflags=\"-X main.v=1\\t2\"\nbuild\tCGO_ENABLED=0\n\
            build\tvcs.modified=true\n";

    /// A 64-bit little-endian file with one writable segment at address 0x1000 that holds `data`.
    fn program(data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 128];
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        (bytes[16], bytes[18], bytes[20]) = (2, 62, 1);
        (bytes[32], bytes[52], bytes[54], bytes[56]) = (64, 64, 56, 1);
        (bytes[64], bytes[68]) = (1, 6);
        bytes[72] = 128;
        bytes[81] = 0x10;
        bytes[96..104].copy_from_slice(&(data.len() as u64).to_le_bytes());
        bytes[104..112].copy_from_slice(&(data.len() as u64).to_le_bytes());
        bytes.extend(data);
        bytes
    }

    fn framed(text: &str) -> Vec<u8> {
        [&[b'0'; 16], text.as_bytes(), &[b'1'; 16]].concat()
    }

    fn check(found: &BuildInfo) {
        assert_eq!((found.go.as_str(), found.path.as_str()), ("go1.26.8", "a.b/c"));
        assert_eq!(found.module, Some(("a.b".to_owned(), "(devel)".to_owned())));
        let deps: Vec<_> = found.deps.iter().map(|(p, v)| (p.as_str(), v.as_str())).collect();
        assert_eq!(deps, [("f.g", "v2.0.0"), ("h.i", "v1.1.0")]);
        assert_eq!(found.settings["-ldflags"], "-X main.v=1\t2");
        assert_eq!(found.settings["vcs.modified"], "true");
    }

    #[test]
    fn a_record_with_strings_in_place_is_read() {
        let mut data = vec![7; 32];
        data.extend(b"\xff Go buildinf:\x08\x02");
        data.extend([0; 16]);
        data.push(8);
        data.extend(b"go1.26.8");
        let text = framed(TEXT);
        data.extend([(text.len() & 0x7f) as u8 | 0x80, (text.len() >> 7) as u8]);
        data.extend(text);
        check(read("a", &program(&data)).known().expect("a record"));
        let cut = &program(&data)[..200];
        assert!(matches!(read("a", cut), Fact::Unknown(Reason::NotReadable(_))));
    }

    #[test]
    fn a_record_with_pointers_is_read() {
        let text = framed(TEXT);
        let mut data = b"\xff Go buildinf:\x08\x00".to_vec();
        let word = |n: u64| n.to_le_bytes();
        data.extend([word(0x1020), word(0x1030)].concat());
        data.extend([word(0x1040), word(8), word(0x1048), word(text.len() as u64)].concat());
        data.extend(b"go1.26.8");
        data.extend(&text);
        check(read("a", &program(&data)).known().expect("a record"));
    }

    #[test]
    fn a_file_without_a_record_says_so() {
        let without = program(&[0; 64]);
        assert!(matches!(read("a", &without), Fact::Unknown(Reason::NotThere(_))));
        let mut shifted = vec![0; 8];
        shifted.extend(b"\xff Go buildinf:\x08\x02");
        assert!(matches!(read("a", &program(&shifted)), Fact::Unknown(Reason::NotThere(_))));
    }

    #[test]
    fn settings_may_be_quoted() {
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(setting_of("-tags=a,b"), pair("-tags", "a,b"));
        assert_eq!(setting_of("\"k k\"=\"v\\\"v\""), pair("k k", "v\"v"));
        assert_eq!(setting_of("alone"), None);
        assert!(info("go1".to_owned(), "mod\tx\n=>\ty\n".to_owned()).module.is_some());
    }

    #[test]
    fn any_record_is_read_without_a_panic() {
        arbtest::arbtest(|u| {
            let mut data = b"\xff Go buildinf:".to_vec();
            data.extend(u.arbitrary::<Vec<u8>>()?);
            read("a", &program(&data));
            read("a", &data);
            let text = String::from_utf8_lossy(&data).into_owned();
            info(String::new(), format!("build\t{text}\nbuild\t\"{text}\ndep\t{text}"));
            Ok(())
        });
    }
}
