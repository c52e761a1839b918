//! The relative-position buckets of T5.

use crate::algebra::arguments::{Parameter, Parameters};
use crate::algebra::setting::Setting;
use collimate_tensor::Scalar;
use ndarray::Array3;

/// The buckets of keys after the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Keys after the query share the bucket of distance 0: decoders.
    Causal,
    /// Half of the buckets are for keys after the query: encoders.
    Bidirectional,
}

/// The buckets of distances: one bucket for each small distance, and buckets of large distances by their logarithm.
///
/// ```text
/// r < n/2:   r              otherwise:   n/2 + ⌊ log(r / (n/2)) / log(r_max / (n/2)) · (n − n/2) ⌋, at most n − 1
/// ```
/// with n the buckets of one direction and r the distance.
///
/// # Examples
/// ```
/// use collimate_attention::algebra::{Buckets, Direction};
/// let t5 = Buckets { count: 32, farthest: 128, direction: Direction::Bidirectional };
/// assert_eq!([0, -7, -8, -200].map(|step| t5.of(step)), [0, 7, 8, 15]);
/// assert_eq!(t5.of(3), 19); // a later key
/// ```
///
/// # References
/// Raffel et al. (2020), section 2.1, and the released code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Buckets {
    /// The number of buckets; 32 in T5.
    pub count: usize,
    /// The distance from which on all distances share the last bucket; 128 in T5.
    pub farthest: usize,
    /// The buckets of keys after the query.
    pub direction: Direction,
}

impl Buckets {
    /// Returns the number of buckets of one direction.
    pub(crate) fn of_one_direction(&self) -> usize {
        match self.direction {
            Direction::Causal => self.count,
            Direction::Bidirectional => self.count / 2,
        }
    }

    /// Returns the bucket of a key `step` positions after its query (negative: before it).
    pub fn of(&self, step: isize) -> usize {
        let n = self.of_one_direction();
        let (first, distance) = match self.direction {
            Direction::Causal => (0, (-step).max(0) as usize),
            Direction::Bidirectional => (if step > 0 { n } else { 0 }, step.unsigned_abs()),
        };
        let near = n / 2;
        if distance < near {
            return first + distance;
        }
        // The logarithms are computed in f32, like in the released code: at a border the bucket depends on it.
        let ratio = (distance as f32 / near as f32).ln() / (self.farthest as f32 / near as f32).ln();
        first + (near + (ratio * (n - near) as f32) as usize).min(n - 1)
    }
}

fn cell(at: &Setting<'_>, buckets: &Buckets, h: usize, i: usize, j: usize) -> usize {
    buckets.of(j as isize - i as isize - at.offset) * at.heads + h
}

pub(super) fn forward<F: Scalar>(
    at: &Setting<'_>,
    buckets: &Buckets,
    parameters: &Parameters<F>,
    z: &Array3<F>,
) -> Array3<F> {
    let table = parameters.values(Parameter::Buckets);
    at.logits(|h, i, j| z[[h, i, j]] + table[cell(at, buckets, h, i, j)])
}

pub(super) fn vjp<F: Scalar>(at: &Setting<'_>, buckets: &Buckets, d: &Array3<F>, into: &mut Parameters<F>) {
    let table = into.values_mut(Parameter::Buckets);
    at.for_each(|h, i, keys| {
        for &j in keys {
            table[cell(at, buckets, h, i, j)] += d[[h, i, j]];
        }
    });
}
