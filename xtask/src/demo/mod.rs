//! The main job, shown: on a host root of its own, under the traffic of two thousand users, a Go
//! service is shipped five times; good releases win, bad ones lose, and nobody's request is lost by
//! a switch. Fails when any of it ends otherwise.

pub(crate) mod ground;
pub(crate) mod program;
mod project;
mod releases;
mod ship;
mod table;
mod traffic;
mod tree;
pub(crate) mod words;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use ground::{Afterwards, Ground};
use program::Program;
use project::Pace;
use releases::Release;
use table::Line;
use traffic::{Seen, Traffic};
use tree::Tree;
use words::Lang;

use crate::{Told, setup};

/// The longest the whole form may take after the build.
const WHOLE_LIMIT: Duration = Duration::from_secs(360);
/// The longest the short form may take: it needs half of it when no load gate is tried again.
const SHORT_LIMIT: Duration = Duration::from_secs(200);

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pace: Pace,
    afterwards: Afterwards,
    lang: Lang,
}

/// A demonstration under way.
struct Show<'a> {
    wish: Wish,
    repository: &'a Path,
    program: Program,
    ground: Ground,
    traffic: Option<Traffic>,
    lines: Vec<Line>,
    deviations: Vec<String>,
}

impl Wish {
    /// Returns the short form, as the test suite runs it.
    pub(crate) fn short() -> Self {
        Self { pace: Pace::Short, afterwards: Afterwards::Remove, lang: Lang::of_environment() }
    }

    /// Reads the words behind `demo`.
    pub(crate) fn read(words: &[&str]) -> Option<Self> {
        let mut wish = Self { pace: Pace::Whole, ..Self::short() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--short" => wish.pace = Pace::Short,
                "--keep" => wish.afterwards = Afterwards::Keep,
                "--lang" => {
                    let named = words.next()?;
                    wish.lang = Lang::ALL.into_iter().find(|lang| lang.code() == *named)?;
                }
                _ => return None,
            }
        }
        Some(wish)
    }
}

/// Sets up, builds, shows; the last line says how it went.
pub(crate) fn run(repository: &Path, wish: Wish) -> Result<()> {
    let tools = setup::ensure()?;
    let path = program::build(repository)?;
    let began = Instant::now();
    let ground = Ground::open(&tools, wish.afterwards)?;
    let program = Program::new(path, &tools, wish.lang, &ground.folder)?;
    let mut show = Show {
        wish,
        repository,
        program,
        ground,
        traffic: None,
        lines: Vec::new(),
        deviations: Vec::new(),
    };
    show.opening();
    show.look()?;
    let releases = releases::at(wish.pace);
    for (at, release) in releases.iter().enumerate() {
        show.release(release)?;
        show.users(release.number, at + 1 < releases.len() && show.deviations.is_empty())?;
        if !show.deviations.is_empty() {
            break;
        }
    }
    let reports = show.reports()?;
    show.audit()?;
    show.ground.close()?;
    show.closing(&reports, releases.len(), began.elapsed())
}

