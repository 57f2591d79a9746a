//! `[proxy]`: the site, the time limits, and the paths that are treated otherwise than the rest.

use core::net::SocketAddr;

use guanka_core::facts::declared::{ForwardedProto, Proxy, Sticky};
use guanka_core::facts::guard::{Guard, Metrics, MetricsFrom, Network, PasswordLine, UpstreamTls};
use guanka_core::name::Domain;
use guanka_core::say::Said;

use super::reader::Reader;
use super::sections::{absolute, check, url_path};

const PROXY: &str = "proxy";
/// Where the metrics are when neither the file nor the source says so.
const METRICS: &str = "/metrics";

pub(super) fn proxy(reader: &mut Reader<'_, '_>) -> Option<Proxy> {
    let name = reader.required(PROXY, "domain", "\"api.example.com\"")?;
    let name = check(reader, PROXY, "domain", name, domain)?;
    let sticky = reader.text(PROXY, "sticky")?;
    Some(Proxy {
        domain: name,
        sticky: check(reader, PROXY, "sticky", sticky, sticky_by)?,
        upload_max: reader.size(PROXY, "upload_max")?,
        read_timeout: reader.duration(PROXY, "read_timeout")?,
        keepalive: reader.duration(PROXY, "keepalive")?,
        forwarded_proto: match reader.word(PROXY, "forwarded_proto", &["scheme", "https"])? {
            word if word == "https" => ForwardedProto::Https,
            _ => ForwardedProto::Scheme,
        },
        streams: reader.each(PROXY, "streams", route_path),
        stream_timeout: reader.duration(PROXY, "stream_timeout")?,
        debug: Guard {
            paths: reader.each(PROXY, "debug_paths", closed_path),
            allow: reader.each(PROXY, "debug_allow", network),
            users: users(reader),
        },
        metrics: metrics(reader),
    })
}

/// Reads the users; what was written in place of a hash is not shown, it may be a password.
fn users(reader: &mut Reader<'_, '_>) -> Vec<PasswordLine> {
    let mut lines = Vec::new();
    for (text, at) in reader.texts(PROXY, "debug_users") {
        match PasswordLine::new(&text) {
            Ok(line) => lines.push(line),
            Err(_) => {
                let what = Said::new(
                    "proxy.debug_users 中有一项不是“名字:散列”",
                    "an entry of proxy.debug_users is no name:hash",
                );
                let next = Said::new(
                    "用 `openssl passwd -6` 生成散列,写成 \"ops:$6$…\";不要写明文口令",
                    "make the hash with `openssl passwd -6` and write \"ops:$6$…\", never \
                     the password itself",
                );
                reader.problem::<()>(PROXY, "debug_users", at, what, next);
            }
        }
    }
    lines
}

/// Reads the keys of the metrics; `None` when none of them is written.
fn metrics(reader: &mut Reader<'_, '_>) -> Option<Metrics> {
    let keys = ["metrics", "metrics_from", "metrics_allow", "metrics_ca", "metrics_name"];
    let section = reader.section(PROXY)?;
    if keys.iter().all(|key| section.get(key).is_none()) {
        return None;
    }
    let path = match reader.text(PROXY, "metrics") {
        Some(text) => Some(check(reader, PROXY, "metrics", text, plain_path)?),
        None => None,
    };
    let ca = match reader.text(PROXY, "metrics_ca") {
        Some(text) => {
            let text = check(reader, PROXY, "metrics_ca", text, |t| absolute(t).map(str::to_owned));
            Some(text?)
        }
        None => None,
    };
    let name = match reader.text(PROXY, "metrics_name") {
        Some(text) => Some(check(reader, PROXY, "metrics_name", text, domain)?),
        None => None,
    };
    let from = match reader.text(PROXY, "metrics_from") {
        Some(text) => check(reader, PROXY, "metrics_from", text, metrics_from)?,
        None => MetricsFrom::Arm(METRICS.to_owned()),
    };
    let allow = reader.each(PROXY, "metrics_allow", network);
    let from = with_tls(reader, from, UpstreamTls { name, ca })?;
    let own = match &from {
        MetricsFrom::Arm(path) | MetricsFrom::Address { path, .. } => path.clone(),
    };
    Some(Metrics { path: path.unwrap_or(own), from, allow })
}

