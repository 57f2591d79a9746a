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

/// The agent answered that the host could not do it.
pub(crate) const HOST_REFUSED: ErrorCode = ErrorCode {
    code: "GK1202",
    exit: Exit::CouldNot,
    title: Text { zh: "主机没能做到", en: "the host could not do it" },
    why: Text {
        zh: "nginx 配置本来就有错、端口被占、磁盘已满,或进程管理器没有应答。什么也没有改动。",
        en: "nginx's configuration was broken before, a port is taken, the disk is full, or the \
             process manager does not answer. Nothing was changed.",
    },
    fix: Text {
        zh: "按原因修好,再运行同一命令;主机状态见 `guanka doctor --root 目录`。",
        en: "Put the cause right and run the same command again; `guanka doctor --root DIR` looks \
             at the host.",
    },
};

/// Another driver has a newer epoch.
pub(crate) const FENCED: ErrorCode = ErrorCode {
    code: "GK1203",
    exit: Exit::Locked,
    title: Text { zh: "另有驱动者接手了", en: "another driver has taken over" },
    why: Text {
        zh: "每次接手纪元加一;主机拒绝较低的纪元,旧的驱动者不能再改动任何东西。",
        en: "Each take-over raises the epoch; hosts refuse lower ones, so an older driver can \
             change nothing any more.",
    },
    fix: Text {
        zh: "用 `guanka status` 查看现在由谁驱动。",
        en: "See who drives now with `guanka status`.",
    },
};

/// What was asked for does not exist.
pub(crate) const NOT_THERE: ErrorCode = ErrorCode {
    code: "GK1204",
    exit: Exit::CouldNot,
    title: Text { zh: "要找的东西不存在", en: "what was asked for does not exist" },
    why: Text {
        zh: "服务、发布或报告的编号不存在。", en: "No such service, rollout or report."
    },
    fix: Text { zh: "用 `guanka status` 查看。", en: "Look with `guanka status`." },
};

/// A chain of hashes is broken.
pub(crate) const CHAIN: ErrorCode = ErrorCode {
    code: "GK1205",
    exit: Exit::CouldNot,
    title: Text { zh: "日志的哈希链断了", en: "a chain of hashes is broken" },
    why: Text {
        zh: "审计日志或发布日志中有一行被改动、删除或移动过。",
        en: "A row of the audit log or of a journal was changed, removed or moved.",
    },
    fix: Text {
        zh: "不要再发布;与备份比对所指的那一行。",
        en: "Stop shipping; compare the row named with a backup.",
    },
};

/// A host could not be reached over SSH.
pub(crate) const SSH: ErrorCode = ErrorCode {
    code: "GK1213",
    exit: Exit::CouldNot,
    title: Text { zh: "无法经 SSH 连接主机", en: "a host could not be reached over SSH" },
    why: Text {
        zh: "主机不应答、端口拒绝、主机密钥不符、登录被拒绝,或主机上没有 guanka:原因里会分别写明。",
        en: "The host does not answer, its port refuses, its key is another one, the login was \
             refused, or guanka is not there; the reason says which.",
    },
    fix: Text {
        zh: "用 `guanka host doctor 用户@主机` 查看;第一次用 `guanka host add 用户@主机`。",
        en: "Look with `guanka host doctor user@host`; the first time, `guanka host add \
             user@host`.",
    },
};

/// A host's key was not compared, or is not the one it should be.
pub(crate) const HOST_KEY: ErrorCode = ErrorCode {
    code: "GK1214",
    exit: Exit::Usage,
    title: Text { zh: "主机密钥尚未核实", en: "the host's key was not compared" },
    why: Text {
        zh: "第一次连接时,只有把指纹与主机上的对照,才知道没有人冒充。",
        en: "At the first contact only comparing the fingerprint with the host's own shows that \
             nobody is in between.",
    },
    fix: Text {
        zh: "在主机上 `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` 对照,再加 --fingerprint。",
        en: "Compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host, then use \
             --fingerprint.",
    },
};

/// The service's lease is held by another.
pub(crate) const LOCKED: ErrorCode = ErrorCode {
    code: "GK1207",
    exit: Exit::Locked,
    title: Text { zh: "服务正由别人发布", en: "somebody else is shipping this service" },
    why: Text {
        zh: "一个服务同一时刻只有一个驱动者;租约不续约时 30 秒后自行失效。",
        en: "A service has one driver at a time; a lease that is not renewed ends by itself in \
             30 s.",
    },
    fix: Text {
        zh: "等它结束,或用 `guanka status` 查看;不需要手工解锁。",
        en: "Wait for it, or look with `guanka status`; there is nothing to unlock by hand.",
    },
};

/// The journal cannot be read.
pub(crate) const JOURNAL: ErrorCode = ErrorCode {
    code: "GK1208",
    exit: Exit::NeedsHuman,
    title: Text { zh: "发布日志无法读懂", en: "the journal cannot be read" },
    why: Text {
        zh: "由更新版本的 guanka 写成,或记录不连续。",
        en: "A newer guanka has written it, or records are missing.",
    },
    fix: Text {
        zh: "用写它的那个版本,或运行 `guanka audit verify`。",
        en: "Use the version that wrote it, or run `guanka audit verify`.",
    },
};

