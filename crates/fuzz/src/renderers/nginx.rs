//! nginx's files: what hostile services, cookies, folders and logs of a site become there.

use std::path::Path;

use guanka_core::facts::declared::ForwardedProto;
use guanka_core::facts::guard::Guard;
use guanka_core::facts::nginx::Directive;
use guanka_core::name::ServiceName;
use guanka_core::quantity::{Bytes, Millis};
use guanka_world::plain::{CookieName, PlainPath};
use guanka_world::ports::ArmPorts;
use guanka_world::proxy::{Intent, Key, LOG_FIELDS, LocationForm, SiteLog};

use super::{Field, Renderer, Texts, Trouble, refused, same};
use crate::tape::Tape;

/// The http level: upstreams, key, slots.
pub const HTTP: Renderer = Renderer {
    name: "nginx-http",
    fields: &[
        Field { name: "app", plain: "shop-api", frame: "a{}" },
        Field { name: "env", plain: "prod", frame: "p{}" },
        Field { name: "cookie", plain: "sid", frame: "s{}" },
    ],
    trial: http,
};

/// The server level: the location.
pub const SERVER: Renderer = Renderer {
    name: "nginx-server",
    fields: &[
        Field { name: "app", plain: "shop-api", frame: "a{}" },
        Field { name: "env", plain: "prod", frame: "p{}" },
        Field {
            name: "live",
            plain: "/var/tmp/guanka-fuzz/live",
            frame: "/var/tmp/guanka-fuzz/{}/live",
        },
        Field {
            name: "access log",
            plain: "/var/tmp/guanka-fuzz/log",
            frame: "/var/tmp/guanka-fuzz/{}/log",
        },
        Field {
            name: "site log",
            plain: "/var/tmp/guanka-fuzz/site",
            frame: "/var/tmp/guanka-fuzz/{}/site",
        },
        Field { name: "site log's format", plain: "combined", frame: "combined{}" },
    ],
    trial: server,
};

/// The log format, which has no field from outside.
pub const FORMAT: Renderer = Renderer { name: "nginx-format", fields: &[], trial: format };

/// What the three files say beside the services' names.
pub(super) struct Words<'a> {
    app: &'a str,
    env: &'a str,
    cookie: &'a str,
    live: &'a str,
    access_log: &'a str,
    site_log: &'a str,
    site_format: &'a str,
}

pub(super) const PLAIN: Words<'static> = Words {
    app: "shop-api",
    env: "prod",
    cookie: "sid",
    live: "/var/tmp/guanka-fuzz/live",
    access_log: "/var/tmp/guanka-fuzz/log",
    site_log: "/var/tmp/guanka-fuzz/site",
    site_format: "combined",
};

/// Builds an intent; every field of the type stands here.
pub(super) fn intent(words: &Words<'_>, tape: &mut Tape<'_>) -> Result<Intent, Trouble> {
    let path = |text: &str| PlainPath::new(Path::new(text)).map_err(refused);
    let site_log = SiteLog::of(&[words.site_log, words.site_format]);
    Ok(Intent {
        service: ServiceName::new(words.app, words.env).map_err(refused)?,
        ports: ArmPorts { blue: 18_081, green: 18_082 },
        key: match tape.below(3) {
            0 => Key::Cookie(CookieName::new(words.cookie).map_err(refused)?),
            1 => Key::Client,
            _ => Key::Request,
        },
        upload_max: Bytes(tape.number() >> 8),
        read_timeout: Millis(1 + tape.number() % 100_000),
        keepalive: (tape.below(2) == 1).then(|| Millis(1 + tape.number() % 100_000)),
        form: if tape.below(2) == 0 { LocationForm::Regex } else { LocationForm::Prefix },
        live: path(words.live)?,
        access_log: path(words.access_log)?,
        site_logs: vec![site_log.ok_or_else(|| refused("this log is not written on"))?],
        forwarded_proto: match tape.below(2) {
            0 => ForwardedProto::Scheme,
            _ => ForwardedProto::Https,
        },
        streams: Vec::new(),
        stream_timeout: Millis(1 + tape.number() % 100_000),
        debug: Guard::default(),
        pass_file: None,
        metrics: None,
        metrics_ca: None,
        tls: &["TLSv1.2"],
    })
}

/// Renders the files and reads one of them.
pub(super) fn rendered(intent: &Intent, which: usize) -> Result<(Texts, Vec<Directive>), Trouble> {
    let texts = intent.texts().map_err(refused)?;
    let (tree, problems) = guanka_parse::nginx::parse_fragment("rendered", &texts[which]);
    same("the problems", &problems.len(), &0)?;
    Ok((texts.to_vec(), tree))
}

/// Returns a directive's words.
pub(super) fn words(directive: &Directive) -> Vec<&str> {
    std::iter::once(&directive.name).chain(&directive.args).map(String::as_str).collect()
}

