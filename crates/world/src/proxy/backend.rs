//! Where a site passes its requests today: the port of this machine behind its location `/`,
//! whether that is the site's own or a rule of the panel's.

use std::net::{IpAddr, SocketAddr};

use guanka_core::facts::nginx::Directive;
use guanka_core::name::Domain;

use super::control::Nginx;
use super::site;
use crate::hostroot::HostRoot;

/// Returns the port of this machine that a domain's site passes `/` to.
pub fn backend_port(host: &HostRoot, domain: &Domain) -> Option<u16> {
    let nginx = Nginx::find(host)?;
    let servers = site::servers(host, &nginx, domain);
    servers.iter().find_map(port)
}

fn port(server: &Directive) -> Option<u16> {
    let locations = server.inner().iter().filter(|d| d.name == "location");
    let roots = locations.filter(|d| d.args.last().is_some_and(|path| path == "/"));
    let passes = roots.flat_map(|d| d.inner()).filter(|d| d.name == "proxy_pass");
    passes.filter_map(|d| d.args.first()).find_map(|text| local_port(text))
}

/// Reads `http://127.0.0.1:8080`, with a path behind it or not.
fn local_port(text: &str) -> Option<u16> {
    let rest = text.strip_prefix("http://")?;
    let address = rest.split('/').next()?;
    if let Some(port) = address.strip_prefix("localhost:") {
        return port.parse().ok();
    }
    let address: SocketAddr = address.parse().ok()?;
    let is_here = match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_loopback(),
    };
    is_here.then_some(address.port())
}

#[cfg(test)]
mod tests {
    use super::{local_port, port};

    #[test]
    fn the_port_behind_the_root_location_is_this_machines() {
        let text = "server { location /x { proxy_pass http://127.0.0.1:1; }\n\
                    location ^~ / { proxy_set_header A b; proxy_pass http://localhost:8080/; } }";
        let (tree, _) = guanka_parse::nginx::parse_fragment("n", text);
        assert_eq!(port(&tree[0]), Some(8080));
        let known = [
            ("http://127.0.0.1:81/a", Some(81)),
            ("http://[::1]:82", Some(82)),
            ("http://10.0.0.1:83", None),
            ("https://127.0.0.1:84", None),
            ("http://$x", None),
        ];
        for (text, expected) in known {
            assert_eq!(local_port(text), expected, "{text}");
        }
    }
}
