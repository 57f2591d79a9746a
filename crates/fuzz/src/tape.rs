//! The source of every choice: a tape of bytes, fresh from a seed or kept from a failure. Behind
//! its end it gives zeros, so a shorter tape is always a smaller case.

/// The longest fresh tape.
const LENGTH_MAX: usize = 512;

/// A tape that is being read.
#[derive(Clone, Debug)]
pub struct Tape<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Tape<'a> {
    /// Starts at the beginning.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Returns the next byte.
    pub fn byte(&mut self) -> u8 {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        byte
    }

    /// Returns whether anything is left.
    pub fn is_over(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Returns a number below another one; 0 below 0.
    pub fn below(&mut self, end: usize) -> usize {
        let number = match end {
            0..=1 => return 0,
            2..=256 => usize::from(self.byte()),
            _ => usize::from(self.byte()) << 8 | usize::from(self.byte()),
        };
        number % end
    }

    /// Returns 64 bits.
    pub fn number(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// Returns one of several.
    pub fn pick<'b, T: ?Sized>(&mut self, of: &[&'b T]) -> &'b T {
        of[self.below(of.len())]
    }
}

/// Returns the tape of a seed, the same one at any time.
pub fn fresh(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        // SplitMix64, as its authors published it.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    // Most tapes are short: small cases are quick, and what they break is easy to read.
    let bits = next();
    let most = [32, 64, 128, LENGTH_MAX][bits as usize % 4];
    let length = 8 + (bits >> 8) as usize % most;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend(next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests {
    use super::{Tape, fresh};

    #[test]
    fn a_seed_gives_the_same_tape_and_its_end_gives_zeros() {
        assert_eq!(fresh(7), fresh(7));
        assert_ne!(fresh(7), fresh(8));
        let mut tape = Tape::new(&[5, 1, 2]);
        assert_eq!((tape.below(4), tape.below(1000), tape.below(9)), (1, 258, 0));
        assert!(tape.is_over());
    }
}
