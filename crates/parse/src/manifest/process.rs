//! `[process]` and `[liveness]`: their keys in the list, and how they are read.

use guanka_core::facts::declared::{Limits, Liveness, Manager, Notify, Process};
use guanka_core::say::Said;

use super::keys::{KeyKind, Section};
use super::listing::{key, t};
use super::reader::Reader;
use super::sections::{check, url_path};

/// `[process]`.
pub(super) const PROCESS: Section = Section {
    path: "process",
    about: t("进程", "the process"),
    keys: &[
        key(
            "manager",
            KeyKind::Word(&["auto", "systemd", "supervisor"]),
            "auto",
            t("进程管理器", "what keeps it running"),
        ),
        key(
            "user",
            KeyKind::Text,
            "auto",
            t("运行用户;auto 为 gk_应用_环境", "its user; auto is gk_<app>_<env>"),
        ),
        key(
            "stop_grace",
            KeyKind::Duration,
            "15s",
            t(
                "停止时限,须大于程序自身的收尾时间",
                "time to stop; longer than the program's own drain",
            ),
        ),
        key("memory", KeyKind::Size, "", t("内存上限", "the memory limit")),
        key(
            "cpu",
            KeyKind::Cpu,
            "",
            t(
                "处理器时间上限,\"150%\" 即一个半;Supervisor 下只限制 GOMAXPROCS",
                "processor time, \"150%\" is one and a half; under Supervisor GOMAXPROCS only",
            ),
        ),
        key(
            "files",
            KeyKind::Number,
            "65536",
            t("可同时打开的文件数", "how many files it may have open"),
        ),
        key(
            "notify",
            KeyKind::Word(&["auto", "yes", "no"]),
            "auto",
            t(
                "程序是否自己告知 systemd 已就绪;auto 看程序里有没有 sd_notify",
                "whether it tells systemd when it is ready; auto looks for sd_notify in it",
            ),
        ),
        key(
            "low_ports",
            KeyKind::Switch,
            "false",
            t("允许监听 1024 以下端口", "whether it may listen on ports below 1024"),
        ),
        key(
            "credentials",
            KeyKind::Texts,
            "[]",
            t(
                "密钥名;文件在主机 /etc/guanka/credentials/<服务>/,\
                 程序从 $CREDENTIALS_DIRECTORY 读",
                "secrets by name, /etc/guanka/credentials/<service>/NAME on the host; the \
                 program reads $CREDENTIALS_DIRECTORY/NAME",
            ),
        ),
    ],
};

/// `[liveness]`.
pub(super) const LIVENESS: Section = Section {
    path: "liveness",
    about: t(
        "存活探测:运行着却不应答的程序会被重启;任何 HTTP 应答都算活着",
        "liveness: a program that runs and does not answer is started anew; any HTTP answer \
         is life",
    ),
    keys: &[
        key("on", KeyKind::Switch, "true", t("是否启用", "whether it is asked at all")),
        key(
            "path",
            KeyKind::Text,
            "",
            t("路径,默认同 probe.path", "the path; probe.path by default"),
        ),
        key("every", KeyKind::Duration, "10s", t("间隔", "the time between two questions")),
        key(
            "fails",
            KeyKind::Number,
            "3",
            t("连续几次不应答即重启", "questions in a row without an answer"),
        ),
        key("timeout", KeyKind::Duration, "5s", t("单次时限", "the time one answer may take")),
        key(
            "after",
            KeyKind::Duration,
            "60s",
            t("启动后多久内不探测", "nothing is asked for so long after a start"),
        ),
        key(
            "restarts",
            KeyKind::Number,
            "3",
            t("within 内至多重启几次", "the most restarts within the time below"),
        ),
        key(
            "within",
            KeyKind::Duration,
            "10m",
            t("重启次数的计数时间", "the time that restarts are counted in"),
        ),
    ],
};

/// The most secrets of a program; every real one has a handful.
const CREDENTIALS_MAX: usize = 64;

/// Reads both sections.
pub(super) fn process(reader: &mut Reader<'_, '_>) -> Option<Process> {
    let manager = reader.word("process", "manager", &["auto", "systemd", "supervisor"])?;
    let user = reader.text("process", "user")?;
    let user = if user == "auto" {
        None
    } else {
        Some(check(reader, "process", "user", user, user_name)?)
    };
    let is_given = |reader: &Reader<'_, '_>, name: &str| {
        reader.section("process").is_some_and(|section| section.get(name).is_some())
    };
    let memory = match is_given(reader, "memory") {
        true => Some(reader.size("process", "memory")?),
        false => None,
    };
    Some(Process {
        manager: match manager.as_str() {
            "systemd" => Manager::Systemd,
            "supervisor" => Manager::Supervisor,
            _ => Manager::Auto,
        },
        stop_grace: reader.duration("process", "stop_grace")?,
        memory,
        user,
        limits: Limits {
            cpu: match is_given(reader, "cpu") {
                true => Some(reader.cpu("process", "cpu")?),
                false => None,
            },
            files: u32::try_from(reader.number("process", "files", 64, 1_048_576)?).ok()?,
            notify: match reader.word("process", "notify", &["auto", "yes", "no"])?.as_str() {
                "yes" => Notify::Yes,
                "no" => Notify::No,
                _ => Notify::Auto,
            },
            low_ports: reader.switch("process", "low_ports")?,
            credentials: credentials(reader)?,
        },
        liveness: liveness(reader)?,
    })
}

fn credentials(reader: &mut Reader<'_, '_>) -> Option<Vec<String>> {
    let mut names =
        reader.each("process", "credentials", |text| credential(text).map(str::to_owned));
    names.sort();
    names.dedup();
    if names.len() <= CREDENTIALS_MAX {
        return Some(names);
    }
    let what = Said::new(
        format!("process.credentials 有 {} 个", names.len()),
        format!("process.credentials has {} names", names.len()),
    );
    let next =
        Said::new(format!("至多 {CREDENTIALS_MAX} 个"), format!("name {CREDENTIALS_MAX} at most"));
    let at = reader.place("process", "credentials");
    reader.problem("process", "credentials", at, what, next)
}

fn liveness(reader: &mut Reader<'_, '_>) -> Option<Liveness> {
    let path = match reader.text("liveness", "path") {
        Some(path) => Some(check(reader, "liveness", "path", path, url_path)?),
        None => None,
    };
    Some(Liveness {
        is_on: reader.switch("liveness", "on")?,
        path,
        every: reader.duration("liveness", "every")?,
        fails: u32::try_from(reader.number("liveness", "fails", 1, 100)?).ok()?,
        timeout: reader.duration("liveness", "timeout")?,
        after: reader.duration("liveness", "after")?,
        restarts: u32::try_from(reader.number("liveness", "restarts", 1, 100)?).ok()?,
        within: reader.duration("liveness", "within")?,
    })
}

/// Accepts a file's name that is also a credential's to systemd: letters, digits, `. _ -`.
fn credential(text: &str) -> Result<&str, Said> {
    let good = (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if good {
        Ok(text)
    } else {
        Err(Said::new(
            "文件名:字母、数字与 . _ -,例如 \"db-password\"",
            "a file's name of letters, digits and . _ -, like \"db-password\"",
        ))
    }
}

fn user_name(text: &str) -> Result<String, Said> {
    let good = text.len() <= 31
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    if good && text != "root" {
        Ok(text.to_owned())
    } else {
        Err(Said::new("一个非 root 的系统用户名", "a system user's name, and not root"))
    }
}
