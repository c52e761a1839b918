//! The forgetting gate: `z_ij ← z_ij + Σ g_l` over the positions l after the key j, up to the position of the query i, with the log
//! gates g of the head.
//!
//! A log gate of −∞ forgets everything before its position: it masks the pairs across it, like a bias of −∞.

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

fn position(at: &Setting<'_>, i: usize) -> usize {
    // Queries before the first key see no key, because the variant has a causal rule.
    (i as isize + at.offset).max(0) as usize
}

/// Returns for each head and key position the first key that a query there has not forgotten: the last position with a log gate of
/// −∞, or 0. Returns nothing if no gate forgets everything.
pub(crate) fn first_remembered<F: Scalar>(keys: usize, parameters: &Parameters<F>) -> Option<Vec<usize>> {
    let gates = parameters.values(Parameter::LogForget);
    if !gates.contains(&F::neg_infinity()) {
        return None;
    }
    let mut first = Vec::with_capacity(gates.len());
    for head in gates.chunks(keys.max(1)) {
        let mut last = 0;
        first.extend(head.iter().enumerate().map(|(l, &gate)| {
            last = if gate == F::neg_infinity() { l } else { last };
            last
        }));
    }
    Some(first)
}

/// Computes `z_ij + Σ g_l` with `rest` at masked pairs. Each sum runs from the query back to the key, in f64 for both number types: a
/// difference of running sums would lose the digits of small gates behind a large one.
fn shifted<F: Scalar>(at: &Setting<'_>, parameters: &Parameters<F>, z: &Array3<F>, rest: F) -> Array3<F> {
    let gates = parameters.values(Parameter::LogForget);
    let mut after = vec![0.0; at.keys];
    let mut out = Array3::from_elem(z.dim(), rest);
    at.for_each(|h, i, keys| {
        let Some(&first) = keys.first() else { return };
        let mut sum = 0.0;
        for j in (first..=position(at, i)).rev() {
            after[j] = sum;
            sum += Scalar::to_f64(gates[h * at.keys + j]);
        }
        for &j in keys {
            out[[h, i, j]] = z[[h, i, j]] + F::from_f64(after[j]);
        }
    });
    out
}

pub(super) fn forward<F: Scalar>(at: &Setting<'_>, parameters: &Parameters<F>, z: &Array3<F>) -> Array3<F> {
    shifted(at, parameters, z, F::neg_infinity())
}

pub(super) fn jvp<F: Scalar>(at: &Setting<'_>, direction: &Parameters<F>, dot: &Array3<F>) -> Array3<F> {
    shifted(at, direction, dot, F::zero())
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
