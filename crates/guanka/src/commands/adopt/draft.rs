//! guanka.toml for a program that runs: drafted from its source as `guanka init` does, with what
//! the running process tells laid over it. It is read back before it is shown, and never
//! overwrites.

use std::path::PathBuf;

use guanka_core::facts::declared::{Declared, HostAddress};
use guanka_core::name::Domain;
use guanka_core::plan::init::{self, Hints};
use guanka_core::say::Said;
use guanka_parse::manifest;
use guanka_world::adoption::view::FoundView;
use guanka_world::plain::PlainPath;
use guanka_world::{collect, files};

use crate::commands::project::Project;
use crate::failure::codes::{CONFIG, FILE};
use crate::failure::{Failure, because};
use crate::terminal::Terminal;

/// A draft that has been read back.
pub(super) struct Drafted {
    file: PathBuf,
    pub(super) shown: String,
    pub(super) text: String,
    pub(super) declared: Declared,
}

impl Drafted {
    /// Writes it where nothing is.
    pub(super) fn write(&self) -> Result<(), Failure> {
        files::write_synced(&self.file, self.text.as_bytes(), 0o644).map_err(|error| {
            let shown = &self.shown;
            let doing = Said::new(format!("正在写 {shown}"), format!("writing {shown}"));
            Failure::new(&FILE, doing, because(&error))
        })
    }
}

/// Drafts the file.
pub(super) fn draft(
    project: &Project,
    address: &HostAddress,
    domain: &Domain,
    found: &FoundView,
    terminal: &Terminal,
) -> Result<Drafted, Failure> {
    let file = project.file();
    let shown = file.strip_prefix("./").unwrap_or(&file).display().to_string();
    let (source, module) = collect::gomodule::read(&project.project);
    if module.is_none() {
        let doing = Said::new(format!("正在草拟 {shown}"), format!("drafting {shown}"));
        let why = Said::new("这里没有 go.mod", "there is no go.mod here");
        return Err(Failure::new(&FILE, doing, why).next(Said::new(
            "在项目目录运行,或用 -C 指明",
            "run it in the project's folder, or name that with -C",
        )));
    }
    let has_files = |name: &str| {
        files::folder_names(&project.project.join(name)).is_ok_and(|names| !names.is_empty())
    };
    let folders = init::DATA_FOLDERS.iter().copied().filter(|name| has_files(name)).collect();
    let hints = Hints { lang: terminal.lang, program: None, domain: Some(domain.clone()), folders };
    let drafted = init::draft(&source, module.as_ref(), &hints);
    let text = laid_over(&drafted.text, project.env.as_deref(), address, found);
    let read = manifest::read(&shown, &text, project.env.as_deref());
    match (read.problems.into_iter().next(), read.declared) {
        (None, Some(declared)) => Ok(Drafted { file, shown, text, declared }),
        (Some(problem), _) => {
            let doing = Said::new(
                format!("正在核对草拟的 {shown}(没有写入)"),
                format!("reading back the draft of {shown}, which was not written"),
            );
            Err(Failure::new(&CONFIG, doing, problem.what).next(problem.next).at(problem.span))
        }
        (None, None) => {
            let doing = Said::new(format!("正在草拟 {shown}"), format!("drafting {shown}"));
            let why = Said::new("草稿中没有服务", "the draft declares no service");
            Err(Failure::new(&CONFIG, doing, why))
        }
    }
}

/// Lays what runs over a draft: host, environment's name, user, data folders.
fn laid_over(draft: &str, env: Option<&str>, address: &HostAddress, found: &FoundView) -> String {
    let host = match address {
        HostAddress::Local(root) => format!("local:{root}"),
        HostAddress::Ssh(name) => name.clone(),
    };
    let mut lines: Vec<String> = Vec::new();
    for line in draft.lines() {
        lines.push(match (line.split_whitespace().next(), env) {
            (Some("hosts"), _) => format!("hosts = [{}]", quoted(&host)),
            (Some(head), Some(env)) if head.starts_with("[env.") => format!("[env.{env}]"),
            _ => line.to_owned(),
        });
    }
    let user = format!("user = {}", quoted(&found.user));
    match lines.iter().position(|line| line.starts_with("[process]")) {
        Some(at) => lines.insert(at + 1, user),
        None => lines.extend(["[process]".to_owned(), user]),
    }
    // One with other letters stays where it is too; it only cannot be declared.
    let plain = found.data_dirs.iter().filter(|dir| PlainPath::new(dir.as_ref()).is_ok());
    let list: Vec<String> = plain.map(|dir| quoted(dir)).collect();
    if !list.is_empty() && !lines.iter().any(|line| line.starts_with("[data]")) {
        lines.extend(["[data]".to_owned(), format!("dirs = [{}]", list.join(", "))]);
    }
    lines.join("\n") + "\n"
}

/// Writes a text as TOML does.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            control if control.is_control() => {
                out.push_str(&format!("\\u{:04X}", u32::from(control)));
            }
            other => out.push(other),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use guanka_core::facts::declared::HostAddress;
    use guanka_core::say::Said;
    use guanka_parse::manifest;
    use guanka_world::adoption::view::FoundView;

    use super::laid_over;

    #[test]
    fn what_runs_is_laid_over_the_draft_and_reads_back() {
        let draft = "[app]\nname = \"api\"\nlisten_env = \"PORT\"\n[env.test]\n\
                     hosts = [\"local:/\"] # here\n[proxy]\ndomain = \"api.example.com\"\n";
        let found = FoundView {
            pid: 1,
            program: "/x".to_owned(),
            args: Vec::new(),
            listen_env: None,
            is_port_only: false,
            carried: Vec::new(),
            folder: "/www/wwwroot/api".to_owned(),
            user: "www".to_owned(),
            port: 8080,
            keeper: Said::new("", ""),
            data_dirs: ["uploads", "up \"load\""].map(|n| format!("/www/api/{n}")).to_vec(),
        };
        let host = HostAddress::Ssh("root@h".to_owned());
        let text = laid_over(draft, Some("prod"), &host, &found);
        let read = manifest::read("guanka.toml", &text, None);
        assert_eq!(read.problems.len(), 0, "{:?}\n{text}", read.problems);
        let declared = read.declared.expect("a service");
        assert_eq!(declared.service.to_string(), "api.prod");
        assert_eq!(declared.env.hosts, [host]);
        assert_eq!(declared.process.user.as_deref(), Some("www"));
        assert_eq!(declared.data_dirs, ["/www/api/uploads"]);
    }
}
