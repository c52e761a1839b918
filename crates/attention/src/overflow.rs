//! Finite rows whose attention is not finite: told from rows that were not finite to begin with.

use crate::AttentionError;
use crate::forward::Input;
use crate::kernels::Tiles;
use crate::poison::row_is_finite;
use collimate_tensor::dot;
use ndarray::s;
use std::collections::BTreeMap;

/// A query whose output is not finite, or that has keys but gave none of them any weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Suspect {
    pub(crate) batch: usize,
    pub(crate) head: usize,
    pub(crate) query: usize,
}

/// An error for the first suspect of which everything it attends to is finite.
pub(crate) fn check<F: Tiles>(
    input: &Input<'_, F>,
    mut suspects: Vec<Suspect>,
) -> Result<(), AttentionError> {
    let plan = input.plan;
    suspects.sort_unstable();
    let mut sound = BTreeMap::new();
    for Suspect { batch, head, query } in suspects {
        let (key_head, value_head) = (plan.key_head(head), plan.value_head(head));
        let q = input.q.slice(s![batch, head, query, ..]);
        let (k, v) =
            (input.k.slice(s![batch, key_head, .., ..]), input.v.slice(s![batch, value_head, .., ..]));
        let sound = sound.entry((batch, key_head, value_head)).or_insert_with(|| {
            let rows = k.rows().into_iter().zip(v.rows());
            rows.map(|(k, v)| row_is_finite(k) && row_is_finite(v)).collect::<Vec<bool>>()
        });
        let keys = plan.keys_of(query);
        let sink_is_sound =
            input.sink.is_none_or(|sink| sink[head].is_finite() || sink[head] == F::neg_infinity());
        if !row_is_finite(q) || !sink_is_sound || !sound[keys.clone()].iter().all(|&sound| sound) {
            continue;
        }
        let q: Vec<F> = q.iter().map(|&x| x * F::from_f64(plan.scale)).collect();
        let overflows = |&key: &usize| !dot(&q, &k.row(key).to_vec()).is_finite();
        let head = batch * plan.heads + head;
        return Err(match keys.clone().find(overflows) {
            Some(key) => AttentionError::Overflow { head, query, key },
            None => AttentionError::OutputOverflow { head, query },
        });
    }
    Ok(())
}
