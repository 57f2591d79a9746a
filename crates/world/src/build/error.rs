//! Why a build gives no release. Each error says what was wrong and what to do next, in both
//! languages; the place in the source is given where the compiler named one.

use std::fmt;
use std::path::PathBuf;

use guanka_core::facts::Span;
use guanka_core::quantity::Millis;
use guanka_core::say::Said;

use super::toolchain::{Found, Need};
use super::verify::Refusal;

/// Why there is no release.
#[derive(Debug)]
pub enum BuildError {
    /// A file or folder could not be read or written.
    File {
        /// Which one.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The folder is no Go module, or its `go` line is not a version.
    Module {
        /// go.mod.
        path: PathBuf,
        /// What is wrong with it.
        why: Said,
    },
    /// guanka.toml asks for something that cannot be built.
    Declared {
        /// The key, `build.include`.
        key: &'static str,
        /// What is wrong with its value.
        why: Said,
    },
    /// No Go toolchain on the machine meets the need.
    NoToolchain {
        /// What was needed.
        need: Need,
        /// What was found.
        found: Vec<Found>,
    },
    /// The source does not compile.
    Compile {
        /// The first place.
        span: Span,
        /// What the compiler says about it.
        message: String,
        /// All it said.
        all: String,
    },
    /// The source needs C code, which `[build] cgo` does not allow.
    NeedsCgo {
        /// The packages that hold C code.
        packages: Vec<String>,
        /// What the compiler said.
        all: String,
    },
    /// A module could not be fetched.
    Download {
        /// What the go command said.
        all: String,
    },
    /// The go command failed without naming a place.
    Failed {
        /// Its argument list.
        argv: Vec<String>,
        /// What it said.
        all: String,
    },
    /// The go command did not end in time.
    Late {
        /// Its argument list.
        argv: Vec<String>,
        /// The time it had.
        limit: Millis,
    },
    /// The built program is not what a release may hold.
    Refused {
        /// The program.
        program: PathBuf,
        /// Why not.
        refusal: Refusal,
    },
}

impl BuildError {
    /// Says why there is no release.
    pub fn why(&self) -> Said {
        match self {
            Self::File { path, source } => {
                let text = format!("{}: {source}", path.display());
                Said::new(text.clone(), text)
            }
            Self::Module { path, why } => Said::new(
                format!("{}:{}", path.display(), why.zh),
                format!("{}: {}", path.display(), why.en),
            ),
            Self::Declared { key, why } => {
                Said::new(format!("{key}:{}", why.zh), format!("{key}: {}", why.en))
            }
            Self::NoToolchain { need, found } => no_toolchain(need, found),
            Self::Compile { span, message, .. } => {
                let text = format!("{}:{}:{}: {message}", span.file, span.line, span.column);
                Said::new(text.clone(), text)
            }
            Self::NeedsCgo { packages, .. } => {
                let list = packages.join(", ");
                Said::new(
                    format!("这些包含有 C 代码,需要 cgo:{list}"),
                    format!("these packages hold C code and need cgo: {list}"),
                )
            }
            Self::Download { all } => Said::new(
                format!("下载依赖模块失败:{}", last_line(all)),
                format!("a module could not be fetched: {}", last_line(all)),
            ),
            Self::Failed { argv, all } => {
                let said = format!("{}: {}", argv.join(" "), last_line(all));
                Said::new(said.clone(), said)
            }
            Self::Late { argv, limit } => Said::new(
                format!("{limit} 内没有结束:{}", argv.join(" ")),
                format!("not done within {limit}: {}", argv.join(" ")),
            ),
            Self::Refused { program, refusal } => {
                let (why, name) = (refusal.why(), program.display());
                Said::new(
                    format!("编译出的程序 {name} 不能发布:{}", why.zh),
                    format!("the program {name} cannot be released: {}", why.en),
                )
            }
        }
    }

    /// Says what to do next.
    pub fn next(&self) -> Said {
        match self {
            Self::File { .. } => Said::new(
                "检查路径、权限与磁盘空间",
                "check the path, its rights and the free space",
            ),
            Self::Module { .. } => {
                Said::new("在含有 go.mod 的目录里运行", "run in the folder that holds go.mod")
            }
            Self::Declared { .. } => {
                Said::new("改正 guanka.toml 的这一项", "correct this key in guanka.toml")
            }
            Self::NoToolchain { need, .. } => install(need),
            Self::Compile { .. } => Said::new("改正源码后再试", "correct the source and try again"),
            Self::NeedsCgo { .. } => Said::new(
                "换成纯 Go 的包,或在 guanka.toml 写 [build] cgo = true(将静态链接)",
                "use a pure Go package, or set [build] cgo = true in guanka.toml (it is then \
                 linked statically)",
            ),
            Self::Download { .. } => Said::new(
                "检查网络与 GOPROXY,例如 go env -w GOPROXY=https://goproxy.cn,direct",
                "check the network and GOPROXY, say go env -w GOPROXY=https://goproxy.cn,direct",
            ),
            Self::Failed { .. } | Self::Late { .. } => Said::new(
                "在同一目录手工运行这条命令,查看全部输出",
                "run this command by hand in the same folder and read all of its output",
            ),
            Self::Refused { refusal, .. } => refusal.next(),
        }
    }

    /// Returns the place in the source or in go.mod, where one is known.
    pub fn span(&self) -> Option<&Span> {
        match self {
            Self::Compile { span, .. } => Some(span),
            Self::NoToolchain { need, .. } => need.place.as_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why().en)
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn no_toolchain(need: &Need, found: &[Found]) -> Said {
    let list: Vec<String> = found
        .iter()
        .map(|go| match &go.answer {
            Ok(version) => format!("{} ({version})", go.path.display()),
            Err(said) => format!("{} ({said})", go.path.display()),
        })
        .collect();
    let (zh, en) = match need.named {
        Some(named) => (
            format!("guanka.toml 指定 Go {named},go.mod 要求至少 {}", need.at_least),
            format!("guanka.toml asks for Go {named} and go.mod for at least {}", need.at_least),
        ),
        None => (
            format!("需要 Go {} 或更新", need.at_least),
            format!("Go {} or newer is needed", need.at_least),
        ),
    };
    if list.is_empty() {
        return Said::new(format!("{zh},本机没有找到 go"), format!("{en}, and no go was found"));
    }
    let list = list.join(", ");
    Said::new(format!("{zh},本机只有:{list}"), format!("{en}; found only: {list}"))
}

fn install(need: &Need) -> Said {
    let wanted = need.named.filter(|named| *named >= need.at_least).unwrap_or(need.at_least);
    Said::new(
        format!(
            "安装 Go {wanted}(https://go.dev/dl,解压到 /usr/local/go 或 ~/sdk),\
             或在面板的 Go 管理器里安装;若 go.mod 的 go 行写高了,也可改低"
        ),
        format!(
            "install Go {wanted} (https://go.dev/dl, unpacked to /usr/local/go or ~/sdk, or by \
             the panel's Go manager), or lower the go line in go.mod if it asks for too much"
        ),
    )
}

/// Returns the last line with text: the go command puts the reason there.
fn last_line(text: &str) -> &str {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("")
}
