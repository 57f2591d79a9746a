//! The probes of a proof: one key below the share and one not, or as many requests as it takes
//! where nothing keeps a user on one arm.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::{fs, iter};

use guanka_core::facts::declared::Sticky;
use guanka_core::name::Arm;
use guanka_core::signals::slot::Slot;

use super::door::{self, Reply, Wanted};
use super::{Nonce, Question, expected_arms};
use crate::proxy::{Listen, NONCE_HEADER};

/// Keys that are tried to find one in a given set of slots: with a share of one in a hundred, the
/// chance to miss it this often is below one in a million million.
const KEYS_MAX: u32 = 3000;
/// Requests without a key: at one in a hundred, 1,000 miss it once in 23,000 proofs.
const LOOSE_MAX: u32 = 1000;
/// At a half the chance that so many requests all fall to one side is one in half a million.
const LOOSE_MIN: u32 = 20;

/// One probe.
pub(super) struct Ask {
    from: Option<IpAddr>,
    cookie: Option<String>,
}

/// Returns the probes that together show both sides of the share at one address, or the arm that
/// no key of this machine's falls to.
pub(super) fn asks(question: &Question<'_>, listen: Listen) -> Result<Vec<Ask>, Arm> {
    let sides = expected_arms(question.green);
    let falls_to = |text: &str, arm: Arm| {
        Slot::of(format!("{}{text}", question.service).as_bytes()).arm(question.green) == arm
    };
    match question.sticky {
        Sticky::Cookie(name) => {
            let one = |arm: &Arm| {
                let mut keys = (0..KEYS_MAX).map(|i| format!("guanka-{i}"));
                let found = keys.find(|text| falls_to(text, *arm)).ok_or(*arm)?;
                Ok(Ask { from: None, cookie: Some(format!("{name}={found}")) })
            };
            sides.iter().map(one).collect()
        }
        Sticky::Client => {
            let clients = clients(listen);
            let one = |arm: &Arm| {
                let mut clients = clients.iter();
                let found = clients.find(|address| falls_to(&address.to_string(), *arm));
                Ok(Ask { from: Some(*found.ok_or(*arm)?), cookie: None })
            };
            sides.iter().map(one).collect()
        }
        Sticky::Request => {
            let share = u32::from(question.green.get().min(question.green.rest().get()));
            // With all requests on one arm, one shows it.
            let count = LOOSE_MAX.checked_div(share).map_or(1, |count| count.max(LOOSE_MIN));
            Ok((0..count).map(|_| Ask { from: None, cookie: None }).collect())
        }
    }
}

/// Returns the addresses that this machine can ask from, as nginx writes them: each is a client of
/// its own. IPv4 has a whole network on the loopback; IPv6 has one address there and those of the
/// machine.
fn clients(listen: Listen) -> Vec<IpAddr> {
    match listen.address.ip() {
        IpAddr::V4(_) => (0..KEYS_MAX).map(|i| loopback(i).into()).collect(),
        IpAddr::V6(to) if to.to_ipv4_mapped().is_some() => {
            (0..KEYS_MAX).map(|i| loopback(i).to_ipv6_mapped().into()).collect()
        }
        IpAddr::V6(_) => iter::once(Ipv6Addr::LOCALHOST).chain(own_v6()).map(Into::into).collect(),
    }
}

/// Returns this machine's own IPv6 addresses but the loopback's.
pub(super) fn own_v6() -> Vec<Ipv6Addr> {
    let table = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    guanka_parse::procnet::own_addresses_v6(&table)
}

/// Returns an address of the loopback network.
fn loopback(i: u32) -> Ipv4Addr {
    let [_, _, high, low] = (i + 1).to_be_bytes();
    Ipv4Addr::new(127, 77, high, low)
}

impl Ask {
    /// Sends the probe and returns what came back.
    pub(super) fn send(
        &self,
        question: &Question<'_>,
        listen: Listen,
        nonce: &Nonce,
    ) -> io::Result<Reply> {
        let mut headers = format!("{NONCE_HEADER}: {}\r\n", nonce.as_str());
        if let Some(cookie) = &self.cookie {
            headers.push_str(&format!("Cookie: {cookie}\r\n"));
        }
        let wanted = Wanted { name: question.domain.as_str(), path: question.path, headers };
        door::ask(listen, self.from, &wanted, question.limit)
    }
}
