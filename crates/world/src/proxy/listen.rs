//! Where a site can be asked from this machine: the addresses it listens at, each with or without
//! TLS and with or without a line of the PROXY protocol before it, read as nginx reads them. What
//! this machine cannot ask is left out and can be named.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use guanka_core::facts::nginx::Directive;
use serde::{Deserialize, Serialize};

/// The first nginx that speaks HTTP/1.1 without TLS on a socket that also has HTTP/2.
const BOTH_SINCE: (u32, u32, u32) = (1, 25, 1);

/// An address of a site. In their order, those that are simpler to ask come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listen {
    /// How it is spoken to.
    pub over: Over,
    /// What it wants to hear before that.
    #[serde(default)]
    pub first: First,
    /// The address; for one that listens everywhere, the loopback's. IPv4's loopback at a socket
    /// of IPv6 is written as IPv6 does.
    pub address: SocketAddr,
}

/// How an address is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// HTTP as it is.
    Plain,
    /// HTTP under TLS.
    Tls,
}

/// What an address wants to hear before anything else, TLS included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum First {
    /// Nothing.
    #[default]
    Nothing,
    /// The line of the PROXY protocol that says who asks.
    ProxyLine,
}

impl Listen {
    /// Returns an address that is asked with HTTP and nothing around it.
    pub const fn plain(address: SocketAddr) -> Self {
        Self { over: Over::Plain, first: First::Nothing, address }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let around = match (self.over, self.first) {
            (Over::Plain, First::Nothing) => "",
            (Over::Tls, First::Nothing) => " (TLS)",
            (Over::Plain, First::ProxyLine) => " (PROXY)",
            (Over::Tls, First::ProxyLine) => " (PROXY, TLS)",
        };
        write!(f, "{}{around}", self.address)
    }
}

/// What is said of one socket, by whichever server block.
#[derive(Clone, Copy, Debug, Default)]
struct Socket {
    is_tls: bool,
    is_http2: bool,
    is_proxied: bool,
    is_quic: bool,
    takes_both: bool,
}

/// The sockets of all server blocks: what one block says of an address holds for all that share it.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    known: BTreeMap<String, Socket>,
}

impl Sockets {
    /// Takes in what a server block says of its addresses.
    pub(super) fn learn(&mut self, server: &Directive) {
        // Before 1.25.1 a whole server could be switched to TLS.
        let is_all = server.inner().iter().any(|d| d.name == "ssl" && d.text() == "on");
        for listen in server.inner().iter().filter(|d| d.name == "listen") {
            let Some(first) = listen.args.first() else { continue };
            let has = |word: &str| listen.args.iter().any(|arg| arg == word);
            let socket = self.known.entry(key(first)).or_default();
            socket.is_tls |= has("ssl") || is_all;
            socket.is_http2 |= has("http2");
            socket.is_proxied |= has("proxy_protocol");
            socket.is_quic |= has("quic");
            socket.takes_both |= has("ipv6only=off");
        }
    }

    /// Returns where a server block can be asked, the simplest first.
    pub(super) fn of(&self, server: &Directive, version: Option<(u32, u32, u32)>) -> Vec<Listen> {
        let names = names(server).into_iter();
        let mut found: Vec<Listen> = names.flat_map(|name| self.at(name, version)).collect();
        found.sort();
        found.dedup();
        found
    }

    fn at(&self, name: &str, version: Option<(u32, u32, u32)>) -> Vec<Listen> {
        let socket = self.known.get(&key(name)).copied().unwrap_or_default();
        let over = if socket.is_tls { Over::Tls } else { Over::Plain };
        let is_mute = socket.is_http2
            && over == Over::Plain
            && version.is_none_or(|version| version < BOTH_SINCE);
        let (Some(address), false, false) = (address(name), is_mute, socket.is_quic) else {
            return Vec::new();
        };
        let first = if socket.is_proxied { First::ProxyLine } else { First::Nothing };
        let takes_both = socket.takes_both && address.ip() == IpAddr::V6(Ipv6Addr::LOCALHOST);
        let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
        let four = takes_both.then(|| SocketAddr::new(mapped.into(), address.port()));
        let addresses = [Some(address), four].into_iter().flatten();
        addresses.map(|address| Listen { over, first, address }).collect()
    }
}

/// Returns the addresses of a server block as they are written; nginx listens at port 80 where
/// none is.
pub(super) fn names(server: &Directive) -> Vec<&str> {
    let listens = server.inner().iter().filter(|d| d.name == "listen");
    let names: Vec<&str> = listens.filter_map(|d| Some(d.args.first()?.as_str())).collect();
    if names.is_empty() { vec!["80"] } else { names }
}

