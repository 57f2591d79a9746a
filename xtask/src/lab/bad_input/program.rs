//! guanka as the cases call it: no terminal, nothing on its input, a time limit, both languages;
//! and what every answer is held to.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::crash::controller::FOLDER;
use crate::process;
use crate::setup::Tools;

/// The longest a call may take; a bad input is told in much less.
const LIMIT: Duration = Duration::from_secs(100);

/// A language of guanka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lang {
    /// Chinese.
    Zh,
    /// English.
    En,
}

/// How guanka is called.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The program.
    pub(crate) path: PathBuf,
    /// PATH with Go in front.
    search: std::ffi::OsString,
    /// Where output is kept while a call runs.
    folder: PathBuf,
}

/// A call that runs.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
    words: String,
}

/// What a call said and how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The exit code.
    pub(crate) exit: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) talk: String,
    /// The call, for messages.
    pub(crate) words: String,
}

/// What a refused call must say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    /// The exit code.
    pub(crate) exit: i32,
    /// The error code; empty where the release's report tells and no error of guanka's own.
    pub(crate) code: &'static str,
    /// What both languages name: the file and line, the port, the compiler's words.
    pub(crate) both: Vec<String>,
    /// What the Chinese text says.
    pub(crate) zh: &'static str,
    /// What the English text says.
    pub(crate) en: &'static str,
    /// It is no failure, so no line `next:` stands in it.
    pub(crate) has_no_next: bool,
}

impl Program {
    /// Remembers where guanka and Go are.
    pub(crate) fn new(path: PathBuf, tools: &Tools, folder: &Path) -> Result<Self> {
        let go = tools.go.parent().context("go lies in a folder")?;
        let system = process::SYSTEM_PATH.split(':').map(PathBuf::from);
        let search = std::env::join_paths(std::iter::once(go.to_owned()).chain(system))?;
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(Self { path, search, folder: folder.to_owned() })
    }

    /// Returns a call's command: no variable of the caller's but those Go needs, no colour asked
    /// for or against.
    pub(crate) fn command(&self, lang: Lang, words: &[&str]) -> Command {
        let mut command = process::clean(&self.path);
        command.env("PATH", &self.search).arg("--lang").arg(lang.word()).args(words);
        for key in ["HOME", "GOCACHE", "GOPATH", "GOPROXY", "GOFLAGS"] {
            if let Some(value) = std::env::var_os(key) {
                command.env(key, value);
            }
        }
        command.env(FOLDER, self.controller());
        // Each language stands for one of the two ways to switch colour off.
        match lang {
            Lang::Zh => command.env("TERM", "dumb"),
            Lang::En => command.env("TERM", "xterm").env("NO_COLOR", "1"),
        };
        command
    }

    /// Returns the folder of the controller that these calls know; there need not be one.
    pub(crate) fn controller(&self) -> PathBuf {
        self.folder.join("serve")
    }

    /// Begins a call.
    pub(crate) fn start(&self, lang: Lang, words: &[&str]) -> Result<Running> {
        self.start_command(self.command(lang, words), &words.join(" "))
    }

    /// Begins a command of the caller's making.
    pub(crate) fn start_command(&self, mut command: Command, words: &str) -> Result<Running> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let log = self.folder.join(format!("call-{number}"));
        let file = |ending: &str| {
            let path = log.with_extension(ending);
            File::create(&path).with_context(|| format!("write {}", path.display()))
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(file("out")?)
            .stderr(file("talk")?)
            .spawn()
            .with_context(|| format!("start guanka {words}"))?;
        Ok(Running { child, log, words: words.to_owned() })
    }

    /// Makes a call and waits for its end.
    pub(crate) fn call(&self, lang: Lang, words: &[&str]) -> Result<Answer> {
        self.start(lang, words)?.end()
    }
}