/// A rollout is unfinished.
pub(crate) const UNFINISHED: ErrorCode = ErrorCode {
    code: "GK1209",
    exit: Exit::CouldNot,
    title: Text { zh: "上一次发布还没有结束", en: "the last rollout has not ended" },
    why: Text {
        zh: "它的驱动者中断了,或者它在等人。",
        en: "Its driver was interrupted, or it waits for a person.",
    },
    fix: Text {
        zh: "用 `guanka resume` 继续,或用 `guanka abort` 结束它。",
        en: "Go on with `guanka resume`, or end it with `guanka abort`.",
    },
};

/// There is nothing to go on with or back to.
pub(crate) const NOTHING: ErrorCode = ErrorCode {
    code: "GK1210",
    exit: Exit::CouldNot,
    title: Text {
        zh: "没有可继续或可退回的发布", en: "there is nothing to go on with or back to"
    },
    why: Text {
        zh: "没有未结束的发布,或旧版本已经不在主机上。",
        en: "No rollout is unfinished, or the older release is no longer on the host.",
    },
    fix: Text { zh: "用 `guanka status` 查看。", en: "Look with `guanka status`." },
};

/// A port of the service is another process's.
pub(crate) const PORT_TAKEN: ErrorCode = ErrorCode {
    code: "GK1211",
    exit: Exit::CouldNot,
    title: Text {
        zh: "服务的端口被其他进程占用", en: "another process has a port of the service"
    },
    why: Text {
        zh: "agent 平时占住空闲臂的端口;agent 停止期间,别的程序占用了它。旧版本照常服务。",
        en: "The agent holds an idle arm's port; while no agent ran, another program took it. The \
             old release serves as before.",
    },
    fix: Text {
        zh: "停掉所指的进程,再用 `guanka resume` 继续,或重新 `guanka ship`。",
        en: "End the process named, then `guanka resume`, or `guanka ship` again.",
    },
};

/// A release on the host is not what its manifest says.
pub(crate) const DAMAGED: ErrorCode = ErrorCode {
    code: "GK1212",
    exit: Exit::CouldNot,
    title: Text {
        zh: "主机上的发布内容被改动过", en: "a release on the host was changed"
    },
    why: Text {
        zh: "每次启动前都会重新计算哈希;与清单不符的发布从不启动。",
        en: "A release is hashed again before each start; one that differs from its manifest is \
             never started.",
    },
    fix: Text {
        zh: "查明是谁改的;用 `guanka abort` 结束后重新发布,送达时会重新写入。",
        en: "Find out who changed it; `guanka abort`, then ship again: staging writes it anew.",
    },
};

/// The build failed.
pub(crate) const BUILD: ErrorCode = ErrorCode {
    code: "GK1301",
    exit: Exit::CouldNot,
    title: Text { zh: "构建失败", en: "the build failed" },
    why: Text {
        zh: "源码无法编译、没有足够新的 Go、需要 cgo,或产物没有通过校验。",
        en: "The source does not compile, no Go is new enough, cgo is needed, or what was built \
             did not pass verification.",
    },
    fix: Text {
        zh: "改正所指的那一行再试。", en: "Correct the line shown and try again."
    },
};

/// The controller could not be started or could not take something on.
pub(crate) const CONTROLLER: ErrorCode = ErrorCode {
    code: "GK1601",
    exit: Exit::CouldNot,
    title: Text { zh: "控制器无法工作", en: "the controller could not do it" },
    why: Text {
        zh: "已有一个控制器在运行、它的目录不可写,或它的清单读不懂。",
        en: "Another controller runs already, its folder cannot be written, or its list cannot be \
             understood.",
    },
    fix: Text {
        zh: "按原因处理;清单损坏时把它移开,再对每个未结束的服务运行 `guanka resume`。",
        en: "Put the cause right; a broken list is moved away, and `guanka resume` goes on with \
             each unfinished service.",
    },
};

/// The controller no longer drives a rollout that has not ended.
pub(crate) const CONTROLLER_AWAY: ErrorCode = ErrorCode {
    code: "GK1602",
    exit: Exit::NeedsHuman,
    title: Text {
        zh: "控制器没有在推进发布", en: "the controller does not move the rollout"
    },
    why: Text {
        zh: "控制器结束了,或遇到了要人处理的事;灰度无人续约时,30 秒后主机自行收回流量。",
        en: "It has ended, or met something a person must look at; a canary that nobody renews is \
             taken back by its host within 30 s.",
    },
    fix: Text {
        zh: "启动 `guanka serve`,或运行 `guanka resume`。",
        en: "Start `guanka serve`, or run `guanka resume`.",
    },
};

/// Every code, in order; `explain` and the documentation read this list.
pub(crate) const ALL: &[&ErrorCode] = &[
    &AGENT,
    &BUILD,
    &CHAIN,
    &CONFIG,
    &CONTROLLER,
    &CONTROLLER_AWAY,
    &DAMAGED,
    &FENCED,
    &FILE,
    &HOST_KEY,
    &HOST_REFUSED,
    &JOURNAL,
    &LOCKED,
    &NOTHING,
    &NOT_THERE,
    &PORT_TAKEN,
    &SSH,
    &START,
    &UNFINISHED,
    &UNREACHABLE,
    &USAGE,
];
