//! Asks Supervisor itself how a program does, over its socket. Its client is a Python program: each
//! call takes a small host's processor for a fifth of a second, and a release asks a dozen times.
//! Whatever is not answered as expected (a password, another form) is left to the client.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use guanka_parse::xmlrpc;

use crate::hostroot::HostRoot;

/// Supervisor answers at once or is stuck; the client then says what is wrong.
const LIMIT: Duration = Duration::from_secs(5);
/// An answer about one program has a thousand bytes.
const ANSWER_MAX: u64 = 64 << 10;
/// Supervisor's number for a name that it does not know.
const BAD_NAME: i64 = 10;

/// Finds the socket that a configuration names, as written or below the host's root.
pub(super) fn socket(host: &HostRoot, config: &str) -> Option<PathBuf> {
    let mut is_inside = false;
    let mut written = None;
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            is_inside = line.starts_with("[unix_http_server]");
        } else if is_inside && let Some((key, value)) = line.split_once('=') {
            let value = value.split(" ;").next().unwrap_or(value).trim();
            written = if key.trim() == "file" { Some(value) } else { written };
        }
    }
    let written = Path::new(written?);
    let path = if written.starts_with(host.root()) {
        written.to_owned()
    } else {
        host.at(written.to_str()?)
    };
    written.is_absolute().then_some(path)
}

/// Returns a program's line as the client would print it.
pub(super) fn status_line(socket: &Path, program: &str) -> Option<String> {
    let answer = ask(socket, program)?;
    match xmlrpc::fault(&answer) {
        Some(BAD_NAME) => return Some(format!("{program}: ERROR (no such process)")),
        Some(_) => return None,
        None => {}
    }
    let state = xmlrpc::member(&answer, "statename")?;
    let description = xmlrpc::member(&answer, "description").unwrap_or_default();
    Some(format!("{program} {state} {}", description.replace(['\n', '\r'], " ")))
}

fn ask(socket: &Path, program: &str) -> Option<String> {
    // Names of guanka's programs hold nothing that XML reads as syntax.
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if !program.bytes().all(plain) {
        return None;
    }
    let body = format!(
        "<?xml version='1.0'?><methodCall><methodName>supervisor.getProcessInfo</methodName>\
         <params><param><value><string>{program}</string></value></param></params></methodCall>"
    );
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    stream.set_write_timeout(Some(LIMIT)).ok()?;
    let length = body.len();
    let request = format!(
        "POST /RPC2 HTTP/1.0\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.lines().next()?.split_whitespace().nth(1)?;
    (status == "200").then(|| body.to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;
    use std::thread;

    use super::{socket, status_line};
    use crate::hostroot::HostRoot;

    #[test]
    fn the_socket_is_the_one_that_the_configuration_names() {
        let host = HostRoot::new("/r");
        let config = "[supervisord]\nfile=/x\n[unix_http_server]\nfile = /run/s.sock ; its own\n";
        assert_eq!(socket(&host, config), Some(PathBuf::from("/r/run/s.sock")));
        let rooted = "[unix_http_server]\nfile=/r/run/s.sock\n[x]\nfile=/y\n";
        assert_eq!(socket(&host, rooted), Some(PathBuf::from("/r/run/s.sock")));
        assert_eq!(socket(&host, "[unix_http_server]\nfile=%(here)s/s.sock\n"), None);
        assert_eq!(socket(&host, "[inet_http_server]\nport=9001\n"), None);
    }

    #[test]
    fn what_is_no_plain_answer_is_left_to_the_client() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).expect("bound");
        let fault = "<fault><value><struct><member><name>faultCode</name><value><int>10</int>\
                     </value></member></struct></value></fault>";
        let said = [
            "HTTP/1.0 401 Unauthorized\r\n\r\n".to_owned(),
            "HTTP/1.0 200 OK\r\n\r\n<methodResponse/>".to_owned(),
            format!("HTTP/1.0 200 OK\r\n\r\n{fault}"),
            format!("HTTP/1.0 200 OK\r\n\r\n{}", fault.replace("10", "6")),
        ];
        let server = thread::spawn(move || {
            for answer in said {
                let (mut stream, _) = listener.accept().expect("asked");
                let mut asked = [0; 4096];
                assert!(stream.read(&mut asked).expect("a question") > 0);
                stream.write_all(answer.as_bytes()).expect("answered");
            }
        });
        assert_eq!(status_line(&path, "a"), None, "a password is asked for");
        assert_eq!(status_line(&path, "a"), None, "nothing that is known");
        assert_eq!(status_line(&path, "a").as_deref(), Some("a: ERROR (no such process)"));
        assert_eq!(status_line(&path, "a"), None, "another fault");
        server.join().expect("no panic");
        assert_eq!(status_line(&path, "<a>"), None, "a name that would be syntax");
        assert_eq!(status_line(&dir.path().join("none"), "a"), None);
    }
}
