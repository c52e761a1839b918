//! Dictionaries in a language model: captured activations, splicing, steering, and what a latent does to the logits.

mod attribution;
mod capture;
mod effect;
mod insert;
mod recovered;
mod top;

pub use attribution::{Attribution, Share, attribution_by_ablation, direct_attribution};
pub(crate) use capture::flat;
pub use capture::{capture, rows_at};
pub use effect::{LogitEffect, direct_effect};
pub use insert::{Change, ErrorTerm, Inserted};
pub use recovered::{Recovered, recovered, recovered_with_null};
pub use top::{Firing, LatentTop, top_firings};
