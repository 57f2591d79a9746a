//! Where a site can be asked from this machine: the addresses it listens at, each with or without
//! TLS, read as nginx reads them. What this machine cannot ask is left out.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use guanka_core::facts::nginx::Directive;
use serde::{Deserialize, Serialize};

/// The first nginx that speaks HTTP/1.1 without TLS on a socket that also has HTTP/2.
const BOTH_SINCE: (u32, u32, u32) = (1, 25, 1);

/// An address of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listen {
    /// How it is spoken to.
    pub over: Over,
    /// The address; for one that listens everywhere, the loopback's.
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

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.over {
            Over::Plain => write!(f, "{}", self.address),
            Over::Tls => write!(f, "{} (TLS)", self.address),
        }
    }
}

/// What is said of one socket, by whichever server block.
#[derive(Clone, Copy, Debug, Default)]
struct Socket {
    is_tls: bool,
    is_http2: bool,
    is_other: bool,
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
            socket.is_other |= has("proxy_protocol") || has("quic");
        }
    }

    /// Returns where a server block can be asked, without TLS first.
    pub(super) fn of(&self, server: &Directive, version: Option<(u32, u32, u32)>) -> Vec<Listen> {
        let names = server.inner().iter().filter(|d| d.name == "listen");
        let mut names: Vec<&str> = names.filter_map(|d| Some(d.args.first()?.as_str())).collect();
        if names.is_empty() {
            names.push("80");
        }
        let one = |name: &&str| {
            let socket = self.known.get(&key(name)).copied().unwrap_or_default();
            let over = if socket.is_tls { Over::Tls } else { Over::Plain };
            let is_mute = socket.is_http2
                && over == Over::Plain
                && version.is_none_or(|version| version < BOTH_SINCE);
            let address = address(name)?;
            (!socket.is_other && !is_mute).then_some(Listen { over, address })
        };
        let mut found: Vec<Listen> = names.iter().filter_map(one).collect();
        found.sort();
        found.dedup();
        found
    }
}

/// Returns one name for the ways to write an address: `80`, `*:80` and `0.0.0.0:80` are one socket.
fn key(text: &str) -> String {
    match address(text) {
        Some(address) if text.starts_with("127.") => address.to_string(),
        Some(address) if address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) => {
            format!("*:{}", address.port())
        }
        Some(address) => address.to_string(),
        None => text.to_owned(),
    }
}

/// Reads `80`, `127.0.0.1:8080`, `*:80`; any address means the loopback here.
pub(super) fn address(text: &str) -> Option<SocketAddr> {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    if let Ok(port) = text.parse::<u16>() {
        return Some(SocketAddr::new(loopback, port));
    }
    if let Some(port) = text.strip_prefix("*:").or_else(|| text.strip_prefix("localhost:")) {
        return Some(SocketAddr::new(loopback, port.parse().ok()?));
    }
    match text.parse::<SocketAddr>() {
        Ok(found) if found.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED) => {
            Some(SocketAddr::new(loopback, found.port()))
        }
        Ok(found) if found.is_ipv4() => Some(found),
        Ok(_) => None,
        Err(_) => Some(SocketAddr::new(text.parse::<Ipv4Addr>().ok()?.into(), 80)),
    }
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
            ("[::]:80", None),
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
            ("listen 443 ssl; listen [::]:443 ssl;", "127.0.0.1:443 (TLS)"),
            ("", "127.0.0.1:80"),
            ("listen 8443; ssl on;", "127.0.0.1:8443 (TLS)"),
            ("listen 9443;", "127.0.0.1:9443 (TLS)"),
            ("listen 80 proxy_protocol; listen 443 quic;", ""),
            ("listen 81 http2;", ""),
            ("listen 10.0.0.5:443 ssl;", "10.0.0.5:443 (TLS)"),
        ];
        for (body, expected) in cases {
            let text = format!("server {{ {body} }} server {{ listen *:9443 ssl; }}");
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
