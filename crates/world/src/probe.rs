//! Readiness, asked of an arm directly on its loopback port: the declared path, method and status,
//! so many times in a row, each within its own time.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use guanka_core::facts::declared::{Declared, Probe};
use guanka_core::name::Domain;
use guanka_core::quantity::{Bytes, Millis};
use guanka_core::say::Said;

use crate::clock;
use crate::http::{self, HttpErrorKind};

/// A health answer larger than this is no health answer.
const BODY_MAX: Bytes = Bytes(256 << 10);

/// What one probe saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probed {
    /// The declared status came in time.
    Passed {
        /// How long it took.
        elapsed: Millis,
    },
    /// Another status came.
    Status {
        /// The status.
        found: u16,
        /// The declared one.
        expected: u16,
    },
    /// No answer came.
    NoAnswer(HttpErrorKind),
}

/// Passes and failures in a row; says when an arm has become ready or unready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    /// Passes since the last failure.
    pub passes: u32,
    /// Failures since the last pass.
    pub fails: u32,
}

/// An arm that became ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// How often it was asked.
    pub asked: u32,
    /// From the first question to the last pass.
    pub took: Millis,
}

/// An arm that did not become ready in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not ready within {limit}, asked {asked} times; the last answer: {}", last.said().en)]
pub struct NotReady {
    /// How long was waited.
    pub limit: Millis,
    /// How often it was asked.
    pub asked: u32,
    /// What the last probe saw.
    pub last: Probed,
}

/// Asks an arm once.
pub fn once(port: u16, domain: &Domain, probe: &Probe) -> Probed {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (method, path) = (probe.method.as_str(), probe.path.as_str());
    match http::get(address, method, domain.as_str(), path, &[], probe.timeout, BODY_MAX) {
        Ok(answer) if answer.status == probe.expect => Probed::Passed { elapsed: answer.elapsed },
        Ok(answer) => Probed::Status { found: answer.status, expected: probe.expect },
        Err(error) => Probed::NoAnswer(error.kind),
    }
}

/// Asks an arm for any sign of life: an HTTP answer, whatever its status.
pub fn is_alive(port: u16, declared: &Declared) -> bool {
    let (probe, liveness) = (&declared.probe, &declared.process.liveness);
    let path = liveness.path.as_deref().unwrap_or(&probe.path);
    let asked = Probe { path: path.to_owned(), timeout: liveness.timeout, ..probe.clone() };
    match once(port, &declared.proxy.domain, &asked) {
        Probed::Passed { .. } | Probed::Status { .. } => true,
        // Something that talks is no hang, however oddly it talks.
        Probed::NoAnswer(kind) => {
            matches!(kind, HttpErrorKind::TooLarge | HttpErrorKind::BadFraming)
        }
    }
}

/// Asks an arm until it has passed the declared number of times in a row, the limit is reached, or
/// `is_over` says, after a failure, that there is nobody left to ask.
pub fn wait_ready(
    port: u16,
    domain: &Domain,
    probe: &Probe,
    limit: Millis,
    is_over: &mut dyn FnMut() -> bool,
) -> Result<Ready, NotReady> {
    let start = Instant::now();
    let mut streak = Streak::default();
    let mut asked = 0;
    let mut last = Probed::NoAnswer(HttpErrorKind::Timeout);
    let ready = clock::wait_for(limit, probe.every, || {
        asked += 1;
        last = once(port, domain, probe);
        streak.note(&last);
        let is_ready = streak.passes >= probe.passes.max(1);
        (is_ready || (!last.is_pass() && is_over())).then_some(is_ready)
    });
    let took = Millis(start.elapsed().as_millis() as u64);
    match ready {
        Some(true) => Ok(Ready { asked, took }),
        Some(false) => Err(NotReady { limit: took, asked, last }),
        None => Err(NotReady { limit, asked, last }),
    }
}

