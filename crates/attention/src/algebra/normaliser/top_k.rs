//! The softmax over the k largest logits.

use super::softmax;
use collimate_tensor::Scalar;

/// The keys that are kept if several keys share the k-th largest logit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ties {
    /// All of them, so more than k keys: x-transformers.
    KeepAll,
    /// The first ones, so exactly k keys: a scatter of top-k indices.
    KeepFirst,
}

pub(super) fn forward<F: Scalar>(k: usize, ties: Ties, z: &mut [F]) {
    if z.len() > k {
        let mut order: Vec<usize> = (0..z.len()).collect();
        // A stable sort: among equal logits the first key stays in front.
        order.sort_by(|&a, &b| z[b].partial_cmp(&z[a]).expect("the row has no NaN"));
        let last = z[order[k - 1]];
        for &j in &order[k..] {
            if ties == Ties::KeepFirst || z[j] < last {
                z[j] = F::neg_infinity();
            }
        }
    }
    softmax::forward(z, F::neg_infinity());
}
