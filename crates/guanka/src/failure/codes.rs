//! Every error of guanka's own, `GKnnnn`. A code is never reused; each has an exit code, a title, a
//! why and a fix in both languages. `guanka explain GK1001` prints it.

use guanka_core::say::Text;

use super::Exit;

/// One kind of error.
#[derive(Debug)]
pub(crate) struct ErrorCode {
    /// The stable handle.
    pub(crate) code: &'static str,
    /// The exit code it ends with.
    pub(crate) exit: Exit,
    /// What it is.
    pub(crate) title: Text,
    /// When it happens.
    pub(crate) why: Text,
    /// What to do.
    pub(crate) fix: Text,
}

/// guanka.toml could not be read or understood.
pub(crate) const CONFIG: ErrorCode = ErrorCode {
    code: "GK1001",
    exit: Exit::Usage,
    title: Text { zh: "guanka.toml 有错误", en: "guanka.toml is wrong" },
    why: Text {
        zh: "键名未知、单位缺失、类型不对,或名字含有不允许的字符。",
        en: "An unknown key, a missing unit, a wrong type, or a name with letters that are not \
             allowed.",
    },
    fix: Text {
        zh: "改正所指的那一行;全部键见 `guanka schema`。",
        en: "Correct the line shown; `guanka schema` prints every key.",
    },
};

/// The command line is wrong.
pub(crate) const USAGE: ErrorCode = ErrorCode {
    code: "GK1002",
    exit: Exit::Usage,
    title: Text { zh: "命令行用法有误", en: "the command line is wrong" },
    why: Text {
        zh: "参数缺失、多余或取值不合法。",
        en: "An argument is missing, not known, or has a value that cannot be.",
    },
    fix: Text { zh: "参见 `guanka help`。", en: "See `guanka help`." },
};

/// A file could not be read or written.
pub(crate) const FILE: ErrorCode = ErrorCode {
    code: "GK1003",
    exit: Exit::CouldNot,
    title: Text { zh: "文件读写失败", en: "a file could not be read or written" },
    why: Text {
        zh: "文件不存在、没有权限,或磁盘已满。",
        en: "The file is not there, may not be touched, or the disk is full.",
    },
    fix: Text {
        zh: "检查路径、权限与磁盘空间后再试。",
        en: "Check the path, its permissions and the free space, then try again.",
    },
};

/// An arm's program could not be started as it should be.
pub(crate) const START: ErrorCode = ErrorCode {
    code: "GK1010",
    exit: Exit::CouldNot,
    title: Text {
        zh: "程序无法按要求启动", en: "a program cannot be started as it should be"
    },
    why: Text {
        zh: "参数或环境变量不合法,或资源上限无法设置。",
        en: "An argument or variable cannot be passed on, or a limit could not be set.",
    },
    fix: Text {
        zh: "检查 guanka.toml 的 [app] 与 [process];以 root 运行 Supervisor 才能提高上限。",
        en: "Look at [app] and [process] in guanka.toml; only a Supervisor that runs as root can \
             raise limits.",
    },
};

/// A network address could not be used.
pub(crate) const UNREACHABLE: ErrorCode = ErrorCode {
    code: "GK1030",
    exit: Exit::CouldNot,
    title: Text { zh: "网络地址无法使用", en: "a network address cannot be used" },
    why: Text {
        zh: "主机名无法解析,或系统没有给出套接字。",
        en: "The name has no address, or the system gave no socket.",
    },
    fix: Text {
        zh: "检查主机名与端口;必要时直接写 IP 地址。",
        en: "Check name and port; if needed, write the IP address itself.",
    },
};

/// The agent could not be started or does not answer.
pub(crate) const AGENT: ErrorCode = ErrorCode {
    code: "GK1201",
    exit: Exit::CouldNot,
    title: Text { zh: "agent 没有启动或没有应答", en: "the agent does not run or answer" },
    why: Text {
        zh: "主机根目录不可写、已有另一个 agent,或它的存储打不开。",
        en: "The host's root is not writable, another agent runs there, or its stores do not open.",
    },
    fix: Text {
        zh: "运行 `guanka doctor --root 目录` 查看主机状态。",
        en: "Look at the host with `guanka doctor --root DIR`.",
    },
};

/// Every code, in order; `explain` and the documentation read this list.
pub(crate) const ALL: &[&ErrorCode] = &[&CONFIG, &USAGE, &FILE, &START, &UNREACHABLE, &AGENT];
