//! The keys of `[proxy]`: a part of the one list.

use super::keys::{Key, KeyKind};
use super::listing::{key, t};

/// The keys, in the order of the documentation.
pub(super) const KEYS: &[Key] = &[
    key("domain", KeyKind::Text, "", t("站点域名", "the site's domain")),
    key(
        "sticky",
        KeyKind::Text,
        "client",
        t("粘性:client、request 或 cookie:名字", "client, request or cookie:NAME"),
    ),
    key("upload_max", KeyKind::Size, "10m", t("请求体上限", "the largest request body")),
    key(
        "read_timeout",
        KeyKind::Duration,
        "60s",
        t("两次读之间 nginx 的等待", "nginx's patience between two reads"),
    ),
    key(
        "keepalive",
        KeyKind::Duration,
        "30s",
        t(
            "到程序的空闲连接保留多久,须短于 Go 的 IdleTimeout",
            "how long idle upstream connections are kept; shorter than Go's IdleTimeout",
        ),
    ),
    key(
        "forwarded_proto",
        KeyKind::Word(&["scheme", "https"]),
        "scheme",
        t(
            "X-Forwarded-Proto:nginx 处的协议;TLS 在前面的 CDN 终止时写 https",
            "X-Forwarded-Proto: the scheme at nginx, or https where a CDN before it ends TLS",
        ),
    ),
    key(
        "streams",
        KeyKind::Texts,
        "[]",
        t(
            "流式路由(WebSocket、SSE),如 \"/ws/{id}\";源码中的会自动加入",
            "routes that stream (WebSocket, SSE), \"/ws/{id}\"; those in the source are added",
        ),
    ),
    key(
        "stream_timeout",
        KeyKind::Duration,
        "1h",
        t("流式路由上两次读之间的等待", "nginx's patience between two reads on those routes"),
    ),
    key(
        "debug_paths",
        KeyKind::Texts,
        "[]",
        t(
            "不对外的路径;源码中的 pprof、expvar 会自动加入",
            "paths closed to the outside; pprof and expvar in the source are added",
        ),
    ),
    key(
        "debug_allow",
        KeyKind::Texts,
        "[]",
        t(
            "可访问这些路径的地址或网段;不写则谁都不行,\"all\" 为所有人",
            "addresses that may ask for them; nobody by default, \"all\" is everybody",
        ),
    ),
    key(
        "debug_users",
        KeyKind::Texts,
        "[]",
        t(
            "须再报口令的用户:名字:散列(openssl passwd -6 所得)",
            "users that must give a password too: name:hash, made by openssl passwd -6",
        ),
    ),
    key(
        "metrics",
        KeyKind::Text,
        "",
        t(
            "经 nginx 取指标的路径,默认同源码,只对本机开放",
            "the path of the metrics through nginx; as in the source, for this machine alone",
        ),
    ),
    key(
        "metrics_from",
        KeyKind::Text,
        "",
        t(
            "指标的来源:程序内路径,或 \"https://127.0.0.1:端口/路径\"",
            "where they come from: a path of the program, or \"https://127.0.0.1:PORT/PATH\"",
        ),
    ),
    key(
        "metrics_allow",
        KeyKind::Texts,
        "[]",
        t(
            "除本机外可取指标的地址或网段;\"all\" 为所有人",
            "addresses beside this machine that may fetch them; \"all\" is everybody",
        ),
    ),
    key(
        "metrics_ca",
        KeyKind::Text,
        "",
        t(
            "签发指标端证书的 CA 文件(在主机上);写了即校验证书",
            "the CA file, on the host, that the https source's certificate must come from",
        ),
    ),
    key(
        "metrics_name",
        KeyKind::Text,
        "",
        t("指标端证书中的名字(SNI)", "the name in that certificate (SNI)"),
    ),
];
