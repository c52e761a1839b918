//! The passes of an attention over checked arrays: rotation, then the tiled engine.

use super::block::{Input, Kept};
use super::forward::forward;
use super::intervene;
use super::intervention::Intervention;
use super::plan::Plan;
use super::saved::{SavedPass, turn};
use crate::AttentionError;
use crate::attention::Attention;
use crate::kernels::Loops;
use crate::parts::{Mask, RotaryTable};
use collimate_tensor::zeros;
use ndarray::{ArcArray, Array4, ArrayView4, ArrayViewMut4, CowArray, Ix4};

/// Runs the forward pass that keeps what derivatives need.
pub(crate) fn run<F: Loops>(
    attention: &Attention,
    plan: Plan,
    [mut q, mut k, v]: [ArcArray<F, Ix4>; 3],
    sink: Option<Vec<F>>,
) -> Result<SavedPass<F>, AttentionError> {
    let tables = tables(attention, &plan)?;
    if let Some(tables) = &tables {
        let rotated = rotate(tables, q.into_owned(), k.into_owned())?;
        (q, k) = (rotated.0.into_shared(), rotated.1.into_shared());
    }
    let mut out = zeros(plan.out_shape());
    let mut log_sum_exp = plan.no_keys();
    let input =
        Input { plan: &plan, q: q.view(), k: k.view(), v: v.view(), sink: sink.as_deref(), edit: None };
    forward(&input, out.view_mut(), Some(&mut log_sum_exp))?;
    let kept = Kept { out: out.into_shared(), log_sum_exp };
    Ok(SavedPass { plan, q, k, v, sink, kept, tables })
}

/// Runs the forward pass that keeps nothing, with an intervention or without.
pub(crate) fn run_into<F: Loops>(
    attention: &Attention,
    plan: &Plan,
    [q, k, v]: [ArrayView4<'_, F>; 3],
    intervention: Option<Intervention<'_, F, Ix4>>,
    out: ArrayViewMut4<'_, F>,
) -> Result<(), AttentionError> {
    let (mut q, mut k) = (CowArray::from(q), CowArray::from(k));
    // A pattern that is given needs no positions.
    let needs_scores = !matches!(intervention, Some(Intervention::Replace(_)));
    if let Some(tables) = needs_scores.then(|| tables(attention, plan)).transpose()?.flatten() {
        let rotated = rotate(&tables, q.into_owned(), k.into_owned())?;
        (q, k) = (rotated.0.into(), rotated.1.into());
    }
    let input = Input { plan, q: q.view(), k: k.view(), v, sink: None, edit: None };
    match intervention {
        None => forward(&input, out, None),
        Some(intervention) => intervene::intervene(&input, out, intervention),
    }
}

/// Returns the rotations of the queries and of the keys, if the attention has positions.
fn tables<F: Loops>(
    attention: &Attention,
    plan: &Plan,
) -> Result<Option<(RotaryTable<F>, RotaryTable<F>)>, AttentionError> {
    let Some(rotary) = attention.rotary else { return Ok(None) };
    let (queries, keys) = (plan.queries, plan.keys);
    let offset = match attention.mask {
        Mask::Causal(offset) | Mask::Window { offset, .. } => offset.value(queries, keys),
        Mask::None if queries == keys => 0,
        Mask::None => return Err(AttentionError::UnknownPositions { queries, keys }),
    } as i64;
    let at_queries = rotary.table(offset..offset + queries as i64)?;
    Ok(Some((at_queries, rotary.table(0..keys as i64)?)))
}

/// Rotates queries and keys, each by its table.
fn rotate<F: Loops>(
    (at_queries, at_keys): &(RotaryTable<F>, RotaryTable<F>),
    mut q: Array4<F>,
    mut k: Array4<F>,
) -> Result<(Array4<F>, Array4<F>), AttentionError> {
    turn(&mut q, |x| at_queries.apply(x))?;
    turn(&mut k, |x| at_keys.apply(x))?;
    Ok((q, k))
}
