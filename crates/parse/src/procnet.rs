//! Parses `/proc/net/tcp` and `/proc/net/tcp6`, and the machine's own addresses out of
//! `/proc/net/fib_trie`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How many sockets are kept; a busy proxy has some ten thousand.
const SOCKETS_MAX: usize = 1_000_000;

/// One TCP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// The local address.
    pub address: IpAddr,
    /// The local port.
    pub port: u16,
    /// The socket's inode; 0 for one that belongs to no process any more.
    pub inode: u64,
    /// The user that made it.
    pub uid: u32,
    /// Its state.
    pub state: State,
}

/// The state of a TCP socket, as far as guanka asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Waits for connections.
    Listen,
    /// Connected.
    Established,
    /// Any other, by the kernel's number.
    Other(u8),
}

/// Reads the table, of either family. Lines that cannot be read are left out.
pub fn read(text: &str) -> Vec<Socket> {
    text.lines().filter_map(socket).take(SOCKETS_MAX).collect()
}

/// Reads the machine's own IPv4 addresses, the loopback's left out, in order and each once.
pub fn own_addresses(text: &str) -> Vec<Ipv4Addr> {
    let mut found = std::collections::BTreeSet::new();
    let mut last: Option<Ipv4Addr> = None;
    for line in text.lines().take(SOCKETS_MAX) {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(last.filter(|address| !address.is_loopback()));
        }
    }
    found.into_iter().collect()
}

/// Reads the machine's own IPv6 addresses that are good beyond one link, the loopback's left out,
/// in order and each once.
pub fn own_addresses_v6(text: &str) -> Vec<Ipv6Addr> {
    /// What the kernel calls an address that nothing narrows.
    const EVERYWHERE: &str = "00";
    /// Not yet known to be unique, or known not to be: nothing can be sent from it.
    const UNUSABLE: u8 = 0x40 | 0x08;
    let address = |line: &str| {
        let mut columns = line.split_ascii_whitespace();
        let (address, scope) = (columns.next()?, columns.nth(2)?);
        let flags = u8::from_str_radix(columns.next()?, 16).ok()?;
        let is_hex = address.len() == 32 && address.bytes().all(|b| b.is_ascii_hexdigit());
        let bits = is_hex.then(|| u128::from_str_radix(address, 16).ok())??;
        (scope == EVERYWHERE && flags & UNUSABLE == 0).then_some(Ipv6Addr::from(bits))
    };
    let found: std::collections::BTreeSet<Ipv6Addr> =
        text.lines().take(SOCKETS_MAX).filter_map(address).collect();
    found.into_iter().filter(|address| !address.is_loopback()).collect()
}

fn socket(line: &str) -> Option<Socket> {
    let mut columns = line.split_ascii_whitespace();
    let local = columns.nth(1)?;
    let (address, port) = local.split_once(':')?;
    let state = columns.nth(1)?;
    let uid = columns.nth(3)?.parse().ok()?;
    let inode = columns.nth(1)?.parse().ok()?;
    Some(Socket {
        address: parse_address(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        inode,
        uid,
        state: match u8::from_str_radix(state, 16).ok()? {
            10 => State::Listen,
            1 => State::Established,
            other => State::Other(other),
        },
    })
}

/// Reads the kernel's hexadecimal address. It prints each 32-bit word as the machine holds it; all
/// machines that guanka runs on hold it little-endian.
fn parse_address(hex: &str) -> Option<IpAddr> {
    if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok();
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?.to_le_bytes()))),
        32 => {
            let mut bytes = [0_u8; 16];
            for (at, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(at * 8)?.to_le_bytes());
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{State, read};

    const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when \
                    retrnsmt   \
                        uid  timeout inode\n";

    #[test]
    fn addresses_ports_states_and_inodes_read() {
        let text = format!(
            "{HEAD}   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  \
             1001        0 34567 1 0000000000000000 100 0 0 10 0\n   \
             1: 0100007F:A1B2 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        \
             0 99 1\n"
        );
        let found = read(&text);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].address.to_string().as_str(), found[0].port), ("127.0.0.1", 8080));
        assert_eq!((found[0].inode, found[0].uid, found[0].state), (34567, 1001, State::Listen));
        assert_eq!(found[1].state, State::Established);
    }

    #[test]
    fn version_six_addresses_read() {
        let row = |address: &str| {
            format!(
                "{HEAD}   0: {address}:0050 00000000000000000000000000000000:0000 0A \
                 00000000:00000000 00:00000000 00000000     0        0 7 1\n"
            )
        };
        let address = |hex: &str| read(&row(hex))[0].address.to_string();
        assert_eq!(address("00000000000000000000000000000000"), "::");
        assert_eq!(address("00000000000000000000000001000000"), "::1");
        assert_eq!(address("0000000000000000FFFF00000100007F"), "::ffff:127.0.0.1");
    }

    #[test]
    fn any_bytes_give_sockets() {
        arbtest::arbtest(|u| {
            let bytes: Vec<u8> = u.arbitrary()?;
            let _ = read(&String::from_utf8_lossy(&bytes));
            let _ = super::own_addresses_v6(&String::from_utf8_lossy(&bytes));
            let signs = b" \n:0AF+\xc3\xa9";
            let chosen: Vec<u8> =
                bytes.iter().map(|b| signs[usize::from(*b) % signs.len()]).collect();
            let _ = read(&String::from_utf8_lossy(&chosen));
            let _ = super::own_addresses_v6(&String::from_utf8_lossy(&chosen));
            Ok(())
        });
    }

    #[test]
    fn own_addresses_are_those_that_are_local_to_this_machine() {
        let text = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n\
            \x20    |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.5\n\
            \x20       /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n\
            \x20    |-- 127.0.0.1\n        /32 host LOCAL\nLocal:\n     |-- 10.0.0.5\n\
            \x20       /32 host LOCAL\n     |-- x\n        /32 host LOCAL\n";
        assert_eq!(
            super::own_addresses(text),
            ["10.0.0.5".parse::<super::Ipv4Addr>().expect("one")]
        );
    }

    #[test]
    fn own_addresses_of_version_six_are_those_that_can_be_asked_from() {
        let text = "fe8000000000000000fc00fffe000001 04 40 20 80     eth0\n\
            00000000000000000000000000000001 01 80 10 80       lo\n\
            fd000000000000000000000000000002 04 40 00 82     eth0\n\
            fd000000000000000000000000000003 04 40 00 c8     eth0\n\
            fd0000000000000000000000000004 04 40 00 80 eth0\n\
            20010db8000000000000000000000001 05 40 00 80 a\nx\n";
        let found: Vec<String> =
            super::own_addresses_v6(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["2001:db8::1", "fd00::2"]);
    }
}
