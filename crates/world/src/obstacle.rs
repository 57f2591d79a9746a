//! What stands in the way of using a file: the path and the system's reason, in both languages. An
//! error keeps its kind, so who asks about that need not know of the path.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use guanka_core::say::Said;

/// An error of the system with the file it is about.
#[derive(Debug)]
struct AtPath {
    path: PathBuf,
    source: io::Error,
}

impl fmt::Display for AtPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said().en)
    }
}

/// The display says it all: a source would say it a second time.
impl std::error::Error for AtPath {}

/// An error with its own sentence.
#[derive(Debug)]
struct Saying(Said);

impl fmt::Display for Saying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.en)
    }
}

impl std::error::Error for Saying {}

impl AtPath {
    fn said(&self) -> Said {
        let (path, why) = (self.path.display(), words(&self.source));
        Said::new(format!("{path}:{}", why.zh), format!("{path}: {}", why.en))
    }
}

/// Returns what gives an error the path it is about; one that has a path keeps that.
pub fn at(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let path = path.to_owned();
    move |source| match found(&source) {
        Some(_) => source,
        None => io::Error::new(source.kind(), AtPath { path, source }),
    }
}

/// Builds an error of a kind that keeps its sentence in both languages.
pub fn saying(kind: ErrorKind, words: Said) -> io::Error {
    io::Error::new(kind, Saying(words))
}

/// Returns an error's sentence: with its path, where it has one.
pub fn said(error: &io::Error) -> Said {
    found(error).map_or_else(|| words(error), AtPath::said)
}

fn found(error: &io::Error) -> Option<&AtPath> {
    error.get_ref()?.downcast_ref()
}

/// Returns the reason without the path; what people meet seldom stays in the system's words.
pub fn words(error: &io::Error) -> Said {
    let error = found(error).map_or(error, |own| &own.source);
    if let Some(Saying(own)) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return own.clone();
    }
    let (zh, en) = match error.kind() {
        ErrorKind::StorageFull => ("磁盘空间不足", "no space left on the disk"),
        ErrorKind::QuotaExceeded => ("磁盘配额已用完", "the disk quota is used up"),
        ErrorKind::ReadOnlyFilesystem => ("文件系统只读", "the file system is read-only"),
        ErrorKind::PermissionDenied => ("没有权限", "permission denied"),
        ErrorKind::NotFound => ("文件或目录不存在", "there is no such file or folder"),
        _ => return Said::new(error.to_string(), error.to_string()),
    };
    match error.raw_os_error() {
        // The number is what can be looked up.
        Some(number) => {
            Said::new(format!("{zh}(errno {number})"), format!("{en} (errno {number})"))
        }
        // Somebody's own words say more than the kind.
        None => Said::new(error.to_string(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};
    use std::path::Path;

    use guanka_core::say::Said;

    use super::{at, said, saying, words};

    #[test]
    fn a_full_and_a_read_only_disk_are_told_in_both_languages_with_one_path() {
        for (number, zh, en) in [
            (28, "/a/b:磁盘空间不足", "/a/b: no space left"),
            (30, "/a/b:文件系统只读", "read-only"),
        ] {
            let error = at(Path::new("/a/b"))(Error::from_raw_os_error(number));
            let twice = at(Path::new("/a"))(error);
            let text = said(&twice);
            assert!(text.zh.starts_with(zh) && text.en.contains(en), "{text:?}");
            assert_eq!(twice.to_string(), text.en);
            assert!(!words(&twice).en.contains("/a"), "the reason alone");
            assert_eq!(twice.kind(), Error::from_raw_os_error(number).kind());
        }
        let own = Error::new(ErrorKind::NotFound, "useradd made no user");
        assert_eq!(said(&own).en, "useradd made no user");
    }

    #[test]
    fn an_error_with_its_own_sentence_keeps_both_languages_and_its_kind() {
        let own = Said::new("正忙", "busy");
        let error = saying(ErrorKind::ResourceBusy, own.clone());
        assert_eq!((said(&error), error.kind()), (own.clone(), ErrorKind::ResourceBusy));
        assert_eq!(error.to_string(), own.en);
        assert_eq!(said(&at(Path::new("/a"))(error)).zh, "/a:正忙");
    }
}
