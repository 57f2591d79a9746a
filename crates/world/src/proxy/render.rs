//! Two of the three nginx files of a service: the host's log format, and the http-level upstreams
//! and slots. The site's location is in `location.rs`.

use guanka_core::facts::declared::ForwardedProto;
use guanka_core::facts::guard::{Guard, Metrics};
use guanka_core::name::{Arm, ServiceName};
use guanka_core::quantity::{Bytes, Millis};

use super::site::{LocationForm, SiteLog};
use super::text::{self, Node, Word};
use crate::plain::{CookieName, PlainPath};
use crate::ports::ArmPorts;

/// The request header that carries a run's secret. The header alone means nothing: only a value
/// that the agent made up itself counts. It is not passed on to the program.
pub const NONCE_HEADER: &str = "X-Guanka-Nonce";

/// The access log's fields in their fixed order, each with the nginx variable it holds. Only what
/// nginx always prints as a number stands without quotes.
pub const LOG_FIELDS: &[(&str, &str)] = &[
    ("time", "$msec"),
    ("arm", "\"$guanka_arm\""),
    ("slot", "\"$guanka_slot\""),
    ("method", "\"$request_method\""),
    ("uri", "\"$uri\""),
    ("status", "\"$status\""),
    ("request_time", "$request_time"),
    ("upstream_addr", "\"$upstream_addr\""),
    ("upstream_status", "\"$upstream_status\""),
    ("upstream_response_time", "\"$upstream_response_time\""),
    ("upstream_connect_time", "\"$upstream_connect_time\""),
    ("upstream_cache_status", "\"$upstream_cache_status\""),
    ("request_id", "\"$request_id\""),
    ("bytes", "$bytes_sent"),
    ("nonce", "\"$http_x_guanka_nonce\""),
];

/// Idle connections that each worker keeps to an arm.
const KEEPALIVE: &str = "64";

/// What keeps a user on one arm, with a cookie's name that nginx has a variable for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The client's address.
    Client,
    /// A cookie, the client's address without it.
    Cookie(CookieName),
    /// Each request by itself.
    Request,
}

/// All that the files of one service say.
#[derive(Clone, Debug)]
pub struct Intent {
    /// The service.
    pub service: ServiceName,
    /// The ports of its arms.
    pub ports: ArmPorts,
    /// What keeps a user on one arm.
    pub key: Key,
    /// The largest body a request may have.
    pub upload_max: Bytes,
    /// How long the program may be silent.
    pub read_timeout: Millis,
    /// How long an idle upstream connection is kept; `None` where nginx is too old to be told.
    pub keepalive: Option<Millis>,
    /// The form of the location.
    pub form: LocationForm,
    /// The folder whose files say which slots are green.
    pub live: PlainPath,
    /// Where each request is logged.
    pub access_log: PlainPath,
    /// The site's own logs, written on.
    pub site_logs: Vec<SiteLog>,
    /// What the program is told of how it was asked.
    pub forwarded_proto: ForwardedProto,
    /// Paths that stream, as the source writes them.
    pub streams: Vec<String>,
    /// How long a stream may be silent.
    pub stream_timeout: Millis,
    /// Paths closed to the outside.
    pub debug: Guard,
    /// The file with the users of those paths, where there are any.
    pub pass_file: Option<PlainPath>,
    /// The path of the metrics and where they come from.
    pub metrics: Option<Metrics>,
    /// The file of the authority that the metrics' certificate must come from.
    pub metrics_ca: Option<PlainPath>,
    /// The versions of TLS that nginx knows by name and that are still sound.
    pub tls: &'static [&'static str],
}

impl Intent {
    /// Returns the texts in the order they are written: log format, http level, server level. Each
    /// was parsed back and is what was meant.
    pub fn texts(&self) -> Result<[String; 3], String> {
        super::request_path::check(self).map_err(|error| error.to_string())?;
        let common = "guanka: the log format of all services, written by guanka";
        let own = comment(&self.service);
        Ok([
            text::render(common, &format_file())?,
            text::render(&own, &http_file(self))?,
            text::render(&own, &super::location::server_file(self))?,
        ])
    }
}

/// Returns the comment line that a file of a service begins with.
fn comment(service: &ServiceName) -> String {
    format!("guanka {service}: written by guanka, an edit here is lost at the next install")
}

/// Returns the file that sorts first: the log format, and defaults of the two variables it names,
/// without which removing the last service would make nginx refuse every site.
fn format_file() -> Vec<Node> {
    let none = |variable: &'static str| {
        let default = Node::line(["default".into(), "".into()]);
        Node::block(["map".into(), "$host".into(), variable.into()], vec![default])
    };
    let mut words: Vec<Word> = vec!["log_format".into(), "guanka".into(), "escape=json".into()];
    for (i, (name, value)) in LOG_FIELDS.iter().enumerate() {
        let open = if i == 0 { "{" } else { "" };
        let close = if i + 1 == LOG_FIELDS.len() { "}" } else { "," };
        words.push(Word::made(format!("{open}\"{name}\":{value}{close}")));
    }
    vec![none("$guanka_arm"), none("$guanka_slot"), Node::of(words)]
}

