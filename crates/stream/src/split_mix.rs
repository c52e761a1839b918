use std::f64::consts::TAU;

/// SplitMix64 as a counter: the number at each index follows from the seed and the index alone.
///
/// ```text
/// bits(i)    = f(seed + (i + 1)·0x9E3779B97F4A7C15 mod 2⁶⁴),   f the finaliser of SplitMix64
/// uniform(i) = ⌊bits(i)/2¹¹⌋·2⁻⁵³
/// normals    = √(−2 ln(1 − u_2k))·(cos, sin)(2π u_2k+1),   in pairs (Box–Muller)
/// ```
///
/// A few lines of any language give the same numbers, so weights and batches of a recorded run can be rebuilt. [`crate::RngStream`] is
/// the generator for everything else: streams of two seeds of this one can overlap.
///
/// # Examples
/// ```
/// use collimate_stream::SplitMix;
/// let numbers = SplitMix::new(1);
/// assert_eq!(numbers.bits(0), 10451216379200822465);
/// assert!((numbers.normals(1)[0] + 0.0342673217918511).abs() < 1e-15);
/// ```
///
/// # References
/// Steele, Lea and Flood (2014), "Fast splittable pseudorandom number generators"; Box and Muller (1958).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitMix {
    seed: u64,
}

impl SplitMix {
    /// Returns the generator of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Returns the 64 bits at an index.
    pub fn bits(&self, index: u64) -> u64 {
        finalise(self.seed.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN)))
    }

    /// Returns the uniform number in `[0, 1)` at an index, with 53 random bits.
    pub fn uniform(&self, index: u64) -> f64 {
        (self.bits(index) >> 11) as f64 * (-53f64).exp2()
    }

    /// Returns the first `n` standard normal numbers.
    pub fn normals(&self, n: usize) -> Vec<f64> {
        let pair = |k: usize| {
            let k = 2 * k as u64;
            let length = (-2.0 * (-self.uniform(k)).ln_1p()).sqrt();
            let angle = TAU * self.uniform(k + 1);
            [length * angle.cos(), length * angle.sin()]
        };
        let mut numbers: Vec<f64> = (0..n.div_ceil(2)).flat_map(pair).collect();
        numbers.truncate(n);
        numbers
    }

    /// Returns the integer in `0..n` at an index, the remainder of its bits. Small integers are likelier by at most n/2⁶⁴.
    ///
    /// # Panics
    /// If `n` is zero.
    pub fn below(&self, index: u64, n: usize) -> usize {
        assert!(n > 0, "SplitMix::below needs n > 0");
        (self.bits(index) % n as u64) as usize
    }

    /// Returns the permutation of `0..n` that sorts the first `n` numbers. Equal numbers keep their order.
    ///
    /// # Examples
    /// ```
    /// use collimate_stream::SplitMix;
    /// let mut p = SplitMix::new(3).permutation(5);
    /// p.sort();
    /// assert_eq!(p, [0, 1, 2, 3, 4]);
    /// ```
    pub fn permutation(&self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by_cached_key(|&index| self.bits(index as u64));
        order
    }
}

/// The step of the counter, 2⁶⁴ over the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Computes the finaliser of SplitMix64, a bijection.
fn finalise(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Returns the first number of a seed.
pub(crate) fn mix(seed: u64) -> u64 {
    finalise(seed.wrapping_add(GOLDEN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_recorded_runs() {
        let numbers = SplitMix::new(1);
        let bits = [10451216379200822465, 13757245211066428519, 17911839290282890590];
        assert_eq!([0, 1, 2].map(|i| numbers.bits(i)), bits);
        let expected = [-0.034267321791851144, -1.2926085332373185, -2.5000674933698677];
        for (found, expected) in numbers.normals(3).iter().zip(expected) {
            // One rounding of the logarithm, the root, the angle and the cosine each: below 8 units in the last place.
            assert!((found - expected).abs() < 8.0 * f64::EPSILON * 2.5, "{found} {expected}");
        }
        // The reference values of SplitMix64 for the seed 1234567 (Vigna's splitmix64.c).
        let known = [6457827717110365317, 3203168211198807973, 9817491932198370423];
        assert_eq!([0, 1, 2].map(|i| SplitMix::new(1_234_567).bits(i)), known);
    }

    #[test]
    fn normals_have_the_moments_of_a_normal_distribution() {
        let numbers = SplitMix::new(9).normals(100_001);
        let moment = |power: i32| numbers.iter().map(|x| x.powi(power)).sum::<f64>() / numbers.len() as f64;
        // Four standard errors: √(1, 2, 15, 96)/√n.
        for (power, exact, error) in [(1, 0.0, 1.0_f64), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
            let error = 4.0 * (error / 100_001.0).sqrt();
            assert!((moment(power) - exact).abs() < error, "{power}: {}", moment(power));
        }
    }

    #[test]
    fn integers_and_permutations_follow_the_bits() {
        let numbers = SplitMix::new(5);
        assert!((0..100).all(|i| numbers.below(i, 7) == (numbers.bits(i) % 7) as usize));
        let order = numbers.permutation(50);
        assert!(order.windows(2).all(|pair| numbers.bits(pair[0] as u64) < numbers.bits(pair[1] as u64)));
    }

    #[test]
    fn counters_beyond_the_largest_integer_wrap() {
        assert_eq!(SplitMix::new(u64::MAX).bits(u64::MAX), finalise(u64::MAX));
    }
}
