//! Paths that are not for everybody: the profiler's and the metrics', who may ask for them, and
//! where the metrics come from. Every text here may stand in nginx's configuration as it is.

use core::net::{IpAddr, SocketAddr};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{Domain, NameError};

/// Addresses that may ask: one, a network, or all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Network {
    /// Everybody.
    All,
    /// The addresses whose first bits are the same.
    Of {
        /// An address of the network.
        address: IpAddr,
        /// How many bits decide.
        bits: u8,
    },
}

/// A user and the hash of their password, as nginx reads them: `ops:$6$salt$hash`. Neither is ever
/// shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PasswordLine(String);

/// Who may ask for paths that are closed to everybody else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// The paths; what lies below them is meant too.
    pub paths: Vec<String>,
    /// The addresses that may ask; nobody when there is none.
    pub allow: Vec<Network>,
    /// The users that must name themselves; no password is asked for when there is none.
    pub users: Vec<PasswordLine>,
}

/// The metrics as they can be fetched through nginx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// The path through nginx.
    pub path: String,
    /// Where they come from.
    pub from: MetricsFrom,
    /// The addresses that may fetch them, beside this machine's loopback.
    pub allow: Vec<Network>,
}

/// Where the metrics come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricsFrom {
    /// The arm that the share chooses, under this path.
    Arm(String),
    /// A listener of its own.
    Address {
        /// Its address.
        address: SocketAddr,
        /// Its path.
        path: String,
        /// How it is spoken to; `None` without TLS.
        tls: Option<UpstreamTls>,
    },
}

/// How nginx speaks TLS to the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamTls {
    /// The name asked for, and the one that the certificate must hold.
    pub name: Option<Domain>,
    /// The file with the authority that the certificate must come from; nothing is verified
    /// without it.
    pub ca: Option<String>,
}

impl Guard {
    /// Returns whether a path is closed to those who have neither address nor password.
    pub fn closes(&self, path: &str) -> bool {
        let is_open = self.allow.contains(&Network::All) && self.users.is_empty();
        let holds = |closed: &String| {
            let below = path.strip_prefix(closed.trim_end_matches('/'));
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        !is_open && self.paths.iter().any(holds)
    }
}

impl Network {
    /// Accepts `all`, an address, or an address and its bits: `10.0.0.0/8`.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let error = || NameError {
            text: text.escape_debug().take(80).collect(),
            expected: "an address, a network like 10.0.0.0/8, or all",
        };
        if text == "all" {
            return Ok(Self::All);
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let is_number = |b: &str| !b.is_empty() && b.bytes().all(|b| b.is_ascii_digit());
        let bits = match bits {
            None => most,
            Some(bits) if is_number(bits) => bits.parse().map_err(|_| error())?,
            Some(_) => return Err(error()),
        };
        if bits > most { Err(error()) } else { Ok(Self::Of { address, bits }) }
    }

    /// Returns whether an address belongs to it.
    pub fn holds(&self, asked: IpAddr) -> bool {
        let Self::Of { address, bits } = self else { return true };
        let wide = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => (u128::from(u32::from(ip)) << 96, 4),
            IpAddr::V6(ip) => (u128::from(ip), 6),
        };
        let (own, other) = (wide(*address), wide(asked));
        // Shifting by all 128 bits is no shift: a network of no bits holds every address.
        let shift = 128 - u32::from(*bits);
        own.1 == other.1 && (shift == 128 || own.0 >> shift == other.0 >> shift)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Of { address, bits } => write!(f, "{address}/{bits}"),
        }
    }
}

impl TryFrom<String> for Network {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

/// The beginnings of hashes that are worth their name and that nginx or the C library reads.
const HASHES: &[&str] = &["$apr1$", "$5$", "$6$", "$y$", "$2a$", "$2b$", "$2y$", "{SSHA}"];

impl PasswordLine {
    /// Accepts `user:hash` with a salted hash; a password in clear is refused.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let is_user = |user: &str| {
            (1..=64).contains(&user.len())
                && user.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b))
        };
        let is_hash = |hash: &str| {
            hash.len() <= 256
                && HASHES.iter().any(|h| hash.starts_with(h) && hash.len() > h.len() + 10)
                && hash.bytes().all(|b| b.is_ascii_alphanumeric() || b"$./{}+=".contains(&b))
        };
        match text.split_once(':') {
            Some((user, hash)) if is_user(user) && is_hash(hash) => Ok(Self(text.to_owned())),
            // What was written may be a password, so it is not shown.
            _ => {
                Err(NameError { text: "…".to_owned(), expected: "user:HASH of `openssl passwd`" })
            }
        }
    }

    /// Returns the line as it stands in the password file.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordLine(…)")
    }
}

impl TryFrom<String> for PasswordLine {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<PasswordLine> for String {
    fn from(line: PasswordLine) -> Self {
        line.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Network, PasswordLine};

    #[test]
    fn networks_are_read_and_hold_their_addresses() {
        let cases = [
            ("10.0.0.0/8", "10.9.8.7", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("192.168.1.7", "192.168.1.7", true),
            ("192.168.1.7", "192.168.1.8", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("2001:db8::/32", "2001:db8:1::5", true),
            ("2001:db8::/32", "2001:db9::5", false),
            ("all", "8.8.8.8", true),
        ];
        for (text, address, is_in) in cases {
            let network = Network::new(text).expect(text);
            assert_eq!(network.holds(address.parse().expect(address)), is_in, "{text} {address}");
            assert_eq!(Network::new(&network.to_string()).ok(), Some(network));
        }
        for bad in ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "::/129", "a; deny all", "/8"] {
            assert!(Network::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_salted_hashes_are_taken_and_none_is_shown() {
        let good = "ops:$6$saltsalt$abcdefghijklmnopqrstuvwxyz./ABC";
        let line = PasswordLine::new(good).expect("good");
        assert!(!format!("{line:?}").contains("salt"));
        assert_eq!(line.reveal(), good);
        let clear = ["ops:secret", "ops:{PLAIN}secret", "ops:", ":$6$saltsalt$abcdefghijkl", "ops"];
        for bad in clear.iter().chain(&["ops:$6$salt$abc\nroot:x", "a b:$6$saltsalt$abcdefghij"]) {
            let error = PasswordLine::new(bad).expect_err(bad).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
