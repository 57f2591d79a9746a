//! The names of things: app, environment, service, digest, arm, route. A value of one of these
//! types is already allowed everywhere it may be written: paths, unit names, nginx text, ini files.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An app in an environment, written `<app>.<env>`: the key of every path, unit, upstream, port,
/// share, lock, journal row and audit record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName {
    app: String,
    env: String,
}

/// A lower-case hexadecimal SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// One of the two slots a service has on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arm {
    /// The first slot; a first release goes here.
    Blue,
    /// The second slot; the share on disk is always green's.
    Green,
}

/// A DNS name that may stand in an nginx `server_name`: letters, digits, dots and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(String);

/// A route as the access log is grouped by it, `POST /orders`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Route(pub String);

/// Why a text is not a name; the message says which letters are allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct NameError {
    /// What was written, escaped.
    pub text: String,
    /// What would have been right.
    pub expected: &'static str,
}

impl ServiceName {
    /// Accepts an app of `[a-z][a-z0-9-]{0,17}` and an environment of `[a-z][a-z0-9-]{0,8}`: the
    /// system user `gk_<app>_<env>` stays under 32 characters.
    pub fn new(app: &str, env: &str) -> Result<Self, NameError> {
        if !is_word(app, 18) {
            return Err(NameError {
                text: app.to_owned(),
                expected: "an app name: a small letter, then up to 17 of a-z 0-9 -",
            });
        }
        if !is_word(env, 9) {
            return Err(NameError {
                text: env.to_owned(),
                expected: "an environment name: a small letter, then up to 8 of a-z 0-9 -",
            });
        }
        Ok(Self { app: app.to_owned(), env: env.to_owned() })
    }

    /// Returns the app's name.
    pub fn app(&self) -> &str {
        &self.app
    }

    /// Returns the environment's name.
    pub fn env(&self) -> &str {
        &self.env
    }

    /// Returns the name with `-` and `.` as `_`, for nginx variables and upstreams.
    pub fn underscored(&self) -> String {
        self.to_string().replace(['-', '.'], "_")
    }

    /// Returns the system user that runs the service.
    pub fn user(&self) -> String {
        format!("gk_{}_{}", self.app, self.env).replace('-', "_")
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.app, self.env)
    }
}

impl TryFrom<String> for ServiceName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        match text.split_once('.') {
            Some((app, env)) => Self::new(app, env),
            None => Err(NameError { text, expected: "a service: <app>.<env>" }),
        }
    }
}

impl From<ServiceName> for String {
    fn from(name: ServiceName) -> Self {
        name.to_string()
    }
}

impl Digest {
    /// Accepts 64 lower-case hexadecimal digits.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let good = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError { text: text.to_owned(), expected: "a SHA-256 of 64 hex digits" })
        }
    }

    /// Returns all 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first 12 digits, as people are shown it.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl Arm {
    /// Returns the other slot.
    pub const fn other(self) -> Self {
        match self {
            Self::Blue => Self::Green,
            Self::Green => Self::Blue,
        }
    }

    /// Returns the name used on disk, in nginx and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Green => "green",
        }
    }

    /// Reads the name back.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "blue" => Some(Self::Blue),
            "green" => Some(Self::Green),
            _ => None,
        }
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Domain {
    /// Accepts labels of letters, digits and inner hyphens, 253 characters at most. Wildcards,
    /// variables and anything nginx could read as syntax are refused.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let label = |l: &str| {
            !l.is_empty()
                && l.len() <= 63
                && !l.starts_with('-')
                && !l.ends_with('-')
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if text.len() <= 253 && text.split('.').all(label) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError {
                text: text.chars().take(80).collect(),
                expected: "a domain name of letters, digits, dots and hyphens",
            })
        }
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Domain {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<Domain> for String {
    fn from(domain: Domain) -> Self {
        domain.0
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_word(text: &str, max: usize) -> bool {
    text.len() <= max
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::{Digest, Domain, ServiceName};

    #[test]
    fn hostile_names_are_refused() {
        let hostile =
            ["a;b", "a\nb", "a%b", "", "A", "1a", "-a", "a.b", "../x", "a b", "$a", "a\0"];
        for text in hostile {
            assert!(ServiceName::new(text, "prod").is_err(), "{text:?}");
            assert!(ServiceName::new("shop", text).is_err(), "{text:?}");
        }
        for text in ["a;b", "a b", "$http_host", "*.a", "", "a..b", "-a.b", "a\nb", "中.cn"] {
            assert!(Domain::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_service_gives_its_other_names() {
        let name = ServiceName::new("shop-api", "prod").expect("a good name");
        assert_eq!(name.to_string(), "shop-api.prod");
        assert_eq!(name.underscored(), "shop_api_prod");
        assert_eq!(name.user(), "gk_shop_api_prod");
        assert!(name.user().len() < 32);
    }

    #[test]
    fn a_digest_is_64_small_hex_digits() {
        assert!(Digest::new(&"a".repeat(64)).is_ok());
        assert!(Digest::new(&"A".repeat(64)).is_err());
        assert!(Digest::new("../../etc/passwd").is_err());
    }
}