impl Show<'_> {
    fn say(&self, zh: &str, en: &str) {
        println!("{}", self.wish.lang.pick(zh, en));
    }

    fn opening(&self) {
        let (root, port) = (self.ground.host.root.display(), self.ground.host.ports.shop);
        self.say(
            &format!("主机根 {root},站点 shop.example.com 在 127.0.0.1:{port}"),
            &format!("host root {root}, site shop.example.com on 127.0.0.1:{port}"),
        );
    }

    /// Looks at project and host and holds that nothing on the host has changed.
    fn look(&mut self) -> Result<()> {
        self.say(
            "\n0 · 只看不动:guanka check、guanka inventory",
            "\n0 · a look without touching: guanka check, guanka inventory",
        );
        self.write_project(None)?;
        let root = self.ground.host.root.display().to_string();
        let project = self.ground.project.display().to_string();
        let before = Tree::read(&self.ground.host.root)?;
        for words in [vec!["check", &project, "--root", &root], vec!["inventory", "--root", &root]]
        {
            let answer = self.program.ask(&mut self.program.command(&words))?;
            for line in answer.said.lines() {
                println!("  {line}");
            }
            let verb = words[0];
            ensure!(answer.exit == 0, "guanka {verb} ended with {}", answer.exit);
        }
        let changes = before.changes(&Tree::read(&self.ground.host.root)?);
        ensure!(changes.is_empty(), "looking has changed the host: {changes:?}");
        let count = before.len();
        self.say(
            &format!("  主机未变:前后比对 {count} 个文件与目录,完全一致"),
            &format!("  the host is unchanged: {count} files and folders compared, all the same"),
        );
        Ok(())
    }

    /// Ships one release.
    fn release(&mut self, release: &Release) -> Result<()> {
        let number = release.number;
        let title = release.title(self.wish.lang);
        println!("\n{number} · {title}");
        self.write_project(release.overlay)?;
        let built = builds(&self.ground.project);
        let shipped =
            ship::ship(&self.program, self.wish.lang, &self.ground.project, &self.ground.folder)?;
        if let Some(deviation) = release.deviation(&shipped) {
            self.deviations.push(deviation);
        }
        if number == 5 && builds(&self.ground.project) != built {
            self.deviations.push("release 5: something was built".to_owned());
        }
        self.outcome(&shipped.report);
        let (exit, report) = (shipped.exit, shipped.report);
        self.lines.push(Line { release: *release, exit, report, seen: None });
        Ok(())
    }

    /// Shows how a release ended and, where it lost, why.
    fn outcome(&self, report: &serde_json::Value) {
        let lang = self.wish.lang;
        println!("  → {}", lang.said(&report["ending"]));
        for cause in report["causes"].as_array().into_iter().flatten() {
            println!("    {}", lang.said(&cause["says"]));
            if !cause["counter"].is_null() {
                println!("    {}", lang.said(&cause["counter"]));
            }
        }
        for finding in report["findings"].as_array().into_iter().flatten() {
            let code = finding["code"].as_str().unwrap_or_default();
            println!("    {code}  {}", lang.said(&finding["message"]));
        }
    }

    /// Lets the users of the release after this one begin, if there is one, then stops this one's
    /// users and notes what they saw. Before the first release nothing serves, so nobody asks.
    fn users(&mut self, number: usize, goes_on: bool) -> Result<()> {
        let (program, ground) = (&self.program, &self.ground);
        let next = if goes_on {
            Some(Traffic::start(program, &ground.host, &ground.folder, number + 1)?)
        } else {
            None
        };
        let Some(mut traffic) = std::mem::replace(&mut self.traffic, next) else { return Ok(()) };
        let seen = if goes_on { traffic.stop_after_overlap()? } else { traffic.stop()? };
        let Seen { requests, by_switch, by_release } = seen;
        self.say(
            &format!(
                "  用户请求 {requests} 个:{by_switch} 个因切换失败,{by_release} 个被版本自身答错"
            ),
            &format!(
                "  users sent {requests} requests: {by_switch} failed by a switch, {by_release} \
                 by the release itself"
            ),
        );
        if let Some(line) = self.lines.last_mut() {
            line.seen = Some(seen);
        }
        Ok(())
    }

    /// Writes each release's page in both languages; returns where.
    fn reports(&self) -> Result<Vec<PathBuf>> {
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let folder = self.repository.join(target).join("demo");
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let mut written = Vec::new();
        let project = self.ground.project.display().to_string();
        for line in &self.lines {
            for lang in Lang::ALL {
                let name = line.release.overlay.unwrap_or("1-first");
                let path = folder.join(format!("{name}.{}.html", lang.code()));
                let (number, shown) =
                    (line.report["number"].to_string(), path.display().to_string());
                let words = ["report", &number, "--project", &project, "--html", &shown];
                let answer = self.program.ask(&mut self.program.command_in(lang, &words))?;
                ensure!(answer.exit == 0, "guanka report {number}: {}", answer.said.trim());
                if lang == self.wish.lang {
                    written.push(path);
                }
            }
        }
        Ok(written)
    }

    /// Holds that the audit log and the journals are whole.
    fn audit(&self) -> Result<()> {
        let root = self.ground.host.root.display().to_string();
        let words = ["audit", "verify", "--root", &root];
        let answer = self.program.ask(&mut self.program.command(&words))?;
        println!();
        for line in answer.said.lines() {
            println!("{line}");
        }
        ensure!(answer.exit == 0, "guanka audit verify ended with {}", answer.exit);
        Ok(())
    }

    /// Shows the table and says how it all went.
    fn closing(&mut self, reports: &[PathBuf], due: usize, took: Duration) -> Result<()> {
        println!();
        for line in table::render(self.wish.lang, &self.lines) {
            println!("{line}");
        }
        println!();
        self.say("报告(另一种语言的在旁边):", "reports (the other language lies beside):");
        for path in reports {
            println!("  {}", path.display());
        }
        if self.wish.afterwards == Afterwards::Keep {
            println!("  {}", self.ground.folder.display());
        }
        let failed: u64 = self.lines.iter().filter_map(|line| line.seen).map(|s| s.by_switch).sum();
        let limit = match self.wish.pace {
            Pace::Whole => WHOLE_LIMIT,
            Pace::Short => SHORT_LIMIT,
        };
        let right = self.lines.len() - self.deviations.len().min(self.lines.len());
        if failed > 0 {
            self.deviations.push(format!("{failed} requests failed by a switch; 0 is the limit"));
        }
        if took > limit {
            self.deviations.push(format!(
                "it took {} s; {} s is the limit",
                took.as_secs(),
                limit.as_secs()
            ));
        }
        for deviation in &self.deviations {
            println!("{deviation}");
        }
        println!(
            "demo: {right} of {due} releases ended as said, {failed} requests failed by a switch, \
             {} s",
            took.as_secs()
        );
        if self.deviations.is_empty() { Ok(()) } else { Err(Told.into()) }
    }

    fn write_project(&self, overlay: Option<&str>) -> Result<()> {
        let examples = self.repository.join("examples");
        let place = (self.ground.host.root.as_path(), self.wish.pace);
        project::write(&self.ground.project, &examples, overlay, place)
    }
}

/// Returns the names in the project's build folder.
fn builds(project: &Path) -> BTreeSet<OsString> {
    let entries = fs::read_dir(project.join(".guanka/build"));
    entries.into_iter().flatten().flatten().map(|entry| entry.file_name()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Afterwards, Lang, Pace, Wish};

    #[test]
    fn the_words_behind_demo_are_read_and_others_refused() {
        let wish = Wish::read(&["--short", "--keep", "--lang", "zh"]).expect("a wish");
        let expected = Wish { pace: Pace::Short, afterwards: Afterwards::Keep, lang: Lang::Zh };
        assert_eq!(wish, expected);
        assert_eq!(Wish::read(&["--fast"]), None);
        assert_eq!(Wish::read(&["--lang", "de"]), None);
        assert_eq!(Wish::read(&[]).map(|wish| wish.pace), Some(Pace::Whole));
    }
}
