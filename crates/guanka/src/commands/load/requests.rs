//! What `guanka load` sends: one request from `--method` and `--body`, or the kinds of `--request`
//! in turn.

use std::path::Path;

use guanka_core::say::Said;
use guanka_world::load::RequestSpec;

use super::{Args, reading};
use crate::failure::codes::{FILE, USAGE};
use crate::failure::{Failure, because, say};

/// One kind of request as it is written on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    method: String,
    path: String,
    body: String,
}

/// Reads `GET /path` or `POST /path BODY`.
pub(super) fn kind(text: &str) -> Result<Kind, String> {
    let mut parts = text.splitn(3, ' ');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(method), Some(path), body) if !method.is_empty() && path.starts_with('/') => {
            Ok(Kind {
                method: method.to_owned(),
                path: path.to_owned(),
                body: body.unwrap_or_default().to_owned(),
            })
        }
        _ => Err("a request is written \"GET /path\" or \"POST /path BODY\"".to_owned()),
    }
}

/// Returns what a `Host` header among the others says: it takes the place of the URL's host.
pub(super) fn host_header(headers: &[(String, String)]) -> Option<&str> {
    headers.iter().find(|(name, _)| is_host(name)).map(|(_, value)| value.as_str())
}

/// Returns the kinds of requests to send below a URL's path.
pub(super) fn of(args: &Args, base: &str) -> Result<Vec<RequestSpec>, Failure> {
    let headers: Vec<(String, String)> =
        args.headers.iter().filter(|(name, _)| !is_host(name)).cloned().collect();
    if args.requests.is_empty() {
        let (method, body) = (args.method.clone(), body(args.body.as_deref())?);
        return Ok(vec![RequestSpec { method, headers, body, ..RequestSpec::get(base) }]);
    }
    if base.contains('?') {
        let why = say(
            "与 --request 同用时,地址不能带查询串。",
            "with --request the URL has no query of its own.",
        );
        return Err(Failure::new(&USAGE, reading(&args.url), why));
    }
    let base = base.trim_end_matches('/');
    let spec = |kind: &Kind| RequestSpec {
        name: format!("{} {}", kind.method, kind.path.split('?').next().unwrap_or(&kind.path)),
        method: kind.method.clone(),
        headers: headers.clone(),
        body: kind.body.clone().into_bytes(),
        ..RequestSpec::get(&format!("{base}{}", kind.path))
    };
    Ok(args.requests.iter().map(spec).collect())
}

fn is_host(name: &str) -> bool {
    name.eq_ignore_ascii_case("host")
}

/// Returns a body: the text itself, or what the file behind `@` holds.
fn body(text: Option<&str>) -> Result<Vec<u8>, Failure> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let Some(file) = text.strip_prefix('@') else { return Ok(text.as_bytes().to_vec()) };
    RequestSpec::body_from(Path::new(file)).map_err(|error| {
        let doing = Said::new(format!("正在读取请求体 {file}"), format!("reading the body {file}"));
        Failure::new(&FILE, doing, because(&error))
    })
}

#[cfg(test)]
mod tests {
    use super::{Kind, kind};

    #[test]
    fn a_request_is_a_method_a_path_and_the_rest_as_body() {
        let made = |method: &str, path: &str, body: &str| {
            Ok(Kind { method: method.into(), path: path.into(), body: body.into() })
        };
        assert_eq!(kind("GET /a?q=b+c"), made("GET", "/a?q=b+c", ""));
        assert_eq!(kind("POST /a {\"b\": 1}"), made("POST", "/a", "{\"b\": 1}"));
        for text in ["", "GET", "/a", "GET a", " /a"] {
            assert!(kind(text).is_err(), "{text}");
        }
    }
}
