//! The members of the family: each is one file with its equations and one line in [`variant`].

pub(crate) mod abs_topk;
pub(crate) mod aux_k;
pub(crate) mod batch_topk;
pub(crate) mod choices;
pub(crate) mod crosscoder;
pub(crate) mod gated;
pub(crate) mod group_max;
pub(crate) mod jump_relu;
pub(crate) mod kernels;
pub(crate) mod levels;
pub(crate) mod line;
pub(crate) mod matching_pursuit;
pub(crate) mod matryoshka;
pub(crate) mod member;
pub(crate) mod p_norm;
pub(crate) mod relu;
pub(crate) mod rescale_and_shift;
pub(crate) mod rule;
pub(crate) mod topk;
pub(crate) mod variant;
