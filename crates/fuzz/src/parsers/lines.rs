//! What comes line by line or word by word: access logs, socket tables, nginx's version, names,
//! frames between processes.

use guanka_core::name::{Digest, Domain, ServiceName};
use guanka_parse::{accesslog, nginx, procnet};
use guanka_world::transport::{frame, ssh::Target, wire};
use serde_json::json;

use super::texts;
use crate::corpus;
use crate::tape::Tape;
use crate::target::End;

/// A line with hostile values, as a server that escapes them writes it, must read back; a line that
/// was changed must read or not, and nothing else.
pub(super) fn access_log(tape: &mut Tape<'_>) -> Result<End, String> {
    let (method, uri) = (corpus::text(tape, "G{}"), corpus::text(tape, "/a{}"));
    let nonce = if tape.below(2) == 0 { String::new() } else { corpus::text(tape, "{}") };
    let status = 100 + tape.below(900) as u16;
    let ms = tape.number() % 1_000_000;
    let slot = tape.below(100);
    let line = json!({
        "time": 1_700_000_000.5, "arm": "green", "slot": format!("s{slot:02}"),
        "method": method, "uri": uri, "status": status.to_string(),
        "request_time": ms as f64 / 1000.0, "upstream_addr": "127.0.0.1:18001, 127.0.0.1:18002",
        "upstream_status": "502, 200", "bytes": 12, "nonce": nonce,
    })
    .to_string();
    if tape.below(2) == 1 {
        let bytes = texts::bytes(tape, line.as_bytes());
        let is_read = accesslog::read_line(&bytes).is_some();
        return Ok(if is_read { End::Whole } else { End::Refused });
    }
    let Some(read) = accesslog::read_line(line.as_bytes()) else {
        return Err(format!("{line} is not read"));
    };
    let found = (&read.method, &read.path, read.status, read.latency_ms, read.tries);
    let is_same = found == (&method, &uri, status, ms, 2)
        && read.slot.map(|s| usize::from(s.get())) == Some(slot)
        && read.nonce.unwrap_or_default() == nonce;
    if is_same { Ok(End::Whole) } else { Err(format!("{line} is read otherwise")) }
}

const TABLE: &str = "\
\x20 sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeo\
ut inode\n\
\x20  0: 0100007F:46A1 00000000:0000 0A 00000000:00000000 00:00000000 00000000     \
0        0 123456 1\n\
\x20  1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 000\
00000:00000000 00:00000000 00000000  1000        0 99 1\n";
const TABLE_PIECES: &[&str] = &[
    "0100007F:46A1",
    " ",
    "0A",
    "\n",
    ":",
    "00000000",
    "0:",
    "FFFFFFFF:FFFF",
    "123456",
    "-1",
    "x",
    "00000000000000000000000001000000:0050",
    "99999999999999999999",
];

pub(super) fn proc_net(tape: &mut Tape<'_>) -> Result<End, String> {
    let sockets = procnet::read(&texts::text(tape, TABLE, TABLE_PIECES));
    Ok(if sockets.is_empty() { End::Refused } else { End::Whole })
}

const VERSION: &str = "\
nginx version: nginx/1.22.1\nbuilt with OpenSSL 3.0.2\n\
configure arguments: --prefix=/etc/nginx --with-cc-opt='-g -O2' --with-http_ssl_module\n";
const VERSION_PIECES: &[&str] = &[
    "nginx version: ",
    "nginx/",
    "1.22.1",
    "1.",
    "99999999999",
    "\n",
    "configure arguments: ",
    "--prefix=/a",
    "--with-x",
    "'",
    "\"",
    " ",
    "openresty/1.21.4.1",
    "Tengine/2.3.3",
];

pub(super) fn nginx_version(tape: &mut Tape<'_>) -> Result<End, String> {
    let fact = nginx::version(&texts::text(tape, VERSION, VERSION_PIECES));
    Ok(if fact.known().is_some() { End::Whole } else { End::Refused })
}

/// A name that was accepted holds only what its type promises, and reads back from its own text.
pub(super) fn names(tape: &mut Tape<'_>) -> Result<End, String> {
    let (app, env) = (corpus::text(tape, "a{}"), corpus::text(tape, "p{}"));
    let word = corpus::text(tape, "a{}.cn");
    let mut end = End::Refused;
    let is_low = |text: &str| {
        text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b))
    };
    if let Ok(service) = ServiceName::new(&app, &env) {
        let again = ServiceName::try_from(service.to_string());
        let names = [service.to_string(), service.underscored(), service.user()];
        if again.as_ref() != Ok(&service) || !names.iter().all(|name| is_low(name)) {
            return Err(format!("{service:?} is no service: {names:?}"));
        }
        end = End::Whole;
    }
    if let Ok(domain) = Domain::new(&word) {
        if !is_low(&domain.as_str().to_ascii_lowercase()) || domain.as_str() != word {
            return Err(format!("{word:?} is no domain"));
        }
        end = End::Whole;
    }
    if let Some(target) = Target::parse(&word)
        && (target.as_str() != word || word.starts_with('-') || target.host().starts_with('-'))
    {
        return Err(format!("{word:?} is no host"));
    }
    if let Ok(digest) = Digest::new(&word)
        && digest.short().len() != 12
    {
        return Err(format!("{word:?} is no digest"));
    }
    Ok(end)
}

/// Frames that were cut or changed, and messages that are nearly right.
pub(super) fn frames(tape: &mut Tape<'_>) -> Result<End, String> {
    let message = json!({ "ask": "hello", "with": { "protocol": tape.below(4) } }).to_string();
    let mut right = Vec::new();
    frame::write(&mut right, frame::FrameKind::Message, message.as_bytes())
        .map_err(|error| error.to_string())?;
    let mut bytes = texts::bytes(tape, &right);
    // A length of 64 MB is taken at its word, which is meant and only slow here.
    if let Some(high) = bytes.get_mut(1..3) {
        high.fill(0);
    }
    let mut stream = bytes.as_slice();
    let mut end = End::Refused;
    while let Ok(Some((_, content))) = frame::read(&mut stream) {
        if serde_json::from_slice::<wire::Request>(&content).is_ok()
            | serde_json::from_slice::<wire::Answer>(&content).is_ok()
        {
            end = End::Whole;
        }
    }
    Ok(end)
}