impl Running {
    /// Returns its process number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns what it has said so far, results and talk.
    pub(crate) fn so_far(&self) -> String {
        let read = |ending: &str| {
            let bytes = fs::read(self.log.with_extension(ending)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        format!("{}{}", read("out"), read("talk"))
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Result<Answer> {
        let waited = process::wait_for("guanka ends", LIMIT, || self.child.try_wait().transpose());
        let read = |ending: &str| {
            let bytes = fs::read(self.log.with_extension(ending)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (out, talk, words) = (read("out"), read("talk"), self.words.clone());
        let Ok(status) = waited else {
            bail!("guanka {words} does not end:\n{out}{talk}");
        };
        let exit = status.context("wait for guanka")?.code().unwrap_or(-1);
        let answer = Answer { exit, out, talk, words };
        ensure!(!answer.text().contains('\u{1b}'), "escape bytes: {}", answer.shown());
        Ok(answer)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Best effort: it has ended, or the part is over.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Lang {
    /// Returns the word on the command line.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Zh => "zh",
            Self::En => "en",
        }
    }
}

impl Answer {
    /// Returns all that was said.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.out, self.talk)
    }

    /// Returns it for an error message.
    pub(crate) fn shown(&self) -> String {
        format!("guanka {} ended with {}:\n{}{}", self.words, self.exit, self.out, self.talk)
    }

    /// Holds it to an exit code.
    pub(crate) fn exits(self, code: i32) -> Result<Self> {
        ensure!(self.exit == code, "exit {} and not {code}: {}", self.exit, self.shown());
        Ok(self)
    }
}

impl Expected {
    /// Holds an answer to what it must say, in its language.
    pub(crate) fn holds(&self, lang: Lang, answer: &Answer) -> Result<()> {
        let text = answer.text();
        ensure!(
            answer.exit == self.exit,
            "exit {} and not {}: {}",
            answer.exit,
            self.exit,
            answer.shown()
        );
        let (error, why, next, own) = match lang {
            Lang::Zh => ("错误[", "原因: ", "下一步: ", self.zh),
            Lang::En => ("error[", "why: ", "next: ", self.en),
        };
        if !self.code.is_empty() {
            let count = text.matches(error).count();
            ensure!(count == 1, "{count} errors and not one: {}", answer.shown());
            let head = format!("{error}{}]: ", self.code);
            let doing = after(&text, &head);
            ensure!(!doing.is_empty(), "no {head:?} with what was being done: {}", answer.shown());
            ensure!(!after(&text, why).is_empty(), "no {why:?}: {}", answer.shown());
        }
        let has_next = self.has_no_next || !after(&text, next).is_empty();
        ensure!(has_next, "no {next:?}: {}", answer.shown());
        for needle in self.both.iter().map(String::as_str).chain([own]) {
            ensure!(text.contains(needle), "{needle:?} is missing: {}", answer.shown());
        }
        Ok(())
    }
}

/// Returns the rest of the line behind a word.
fn after<'a>(text: &'a str, word: &str) -> &'a str {
    text.split_once(word).and_then(|(_, rest)| rest.lines().next()).unwrap_or("").trim()
}

#[cfg(test)]
mod tests {
    use super::{Answer, Expected, Lang};

    fn said(exit: i32, talk: &str) -> Answer {
        Answer { exit, out: String::new(), talk: talk.to_owned(), words: "ship".to_owned() }
    }

    #[test]
    fn an_error_without_its_code_place_or_next_step_is_seen() {
        let expected = Expected {
            exit: 2,
            code: "GK1001",
            both: vec!["guanka.toml:3".to_owned()],
            zh: "未知的键",
            en: "no such key",
            has_no_next: false,
        };
        let good = "error[GK1001]: reading\n  --> guanka.toml:3:1\n  why: no such key\n  next: x\n";
        expected.holds(Lang::En, &said(2, good)).expect("all is there");
        for (exit, text) in [
            (1, good.to_owned()),
            (2, good.replace("GK1001", "GK1002")),
            (2, good.replace(":3:1", ":4:1")),
            (2, good.replace("next: x", "")),
            (2, format!("{good}{good}")),
        ] {
            expected.holds(Lang::En, &said(exit, &text)).expect_err(&text);
        }
        expected.holds(Lang::Zh, &said(2, good)).expect_err("it is not Chinese");
    }
}
