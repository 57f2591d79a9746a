//! The list itself: every section and key of `guanka.toml`, in the order of the documentation.

use guanka_core::say::Text;

use super::keys::{Key, KeyKind, Section};
use super::process;

pub(super) const fn key(
    name: &'static str,
    kind: KeyKind,
    default: &'static str,
    about: Text,
) -> Key {
    Key { name, kind, default, about }
}

pub(super) const fn t(zh: &'static str, en: &'static str) -> Text {
    Text { zh, en }
}

/// Every section, in the order of the documentation.
pub const SECTIONS: &[Section] = &[
    Section {
        path: "app",
        about: t("程序本身", "the program"),
        keys: &[
            key(
                "name",
                KeyKind::Text,
                "",
                t("应用名:[a-z][a-z0-9-]{0,17}", "the app: [a-z][a-z0-9-]{0,17}"),
            ),
            key("program", KeyKind::Text, ".", t("main 包所在目录", "the folder of package main")),
            key(
                "kind",
                KeyKind::Word(&["http"]),
                "http",
                t("程序类型", "what kind of program it is"),
            ),
            key(
                "listen_env",
                KeyKind::Text,
                "",
                t("告知监听地址的环境变量", "the variable that tells it where to listen"),
            ),
            key(
                "listen",
                KeyKind::Word(&["host:port", "port"]),
                "host:port",
                t("该变量的取值形式", "what the variable holds"),
            ),
            key(
                "args",
                KeyKind::Texts,
                "[]",
                t("参数;{listen} 会替换为监听地址", "arguments; {listen} becomes the address"),
            ),
            key("health", KeyKind::Text, "/healthz", t("健康检查路径", "the health path")),
        ],
    },
    Section {
        path: "build",
        about: t("如何构建", "how it is built"),
        keys: &[
            key(
                "go",
                KeyKind::Text,
                "from go.mod",
                t("Go 版本,或 \"from go.mod\"", "the Go version, or \"from go.mod\""),
            ),
            key("cgo", KeyKind::Switch, "false", t("是否允许 cgo", "whether cgo is allowed")),
            key(
                "targets",
                KeyKind::Texts,
                "[\"linux/amd64\"]",
                t("目标平台;主机各取所需", "targets; a host picks its own"),
            ),
            key(
                "flags",
                KeyKind::Texts,
                "[]",
                t("附加的 go build 参数(-tags=…)", "more flags for go build (-tags=…)"),
            ),
            key(
                "include",
                KeyKind::Texts,
                "[]",
                t("随二进制发布的文件", "files shipped beside the binary"),
            ),
        ],
    },
    Section {
        path: "env.*",
        about: t("环境:应用加环境即服务", "an environment: app and environment are a service"),
        keys: &[
            key(
                "hosts",
                KeyKind::Texts,
                "[]",
                t("主机:\"local:目录\" 或 \"用户@主机\"", "hosts: \"local:DIR\" or \"user@host\""),
            ),
            key(
                "production",
                KeyKind::Switch,
                "true",
                t("生产环境:压测只能走 safe_routes", "production: load may use safe_routes only"),
            ),
            key(
                "safe_routes",
                KeyKind::Texts,
                "[]",
                t("生产环境里压测可用的路由", "routes that load may use in production"),
            ),
        ],
    },
    process::PROCESS,
    process::LIVENESS,
    Section {
        path: "probe",
        about: t(
            "就绪探测,由 agent 发起;不应答的臂,流量交给另一臂,但绝不交给候选:候选只得关卡给的份额",
            "readiness, asked by the agent; an arm that does not answer gives its requests to the \
             other one, never to a candidate, which gets what its gates give it",
        ),
        keys: &[
            key(
                "path",
                KeyKind::Text,
                "",
                t("路径,默认同 app.health", "the path; app.health by default"),
            ),
            key("method", KeyKind::Word(&["GET", "HEAD"]), "GET", t("方法", "the method")),
            key("expect", KeyKind::Number, "200", t("期望状态码", "the expected status")),
            key("every", KeyKind::Duration, "5s", t("间隔", "the time between two probes")),
            key(
                "fails",
                KeyKind::Number,
                "2",
                t("连续失败几次算不就绪", "failures in a row that make it not ready"),
            ),
            key(
                "passes",
                KeyKind::Number,
                "2",
                t("连续通过几次算就绪", "passes in a row that make it ready"),
            ),
            key("timeout", KeyKind::Duration, "2s", t("单次时限", "the time one probe may take")),
        ],
    },
    Section {
        path: "data",
        about: t("跨发布保留的数据", "data that outlives releases"),
        keys: &[key(
            "dirs",
            KeyKind::Texts,
            "[]",
            t("可写目录,不随发布清理", "writable folders, never pruned"),
        )],
    },
    Section {
        path: "proxy",
        about: t("nginx 一侧", "the nginx side"),
        keys: super::proxy_keys::KEYS,
    },
    Section {
        path: "logs",
        about: t("日志", "logs"),
        keys: &[
            key("rotate", KeyKind::Size, "100M", t("达到此大小即切割", "rotated at this size")),
            key(
                "every",
                KeyKind::Duration,
                "",
                t("满此时长也切割,如 \"24h\"", "rotated after this time too, like \"24h\""),
            ),
            key("keep", KeyKind::Number, "7", t("保留份数", "how many are kept")),
            key(
                "budget",
                KeyKind::Size,
                "2G",
                t(
                    "全部日志合计上限,先删最旧的归档",
                    "the most all logs take; the oldest archives go first",
                ),
            ),
            key(
                "place",
                KeyKind::Word(&["file", "journald"]),
                "file",
                t(
                    "两臂输出写到文件还是 journald(仅 systemd)",
                    "where the arms' output goes; journald under systemd only",
                ),
            ),
        ],
    },
    Section {
        path: "releases",
        about: t("主机上的旧版本", "old releases on a host"),
        keys: &[
            key("keep", KeyKind::Number, "5", t("保留个数", "how many stay")),
            key(
                "budget",
                KeyKind::Size,
                "2G",
                t("合计上限;使用中的不删", "the most they take; those in use stay"),
            ),
        ],
    },
    Section {
        path: "slo.*",
        about: t("服务目标", "an objective"),
        keys: &[
            key(
                "indicator",
                KeyKind::Word(&["success", "p50", "p90", "p95", "p99"]),
                "success",
                t("指标:成功率或延迟分位", "success, or a latency quantile"),
            ),
            key(
                "route",
                KeyKind::Text,
                "",
                t(
                    "路由,如 \"POST /orders\";不写则为全部",
                    "the route, \"POST /orders\"; all without it",
                ),
            ),
            key(
                "objective",
                KeyKind::Limit,
                "",
                t("目标:\"99.95%\" 或 \"800ms\"", "what is promised: \"99.95%\" or \"800ms\""),
            ),
            key(
                "limit",
                KeyKind::Limit,
                "",
                t(
                    "关卡拦截线:坏请求占比 \"0.06%\" 或 \"950ms\";默认等于目标",
                    "what gates block at: bad share \"0.06%\" or \"950ms\"; else the objective",
                ),
            ),
            key("bad_when", KeyKind::Texts, "[\"status >= 500\"]", t("何为坏请求", "what is bad")),
            key("window", KeyKind::Duration, "30d", t("预算窗口", "the budget's window")),
        ],
    },
    Section {
        path: "gates.static",
        about: t("静态关卡", "the static gate"),
        keys: &[key(
            "allow",
            KeyKind::Allows,
            "[]",
            t("放行的检查:{ check, until, reason }", "allowed checks: { check, until, reason }"),
        )],
    },
    Section {
        path: "gates.load",
        about: t("压测关卡", "the load gate"),
        keys: &[
            key(
                "rate",
                KeyKind::Rate,
                "",
                t("每秒请求数,不等响应", "requests per second, whatever the answers do"),
            ),
            key("for", KeyKind::Duration, "60s", t("时长", "how long")),
            key(
                "warm_up",
                KeyKind::Duration,
                "2s",
                t("开头不计入的时间", "time at the start that is not counted"),
            ),
            key("connections", KeyKind::Number, "64", t("连接数", "connections")),
            key("slo", KeyKind::TextOrTexts, "", t("所判目标", "the objectives it judges")),
            key(
                "limit",
                KeyKind::Limit,
                "",
                t("拦截线,默认取目标自己的", "what it blocks at; the objective's own by default"),
            ),
            key(
                "requests",
                KeyKind::Texts,
                "",
                t("依次发送:\"POST /orders {…}\"", "what is sent in turn: \"POST /orders {…}\""),
            ),
            key(
                "retries",
                KeyKind::Number,
                "2",
                t("数据无效时重跑次数", "how often an invalid run is repeated"),
            ),
        ],
    },
    Section {
        path: "gates.bake",
        about: t("观察关卡", "the bake gate"),
        keys: &[
            key("for", KeyKind::Duration, "72h", t("时长", "how long")),
            key("slo", KeyKind::TextOrTexts, "", t("所判目标", "the objectives it judges")),
            key(
                "limit",
                KeyKind::Limit,
                "",
                t("拦截线,默认取目标自己的", "what it blocks at; the objective's own by default"),
            ),
            key(
                "traffic",
                KeyKind::TextOrTexts,
                "[\"synthetic\"]",
                t(
                    "live、synthetic;各自判定,绝不合并",
                    "live, synthetic; each judged alone, never pooled",
                ),
            ),
            key(
                "requests",
                KeyKind::Texts,
                "[]",
                t("synthetic 流量发送的请求", "what synthetic traffic sends"),
            ),
            key(
                "rate",
                KeyKind::Rate,
                "1/s",
                t("synthetic 流量的速率", "the rate of synthetic traffic"),
            ),
            key(
                "min_requests",
                KeyKind::Number,
                "0",
                t("少于此数不作判定,绝不因此通过", "fewer decide nothing; they never pass"),
            ),
        ],
    },
    Section {
        path: "gates.canary",
        about: t("灰度关卡", "the canary gate"),
        keys: &[
            key(
                "steps",
                KeyKind::Texts,
                "[\"10% 10m\", \"100%\"]",
                t("候选占比与最短停留", "the candidate's share and the least time at it"),
            ),
            key(
                "compare",
                KeyKind::Word(&["baseline", "none"]),
                "baseline",
                t("与稳定臂同时段对比", "compare with the stable arm in the same hours"),
            ),
            key(
                "slo",
                KeyKind::TextOrTexts,
                "",
                t("所判目标,默认全部", "the objectives it judges; all by default"),
            ),
            key(
                "deadline",
                KeyKind::Duration,
                "72h",
                t("到期仍未证明则退回", "nothing proven by then: back to stable"),
            ),
            key(
                "too_little_traffic",
                KeyKind::Word(&["wait", "treat-as-fail"]),
                "wait",
                t(
                    "流量太少怎么办;没有“通过”这个选项",
                    "what too little traffic means; never a pass",
                ),
            ),
            key(
                "invalid_grace",
                KeyKind::Duration,
                "10m",
                t("数据无效超过此时长即不再续约", "invalid for longer: the lease is not renewed"),
            ),
            key(
                "settle",
                KeyKind::Duration,
                "10m",
                t("全量后旧臂保温多久", "how long the old arm stays warm after full"),
            ),
        ],
    },
    Section {
        path: "gates.settle",
        about: t("没有灰度关卡时的保温", "the old arm's time where there is no canary gate"),
        keys: &[key(
            "for",
            KeyKind::Duration,
            "60s",
            t("全量后旧臂保温多久", "how long the old arm stays warm after full"),
        )],
    },
];
