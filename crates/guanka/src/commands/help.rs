//! The Chinese help texts. The English ones are the doc comments of the commands and their options;
//! a test holds that each has its Chinese counterpart here.

use clap::Command;
use guanka_core::say::Lang;

/// Chinese texts by `verb` or `verb.option`; `*` is the program itself and what every verb takes.
const ZH: &[(&str, &str)] = &[
    ("*", "把 Go 服务从一次提交送到全部流量,只凭证据放行。"),
    ("*.lang", "输出语言:zh 或 en。"),
    ("*.json", "在标准输出给出机器可读的结果。"),
    ("init", "读模块源码,草拟 guanka.toml。"),
    ("init.path", "模块所在目录,含 go.mod。"),
    ("init.program", "main 包所在目录,如 ./cmd/api;不写则取第一个监听的程序。"),
    ("init.domain", "站点域名。"),
    ("check", "对模块、guanka.toml 和主机过七关检查。"),
    ("check.path", "模块所在目录,含 go.mod 与 guanka.toml。"),
    ("check.root", "要查看的主机根目录:/ 或按主机布局的目录;只读。"),
    ("check.binary", "要检查的二进制文件。"),
    ("check.env", "环境;guanka.toml 有多个环境时必填。"),
    ("explain", "解释一个检查或错误码,附示例。"),
    ("explain.code", "检查的代码或名字,或 GK 错误码。"),
    ("load", "按固定速率压测,延迟从应发时刻算起。"),
    ("load.url", "压测地址,如 http://127.0.0.1:18000/orders。"),
    ("load.rate", "每秒应发多少请求,如 1000/s。"),
    ("load.duration", "计入结果的时长,如 60s。"),
    ("load.warm_up", "计入结果之前的预热时长。"),
    ("load.connections", "保持多少个连接。"),
    ("load.threads", "用几个线程。"),
    ("load.timeout", "一个请求等连接、再等应答的时限。"),
    ("load.method", "请求方法。"),
    ("load.body", "请求体:文本,或 @文件。"),
    ("load.headers", "请求头,写作 名字: 值;可重复。"),
    ("load.limit", "该分位延迟的上限;不给则不下结论。"),
    ("load.quantile", "上限所指的分位。"),
    ("load.error_limit", "失败比例的上限,如 0.1%。"),
    ("load.poisson", "请求彼此独立到达,而不是等间隔。"),
    ("load.seed", "随机数种子。"),
    ("inventory", "列出主机上运行的 Go 程序,以及通向它们的站点。"),
    ("inventory.root", "主机的根目录。"),
    ("doctor", "检查这台机器是否适合构建、是否适合作为发布目标。"),
    ("doctor.root", "主机的根目录。"),
    ("prove", "证据说明了什么:合格 0,不合格 3,其余 9。"),
    ("prove.bad", "失败的请求数。"),
    ("prove.total", "请求总数。"),
    ("prove.limit", "失败比例的限值,如 0.06%。"),
    ("prove.rate", "预期的请求速率,如 2/s:给出证明所需时间。"),
    ("prove.any_time", "计数会被反复查看,而不是只在事先定好的时刻看一次。"),
    ("schema", "打印 guanka.toml 的 JSON Schema。"),
    ("completions", "打印某个 shell 的补全脚本。"),
    ("completions.shell", "shell 的名字。"),
];

/// Returns the command with its help in one language.
pub(crate) fn spoken(command: Command, lang: Lang) -> Command {
    if lang == Lang::En {
        return command;
    }
    let verbs: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    let mut command = speak(command, "*");
    for verb in verbs {
        let path = verb.clone();
        command = command.mut_subcommand(verb, |sub| speak(sub, &path));
    }
    command
}

/// Puts the Chinese texts on one command, its options, and its own subcommands.
fn speak(command: Command, path: &str) -> Command {
    let options: Vec<String> = command.get_arguments().map(|a| a.get_id().to_string()).collect();
    let inner: Vec<String> = if path == "*" {
        Vec::new()
    } else {
        command.get_subcommands().map(|c| c.get_name().to_owned()).collect()
    };
    let mut command = match find(path) {
        Some(text) => command.about(text).long_about(text),
        None => command,
    };
    for option in options {
        if let Some(text) = find(&format!("{path}.{option}")) {
            command = command.mut_arg(option, |arg| arg.help(text).long_help(text));
        }
    }
    for verb in inner {
        let below = format!("{path} {verb}");
        command = command.mut_subcommand(verb, |sub| speak(sub, &below));
    }
    command
}

fn find(path: &str) -> Option<&'static str> {
    ZH.iter().find(|(key, _)| *key == path).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::find;
    use crate::commands::Cli;

    #[test]
    fn every_verb_and_option_has_a_chinese_text() {
        let command = Cli::command();
        let mut missing = Vec::new();
        walk(&command, "*", &mut missing);
        for verb in command.get_subcommands() {
            walk(verb, verb.get_name(), &mut missing);
        }
        assert_eq!(missing, Vec::<String>::new());
    }

    fn walk(command: &Command, path: &str, missing: &mut Vec<String>) {
        if find(path).is_none() && !command.is_hide_set() {
            missing.push(path.to_owned());
        }
        for option in command.get_arguments() {
            let id = option.get_id().as_str();
            let key = format!("{path}.{id}");
            let is_shared =
                matches!(id, "help" | "version") || option.is_global_set() && path != "*";
            if !is_shared && !option.is_hide_set() && find(&key).is_none() && !command.is_hide_set()
            {
                missing.push(key);
            }
        }
        if path != "*" {
            for verb in command.get_subcommands() {
                walk(verb, &format!("{path} {}", verb.get_name()), missing);
            }
        }
    }
}
