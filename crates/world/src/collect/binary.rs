//! Reads a program file into facts; the program is never run.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use guanka_core::facts::binary::Binary;
use guanka_parse::buildinfo;

/// The largest program that is read; large Go services stay below 200 MB.
const BYTES_MAX: u64 = 1 << 30;

/// Reads a program file. A file over 1 GB, or one that is no plain file, is an error.
pub fn read(path: &Path) -> io::Result<Binary> {
    let wrong = |what: &str| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {what}", path.display()))
    };
    // Looked at before it is opened: opening a pipe would wait for its other end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(wrong("not a plain file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(wrong("larger than 1 GB"));
    }
    Ok(buildinfo::binary(&path.to_string_lossy(), &bytes))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::read;

    #[test]
    fn a_program_is_read_and_what_is_none_is_an_error() {
        let own = std::env::current_exe().expect("this test");
        let found = read(&own).expect("read");
        assert_eq!(found.file, own.to_string_lossy());
        assert!(found.elf.known().is_some_and(|elf| elf.is_executable));
        assert!(found.build.known().is_none());
        assert!(read(Path::new("/dev/null")).is_err());
        assert!(read(&own.with_file_name("missing")).is_err());
    }
}