impl Streak {
    /// Counts one probe in.
    pub fn note(&mut self, probed: &Probed) {
        if probed.is_pass() {
            *self = Self { passes: self.passes.saturating_add(1), fails: 0 };
        } else {
            *self = Self { passes: 0, fails: self.fails.saturating_add(1) };
        }
    }
}

impl Probed {
    /// Returns whether the probe passed.
    pub fn is_pass(&self) -> bool {
        matches!(self, Self::Passed { .. })
    }

    /// Returns the sentence for people.
    pub fn said(&self) -> Said {
        match self {
            Self::Passed { elapsed } => {
                Said::new(format!("探测通过({elapsed})"), format!("passed in {elapsed}"))
            }
            Self::Status { found, expected } => Said::new(
                format!("返回状态码 {found},应为 {expected}"),
                format!("status {found} instead of {expected}"),
            ),
            Self::NoAnswer(kind) => {
                Said::new(format!("没有应答:{}", in_chinese(*kind)), kind.phrase())
            }
        }
    }
}

impl NotReady {
    /// Returns the sentence for people.
    pub fn said(&self) -> Said {
        let Self { limit, asked, last } = self;
        let zh = format!("{limit} 内未就绪,共探测 {asked} 次;最后一次:{}", last.said().zh);
        Said::new(zh, self.to_string())
    }
}

fn in_chinese(kind: HttpErrorKind) -> &'static str {
    match kind {
        HttpErrorKind::BadQuestion => "请求含有不允许的字符",
        HttpErrorKind::Refused => "连接被拒绝",
        HttpErrorKind::Timeout => "超时",
        HttpErrorKind::Reset => "连接被重置",
        HttpErrorKind::EofBeforeAnswer => "未返回任何内容就断开",
        HttpErrorKind::Truncated => "应答中途断开",
        HttpErrorKind::BadFraming => "不是 HTTP/1.1 应答",
        HttpErrorKind::TooLarge => "应答体过大",
        HttpErrorKind::Other => "连接失败",
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use guanka_core::facts::declared::Probe;
    use guanka_core::name::Domain;
    use guanka_core::quantity::Millis;

    use super::{Probed, once, wait_ready};
    use crate::http::HttpErrorKind;

    fn probe() -> Probe {
        Probe {
            path: "/healthz".to_owned(),
            method: "GET".to_owned(),
            expect: 200,
            every: Millis(1),
            fails: 3,
            passes: 3,
            timeout: Millis(2000),
        }
    }

    fn domain() -> Domain {
        Domain::new("shop.example.com").expect("a domain")
    }

    /// Answers with these statuses in turn, one connection each, and returns the port.
    fn serve(statuses: &'static [u16]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        thread::spawn(move || {
            for status in statuses {
                let Ok((mut stream, _)) = listener.accept() else { return };
                let _ = stream.read(&mut [0; 4096]);
                let text = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
                let _ = stream.write_all(text.as_bytes());
            }
        });
        port
    }

    #[test]
    fn passes_must_come_in_a_row() {
        let port = serve(&[200, 200, 503, 200, 200, 200]);
        let ready = wait_ready(port, &domain(), &probe(), Millis(10_000), &mut || false);
        let ready = ready.expect("ready");
        assert_eq!(ready.asked, 6);
    }

    #[test]
    fn an_arm_that_is_not_there_or_answers_otherwise_is_named_so() {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        assert_eq!(once(port, &domain(), &probe()), Probed::NoAnswer(HttpErrorKind::Refused));
        let port = serve(&[500; 100]);
        let wait = |limit, is_over: &mut dyn FnMut() -> bool| {
            wait_ready(port, &domain(), &probe(), limit, is_over).expect_err("never")
        };
        assert_eq!(wait(Millis(60_000), &mut || true).asked, 1, "nobody is left to ask");
        let late = wait(Millis(20), &mut || false);
        assert_eq!(late.last, Probed::Status { found: 500, expected: 200 });
    }
}
