//! The latents of a dictionary in a language model: where they fire, and their effect on the logits.

mod attribution;
mod characters;
mod effect;
mod encoder;
mod prediction;
mod top_firings;

pub use attribution::{Attribution, Share, attribution_by_ablation, direct_attribution};
pub use characters::{characters, token_text};
pub use effect::{LogitEffect, direct_effect, is_in_residual};
pub use encoder::Encoder;
pub use prediction::{Predictions, continuation, predictions};
pub use top_firings::{Firing, LatentTop, TopFirings, TopOptions, top_firings};
