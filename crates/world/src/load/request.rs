//! The bytes of each kind of request, laid out once; only the user's cookie value changes, in its
//! place.

use super::framing::AnswerTo;
use super::plan::{LoadPlan, RequestSpec, cookie_value};

/// One kind of request, ready to send.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    bytes: Vec<u8>,
    cookie_at: Option<usize>,
    /// What its answer is framed as.
    pub(super) to: AnswerTo,
    /// The lowest bad status.
    pub(super) bad_from_status: u16,
}

/// Lays out one kind of request.
pub(super) fn prepare(plan: &LoadPlan, spec: &RequestSpec) -> Prepared {
    let mut head = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", spec.method, spec.path, plan.host);
    for (name, value) in &spec.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(nonce) = &plan.nonce {
        head.push_str(&format!("{}: {}\r\n", nonce.header, nonce.value));
    }
    let mut cookie_at = None;
    if let Some(cookies) = &plan.cookies {
        head.push_str(&format!("Cookie: {}=", cookies.name));
        cookie_at = Some(head.len());
        head.push_str(&cookie_value(0));
        head.push_str("\r\n");
    }
    let has_no_body = spec.body.is_empty() && matches!(spec.method.as_str(), "GET" | "HEAD");
    if !has_no_body {
        head.push_str(&format!("Content-Length: {}\r\n", spec.body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&spec.body);
    let to = if spec.method == "HEAD" { AnswerTo::Head } else { AnswerTo::Other };
    Prepared { bytes, cookie_at, to, bad_from_status: spec.bad_from_status }
}

impl Prepared {
    /// Returns the request of one user.
    pub(super) fn of_user(&mut self, user: u32) -> &[u8] {
        if let Some(at) = self.cookie_at {
            let value = cookie_value(user);
            self.bytes[at..at + value.len()].copy_from_slice(value.as_bytes());
        }
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use guanka_core::quantity::Rate;

    use super::prepare;
    use crate::load::plan::{CookieUsers, LoadPlan, Nonce, RequestSpec};

    #[test]
    fn a_request_holds_body_mark_and_the_users_cookie() {
        let target = ([127, 0, 0, 1], 8080).into();
        let mut plan = LoadPlan::new(target, "/a?b=1", Rate(1.0), None);
        plan.nonce = Some(Nonce { header: "X-Run".into(), value: "n1".into() });
        let users = CookieUsers { name: "uid".into(), users: 1000 };
        plan.cookies = Some(users.clone());
        let spec = RequestSpec {
            method: "POST".into(),
            headers: vec![("Accept".into(), "*/*".into())],
            body: b"hi".to_vec(),
            ..plan.requests[0].clone()
        };
        let mut prepared = prepare(&plan, &spec);
        for user in [7, 999] {
            let text = String::from_utf8_lossy(prepared.of_user(user)).into_owned();
            let cookie = users.value(user);
            let expected = format!(
                "POST /a?b=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: */*\r\nX-Run: n1\r\n\
                 Cookie: uid={cookie}\r\nContent-Length: 2\r\n\r\nhi"
            );
            assert_eq!(text, expected);
        }
    }
}
