//! Readings of the logits from single activations: direct logit attribution and the logit lens.

mod direct;
mod lens;

pub use direct::{DirectAttribution, ValueBiases, direct_attribution};
pub use lens::{LensEntry, LogitLens, logit_lens};
