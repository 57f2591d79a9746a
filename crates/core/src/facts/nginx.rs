//! The nginx configuration as one tree, includes resolved, every directive with its own place.
//! What inheritance makes of it (upstreams, locations, effective values) is asked here too.

use serde::{Deserialize, Serialize};

use super::{Fact, Problem, Reason, Span};
use crate::quantity::Millis;

/// nginx on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nginx {
    /// The version, say `(1, 22, 1)`.
    pub version: Fact<NginxVersion>,
    /// The main file.
    pub main_file: String,
    /// The main context's directives, `http` among them.
    pub tree: Vec<Directive>,
    /// Files that an include named and that could not be read.
    pub unreadable: Vec<(String, Reason)>,
    /// What was not understood.
    pub problems: Vec<Problem>,
}

/// What `nginx -V` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NginxVersion {
    /// Major, minor, patch.
    pub number: (u32, u32, u32),
    /// `nginx`, `tengine`, `openresty`, `angie`, or `nginx-plus`.
    pub flavour: String,
    /// The modules named in the configure arguments.
    pub modules: Vec<String>,
}

impl std::fmt::Display for NginxVersion {
    /// Writes `nginx 1.22.1`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (major, minor, patch) = self.number;
        write!(f, "{} {major}.{minor}.{patch}", self.flavour)
    }
}

/// One directive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directive {
    /// Its name.
    pub name: String,
    /// Its arguments, quotes taken off.
    pub args: Vec<String>,
    /// Where its name stands.
    pub span: Span,
    /// The directives of its block; `None` when it ends with `;`.
    pub block: Option<Vec<Directive>>,
}

/// A location that passes requests on, with the blocks around it from the inside out.
#[derive(Clone, Debug)]
pub struct ProxyLocation<'a> {
    /// The `proxy_pass`.
    pub pass: &'a Directive,
    /// The location.
    pub location: &'a Directive,
    /// The server.
    pub server: &'a Directive,
    /// The blocks around the `proxy_pass`, innermost first, ending with `http`.
    pub scopes: Vec<&'a [Directive]>,
}

impl Directive {
    /// Returns the block's directives, none when it has no block.
    pub fn inner(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }

    /// Returns the arguments joined by a space.
    pub fn text(&self) -> String {
        self.args.join(" ")
    }
}

impl Nginx {
    /// Returns the directives of the `http` block.
    pub fn http(&self) -> &[Directive] {
        self.tree.iter().find(|d| d.name == "http").map_or(&[], Directive::inner)
    }

    /// Returns the upstreams by name.
    pub fn upstreams(&self) -> impl Iterator<Item = &Directive> {
        self.http().iter().filter(|d| d.name == "upstream")
    }

    /// Returns the server blocks.
    pub fn servers(&self) -> impl Iterator<Item = &Directive> {
        self.http().iter().filter(|d| d.name == "server")
    }

    /// Returns every location with a `proxy_pass`, nested ones and those inside an `if` included.
    pub fn proxy_locations(&self) -> Vec<ProxyLocation<'_>> {
        let mut found = Vec::new();
        for server in self.servers() {
            for location in server.inner().iter().filter(|d| d.name == "location") {
                let scopes = vec![location.inner(), server.inner(), self.http()];
                collect_passes(location, location, server, &scopes, &mut found);
            }
        }
        found
    }
}

impl ProxyLocation<'_> {
    /// Returns the innermost directive of a name: nginx inherits a value unless it is set inside.
    pub fn effective(&self, name: &str) -> Option<&Directive> {
        self.scopes.iter().find_map(|scope| scope.iter().rev().find(|d| d.name == name))
    }

    /// Returns the headers set for the upstream. nginx drops every inherited `proxy_set_header`
    /// where one is set inside.
    pub fn headers(&self) -> Vec<&Directive> {
        for scope in &self.scopes {
            let here: Vec<_> = scope.iter().filter(|d| d.name == "proxy_set_header").collect();
            if !here.is_empty() {
                return here;
            }
        }
        Vec::new()
    }

    /// Returns `proxy_read_timeout`, 60 s by default.
    pub fn read_timeout(&self) -> Fact<Millis> {
        duration(self.effective("proxy_read_timeout"), "proxy_read_timeout", 60)
    }
}

/// Returns the host part of a `proxy_pass` target: `backend` of `http://backend/x`.
pub fn pass_host(pass: &Directive) -> Option<&str> {
    let target = pass.args.first()?;
    let rest = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"))?;
    Some(rest.split('/').next().unwrap_or(rest))
}

/// Reads a directive's first argument as an nginx time, or gives nginx's default.
pub fn duration(directive: Option<&Directive>, key: &str, default_secs: u64) -> Fact<Millis> {
    let Some(found) = directive else {
        return Fact::default_of(Millis::from_secs(default_secs), "nginx", key);
    };
    match found.args.first().and_then(|text| parse_time(text)) {
        Some(value) => Fact::at(value, found.span.clone()),
        None => Fact::Unknown(Reason::NotParsed(found.span.clone())),
    }
}

/// Reads an nginx time: `60`, `60s`, `500ms`, `1h30m`, `1d`.
pub fn parse_time(text: &str) -> Option<Millis> {
    let mut total: u64 = 0;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let factor: u64 = match &rest[..letters] {
            "" | "s" => 1000,
            "ms" => 1,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            "M" => 2_592_000_000,
            "y" => 31_536_000_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(factor)?)?;
        rest = &rest[letters..];
    }
    Some(Millis(total))
}

fn collect_passes<'a>(
    block: &'a Directive,
    location: &'a Directive,
    server: &'a Directive,
    scopes: &[&'a [Directive]],
    found: &mut Vec<ProxyLocation<'a>>,
) {
    for directive in block.inner() {
        match directive.name.as_str() {
            "proxy_pass" => found.push(ProxyLocation {
                pass: directive,
                location,
                server,
                scopes: scopes.to_vec(),
            }),
            "location" | "if" | "limit_except" => {
                let mut inner = vec![directive.inner()];
                inner.extend_from_slice(scopes);
                // A condition is no location of its own.
                let own = if directive.name == "location" { directive } else { location };
                collect_passes(directive, own, server, &inner, found);
            }
            _ => {}
        }
    }
}
