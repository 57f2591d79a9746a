//! Which of the hundred slots a key falls into, computed as nginx's `split_clients` does. It
//! answers "which arm does this user get" and chooses the keys of a proof.

use guanka_core::name::ServiceName;
use guanka_core::quantity::SharePercent;

/// One of the slots s00 to s99.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(u8);

impl Slot {
    /// Returns the slot of a key of a service.
    pub fn of(service: &ServiceName, key: &str) -> Self {
        let hash = u64::from(murmur2(format!("{service}{key}").as_bytes()));
        // nginx adds up hundredths of a per cent and cuts each sum down to 32 bits by itself.
        let limit = |i: u64| (i + 1) * 100 * 0xFFFF_FFFF / 10_000;
        let slot = (0..99).find(|i| hash < limit(*i)).unwrap_or(99);
        Self(slot as u8)
    }

    /// Reads `s07`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('s').filter(|d| d.len() == 2)?;
        digits.parse().ok().filter(|n| *n < 100).map(Self)
    }

    /// Returns whether the slot belongs to green at a share of green's: the sets are nested, so a
    /// higher share moves nobody back.
    pub fn is_green_at(self, share: SharePercent) -> bool {
        self.0 < share.get()
    }

    /// Returns `s07`.
    pub fn name(self) -> String {
        format!("s{:02}", self.0)
    }
}

/// MurmurHash2 with seed 0, as nginx has it.
fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = bytes.len() as u32;
    let mut chunks = bytes.chunks_exact(4);
    for chunk in &mut chunks {
        let word = chunk.iter().rev().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        let mixed = word.wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (mixed ^ (mixed >> 24)).wrapping_mul(M);
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use guanka_core::name::ServiceName;
    use guanka_core::quantity::SharePercent;

    use super::Slot;

    #[test]
    fn keys_fall_where_nginx_puts_them() {
        let service = ServiceName::new("shop", "prod").expect("a good name");
        let known = [
            ("127.0.0.1", "s93"),
            ("a", "s46"),
            ("b", "s91"),
            ("c", "s00"),
            ("d", "s05"),
            ("e", "s80"),
        ];
        for (key, slot) in known {
            assert_eq!(Slot::of(&service, key).name(), slot, "{key}");
        }
    }

    #[test]
    fn a_share_takes_the_lowest_slots() {
        let at = |slot: &str, share| {
            let share = SharePercent::new(share).expect("a percentage");
            Slot::parse(slot).expect("a slot").is_green_at(share)
        };
        assert!(!at("s00", 0) && at("s00", 1) && !at("s01", 1));
        assert!(at("s98", 99) && !at("s99", 99) && at("s99", 100));
        for text in ["", "s", "s1", "s100", "x01", "s-1"] {
            assert_eq!(Slot::parse(text), None, "{text}");
        }
    }
}
