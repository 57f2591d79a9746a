//! `guanka init`: drafts guanka.toml from a module's source and says what is left to a person. It
//! never overwrites a file, and writes only a text that it has read back without a problem.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use guanka_core::facts::gosource::GoSource;
use guanka_core::name::Domain;
use guanka_core::plan::init::{DATA_FOLDERS, Draft, Hints, draft, program_folder};
use guanka_core::say::{Said, Text};
use guanka_parse::manifest;
use guanka_world::{collect, files};
use serde_json::json;

use crate::failure::codes::{CONFIG, FILE, USAGE};
use crate::failure::{Exit, Failure, because, say};
use crate::terminal::{Terminal, pad};

/// The file it writes.
const FILE_NAME: &str = "guanka.toml";

/// What to draft from.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The module's folder; it holds go.mod.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The main package, ./cmd/api; the first one that listens by default.
    #[arg(long, value_name = "DIR")]
    program: Option<String>,
    /// The site's domain.
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
}

/// Drafts the file, writes it and shows what was found.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let file = args.path.join(FILE_NAME);
    let shown = shown(&file);
    if !args.path.is_dir() {
        let folder = args.path.display();
        return Err(Failure::new(
            &FILE,
            Said::new(format!("正在读取 {folder}"), format!("reading {folder}")),
            say("目录不存在", "there is no such folder"),
        ));
    }
    if files::exists(&file) {
        return Err(exists_already(&shown));
    }
    let domain = args.domain.as_deref().map(domain).transpose()?;
    let (source, module) = collect::gomodule::read(&args.path);
    let Some(module) = module else { return Err(no_module(&args.path)) };
    if let Some(program) = &args.program {
        known_program(&source, program)?;
    }
    let has_files = |name: &str| {
        // A folder that cannot be listed is none that a build could take files from.
        files::folder_names(&args.path.join(name)).is_ok_and(|names| !names.is_empty())
    };
    let folders = DATA_FOLDERS.iter().copied().filter(|name| has_files(name)).collect();
    let hints = Hints { lang: terminal.lang, program: args.program.clone(), domain, folders };
    let draft = draft(&source, Some(&module), &hints);
    accepted(&shown, &draft.text)?;
    write(&file, &shown, &draft.text)?;
    if terminal.json {
        terminal.line(&as_json(&shown, &draft, &next(&args.path)).to_string());
    } else {
        for line in lines(&shown, &draft, &next(&args.path), terminal) {
            terminal.line(&line);
        }
    }
    Ok(Exit::Done)
}

fn domain(text: &str) -> Result<Domain, Failure> {
    Domain::new(text).map_err(|error| {
        let why = Said::new(
            format!("--domain {:?} 不是域名:只能含字母、数字、点和连字符", error.text),
            format!("--domain: {error}"),
        );
        usage(why).next(say("写成 --domain api.example.com", "write --domain api.example.com"))
    })
}

/// Refuses a main package that the module does not have. A module in which none was understood
/// takes any: its source may be what is wrong.
fn known_program(source: &GoSource, program: &str) -> Result<(), Failure> {
    let folders: Vec<String> = source.mains.iter().map(|m| program_folder(&m.folder)).collect();
    if folders.is_empty() || folders.contains(&program_folder(program)) {
        return Ok(());
    }
    let list = folders.join(", ");
    let why = Said::new(
        format!("{program} 没有 main 包"),
        format!("there is no package main in {program}"),
    );
    Err(usage(why)
        .next(Said::new(format!("可选:{list}"), format!("the module's programs are: {list}"))))
}

fn usage(why: Said) -> Failure {
    Failure::new(&USAGE, say("正在读取命令行", "reading the command line"), why)
}

/// Holds the draft against the reader that every other command uses.
fn accepted(shown: &str, text: &str) -> Result<(), Failure> {
    match manifest::read(shown, text, None).problems.into_iter().next() {
        None => Ok(()),
        Some(problem) => {
            let doing = Said::new(
                format!("正在核对草拟的 {shown}(没有写入)"),
                format!("reading back the draft of {shown}, which was not written"),
            );
            Err(Failure::new(&CONFIG, doing, problem.what).next(problem.next).at(problem.span))
        }
    }
}

fn write(file: &Path, shown: &str, text: &str) -> Result<(), Failure> {
    let Err(error) = files::write_synced(file, text.as_bytes(), 0o644) else { return Ok(()) };
    if error.kind() == ErrorKind::AlreadyExists {
        return Err(exists_already(shown));
    }
    // Half a file would stop the next run; what stands there is this run's own.
    let _ = files::remove(file);
    let doing = Said::new(format!("正在写 {shown}"), format!("writing {shown}"));
    Err(Failure::new(&FILE, doing, because(&error)))
}

fn exists_already(shown: &str) -> Failure {
    let doing = Said::new(format!("正在写 {shown}"), format!("writing {shown}"));
    let why = say("文件已存在,init 从不覆盖", "it is there already, and init never overwrites");
    Failure::new(&FILE, doing, why).next(say(
        "直接编辑它,或先删除再运行 `guanka init`",
        "edit it, or remove it and run `guanka init` again",
    ))
}

fn no_module(path: &Path) -> Failure {
    let folder = path.display();
    let doing = Said::new(
        format!("正在读取 {folder} 中的 Go 模块"),
        format!("reading the Go module in {folder}"),
    );
    Failure::new(&FILE, doing, say("没有 go.mod", "there is no go.mod")).next(say(
        "到模块所在目录运行;还没有模块时先运行 `go mod init`",
        "run it in the module's folder; without a module, run `go mod init` first",
    ))
}

fn shown(file: &Path) -> String {
    file.strip_prefix("./").unwrap_or(file).display().to_string()
}

/// Returns the command that comes next, for the folder this one was given.
fn next(path: &Path) -> String {
    match path.to_str() {
        None | Some("." | "./") => "guanka check".to_owned(),
        Some(folder) => format!("guanka check {folder}"),
    }
}

/// Lays the result out as text.
fn lines(shown: &str, draft: &Draft, next: &str, terminal: &Terminal) -> Vec<String> {
    let label = |text: Text| pad(terminal.text(&text), 8);
    let found = label(Text { zh: "发现", en: "Found" });
    let left = label(Text { zh: "待办", en: "To do" });
    let wrote = label(Text { zh: "已写", en: "Wrote" });
    let mut lines = Vec::new();
    for line in &draft.found {
        let place = line.span.as_ref().map(|s| format!(" ({})", s.place())).unwrap_or_default();
        lines.push(format!("{found}{}{place}", terminal.said(&line.what)));
    }
    lines.extend(draft.gaps.iter().map(|gap| format!("{left}{}", terminal.said(gap))));
    let count = draft.text.lines().count();
    let end = Said::new(
        format!("{shown}({count} 行)。下一步:{next}"),
        format!("{shown} ({count} lines). Next: {next}"),
    );
    lines.push(format!("{wrote}{}", terminal.said(&end)));
    lines
}

fn as_json(shown: &str, draft: &Draft, next: &str) -> serde_json::Value {
    let found: Vec<_> =
        draft.found.iter().map(|f| json!({ "what": f.what, "span": f.span })).collect();
    json!({
        "schema": 1,
        "file": shown,
        "lines": draft.text.lines().count(),
        "service": draft.service,
        "found": found,
        "gaps": draft.gaps,
        "next": next,
    })
}
