//! SHA-256 of bytes and files.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use guanka_core::name::Digest;
use ring::digest::{Context, SHA256};

/// Returns the digest of bytes.
pub fn of_bytes(bytes: &[u8]) -> Digest {
    let mut context = Context::new(&SHA256);
    context.update(bytes);
    finish(context)
}

/// Returns the digest of a file's content.
pub fn of_file(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(finish(context));
        }
        context.update(&buffer[..read]);
    }
}

/// Returns the digest of what a context was fed.
pub(crate) fn finish(context: Context) -> Digest {
    let hex: String = context.finish().as_ref().iter().map(|b| format!("{b:02x}")).collect();
    Digest::new(&hex).expect("SHA-256 has 64 hex digits")
}

#[cfg(test)]
mod tests {
    use super::of_bytes;

    #[test]
    fn the_empty_text_has_its_known_digest() {
        let known = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(of_bytes(b"").as_str(), known);
    }
}
