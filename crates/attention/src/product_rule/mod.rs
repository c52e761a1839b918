//! The differential mechanism of the 'Super Alignment' text: scores from the discrete product rule.
//!
//! ```text
//! Δq_t = q_{t+1} − q_t,   Δk_t = k_{t+1} − k_t
//! as published:   P_t = q_t ⊙ Δk_t + Δq_t ⊙ k_{t+1}                       [t, d]: one row for each step, no pairs of steps
//! all pairs:      s_ij = ⟨Δq_i, k_j⟩ + ⟨q_i, Δk_j⟩ (+ ⟨Δq_i, Δk_j⟩)      [t, s]: the change of ⟨q_i, k_j⟩ when both step
//! ```
//! As published, P_t is exactly (q ⊙ k)_{t+1} − (q ⊙ k)_t, so its sum over dimensions is the change of the diagonal of
//! QKᵀ: no query is compared with the key of another position. [`Published`] computes these scores and the published softmax of
//! them. [`all_pairs`] is a well-defined form of the idea; this reconstruction is ours. [`lift`] turns it into plain dot-product
//! attention over steps, so [`Attention`](crate::Attention) provides its masks, kernels and derivatives. Despite its name the
//! mechanism is not related to the Differential Transformer.
//!
//! The text compares it with four scores: [`Companion`].
//!
//! References: Lemariey and Campergue (2024), "Super Alignment", and the code published with it.

mod all_pairs;
mod companion;
mod published;

pub use all_pairs::{Channels, CrossTerm, all_pairs, lift, lift_backward, step_values, step_values_backward};
pub use companion::Companion;
pub use published::Published;

use collimate_tensor::Scalar;
use ndarray::{Array, ArrayRef, Axis, Dimension, Slice};

/// Computes the differences of neighbouring positions along the axis before the last, one fewer than the positions.
fn steps<F: Scalar, D: Dimension>(x: &ArrayRef<F, D>) -> Array<F, D> {
    &after(x) - &before(x)
}

/// Returns the rows at the position before each step.
fn before<F: Scalar, D: Dimension>(x: &ArrayRef<F, D>) -> Array<F, D> {
    let axis = Axis(x.ndim() - 2);
    let end = x.len_of(axis).saturating_sub(1);
    x.slice_axis(axis, Slice::from(..end)).to_owned()
}

/// Returns the rows at the position after each step.
fn after<F: Scalar, D: Dimension>(x: &ArrayRef<F, D>) -> Array<F, D> {
    let axis = Axis(x.ndim() - 2);
    let start = x.len_of(axis).min(1);
    x.slice_axis(axis, Slice::from(start..)).to_owned()
}
