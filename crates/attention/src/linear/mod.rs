//! Linear attention and its recurrent relatives: a state of fixed size in the place of the growing list of keys.
//!
//! ```text
//! S ← diag(exp gₜ) S               decay, if any
//! S ← S + kₜ uₜᵀ                   uₜ = vₜ, or βₜ (vₜ − Sᵀ kₜ) under the delta rule
//! outₜ = scale · Sᵀ qₜ
//! ```
//!
//! | function | decay | what is written |
//! |---|---|---|
//! | [`linear_attention`] | none | φ(k) vᵀ, with or without a normaliser |
//! | [`performer`] | none | the same with random features of the softmax kernel |
//! | [`retention`] | one number a head | k vᵀ |
//! | [`simple_gla`] | a number a token | k vᵀ |
//! | [`gla`] | a number a token and channel | k vᵀ |
//! | [`delta_net`] | none | β k (v − Sᵀk)ᵀ |
//! | [`gated_delta_net`] | any of these | β k (v − Sᵀk)ᵀ, after the decay |
//!
//! Each gives a [`Pass`]: the output, the final state, the gradients by every input, the initial state included
//! ([`Pass::backward`]), and the derivative along a direction ([`Pass::jvp`]). The [`Form`] decides how it is computed and, up to
//! rounding, nothing else. These are causal: query `t` sees the keys up to its own. Without a mask there are
//! [`bidirectional_linear_attention`] and [`bidirectional_performer`], where every query reads the state of all keys; a decay
//! or the delta rule has no such form, since it needs an order of the keys. The states of a key head serve every query head
//! that reads it.
//!
//! | choice | here | elsewhere |
//! |---|---|---|
//! | factor on the queries | [`Scale`](crate::Scale) | 1/√d: flash-linear-attention and ONNX by default; 1: the papers of linear attention and RetNet |
//! | mask | the name of the function | causal: flash-linear-attention, ONNX; both, by two names or a flag: the released code of linear attention and Performer |
//! | normaliser | [`Denominator`] | off by default in flash-linear-attention, absent in ONNX, the definition in the paper |
//! | decay | its logarithm, [`LogDecay`] | the same in flash-linear-attention and ONNX; the factor itself in the papers |
//! | key length under the delta rule | as given: normalise before | the same in flash-linear-attention's functions and ONNX; its layers normalise inside |
//!
//! Inputs that are not finite are refused (a log-decay of −∞ is welcome: it forgets everything), since a state that has
//! taken up a NaN never loses it; a state that overflows is an error that names the token.

mod chunk;
mod decay;
mod delta_net;
pub(crate) mod engine;
mod feature_map;
mod gated_delta_net;
mod gla;
mod kernel_attention;
mod pass;
mod performer;
mod problem;
mod random_features;
mod retention;
mod setting;
mod simple_gla;
mod steps;
mod whole;

pub use delta_net::delta_net;
pub use feature_map::FeatureMap;
pub use gated_delta_net::gated_delta_net;
pub use gla::gla;
pub use kernel_attention::{bidirectional_linear_attention, linear_attention};
pub use pass::{LinearGradients, Pass};
pub use performer::{bidirectional_performer, performer};
pub use random_features::{Directions, RandomFeatures, Stabiliser};
pub use retention::{retention, retention_log_decay};
pub use setting::{Denominator, Form, LogDecay, Setting};
pub use simple_gla::simple_gla;
