//! The algebra of variants: score × position × logit change × mask × normaliser × combination × head map.
//!
//! A [`Variant`] is data. [`Variant::forward`], [`Variant::backward`] and [`Variant::jvp`] are written once for all variants, and
//! each stage has its own derivative. [`Arguments`] holds q, k, v and the learned arrays. Gradients have the type `Arguments` too.

mod arguments;
mod check;
mod combination;
mod latent;
mod logits;
mod mask;
mod normaliser;
mod output;
mod overflow;
mod passes;
mod pattern;
mod plain;
mod rows;
mod score;
mod setting;
mod tiled;
mod trace;
mod variant;

pub use crate::parts::{PairKeys, Pairing};
pub use arguments::{Arguments, Parameter, Parameters};
pub use combination::{Combination, lambda_init};
pub use latent::{Latent, LatentArguments, LatentForm, LatentSaved};
pub use logits::{Buckets, Direction, Distance, LogitChange, Mixing, Slopes, alibi_slopes};
pub use mask::{MaskRule, Polarity, Window};
pub use normaliser::{Normaliser, SigmoidBias, Ties};
pub use output::{GateForm, OutputChange};
pub use pattern::PatternChange;
pub(crate) use plain::{backward, forward, jvp};
pub use rows::{Gain, NormOver, RowChange};
pub use score::Score;
pub use trace::Trace;
pub use variant::Variant;
