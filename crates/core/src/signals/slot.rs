//! Which of the 100 slots a key falls into, as nginx's `split_clients` computes it, and which arm a
//! slot belongs to. Used for probes, for "which arm did this user get?" and to check the log.

use serde::{Deserialize, Serialize};

use crate::name::Arm;
use crate::quantity::SharePercent;

/// One of the 100 slots, 0 to 99.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Slot(u8);

impl Slot {
    /// Accepts 0 to 99.
    pub const fn new(number: u8) -> Option<Self> {
        if number < 100 { Some(Self(number)) } else { None }
    }

    /// Returns the number.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Returns the slot of a hashed text: the service's name with the sticky key behind it.
    pub fn of(text: &[u8]) -> Self {
        let hash = u64::from(murmur2(text));
        // nginx sums the percentages (in hundredths) and cuts the product down, so the borders
        // are these integers and not equal parts.
        let border = |slot: u8| (u64::from(slot) + 1) * 100 * 0xFFFF_FFFF / 10_000;
        Self((0..99).find(|slot| hash < border(*slot)).unwrap_or(99))
    }

    /// Returns the arm that serves this slot while green has the given share.
    pub const fn arm(self, green: SharePercent) -> Arm {
        if self.0 < green.get() { Arm::Green } else { Arm::Blue }
    }
}

impl TryFrom<u8> for Slot {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        Self::new(number).ok_or_else(|| format!("{number} is not a slot from 0 to 99"))
    }
}

impl From<Slot> for u8 {
    fn from(slot: Slot) -> Self {
        slot.0
    }
}

/// Returns an arm's share while green has the given one.
pub const fn share_of(arm: Arm, green: SharePercent) -> SharePercent {
    match arm {
        Arm::Green => green,
        Arm::Blue => green.rest(),
    }
}

/// MurmurHash2 with seed 0 on 32 bits, little-endian as nginx has it.
fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5BD1_E995;
    // nginx takes the length modulo 2^32; a key is far shorter.
    let mut hash = bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_match_those_seen_in_nginx() {
        for (text, slot) in [
            ("shop127.0.0.1", 58),
            ("shopa", 88),
            ("shopb", 46),
            ("shopc", 24),
            ("shopd", 3),
            ("shope", 72),
            ("shop.prod127.0.0.1", 93),
            ("shop.proda", 46),
            ("shop.prodb", 91),
            ("shop.prodc", 0),
            ("shop.prodd", 5),
            ("shop.prode", 80),
        ] {
            assert_eq!(Slot::of(text.as_bytes()).get(), slot, "{text}");
        }
    }

    #[test]
    fn green_has_the_slots_below_its_share() {
        let share = |percent| SharePercent::new(percent).expect("a percentage");
        let slot = |number| Slot::new(number).expect("a slot");
        assert_eq!(slot(9).arm(share(10)), Arm::Green);
        assert_eq!(slot(10).arm(share(10)), Arm::Blue);
        assert_eq!(slot(0).arm(SharePercent::NONE), Arm::Blue);
        assert_eq!(slot(99).arm(SharePercent::ALL), Arm::Green);
        assert_eq!(share_of(Arm::Blue, share(10)), share(90));
        assert_eq!(share_of(Arm::Green, share(10)), share(10));
        assert_eq!(Slot::new(100), None);
    }

    #[test]
    fn keys_spread_evenly_over_the_slots() {
        let mut seen = [0_u32; 100];
        for key in 0..20_000 {
            seen[usize::from(Slot::of(format!("shop.prod{key}").as_bytes()).get())] += 1;
        }
        assert!(seen.iter().all(|count| (130..=270).contains(count)), "{seen:?}");
    }
}
