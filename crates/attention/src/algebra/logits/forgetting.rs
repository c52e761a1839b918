//! The forgetting gate: `z_ij ← z_ij + c_i − c_j`, with c the running sum of the log gates of the head.

use crate::AttentionError;
use crate::algebra::arguments::{Parameter, Parameters};
use crate::algebra::setting::Setting;
use collimate_tensor::Scalar;
use ndarray::Array3;

/// Checks that each query that sees a key has a key position, because the gates belong to key positions.
pub(crate) fn check_positions(at: &Setting<'_>) -> Result<(), AttentionError> {
    let (first, last) = (at.offset, at.offset + at.queries as isize - 1);
    if last < at.keys as isize || first > last {
        return Ok(());
    }
    Err(AttentionError::Meaningless {
        what: "a forgetting gate",
        reason: "a query stands behind the last key, where there is no gate; choose another offset",
    })
}

/// Computes the running sums in f64 for both number types, because their differences are used.
fn running<F: Scalar>(at: &Setting<'_>, parameters: &Parameters<F>) -> Vec<f64> {
    let gates = parameters.values(Parameter::LogForget);
    let mut sums = Vec::with_capacity(gates.len());
    for head in gates.chunks(at.keys.max(1)) {
        let mut sum = 0.0;
        sums.extend(head.iter().map(|gate| {
            sum += Scalar::to_f64(*gate);
            sum
        }));
    }
    sums
}

fn position(at: &Setting<'_>, i: usize) -> usize {
    // Queries before the first key see no key, because the variant has a causal rule.
    (i as isize + at.offset).max(0) as usize
}

pub(super) fn forward<F: Scalar>(at: &Setting<'_>, parameters: &Parameters<F>, z: &Array3<F>) -> Array3<F> {
    let c = running(at, parameters);
    at.logits(|h, i, j| z[[h, i, j]] + F::from_f64(c[h * at.keys + position(at, i)] - c[h * at.keys + j]))
}

/// Adds the gradient by each log gate: the sum of the gradients of all pairs across it.
pub(super) fn vjp<F: Scalar>(at: &Setting<'_>, d: &Array3<F>, into: &mut Parameters<F>) {
    let mut by_sum = vec![0.0; at.heads * at.keys];
    at.for_each(|h, i, keys| {
        for &j in keys {
            let d = Scalar::to_f64(d[[h, i, j]]);
            by_sum[h * at.keys + position(at, i)] += d;
            by_sum[h * at.keys + j] -= d;
        }
    });
    let gates = into.values_mut(Parameter::LogForget);
    for (head, sums) in gates.chunks_mut(at.keys.max(1)).zip(by_sum.chunks(at.keys.max(1))) {
        let mut after = 0.0;
        for (gate, sum) in head.iter_mut().zip(sums).rev() {
            after += sum;
            *gate += F::from_f64(after);
        }
    }
}
