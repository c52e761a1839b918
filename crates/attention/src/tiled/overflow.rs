//! The distinction between finite inputs that overflow and inputs that are already non-finite.

use super::block::{Input, NonFiniteOutput};
use super::nonfinite::row_is_finite;
use crate::error::Overflow;
use crate::kernels::Loops;
use collimate_tensor::dot;
use ndarray::s;
use std::collections::BTreeMap;
use std::f64::consts::LOG2_E;

/// Returns an error for the first output that is non-finite although the query, its keys and its values are finite.
pub(crate) fn check<F: Loops>(input: &Input<'_, F>, mut found: Vec<NonFiniteOutput>) -> Result<(), Overflow> {
    let plan = input.plan;
    found.sort_unstable();
    let mut finite_keys = BTreeMap::new();
    for NonFiniteOutput { batch, head, query } in found {
        let (key_head, value_head) = (plan.key_head(head), plan.value_head(head));
        let q = input.q.slice(s![batch, head, query, ..]);
        let (k, v) =
            (input.k.slice(s![batch, key_head, .., ..]), input.v.slice(s![batch, value_head, .., ..]));
        let finite = finite_keys.entry((batch, key_head, value_head)).or_insert_with(|| {
            let rows = k.rows().into_iter().zip(v.rows());
            rows.map(|(k, v)| row_is_finite(k) && row_is_finite(v)).collect::<Vec<bool>>()
        });
        let keys = plan.keys_of(query);
        let sink_is_valid =
            input.sink.is_none_or(|sink| sink[head].is_finite() || sink[head] == F::neg_infinity());
        if !row_is_finite(q) || !sink_is_valid || !finite[keys.clone()].iter().all(|&finite| finite) {
            continue;
        }
        // In units of log 2, like the scores of the tiles.
        let q: Vec<F> = q.iter().map(|&x| x * F::from_f64(plan.scale * LOG2_E)).collect();
        let score = |key: usize| dot(&q, &k.row(key).to_vec());
        // A softcap bounds infinite scores, and a score of −∞ is no fault beside others.
        let too_large = |&key: &usize| {
            let score = score(key);
            score.is_nan() || plan.softcap.is_none() && score == F::infinity()
        };
        let none = || {
            let empty = plan.softcap.is_none() && keys.clone().all(|key| score(key) == F::neg_infinity());
            empty.then_some(keys.start)
        };
        let head = batch * plan.heads + head;
        return Err(match keys.clone().find(too_large).or_else(none) {
            Some(key) => Overflow::Score { head, query, key },
            None => Overflow::Output { head, query },
        });
    }
    Ok(())
}
