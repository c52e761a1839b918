//! Attention with linear biases.

use crate::algebra::arguments::{Parameter, Parameters};
use crate::algebra::setting::Setting;
use collimate_tensor::Scalar;
use ndarray::Array3;

/// The slopes of ALiBi. If the number of heads is a power of two, the first two choices agree; for 12 heads they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slopes {
    /// 2^(−8h/H) if H is a power of two. Otherwise the slopes of the power below, followed by every other slope of the power above:
    /// the paper's code, Bloom, MPT, llama.cpp.
    Geometric,
    /// 2^(−8(h+1)/P), where P is the smallest power of two that is at least H: candle's batched path.
    NextPowerOfTwo,
    /// Learned slopes: [`Parameter::Slopes`].
    Learned,
}

/// The distance in ALiBi between a query at position i and a key at position j.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Distance {
    /// i − j, for causal attention, since it would favour later keys. Bloom writes it as + m·j.
    Signed,
    /// |i − j|, for encoders.
    Absolute,
}

/// Returns the slopes for `heads` heads, or `None` for learned slopes.
///
/// # Examples
/// ```
/// use collimate_attention::algebra::{Slopes, alibi_slopes};
/// assert_eq!(alibi_slopes(Slopes::Geometric, 8).unwrap()[..2], [0.5, 0.25]);
/// // Twelve heads: the slopes of eight heads, then four slopes of sixteen heads.
/// assert_eq!(alibi_slopes(Slopes::Geometric, 12).unwrap()[7..9], [1.0 / 256.0, 0.5f64.sqrt()]);
/// assert_eq!(alibi_slopes(Slopes::NextPowerOfTwo, 12).unwrap()[0], 0.5f64.sqrt());
/// assert!(alibi_slopes(Slopes::Learned, 12).is_none());
/// ```
///
/// # References
/// Press et al. (2022), section 3 and the released code.
pub fn alibi_slopes(slopes: Slopes, heads: usize) -> Option<Vec<f64>> {
    // One step of a power of two has the exponent −8/P, so P heads end at 2⁻⁸.
    let slope = |step: usize, power: usize| (-8.0 * step as f64 / power as f64).exp2();
    match slopes {
        Slopes::Geometric => {
            let power = if heads == 0 { 1 } else { 1 << heads.ilog2() };
            let below = (1..=power).map(|step| slope(step, power));
            let above = (1..).step_by(2).map(|step| slope(step, 2 * power));
            Some(below.chain(above).take(heads).collect())
        }
        Slopes::NextPowerOfTwo => {
            let power = heads.next_power_of_two();
            Some((1..=heads).map(|step| slope(step, power)).collect())
        }
        Slopes::Learned => None,
    }
}

fn steps<F: Scalar>(at: &Setting<'_>, distance: Distance, i: usize, j: usize) -> F {
    let signed = i as isize + at.offset - j as isize;
    F::from_f64(match distance {
        Distance::Signed => signed,
        Distance::Absolute => signed.abs(),
    } as f64)
}

pub(super) fn forward<F: Scalar>(
    at: &Setting<'_>,
    slopes: Slopes,
    distance: Distance,
    parameters: &Parameters<F>,
    z: &Array3<F>,
) -> Array3<F> {
    let fixed = alibi_slopes(slopes, at.heads).map(|s| s.into_iter().map(F::from_f64).collect::<Vec<F>>());
    let slopes = fixed.as_deref().unwrap_or_else(|| parameters.values(Parameter::Slopes));
    at.filled(F::neg_infinity(), &mut |h, i, j| z[[h, i, j]] - slopes[h] * steps(at, distance, i, j))
}

pub(super) fn vjp<F: Scalar>(
    at: &Setting<'_>,
    slopes: Slopes,
    distance: Distance,
    d: &Array3<F>,
    into: &mut Parameters<F>,
) {
    if slopes != Slopes::Learned {
        return;
    }
    let sums = into.values_mut(Parameter::Slopes);
    at.for_each(|h, i, keys| {
        for &j in keys {
            sums[h] -= d[[h, i, j]] * steps(at, distance, i, j);
        }
    });
}
