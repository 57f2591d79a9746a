//! `guanka inventory`: every Go program that runs on a host, kept by guanka or not, with the sites
//! that lead to it and what stands out. Looks only; nothing on the host changes.

mod rows;

use std::path::PathBuf;

use guanka_core::say::{Said, Text};
use guanka_world::collect::{host, nginx, processes, supervisor, units};
use serde_json::json;

use crate::failure::codes::USAGE;
use crate::failure::{Exit, Failure};
use crate::terminal::{Terminal, pad, width};

use rows::{Inventory, Row};

/// What to look at.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The host's root folder.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

/// The widest a column may get before its text is cut.
const COLUMN_MAX: usize = 40;

/// The heads of the table's columns.
const HEADS: [Text; 5] = [
    Text { zh: "进程", en: "PID" },
    Text { zh: "用户", en: "USER" },
    Text { zh: "端口", en: "PORTS" },
    Text { zh: "看管者", en: "KEPT BY" },
    Text { zh: "Go 与模块", en: "GO AND MODULE" },
];

/// Looks at the host and prints what runs there.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    if !host::is_there(&args.root) {
        return Err(no_root(&args.root));
    }
    let nginx = nginx::read(&args.root);
    let (programs, _) = supervisor::read(&args.root);
    let (services, _) = units::read(&args.root);
    let host = host::read(&args.root, nginx.as_ref());
    let inventory =
        rows::build(&host, nginx.as_ref(), &programs, &services, &processes::is_replaced);
    let hidden = processes::hidden_count();
    if terminal.json {
        terminal.line(
            &json!({ "schema": 1, "root": host.root, "inventory": inventory,
            "hidden_processes": hidden })
            .to_string(),
        );
        return Ok(Exit::Done);
    }
    for line in lines(&inventory, terminal) {
        terminal.line(&line);
    }
    if hidden > 0 {
        terminal.note(terminal.said(&Said::new(
            format!("有 {hidden} 个其他用户的进程无权查看;用 root 运行可看全。"),
            format!("{hidden} processes of other users could not be looked at; run as root."),
        )));
    }
    Ok(Exit::Done)
}

/// Says that the root folder is not there.
pub(super) fn no_root(root: &std::path::Path) -> Failure {
    let shown = root.display();
    Failure::new(
        &USAGE,
        Said::new(format!("正在查看主机目录 {shown}"), format!("looking at the host root {shown}")),
        Said::new("没有这个目录", "there is no such folder"),
    )
}

/// Lays the inventory out as text.
fn lines(inventory: &Inventory, terminal: &Terminal) -> Vec<String> {
    let mut out = Vec::new();
    if inventory.programs.is_empty() {
        let none = Text {
            zh: "没有找到正在运行的 Go 程序。",
            en: "No running Go program was found.",
        };
        out.push(terminal.text(&none).to_owned());
    } else {
        out.extend(table(&inventory.programs, terminal));
    }
    for route in &inventory.dead_routes {
        out.push(terminal.said(&route.says).to_owned());
    }
    out
}

