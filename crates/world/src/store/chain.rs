//! The hash chain over rows: each row's hash covers the one before, so a changed, missing or moved
//! row is found.

use guanka_core::name::Digest;

use crate::hash;

/// What a row's hash is taken over, in this order.
pub struct Link<'a> {
    /// The hash of the row before, 64 zeros for the first.
    pub previous: &'a str,
    /// The row's number.
    pub number: u64,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Whose row it is: a service.
    pub subject: &'a str,
    /// The record's JSON.
    pub record: &'a str,
}

/// Returns what stands in place of a hash before the first row.
pub fn genesis() -> String {
    "0".repeat(64)
}

impl Link<'_> {
    /// Returns the row's hash. Each part is preceded by its length, so that no two rows give the
    /// same bytes.
    pub fn hash(&self) -> Digest {
        let mut bytes = Vec::new();
        let number = self.number.to_string();
        let at = self.at_ms.to_string();
        for part in [self.previous, &number, &at, self.subject, self.record] {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part.as_bytes());
        }
        hash::of_bytes(&bytes)
    }
}
