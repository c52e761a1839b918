//! Talking heads: a linear map over the heads, of logits or of patterns.

use crate::algebra::setting::Setting;
use collimate_tensor::Scalar;
use ndarray::Array3;

/// The use of the unmixed numbers by talking heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mixing {
    /// The mixed numbers replace them: the paper; x-transformers for patterns.
    Replace,
    /// The mixed numbers are added to them: x-transformers for logits.
    Add,
}

/// Computes head `h` of the result as Σ M[h, h'] · head h' (+ head h), with `rest` at masked pairs.
pub(in super::super) fn forward<F: Scalar>(
    at: &Setting<'_>,
    mixing: Mixing,
    mix: &[F],
    x: &Array3<F>,
    rest: F,
) -> Array3<F> {
    at.filled(rest, &mut |h, i, j| {
        let own = if mixing == Mixing::Add { x[[h, i, j]] } else { F::zero() };
        (0..at.heads).fold(own, |sum, other| sum + mix[h * at.heads + other] * x[[other, i, j]])
    })
}

pub(in super::super) fn vjp<F: Scalar>(
    at: &Setting<'_>,
    mixing: Mixing,
    mix: &[F],
    x: &Array3<F>,
    d: &Array3<F>,
    into: &mut [F],
) -> Array3<F> {
    at.for_each(|h, i, keys| {
        for &j in keys {
            for other in 0..at.heads {
                into[h * at.heads + other] += d[[h, i, j]] * x[[other, i, j]];
            }
        }
    });
    let transposed: Vec<F> = (0..mix.len()).map(|n| mix[n % at.heads * at.heads + n / at.heads]).collect();
    forward(at, mixing, &transposed, d, F::zero())
}

/// Computes the direction of the result, given the matrix and its direction.
pub(in super::super) fn jvp<F: Scalar>(
    at: &Setting<'_>,
    mixing: Mixing,
    [mix, moved]: [&[F]; 2],
    x: &Array3<F>,
    dot: &Array3<F>,
) -> Array3<F> {
    let mut out = forward(at, mixing, mix, dot, F::zero());
    let by_mix = forward(at, Mixing::Replace, moved, x, F::zero());
    at.for_each(|h, i, keys| {
        for &j in keys {
            out[[h, i, j]] += by_mix[[h, i, j]];
        }
    });
    out
}