fn http(values: &[&str], tape: &mut Tape<'_>) -> Result<Texts, Trouble> {
    let &[app, env, cookie] = values else { return Err(refused("three values")) };
    let intent = intent(&Words { app, env, cookie, ..PLAIN }, tape)?;
    let (texts, tree) = rendered(&intent, 1)?;
    let (service, name) = (&intent.service, intent.service.underscored());
    let tops: Vec<String> = tree.iter().map(|d| words(d).join(" ")).collect();
    let (map, key) = match &intent.key {
        Key::Client => (None, "$remote_addr".to_owned()),
        Key::Request => (None, "$request_id".to_owned()),
        Key::Cookie(_) => (
            Some(format!("map $cookie_{cookie} $guanka_{name}_key")),
            format!("$guanka_{name}_key"),
        ),
    };
    let mut meant =
        vec![format!("upstream guanka_{name}_blue"), format!("upstream guanka_{name}_green")];
    meant.extend(map);
    meant.push(format!("split_clients {service}{key} $guanka_{name}_slot"));
    meant.push(format!("map $http_upgrade $guanka_{name}_connection"));
    same("the http level", &tops, &meant)?;
    let lengths: Vec<usize> = tree.iter().map(|d| d.inner().len()).collect();
    let servers = 4 + usize::from(intent.keepalive.is_some());
    let is_cookie = matches!(intent.key, Key::Cookie(_));
    let meant: Vec<usize> =
        [Some(servers), Some(servers), is_cookie.then_some(2), Some(100), Some(2)]
            .into_iter()
            .flatten()
            .collect();
    same("the blocks", &lengths, &meant)?;
    Ok(texts)
}

fn server(values: &[&str], tape: &mut Tape<'_>) -> Result<Texts, Trouble> {
    let &[app, env, live, access_log, site_log, site_format] = values else {
        return Err(refused("six values"));
    };
    let with = Words { app, env, live, access_log, site_log, site_format, ..PLAIN };
    let intent = intent(&with, tape)?;
    let (texts, tree) = rendered(&intent, 2)?;
    // In the prefix form certificates renew through a location of their own before it.
    let location = match (tree.as_slice(), intent.form) {
        ([location], LocationForm::Regex) => location,
        ([renewal, location], LocationForm::Prefix) => {
            let meant = ["location", "^~", "/.well-known/acme-challenge/"];
            same("the renewal", &words(renewal), &meant.to_vec())?;
            location
        }
        _ => return Err(Trouble::Differs(format!("{} locations", tree.len()))),
    };
    let form = match intent.form {
        LocationForm::Regex => vec!["location", "~", r"^/(?!\.well-known/)"],
        LocationForm::Prefix => vec!["location", "^~", "/"],
    };
    same("the location", &words(location), &form)?;
    let of = |name: &str| -> Vec<Vec<&str>> {
        location.inner().iter().filter(|d| d.name == name).map(words).collect()
    };
    let logs =
        vec![vec!["access_log", access_log, "guanka"], vec!["access_log", site_log, site_format]];
    same("the logs", &of("access_log"), &logs)?;
    let file = format!("{live}/$guanka_slot)");
    same("the share's file", &of("if"), &vec![vec!["if", "(-f", file.as_str()]])?;
    let upstream = format!("http://guanka_{}_$guanka_arm", intent.service.underscored());
    same("the upstream", &of("proxy_pass"), &vec![vec!["proxy_pass", upstream.as_str()]])?;
    let scheme = match intent.forwarded_proto {
        ForwardedProto::Scheme => "$scheme",
        ForwardedProto::Https => "https",
    };
    let told = ["proxy_set_header", "X-Forwarded-Proto", scheme].to_vec();
    same("what the program is told", &of("proxy_set_header").contains(&told), &true)?;
    let size = intent.upload_max.0.to_string();
    let meant = vec![vec!["client_max_body_size", size.as_str()]];
    same("the largest body", &of("client_max_body_size"), &meant)?;
    // Of these nothing may make another one: 25 in all.
    same("the directives", &location.inner().len(), &25)?;
    Ok(texts)
}

fn format(_: &[&str], tape: &mut Tape<'_>) -> Result<Texts, Trouble> {
    let (texts, tree) = rendered(&intent(&PLAIN, tape)?, 0)?;
    let Some(format) = tree.iter().find(|d| d.name == "log_format") else {
        return Err(Trouble::Differs("there is no log format".to_owned()));
    };
    same("the fields", &format.args.len(), &(LOG_FIELDS.len() + 2))?;
    let line = format.args[2..].concat().replace("$msec", "1.5").replace("$request_time", "0.1");
    let read: Result<serde_json::Value, _> =
        serde_json::from_str(&line.replace("$bytes_sent", "5"));
    same("the line is JSON", &read.is_ok(), &true)?;
    Ok(texts)
}
