//! The questions about building: which `go` runs, whether it is new enough for the module, and
//! whether its environment fits it.

use std::path::Path;

use guanka_core::facts::Reason;
use guanka_world::collect::fitness::{self, GoTool};

use super::Item;

/// A Go version as numbers.
type Version = (u32, u32, u32);

/// Asks them for the current folder. Where there is neither a `go` nor a module, nothing is built
/// here and nothing is asked.
pub(super) fn ask() -> Vec<Item> {
    let tools = fitness::go_tools();
    let module = fitness::module_file(Path::new("."));
    let needed = module.as_ref().and_then(|(_, text)| needed_version(text));
    let Some(first) = tools.iter().find(|tool| tool.is_on_path) else {
        return match (&module, tools.first()) {
            (None, _) => Vec::new(),
            (Some(_), Some(tool)) => vec![not_on_path(tool)],
            (Some(_), None) => vec![no_go()],
        };
    };
    let mut items = vec![tool(first, &tools)];
    if let Some(needed) = needed {
        items.push(version_fits(first, needed));
    }
    if let Some(exported) = fitness::exported_goroot() {
        items.push(goroot(first, &exported));
    }
    items.push(goproxy(first));
    items
}

fn no_go() -> Item {
    Item::failed("go", "这里有 go.mod,但找不到 go", "there is a go.mod here, but no go")
        .fix("安装 Go:https://go.dev/dl", "Install Go: https://go.dev/dl")
}

fn not_on_path(tool: &GoTool) -> Item {
    let folder = tool.path.parent().unwrap_or(&tool.path).display();
    Item::failed(
        "go",
        format!("{} 存在,但不在 PATH 中", tool.path.display()),
        format!("{} is there, but not on the PATH", tool.path.display()),
    )
    .fix(format!("export PATH={folder}:$PATH"), format!("export PATH={folder}:$PATH"))
}

/// Tells which `go` runs and which others are hidden behind it.
fn tool(first: &GoTool, tools: &[GoTool]) -> Item {
    let path = first.path.display();
    let version = match &first.version {
        Ok(version) => version,
        Err(why) => {
            return Item::failed(
                "go",
                format!("{path} 无法运行:{why}"),
                format!("{path} does not run: {why}"),
            )
            .fix("重新安装 Go,或从 PATH 中去掉它", "Install Go anew, or take it off the PATH");
        }
    };
    let others: Vec<String> = tools
        .iter()
        .filter(|other| other.path != first.path)
        .map(|other| match &other.version {
            Ok(version) => format!("{version} {}", other.path.display()),
            Err(_) => other.path.display().to_string(),
        })
        .collect();
    if others.is_empty() {
        return Item::passed("go", format!("{version} {path}"), format!("{version} {path}"));
    }
    let list = others.join(", ");
    Item::passed(
        "go",
        format!("{version} {path}(未被使用的还有:{list})"),
        format!("{version} {path} (not used: {list})"),
    )
}

/// Holds the tool's version against the one the module asks for.
fn version_fits(tool: &GoTool, needed: Version) -> Item {
    let (major, minor, patch) = needed;
    let shown = format!("go{major}.{minor}.{patch}");
    let Some(own) = tool.version.as_deref().ok().and_then(parse_version) else {
        return Item::unknown(
            "go-version",
            format!("go.mod 要求 {shown},无法得知 go 的版本"),
            format!("go.mod asks for {shown}; the version of go could not be told"),
        );
    };
    let found = tool.version.as_deref().unwrap_or_default();
    if own >= needed {
        return Item::passed(
            "go-version",
            format!("go.mod 要求 {shown},现有 {found}"),
            format!("go.mod asks for {shown}, {found} is here"),
        );
    }
    Item::failed(
        "go-version",
        format!("go.mod 要求 {shown},PATH 中最先的 go 是 {found}"),
        format!("go.mod asks for {shown}, but the first go on the PATH is {found}"),
    )
    .fix(
        format!("安装 {shown} 或更新版本,并放在 PATH 最前"),
        format!("Install {shown} or newer and put it first on the PATH"),
    )
}