/// Returns one name for the ways to write an address: `80`, `*:80` and `0.0.0.0:80` are one socket.
fn key(text: &str) -> String {
    match address(text) {
        Some(address) if text.starts_with("127.") => address.to_string(),
        Some(address) if address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) => {
            format!("*:{}", address.port())
        }
        // The loopback's own address is another socket than the one for all.
        Some(address) if text.starts_with("[::]") => format!("[::]:{}", address.port()),
        Some(address) => address.to_string(),
        None => text.to_owned(),
    }
}

/// Reads `80`, `127.0.0.1:8080`, `*:80`, `[::]:80`; any address means the loopback here. Addresses
/// that mean something on one link alone are nobody's to ask.
fn address(text: &str) -> Option<SocketAddr> {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    if let Ok(port) = text.parse::<u16>() {
        return Some(SocketAddr::new(loopback, port));
    }
    if let Some(port) = text.strip_prefix("*:").or_else(|| text.strip_prefix("localhost:")) {
        return Some(SocketAddr::new(loopback, port.parse().ok()?));
    }
    let found = text.parse::<SocketAddr>().ok().or_else(|| {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let ip: IpAddr = bare.parse().ok()?;
        // nginx wants brackets around IPv6.
        (ip.is_ipv4() == (bare == text)).then_some(SocketAddr::new(ip, 80))
    })?;
    let ip = match found.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => loopback,
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => return None,
        ip => ip,
    };
    Some(SocketAddr::new(ip, found.port()))
}

#[cfg(test)]
mod tests {
    use guanka_core::facts::nginx::Directive;

    use super::{Sockets, address};

    fn servers(text: &str) -> Vec<Directive> {
        let (tree, problems) = guanka_parse::nginx::parse_fragment("x", text);
        assert!(problems.is_empty(), "{problems:?}");
        tree
    }

    #[test]
    fn listen_addresses_are_read_as_this_machine_can_ask_them() {
        let known = [
            ("80", Some("127.0.0.1:80")),
            ("*:8080", Some("127.0.0.1:8080")),
            ("0.0.0.0:81", Some("127.0.0.1:81")),
            ("127.0.0.2:82", Some("127.0.0.2:82")),
            ("127.0.0.3", Some("127.0.0.3:80")),
            ("[::]:80", Some("[::1]:80")),
            ("[::]", Some("[::1]:80")),
            ("[2001:db8::5]:81", Some("[2001:db8::5]:81")),
            ("[fe80::1]:80", None),
            ("::1", None),
            ("[127.0.0.1]", None),
            ("unix:/tmp/x", None),
        ];
        for (text, expected) in known {
            assert_eq!(address(text), expected.map(|a| a.parse().expect("an address")), "{text}");
        }
    }

    #[test]
    fn what_one_block_says_of_a_socket_holds_for_all_that_share_it() {
        let cases = [
            ("listen 80; listen 443 ssl http2;", "127.0.0.1:80, 127.0.0.1:443 (TLS)"),
            ("listen 443 ssl; listen [::]:443 ssl;", "127.0.0.1:443 (TLS), [::1]:443 (TLS)"),
            ("listen [::]:443; listen [::1]:443;", "[::1]:443"),
            ("listen [::]:80 ipv6only=off;", "[::1]:80, [::ffff:127.0.0.1]:80"),
            ("listen 82; listen 83;", "127.0.0.1:83, 127.0.0.1:82 (PROXY)"),
            ("listen [::]:84;", "[::1]:84 (PROXY, TLS)"),
            ("", "127.0.0.1:80"),
            ("listen 8443; ssl on;", "127.0.0.1:8443 (TLS)"),
            ("listen 9443;", "127.0.0.1:9443 (TLS)"),
            ("listen 80 proxy_protocol; listen 443 quic;", "127.0.0.1:80 (PROXY)"),
            ("listen unix:/run/x.sock proxy_protocol;", ""),
            ("listen 81 http2;", ""),
            ("listen 10.0.0.5:443 ssl;", "10.0.0.5:443 (TLS)"),
        ];
        for (body, expected) in cases {
            let text = format!(
                "server {{ {body} }} server {{ listen *:9443 ssl; listen 82 proxy_protocol; \
                 listen [::]:84 ssl proxy_protocol; }}"
            );
            let servers = servers(&text);
            let mut sockets = Sockets::default();
            servers.iter().for_each(|server| sockets.learn(server));
            let found = sockets.of(&servers[0], Some((1, 22, 1)));
            let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(shown.join(", "), expected, "{body}");
        }
        let later = servers("server { listen 81 http2; }");
        let mut sockets = Sockets::default();
        sockets.learn(&later[0]);
        assert_eq!(sockets.of(&later[0], Some((1, 26, 0))).len(), 1);
    }
}
