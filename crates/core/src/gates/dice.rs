//! Seeded chance for the simulations of this module's tests; core itself has none.

/// A small generator (SplitMix64) with the distributions that the simulations draw from.
pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    /// Starts at a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns a number from 0 (included) to 1 (excluded).
    pub(crate) fn unit(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Draws a Poisson count: by products of uniforms in portions, exact for any mean.
    pub(crate) fn poisson(&mut self, mean: f64) -> u64 {
        let mut left = mean;
        let mut count = 0;
        while left > 0.0 {
            let portion = left.min(30.0);
            left -= portion;
            let floor = (-portion).exp();
            let mut product = self.unit();
            while product > floor {
                count += 1;
                product *= self.unit();
            }
        }
        count
    }

    /// Draws a binomial count: inversion for small means, one coin after another else.
    pub(crate) fn binomial(&mut self, n: u64, p: f64) -> u64 {
        if n as f64 * p > 30.0 {
            return (0..n).filter(|_| self.unit() < p).count() as u64;
        }
        let mut u = self.unit();
        let mut k = 0_u64;
        let mut mass = (n as f64 * (-p).ln_1p()).exp();
        while u > mass && k < n {
            u -= mass;
            k += 1;
            mass *= (n - k + 1) as f64 / k as f64 * p / (1.0 - p);
        }
        k
    }

    /// Draws a geometric count from 1 with the given mean.
    pub(crate) fn geometric(&mut self, mean: f64) -> u64 {
        if mean <= 1.0 {
            return 1;
        }
        let fail = 1.0 - 1.0 / mean;
        1 + ((1.0 - self.unit()).ln() / fail.ln()).floor() as u64
    }
}

#[test]
fn the_dice_have_the_means_they_are_asked_for() {
    let mut dice = Dice::new(1);
    let rounds = 20_000;
    let mean = |sum: u64| sum as f64 / f64::from(rounds);
    let poisson = mean((0..rounds).map(|_| dice.poisson(3.0)).sum());
    let binomial = mean((0..rounds).map(|_| dice.binomial(50, 0.1)).sum());
    let geometric = mean((0..rounds).map(|_| dice.geometric(4.0)).sum());
    assert!((poisson - 3.0).abs() < 0.06, "{poisson}");
    assert!((binomial - 5.0).abs() < 0.08, "{binomial}");
    assert!((geometric - 4.0).abs() < 0.12, "{geometric}");
}
