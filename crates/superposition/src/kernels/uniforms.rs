//! Uniform random numbers, sixteen at once.

use super::lanes::{LANES, Lanes};

/// Sixteen xoshiro128++ generators.
///
/// # References
/// D. Blackman and S. Vigna (2021), "Scrambled linear pseudorandom number generators".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uniforms {
    state: [[u32; LANES]; 4],
}

impl Uniforms {
    /// Creates generators whose states are drawn from `bits`.
    pub(crate) fn seeded(mut bits: impl FnMut() -> u64) -> Self {
        let mut state = [[0; LANES]; 4];
        for lane in 0..LANES {
            let (a, b) = (bits(), bits());
            // A state of four zeros would never change.
            let words = [a as u32 | 1, (a >> 32) as u32, b as u32, (b >> 32) as u32];
            for (row, word) in state.iter_mut().zip(words) {
                row[lane] = word;
            }
        }
        Self { state }
    }

    /// Draws sixteen uniform numbers in `[0, 1)` with 24 random bits each.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Lanes {
        let [s0, s1, s2, s3] = &mut self.state;
        let mut out = [0.0; LANES];
        for l in 0..LANES {
            let bits = s0[l].wrapping_add(s3[l]).rotate_left(7).wrapping_add(s0[l]);
            let shifted = s1[l] << 9;
            s2[l] ^= s0[l];
            s3[l] ^= s1[l];
            s1[l] ^= s2[l];
            s0[l] ^= s3[l];
            s2[l] ^= shifted;
            s3[l] = s3[l].rotate_left(11);
            // Converted from i32, for which every level has one instruction.
            out[l] = (bits >> 8) as i32 as f32 * (1.0 / 16_777_216.0);
        }
        out
    }
}