/// A `GOROOT` left over from another Go makes the tool use that one's library.
fn goroot(tool: &GoTool, exported: &str) -> Item {
    let Some(home) = fitness::go_home(&tool.path) else {
        return Item::unknown(
            "goroot",
            format!("已设置 GOROOT={exported},但无法核对"),
            format!("GOROOT={exported} is set and could not be compared"),
        );
    };
    if fitness::is_same_place(Path::new(exported), &home) {
        return Item::passed(
            "goroot",
            format!("GOROOT={exported} 与 go 一致"),
            format!("GOROOT={exported} fits the go that runs"),
        );
    }
    let home = home.display();
    Item::failed(
        "goroot",
        format!("GOROOT={exported},而运行的 go 属于 {home}"),
        format!("GOROOT={exported}, but the go that runs belongs to {home}"),
    )
    .fix(
        "unset GOROOT,并从 /etc/profile 中删去那一行(宝塔的 #pygvm 段会加上它)",
        "unset GOROOT, and take the line out of /etc/profile (the panel's #pygvm block adds it)",
    )
}

fn goproxy(tool: &GoTool) -> Item {
    let answer = fitness::go_env(&tool.path, Path::new("."), &["GOPROXY"]);
    let value = match answer {
        Ok(values) => values.get("GOPROXY").cloned().unwrap_or_default(),
        Err(reason) => {
            let why = match reason {
                Reason::ToolMissing(why) => why,
                other => format!("{other:?}"),
            };
            return Item::unknown("goproxy", why.clone(), why);
        }
    };
    if value == "off" {
        return Item::failed(
            "goproxy",
            "GOPROXY=off:缺少的模块无法下载",
            "GOPROXY=off: modules that are missing cannot be fetched",
        )
        .fix(
            "go env -w GOPROXY=https://goproxy.cn,direct",
            "go env -w GOPROXY=https://proxy.golang.org,direct",
        );
    }
    Item::passed("goproxy", format!("GOPROXY={value}"), format!("GOPROXY={value}"))
}

/// Returns the version that a `go.mod` asks for on its `go` line.
fn needed_version(text: &str) -> Option<Version> {
    text.lines().find_map(|line| {
        let mut words = line.split("//").next().unwrap_or_default().split_whitespace();
        (words.next() == Some("go")).then(|| parse_version(words.next()?))?
    })
}

/// Reads `go1.22.5`, `1.22`, `go1.23rc1`.
fn parse_version(text: &str) -> Option<Version> {
    let bare = text.strip_prefix("go").unwrap_or(text);
    let digits = |part: &str| {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part[..end].parse::<u32>().ok()
    };
    let mut parts = bare.split('.');
    let major = digits(parts.next()?)?;
    let minor = digits(parts.next()?)?;
    Some((major, minor, parts.next().and_then(digits).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use guanka_world::collect::fitness::GoTool;

    use super::super::State;
    use super::{needed_version, parse_version, tool, version_fits};

    fn go(path: &str, version: &str) -> GoTool {
        GoTool { path: PathBuf::from(path), is_on_path: true, version: Ok(version.to_owned()) }
    }

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(parse_version("go1.22.5"), Some((1, 22, 5)));
        assert_eq!(parse_version("1.9"), Some((1, 9, 0)));
        assert_eq!(parse_version("go1.23rc1"), Some((1, 23, 0)));
        assert_eq!(parse_version("devel"), None);
        assert_eq!(needed_version("module x\n\ngo 1.22.1 // why\n"), Some((1, 22, 1)));
        assert_eq!(needed_version("module go\n"), None);
        assert_eq!(version_fits(&go("/a", "go1.22.5"), (1, 9, 0)).state, State::Passed);
        assert_eq!(version_fits(&go("/a", "go1.9.2"), (1, 22, 0)).state, State::Failed);
        assert_eq!(version_fits(&go("/a", "devel"), (1, 22, 0)).state, State::Unknown);
    }

    #[test]
    fn a_second_go_is_named() {
        let tools =
            [go("/usr/local/btgo/bin/go", "go1.22.4"), go("/usr/local/go/bin/go", "go1.26.1")];
        let item = tool(&tools[0], &tools);
        assert_eq!(item.state, State::Passed);
        assert!(item.says.en.contains("not used: go1.26.1 /usr/local/go/bin/go"));
        let broken = GoTool { version: Err("exec format error".to_owned()), ..tools[0].clone() };
        assert_eq!(tool(&broken, &tools).state, State::Failed);
    }
}