/// Returns the http-level file: an upstream for each arm with the other as its backup, the key, its
/// slot, and the value of the Connection header.
fn http_file(intent: &Intent) -> Vec<Node> {
    let name = intent.service.underscored();
    let mut nodes = vec![upstream(intent, Arm::Blue), upstream(intent, Arm::Green)];
    let key = match &intent.key {
        Key::Client => Word::made(format!("{}$remote_addr", intent.service)),
        Key::Request => Word::made(format!("{}$request_id", intent.service)),
        Key::Cookie(cookie) => {
            let cookie = format!("$cookie_{}", cookie.as_str());
            let variable = format!("$guanka_{name}_key");
            nodes.push(Node::block(
                ["map".into(), Word::made(cookie.clone()), Word::made(variable.clone())],
                vec![
                    Node::line(["".into(), "$remote_addr".into()]),
                    Node::line(["default".into(), Word::made(cookie)]),
                ],
            ));
            Word::made(format!("{}{variable}", intent.service))
        }
    };
    let mut slots: Vec<Node> =
        (0..99).map(|i| Node::line(["1%".into(), Word::made(format!("s{i:02}"))])).collect();
    slots.push(Node::line(["*".into(), "s99".into()]));
    let slot = Word::made(format!("$guanka_{name}_slot"));
    nodes.push(Node::block(["split_clients".into(), key, slot], slots));
    let connection = Word::made(format!("$guanka_{name}_connection"));
    nodes.push(Node::block(
        ["map".into(), "$http_upgrade".into(), connection],
        vec![Node::line(["default".into(), "upgrade".into()]), Node::line(["".into(), "".into()])],
    ));
    nodes
}

fn upstream(intent: &Intent, arm: Arm) -> Node {
    let name = format!("guanka_{}_{arm}", intent.service.underscored());
    let address = |arm| Word::made(format!("127.0.0.1:{}", intent.ports.of(arm)));
    let mut inner = vec![
        Node::line(["zone".into(), Word::made(name.clone()), "64k".into()]),
        // nginx counts a time limit that ran out as a failure of the arm, and would send everybody
        // to the other one for one slow request. A refused connection costs nothing to try again.
        Node::line(["server".into(), address(arm), "max_fails=0".into()]),
        Node::line(["server".into(), address(arm.other()), "backup".into()]),
        Node::line(["keepalive".into(), KEEPALIVE.into()]),
    ];
    if let Some(time) = intent.keepalive {
        inner.push(Node::line(["keepalive_timeout".into(), millis(time)]));
    }
    Node::block(["upstream".into(), Word::made(name)], inner)
}

pub(super) fn millis(time: Millis) -> Word {
    Word::made(format!("{}ms", time.0))
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use guanka_core::facts::declared::ForwardedProto;
    use guanka_core::facts::guard::Guard;
    use guanka_core::name::ServiceName;
    use guanka_core::quantity::{Bytes, Millis};

    use super::super::site::LocationForm;
    use super::super::text::render;
    use super::{Intent, Key, format_file, http_file};
    use crate::plain::{CookieName, PlainPath};
    use crate::ports::ArmPorts;

    pub(in crate::proxy) fn intent(key: Key, form: LocationForm) -> Intent {
        let path = |text| PlainPath::new(Path::new(text)).expect("plain");
        Intent {
            service: ServiceName::new("shop-api", "prod").expect("a good name"),
            ports: ArmPorts { blue: 18081, green: 18082 },
            key,
            upload_max: Bytes(1 << 20),
            read_timeout: Millis(15_000),
            keepalive: Some(Millis(30_000)),
            form,
            live: path("/var/lib/guanka/shop-api.prod/live"),
            access_log: path("/www/wwwlogs/guanka/shop-api.prod.json"),
            site_logs: Vec::new(),
            forwarded_proto: ForwardedProto::Scheme,
            streams: Vec::new(),
            stream_timeout: Millis(3_600_000),
            debug: Guard::default(),
            pass_file: None,
            metrics: None,
            metrics_ca: None,
            tls: &["TLSv1.2", "TLSv1.3"],
        }
    }

    #[test]
    fn the_http_level_has_both_arms_the_key_and_a_hundred_slots() {
        let cookie = Key::Cookie(CookieName::new("sid").expect("plain"));
        let text = render("x", &http_file(&intent(cookie, LocationForm::Regex))).expect("same");
        let expected = [
            "upstream guanka_shop_api_prod_green {",
            "    server 127.0.0.1:18082 max_fails=0;",
            "    server 127.0.0.1:18081 backup;",
            "    keepalive_timeout 30000ms;",
            "map $cookie_sid $guanka_shop_api_prod_key {",
            "split_clients shop-api.prod$guanka_shop_api_prod_key $guanka_shop_api_prod_slot {",
            "    1% s98;",
            "    * s99;",
        ];
        for line in expected {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        for (key, line) in [
            (Key::Client, "split_clients shop-api.prod$remote_addr $guanka_shop_api_prod_slot {"),
            (Key::Request, "split_clients shop-api.prod$request_id $guanka_shop_api_prod_slot {"),
        ] {
            let text = render("x", &http_file(&intent(key, LocationForm::Regex))).expect("same");
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }

    #[test]
    fn the_log_format_is_one_json_object() {
        let text = render("x", &format_file()).expect("same");
        let joined: String = text.split('\'').skip(1).step_by(2).collect();
        let filled = joined.replace("$msec", "1.0").replace("$request_time", "0.1");
        let filled = filled.replace("$bytes_sent", "5");
        let value: serde_json::Value = serde_json::from_str(&filled).expect("JSON");
        assert_eq!(value["arm"], "$guanka_arm");
        assert_eq!(value.as_object().expect("an object").len(), super::LOG_FIELDS.len());
    }
}
