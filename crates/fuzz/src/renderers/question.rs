//! A request to a program or a site, read as a server reads it: the first line's three words, then
//! a header a line.

use guanka_world::http;

use super::{Field, Renderer, Texts, Trouble, refused, same};
use crate::tape::Tape;

/// A request.
pub const QUESTION: Renderer = Renderer {
    name: "question",
    fields: &[
        Field { name: "method", plain: "GET", frame: "G{}" },
        Field { name: "host", plain: "shop.example.com", frame: "shop{}.example" },
        Field { name: "path", plain: "/healthz", frame: "/a{}" },
        Field { name: "header", plain: "X-Guanka-Nonce", frame: "X{}" },
        Field { name: "header's value", plain: "abc", frame: "a{}b" },
    ],
    trial,
};

fn trial(values: &[&str], _: &mut Tape<'_>) -> Result<Texts, Trouble> {
    let &[method, host, path, header, value] = values else { return Err(refused("five values")) };
    let bytes = http::question(method, host, path, &[(header, value)])
        .ok_or_else(|| refused("the request holds letters it must not hold"))?;
    let text = String::from_utf8(bytes).map_err(refused)?;
    let Some((head, "")) = text.split_once("\r\n\r\n") else {
        return Err(Trouble::Differs(format!("no head and nothing behind it: {text:?}")));
    };
    let mut lines = head.split("\r\n");
    let first: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    same("the first line", &first, &vec![method, path, "HTTP/1.1"])?;
    let headers: Vec<Option<(&str, &str)>> = lines.map(|line| line.split_once(": ")).collect();
    let mut meant = vec![Some(("Host", host)), Some(("Connection", "close"))];
    meant.push(Some((header, value)));
    if !matches!(method, "GET" | "HEAD") {
        meant.push(Some(("Content-Length", "0")));
    }
    same("the headers", &headers, &meant)?;
    // A lone one of these ends a line for some servers.
    same("lone line ends", &head.replace("\r\n", "").contains(['\r', '\n', '\0']), &false)?;
    // A header that says how long the body is twice lets a server see another request behind it.
    let frames = |name: &str| matches!(name, "content-length" | "transfer-encoding" | "host");
    same("a framing header", &frames(&header.to_ascii_lowercase()), &false)?;
    Ok(vec![text])
}