fn table(rows: &[Row], terminal: &Terminal) -> Vec<String> {
    let cells: Vec<[String; 5]> = rows.iter().map(|row| cells(row, terminal)).collect();
    let heads = HEADS.map(|head| terminal.text(&head).to_owned());
    let widths: Vec<usize> = (0..heads.len())
        .map(|at| cells.iter().map(|row| width(&row[at])).max().unwrap_or(0).max(width(&heads[at])))
        .collect();
    let line = |row: &[String; 5]| {
        let padded: Vec<String> = row.iter().zip(&widths).map(|(c, w)| pad(c, *w)).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut out = vec![line(&heads)];
    for (row, cells) in rows.iter().zip(&cells) {
        out.push(line(cells));
        out.push(format!("    {}", row.program.program));
        for route in &row.routes {
            out.push(format!("    ← {} {}", route.site, route.location));
        }
        for remark in &row.remarks {
            out.push(format!("    ! {}", terminal.said(&remark.says)));
        }
    }
    out
}

fn cells(row: &Row, terminal: &Terminal) -> [String; 5] {
    let ports: Vec<String> = row.program.ports.iter().map(u16::to_string).collect();
    let keeper = keeper(&row.program.kept_by);
    let keeper = terminal.said(&keeper);
    let kept = match &row.manager {
        Some(name) => format!("{keeper} ({name})"),
        None => keeper.to_owned(),
    };
    let go = row.program.go.clone().unwrap_or_default();
    let texts = [row.program.pid.to_string(), row.program.user.clone(), ports.join(","), kept, go];
    texts.map(|text| cut(&text))
}

/// Names a keeper in both languages; the names of programs stay as they are.
fn keeper(kept_by: &str) -> Said {
    let zh = match kept_by {
        "panel go project" => "面板 Go 项目".to_owned(),
        "container" => "容器".to_owned(),
        "nohup" => "无(nohup)".to_owned(),
        other => match other.strip_prefix("started by ") {
            Some(parent) => format!("由 {parent} 启动"),
            None => other.to_owned(),
        },
    };
    Said::new(zh, kept_by)
}

/// Shortens a text to the widest column.
fn cut(text: &str) -> String {
    if width(text) <= COLUMN_MAX {
        return text.to_owned();
    }
    let mut kept = String::new();
    for letter in text.chars() {
        kept.push(letter);
        // One column is left for the sign of the cut.
        if width(&kept) >= COLUMN_MAX {
            kept.pop();
            break;
        }
    }
    kept + "…"
}

#[cfg(test)]
mod tests {
    use guanka_core::facts::host::RunningProgram;
    use guanka_core::say::{Lang, Said};

    use super::rows::{Inventory, Remark, Route, Row};
    use super::{cut, lines};
    use crate::terminal::{Terminal, width};

    fn inventory() -> Inventory {
        let program = RunningProgram {
            pid: 812,
            program: "/www/api/api".to_owned(),
            argv: vec!["/www/api/api".to_owned()],
            user: "root".to_owned(),
            uid: 0,
            kept_by: "supervisor".to_owned(),
            ports: vec![8080, 9090],
            go: Some("go1.22.5 example.com/shop/api".to_owned()),
        };
        let route = Route { site: "api.cn".to_owned(), location: "/".to_owned(), port: 8080 };
        let remark =
            Remark { code: "runs-as-root", says: Said::new("以 root 运行", "runs as root") };
        let row = Row {
            program,
            manager: Some("api".to_owned()),
            routes: vec![route],
            remarks: vec![remark],
        };
        Inventory { programs: vec![row], dead_routes: Vec::new() }
    }

    #[test]
    fn the_table_lines_up_in_both_languages() {
        let english = Terminal { lang: Lang::En, json: false, color: false };
        assert_eq!(
            lines(&inventory(), &english),
            [
                "PID  USER  PORTS      KEPT BY           GO AND MODULE",
                "812  root  8080,9090  supervisor (api)  go1.22.5 example.com/shop/api",
                "    /www/api/api",
                "    ← api.cn /",
                "    ! runs as root",
            ]
        );
        let chinese = Terminal { lang: Lang::Zh, json: false, color: false };
        let shown = lines(&inventory(), &chinese);
        assert_eq!(shown[0], "进程  用户  端口       看管者            Go 与模块");
        let before = |line: &str, word: &str| width(line.split(word).next().unwrap_or_default());
        assert_eq!(before(&shown[0], "Go 与"), before(&shown[1], "go1.22"));
        assert_eq!(shown[4], "    ! 以 root 运行");
    }

    #[test]
    fn a_long_text_is_cut_to_the_column() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"字".repeat(60)), "字".repeat(19) + "…");
        assert_eq!(width(&cut(&"a".repeat(60))), 40);
    }
}
