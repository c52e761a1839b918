//! Numbers that overflow where the stages run one after another.

use super::arguments::{Shared, row};
use super::check::Sizes;
use super::score::Reads;
use super::setting::Setting;
use super::{Normaliser, Parameter, Variant};
use crate::error::Overflow;
use crate::kernels::Loops;
use collimate_tensor::dot;
use ndarray::{Array3, ArrayRef3};
use std::f64::consts::LOG2_E;

/// The arguments of a call, to tell numbers that overflow from numbers that were not finite to begin with.
pub(super) struct Call<'a, F> {
    pub(super) at: &'a Setting<'a>,
    pub(super) reads: &'a Reads,
    /// The rows q and k after their changes.
    pub(super) rows: [&'a ArrayRef3<F>; 2],
    pub(super) arguments: &'a Shared<F>,
}

impl<F: Loops> Call<'_, F> {
    /// Checks that no logit and no output overflows.
    ///
    /// # Errors
    /// [`Overflow`] with the first query where one does.
    pub(super) fn check(
        &self,
        variant: &Variant,
        sizes: &Sizes,
        z: &Array3<F>,
        out: &Array3<F>,
    ) -> Result<(), Overflow> {
        let score = first_large_score(variant, sizes, self, z);
        let output = first_large_output(variant, sizes, self, [z, out]);
        // The first query decides, as in the tiles. A score that is too large makes the output of its query non-finite too.
        match (score, output) {
            (Some((head, query, key)), output) if output.is_none_or(|output| (head, query) <= output) => {
                Err(Overflow::Score { head, query, key })
            }
            (_, Some((head, query))) => Err(Overflow::Output { head, query }),
            _ => Ok(()),
        }
    }

    /// Returns true if a query, the keys and values that it reads, and the parameters are finite.
    fn finite(&self, head: usize, query: usize, keys: &[usize]) -> bool {
        let row = |x: &ArrayRef3<F>, h: usize, i: usize| F::all_finite(row(x, h, i));
        let (key_head, value_head) = (self.reads.key[head], self.reads.value[head]);
        let Shared { q, k, v, parameters } = self.arguments;
        row(q, head, query)
            && keys.iter().all(|&j| row(k, key_head, j) && row(v, value_head, j))
            // Rows that overflow in a norm or a rotation are not the fault of a pair.
            && (row(self.rows[0], head, query) || keys.iter().all(|&j| row(self.rows[1], key_head, j)))
            && parameters.iter().all(|(name, x)| {
                let may_mask = matches!(name, Parameter::Bias | Parameter::LogForget);
                x.iter().all(|x| x.is_finite() || may_mask && *x == F::neg_infinity())
            })
    }
}

/// Returns head, query and key of the first logit that is too large for its type. A logit that overflows downwards gives its key no
/// weight, which counts only if the query has no other logit.
///
/// The tiles multiply the queries by the scale and by log₂ e before the product. So for a variant that they compute too, a score
/// counts as infinite if it is infinite in this form, and both computations refuse the same inputs.
fn first_large_score<F: Loops>(
    variant: &Variant,
    sizes: &Sizes,
    call: &Call<'_, F>,
    z: &Array3<F>,
) -> Option<(usize, usize, usize)> {
    let tiled = variant.tiled();
    let unit = F::from_f64(if tiled.is_some() { LOG2_E * sizes.scale } else { 1.0 });
    let signed = variant.normaliser == Normaliser::SignedSoftmax;
    let capped = tiled.is_some_and(|attention| attention.softcap.is_some());
    let ([q, k], at) = (call.rows, call.at);
    let mut found = None;
    at.for_each(|head, query, keys| {
        let row_of = |j: usize| row(k, call.reads.key[head], j);
        let scaled: Vec<F> = row(q, head, query).iter().map(|&x| x * unit).collect();
        let suspect = |&j: &usize| !(z[[head, query, j]] * F::from_f64(LOG2_E)).is_finite();
        if found.is_some() || scaled.iter().all(|x| x.is_finite()) && !keys.iter().any(suspect) {
            return;
        }
        let of = |j: usize| if tiled.is_some() { dot(&scaled, row_of(j)) } else { z[[head, query, j]] };
        let too_large = |&&j: &&usize| {
            let score = of(j);
            score.is_nan() || !capped && (score == F::infinity() || signed && score.is_infinite())
        };
        let number = extra(variant, sizes, &call.arguments.parameters, head);
        let none = || {
            let empty = !capped && keys.iter().all(|&j| of(j) == F::neg_infinity());
            if empty && !variant.normaliser.allows_no_weight(number) { keys.first() } else { None }
        };
        if let Some(&key) = keys.iter().find(too_large).or_else(none)
            && call.finite(head, query, keys)
        {
            found = Some((head, query, key));
        }
    });
    found
}

/// Returns head and query of the first output that is not finite although its arguments are.
///
/// The tiles divide by the sum of the weights at the end. So for a variant that they compute too, the sum before the
/// division must be finite, and both computations refuse the same values.
fn first_large_output<F: Loops>(
    variant: &Variant,
    sizes: &Sizes,
    call: &Call<'_, F>,
    [z, out]: [&Array3<F>; 2],
) -> Option<(usize, usize)> {
    let Call { at, reads, arguments, .. } = call;
    let largest = arguments.v.iter().fold(F::zero(), |m: F, x| if x.abs() > m { x.abs() } else { m });
    let may_overflow = variant.tiled().is_some() && !(largest * F::from_f64(at.keys as f64)).is_finite();
    if !may_overflow && out.iter().all(|x| x.is_finite()) {
        return None;
    }
    let mut found = None;
    at.for_each(|head, query, keys| {
        let number = extra(variant, sizes, &arguments.parameters, head);
        let top = keys.iter().map(|&j| z[[head, query, j]]).fold(number, |m, z| if z > m { z } else { m });
        let undivided = |c: usize| {
            let term = |sum: F, &j: &usize| {
                sum + (z[[head, query, j]] - top).exp() * arguments.v[[reads.value[head], j, c]]
            };
            keys.iter().fold(F::zero(), term)
        };
        let row = row(out, head, query);
        let overflows =
            !F::all_finite(row) || may_overflow && (0..row.len()).any(|c| !undivided(c).is_finite());
        if found.is_none() && overflows && call.finite(head, query, keys) {
            found = Some((head, query));
        }
    });
    found
}

/// Returns the learned number of a head that joins its rows in the normaliser.
pub(super) fn extra<F: Loops>(
    variant: &Variant,
    sizes: &Sizes,
    parameters: &super::Parameters<F>,
    h: usize,
) -> F {
    let learned = variant.normaliser.parameter().map(|name| parameters.values(name)[h]);
    variant.normaliser.extra(sizes.keys, learned)
}
