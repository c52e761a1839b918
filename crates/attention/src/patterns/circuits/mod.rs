//! Measurements of heads from their weights: QK and OV circuits, composition, copying and rollout.
//!
//! Residual rows are on the left: a head maps the residual x to x W_OV and compares x and y by x W_QK yᵀ. Everything is
//! computed in f64, in factors as narrow as a head. A whole `[vocabulary, vocabulary]` circuit is never computed.

mod composition;
mod copying;
#[cfg(feature = "decompositions")]
mod eigenvalues;
mod factored;
mod head;
mod rollout;

pub use composition::{Composition, composition, composition_above_random, composition_of_random_heads};
pub use copying::{copying_score, own_token_in_top};
#[cfg(feature = "decompositions")]
pub use eigenvalues::eigenvalue_copying;
pub use factored::Factored;
pub use head::{ov_circuit, qk_circuit, qk_circuit_at};
pub use rollout::{rollout, rollout_share};
