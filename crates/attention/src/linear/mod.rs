//! Linear attention and its recurrent relatives: a state of fixed size replaces the growing list of keys.
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
//! | [`performer`] | none | φ(k) vᵀ, with random features of the softmax kernel |
//! | [`retention`] | one number for each head | k vᵀ |
//! | [`simple_gla`] | a number for each token | k vᵀ |
//! | [`gla`] | a number for each token and channel | k vᵀ |
//! | [`delta_net`] | none | β k (v − Sᵀk)ᵀ |
//! | [`gated_delta_net`] | any of these | β k (v − Sᵀk)ᵀ, after the decay |
//!
//! Each returns a [`Pass`]: the output, the final state, the gradients by every input including the initial state
//! ([`Pass::backward`]), and the derivative along a direction ([`Pass::jvp`]). The [`Form`] changes the computation and, up to
//! rounding, not the result. These functions are causal: query `t` sees the keys up to its own. Without a mask there are
//! [`bidirectional_linear_attention`] and [`bidirectional_performer`], where every query reads the state of all keys; a decay
//! or the delta rule has no such form, since it needs an order of the keys. The states of a key head serve every query head
//! that reads it.
//!
//! | choice | here | elsewhere |
//! |---|---|---|
//! | factor on the queries | [`Scale`](crate::Scale) | 1/√d: flash-linear-attention and ONNX by default; 1: the papers of linear attention and RetNet |
//! | mask | the name of the function | causal: flash-linear-attention, ONNX; both, by two names or a flag: the released code of linear attention and Performer |
//! | normaliser | [`Denominator`] | off by default in flash-linear-attention, absent in ONNX, the definition in the paper |
//! | decay | its logarithm, [`LogDecay`] | the logarithm in flash-linear-attention and ONNX; the factor in the papers |
//! | key length under the delta rule | not changed: normalise before | not changed in flash-linear-attention's functions and ONNX; the layers of flash-linear-attention normalise |
//!
//! Non-finite inputs are errors, since a NaN never leaves a state. A log-decay of −∞ is allowed: it forgets everything. A state
//! that overflows is an error with the number of the token.

mod chunk;
mod decay;
mod delta_net;
pub(crate) mod engine;
mod feature_map;
mod gated_delta_net;
mod gla;
mod kernel_attention;
mod mapped;
mod normalised;
mod pass;
mod performer;
pub(crate) mod problem;
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
pub use pass::Pass;
pub use performer::{bidirectional_performer, performer};
pub use problem::LinearGradients;
pub use random_features::{Directions, RandomFeatures, Stabiliser};
pub use retention::retention;
pub use setting::{Denominator, Form, LogDecay, Setting};
pub use simple_gla::simple_gla;
