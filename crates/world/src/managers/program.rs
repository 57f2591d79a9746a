//! What an arm's program file says of itself that its manager has to know: whether its runtime
//! minds a limit of processor time, and whether it tells systemd when it is ready.

use std::io;
use std::path::Path;

use guanka_core::plan::processors::Runtime;

use crate::files;

/// Larger than any real program.
const SIZE_MAX: u64 = 1 << 30;
/// The variable and the word of systemd's protocol: a program that speaks it through a library
/// holds both, and Go's linker leaves out what is never called. One that is missed is asked by its
/// probe like any other; one taken for it by mistake would never be up, so both are asked for.
const MARKS: [&[u8]; 2] = [b"NOTIFY_SOCKET", b"READY=1"];

/// What a program is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// What its runtime does about processors.
    pub runtime: Runtime,
    /// It holds what it takes to tell systemd that it is ready.
    pub notifies: bool,
}

/// Reads a program file.
pub fn traits(path: &Path) -> io::Result<Traits> {
    let bytes = files::read_bytes(path, SIZE_MAX)?;
    let build = guanka_parse::buildinfo::read(&path.to_string_lossy(), &bytes);
    Ok(Traits { runtime: Runtime::of(build.known()), notifies: notifies(&bytes) })
}

fn notifies(bytes: &[u8]) -> bool {
    MARKS.iter().all(|mark| {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == mark[0]) {
            if rest[at..].starts_with(mark) {
                return true;
            }
            rest = &rest[at + 1..];
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use guanka_core::plan::processors::Runtime;

    use super::{notifies, traits};

    /// As the libraries have it.
    const TELL: &str = "//go:noinline\nfunc tell(state string) {\n\
                        c, _ := net.Dial(\"unixgram\", os.Getenv(\"NOTIFY_SOCKET\"))\n\
                        c.Write([]byte(state))\n}";

    /// Builds a program with the machine's own Go; `None` where there is none.
    fn built(dir: &Path, go_line: &str, body: &str) -> Option<std::path::PathBuf> {
        let program = dir.join(format!("program-{go_line}"));
        fs::write(dir.join("go.mod"), format!("module x\n\ngo {go_line}\n")).expect("written");
        let imports = "\"net/http\"; \"net\"; \"os\"";
        let text = format!(
            "package main\nimport ({imports})\n{TELL}\nfunc main() {{ {body}\n\
             http.Get(os.Args[0]); net.Dial(\"tcp\", os.Args[0]) }}\n"
        );
        fs::write(dir.join("main.go"), text).expect("written");
        let mut go = Command::new("go");
        go.current_dir(dir).args(["build", "-ldflags=-s -w", "-o"]).arg(&program);
        go.envs([("GOTOOLCHAIN", "local"), ("GOFLAGS", "-mod=mod"), ("CGO_ENABLED", "0")]);
        let output = go.output().ok()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(program)
    }

    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped test says why")]
    fn a_real_program_tells_what_it_does_about_processors_and_readiness() {
        let dir = tempfile::tempdir().expect("a folder");
        let Some(plain) = built(dir.path(), "1.22", "") else {
            eprintln!("skipped: no Go on this machine");
            return;
        };
        let telling =
            built(dir.path(), "1.21", "tell(\"READY=1\")").expect("built as the other one");
        let plain = traits(&plain).expect("readable");
        // With a go line below 1.25 no toolchain's runtime reads the quota.
        assert_eq!(plain.runtime, Runtime::TakesAll);
        assert!(!plain.notifies, "what is never called is not in the program");
        assert!(traits(&telling).expect("readable").notifies);
    }

    #[test]
    fn both_marks_are_needed_wherever_they_stand() {
        assert!(notifies(b"xxREADY=1NNNOTIFY_SOCKET"));
        assert!(!notifies(b"NOTIFY_SOCKE READY=1"));
        assert!(!notifies(b"NOTIFY_SOCKET"));
        assert!(!notifies(b""));
    }
}
