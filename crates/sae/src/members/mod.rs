//! The members of the family, one file each, and the rule that each of them gives to the common step.

pub(crate) mod abs_topk;
pub(crate) mod batch_topk;
pub(crate) mod crosscoder;
pub(crate) mod gated;
pub(crate) mod jump_relu;
pub(crate) mod matching_pursuit;
pub(crate) mod matryoshka;
pub(crate) mod p_norm;
pub(crate) mod relu;
pub(crate) mod rescale_and_shift;
pub(crate) mod rule;
pub(crate) mod topk;
pub(crate) mod variant;
