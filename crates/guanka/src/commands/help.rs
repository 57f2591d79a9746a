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
    ("load.url", "压测地址,如 http://127.0.0.1:18000/orders;与 --request 同用时为各路径的前缀。"),
    ("load.rate", "每秒应发多少请求,如 1000/s。"),
    ("load.duration", "计入结果的时长,如 60s。"),
    ("load.until_eof", "一直压测,直到标准输入关闭;时长未事先定好,因此不下结论。"),
    ("load.warm_up", "计入结果之前的预热时长。"),
    ("load.connections", "保持多少个连接。"),
    ("load.threads", "用几个线程。"),
    ("load.timeout", "一个请求等连接、再等应答的时限。"),
    ("load.requests", "一种请求,如 POST /orders {\"id\":1};可重复,轮流发送。"),
    ("load.method", "请求方法。"),
    ("load.body", "请求体:文本,或 @文件。"),
    ("load.headers", "请求头,写作 名字: 值;可重复。"),
    ("load.cookie", "用来区分用户的 cookie 名。"),
    ("load.users", "请求来自多少个用户。"),
    ("load.limit", "该分位延迟的上限;不给则不下结论。"),
    ("load.quantile", "上限所指的分位。"),
    ("load.error_limit", "失败比例的上限,如 0.1%。"),
    ("load.poisson", "请求彼此独立到达,而不是等间隔。"),
    ("load.seed", "随机数种子。"),
    ("inventory", "列出主机上运行的 Go 程序,以及通向它们的站点。"),
    ("inventory.root", "主机的根目录。"),
    ("doctor", "检查这台机器是否适合构建、是否适合作为发布目标。"),
    ("doctor.root", "主机的根目录。"),
    ("adopt", "把站点后面正在运行的程序原地接管为 blue;先给出计划。"),
    ("adopt.project", "项目目录,内有 guanka.toml 与 go.mod。"),
    ("adopt.env", "环境;guanka.toml 有多个时必须指明。"),
    ("adopt.domain", "站点域名;还没有 guanka.toml 时使用。"),
    ("adopt.port", "正在运行的程序的端口;默认取站点转发到的端口。"),
    ("adopt.host", "主机;还没有 guanka.toml 时使用:local:目录 或 user@host。"),
    ("adopt.pause_panel_proxy", "同意暂停面板对 / 的反向代理;离开时恢复。"),
    ("adopt.yes", "执行;不加则只给出计划,什么也不改动。"),
    ("leave", "把流量交还给接管前的程序,一切恢复原样;先给出计划。"),
    ("leave.project", "项目目录,内有 guanka.toml 与 go.mod。"),
    ("leave.env", "环境;guanka.toml 有多个时必须指明。"),
    ("leave.yes", "执行;不加则只给出计划,什么也不改动。"),
    ("remove", "把一个服务从主机上移除:先出 nginx,再停两臂,再删发布;数据保留。"),
    ("remove.project", "项目目录,内有 guanka.toml 与 go.mod。"),
    ("remove.env", "环境;guanka.toml 有多个时必须指明。"),
    ("remove.yes", "不再询问;没有终端时必需。"),
    ("host", "添加、列出、查看或移除经 SSH 到达的服务器。"),
    ("host add", "以 root 或 sudo 把 agent 装到一台主机,并生成只能与它通话的密钥。"),
    ("host add.name", "主机,写作 用户@主机;该用户是 root,或可免密 sudo。"),
    ("host add.fingerprint", "主机密钥应有的指纹 SHA256:…;没有终端时用它接受新密钥。"),
    ("host ls", "列出已添加的主机。"),
    ("host doctor", "主机是否应答、是否适合。"),
    ("host doctor.name", "guanka.toml 里写的主机,用户@主机。"),
    ("host rm", "在本机忘掉一台主机;那里运行的照常运行。"),
    ("host rm.name", "guanka.toml 里写的主机,用户@主机。"),
    ("prove", "证据说明了什么:合格 0,不合格 3,其余 9。"),
    ("prove.bad", "失败的请求数。"),
    ("prove.total", "请求总数。"),
    ("prove.limit", "失败比例的限值,如 0.06%。"),
    ("prove.rate", "预期的请求速率,如 2/s:给出证明所需时间。"),
    ("prove.any_time", "计数会被反复查看,而不是只在事先定好的时刻看一次。"),
    ("build", "只构建并校验制品;同样的源码得到同样的摘要。"),
    ("build.project", "项目目录,内有 guanka.toml 与 go.mod。"),
    ("build.env", "环境;guanka.toml 有多个时必须指明。"),
    ("build.target", "目标平台 linux/amd64 或 linux/arm64;默认同本机。"),
    ("build.out", "制品放在哪个目录;默认为项目下的 .guanka/build。"),
    ("plan", "列出发布会改动哪里、各关卡需要多久;什么也不改。"),
    ("plan.project", "项目目录,内有 guanka.toml 与 go.mod。"),
    ("plan.env", "环境;guanka.toml 有多个时必须指明。"),
    ("plan.traffic", "用户每秒请求数,用来估算观察与灰度需要多久。"),
    ("plan.verbose", "列出每个将改动文件的内容。"),
    ("plan.exit_code", "有改动时以 8 结束。"),
    ("ship", "发布:检查、构建、关卡、灰度、全量,或退回。"),
    ("ship.project", "项目目录,内有 guanka.toml 与 go.mod。"),
    ("ship.env", "环境;guanka.toml 有多个时必须指明。"),
    ("ship.until", "到这一步之后停下等待:check、build、stage、load、bake、canary。"),
    ("ship.no_wait", "交给控制器后立即返回;没有控制器时,只差时间(观察阶段)就先离开。"),
    ("ship.foreground", "就在这里驱动,即使有控制器。"),
    ("ship.override", "重新发布曾被退回的版本,并写明原因。"),
    ("status", "查看一切在哪一步。"),
    ("status.service", "只看这个服务,写作 应用.环境。"),
    ("status.watch", "持续查看:终端上有变化就重画,否则逐行追加;Ctrl-C 结束。"),
    ("status.project", "项目目录,内有 guanka.toml 与 go.mod。"),
    ("status.env", "环境;guanka.toml 有多个时必须指明。"),
    ("status.root", "查看某个主机根上的全部服务。"),
    ("logs", "查看两臂自身的输出,连同已切割的归档;-f 持续跟随,切割时不丢不重。"),
    ("logs.project", "项目目录,内有 guanka.toml 与 go.mod。"),
    ("logs.env", "环境;guanka.toml 有多个时必须指明。"),
    ("logs.arm", "只看一臂:blue 或 green;不写则两臂都看。"),
    ("logs.lines", "每臂最后多少行;默认 100。"),
    ("logs.since", "从何时起:10m、2h、2026-11-24 或 2026-11-24T15:04;无时区则按本机时区。"),
    ("logs.follow", "持续输出新写入的行,直到 Ctrl-C。"),
    ("rollback", "让旧版本取回全部流量。"),
    ("rollback.project", "项目目录,内有 guanka.toml 与 go.mod。"),
    ("rollback.env", "环境;guanka.toml 有多个时必须指明。"),
    ("rollback.foreground", "就在这里驱动,即使有控制器。"),
    ("resume", "继续被中断或暂停的发布。"),
    ("resume.project", "项目目录,内有 guanka.toml 与 go.mod。"),
    ("resume.env", "环境;guanka.toml 有多个时必须指明。"),
    ("resume.foreground", "就在这里驱动,即使有控制器。"),
    ("abort", "结束发布;稳定版本保有或取回全部流量。"),
    ("abort.project", "项目目录,内有 guanka.toml 与 go.mod。"),
    ("abort.env", "环境;guanka.toml 有多个时必须指明。"),
    ("abort.reason", "原因;写入审计日志。"),
    ("abort.foreground", "就在这里驱动,即使有控制器。"),
    ("report", "查看一次发布的经过:文本、JSON、Markdown 或单页 HTML。"),
    ("report.number", "发布编号;不写则为最近一次。"),
    ("report.project", "项目目录,内有 guanka.toml 与 go.mod。"),
    ("report.env", "环境;guanka.toml 有多个时必须指明。"),
    ("report.html", "把自包含的页面写入这个文件。"),
    ("report.markdown", "输出 Markdown。"),
    ("signals", "按路由和臂查看用户流量,口径与关卡一致。"),
    ("signals.project", "项目目录,内有 guanka.toml 与 go.mod。"),
    ("signals.env", "环境;guanka.toml 有多个时必须指明。"),
    ("signals.since", "回看多久。"),
    ("signals.synthetic", "看观察阶段 guanka 自己发出的请求,而不是用户的。"),
    ("audit", "校验或打印审计日志。"),
    ("audit verify", "校验审计日志与各发布日志的哈希链。"),
    ("audit verify.root", "主机的根目录。"),
    ("audit show", "按时间打印全部条目。"),
    ("audit show.root", "主机的根目录。"),
    ("agent", "守护一台主机;没有运行时,其他命令会自动启动它。"),
    ("agent.root", "主机的根目录。"),
    ("agent.helper", "只运行有 root 权限的那一半,由单元启动;它只做另一半请求的事。"),
    ("agent.worker", "只运行没有特权的那一半。"),
    ("agent.connect", "把 agent 接到标准输入输出:ssh 在远端运行的就是它。"),
    ("agent.install", "把本程序、它的单元与用户安装到位,并随系统启动 agent。"),
    ("agent.authorize", "与 --install 同用:一把只能与 agent 通话的 ssh 公钥。"),
    ("serve", "控制器:替 ship 驱动发布,可持续数天;终端关了也不停。"),
    ("serve.install", "把本程序与它的单元安装到位,并随系统启动控制器。"),
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
