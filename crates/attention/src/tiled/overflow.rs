//! The distinction between finite inputs that overflow and inputs that are already non-finite.

use super::block::{Input, NonFiniteOutput};
use super::nonfinite::row_is_finite;
use crate::error::Overflow;
use crate::kernels::Loops;
use collimate_tensor::dot;
use ndarray::s;
use std::collections::BTreeMap;

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
        let q: Vec<F> = q.iter().map(|&x| x * F::from_f64(plan.scale)).collect();
        let overflows = |&key: &usize| !dot(&q, &k.row(key).to_vec()).is_finite();
        let head = batch * plan.heads + head;
        return Err(match keys.clone().find(overflows) {
            Some(key) => Overflow::Score { head, query, key },
            None => Overflow::Output { head, query },
        });
    }
    Ok(())
}