/// Lays name and authority onto an https source, and refuses them where nothing would use them, as
/// well as a certificate from the network that nobody would look at.
fn with_tls(
    reader: &mut Reader<'_, '_>,
    from: MetricsFrom,
    given: UpstreamTls,
) -> Option<MetricsFrom> {
    match from {
        MetricsFrom::Address { address, path, tls: Some(_) } => {
            if given.ca.is_none() && !address.ip().is_loopback() {
                let what = Said::new(
                    format!("proxy.metrics_from 指向 {address},却没有 proxy.metrics_ca"),
                    format!("proxy.metrics_from is at {address}, and proxy.metrics_ca is missing"),
                );
                let next = Said::new(
                    "写上 metrics_ca 与 metrics_name:本机之外的证书必须校验",
                    "write metrics_ca and metrics_name: a certificate from elsewhere is verified",
                );
                let at = reader.place(PROXY, "metrics_from");
                return reader.problem(PROXY, "metrics_from", at, what, next);
            }
            Some(MetricsFrom::Address { address, path, tls: Some(given) })
        }
        other if given.ca.is_none() && given.name.is_none() => Some(other),
        _ => {
            let key = if given.ca.is_some() { "metrics_ca" } else { "metrics_name" };
            let what = Said::new(
                format!("proxy.{key} 只对 https 的 metrics_from 有意义"),
                format!("proxy.{key} means something only with an https metrics_from"),
            );
            let next = Said::new(
                "写 metrics_from = \"https://127.0.0.1:端口/metrics\",或删去这一行",
                "write metrics_from = \"https://127.0.0.1:PORT/metrics\", or remove this line",
            );
            let at = reader.place(PROXY, key);
            reader.problem(PROXY, key, at, what, next)
        }
    }
}

/// Reads `/metrics`, `http://127.0.0.1:9100/metrics` or `https://127.0.0.1:9100/metrics`. nginx
/// would look a name up once, when it starts, and not start without an answer.
fn metrics_from(text: &str) -> Result<MetricsFrom, Said> {
    if text.starts_with('/') {
        return plain_path(text).map(MetricsFrom::Arm);
    }
    let wrong = || {
        Said::new(
            "写成 \"/metrics\" 或 \"https://127.0.0.1:9443/metrics\"(地址,不是域名)",
            "write \"/metrics\" or \"https://127.0.0.1:9443/metrics\", an address and no name",
        )
    };
    let (rest, is_tls) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (rest, true),
        (None, Some(rest)) => (rest, false),
        (None, None) => return Err(wrong()),
    };
    let slash = rest.find('/').ok_or_else(wrong)?;
    let address: SocketAddr = rest[..slash].parse().map_err(|_| wrong())?;
    let path = plain_path(&rest[slash..])?;
    let tls = is_tls.then_some(UpstreamTls { name: None, ca: None });
    Ok(MetricsFrom::Address { address, path, tls })
}

fn domain(text: &str) -> Result<Domain, Said> {
    Domain::new(text).map_err(|_| {
        Said::new("只含字母、数字、点和连字符的域名", "a name of letters, digits, dots and hyphens")
    })
}

fn network(text: &str) -> Result<Network, Said> {
    Network::new(text).map_err(|_| {
        Said::new(
            "写成地址、网段(10.0.0.0/8)或 \"all\"",
            "write an address, a network like 10.0.0.0/8, or \"all\"",
        )
    })
}

/// Accepts a path as a location of nginx can name it: decoded, without variables.
fn plain_path(text: &str) -> Result<String, Said> {
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || b"/-_.~".contains(&b);
    let is_plain = !text.contains("//") && !text.split('/').any(|part| matches!(part, "." | ".."));
    if is_plain && text.bytes().all(is_letter) {
        return url_path(text);
    }
    Err(Said::new(
        "以 / 开头,只含字母、数字与 - _ . ~",
        "a path that starts with / and holds letters, digits and - _ . ~",
    ))
}

/// Accepts a path that can be closed: not the whole site.
fn closed_path(text: &str) -> Result<String, Said> {
    match plain_path(text)? {
        path if path == "/" => Err(Said::new("不能是整个站点", "a path below /, not the site")),
        path => Ok(path),
    }
}

/// Accepts a path as a router writes it: `/ws/{id}`, `/events/`, `/live/*`, `/room/:id`.
fn route_path(text: &str) -> Result<String, Said> {
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || b"/-_.~{}:*$".contains(&b);
    if text.starts_with('/') && text.len() <= 200 && text.bytes().all(is_letter) {
        return Ok(text.to_owned());
    }
    Err(Said::new(
        "写成路由的路径,如 \"/events\"、\"/ws/{id}\"、\"/live/*\"",
        "write a route's path: \"/events\", \"/ws/{id}\", \"/live/*\"",
    ))
}

fn sticky_by(text: &str) -> Result<Sticky, Said> {
    match text {
        "client" => Ok(Sticky::Client),
        "request" => Ok(Sticky::Request),
        _ => match text.strip_prefix("cookie:") {
            Some(name)
                if !name.is_empty()
                    && name.len() <= 64
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') =>
            {
                Ok(Sticky::Cookie(name.to_owned()))
            }
            _ => Err(Said::new(
                "client、request 或 cookie:名字(字母、数字、下划线)",
                "client, request or cookie:NAME of letters, digits and _",
            )),
        },
    }
}
