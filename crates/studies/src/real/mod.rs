//! Studies on a real language model: SmolLM2-135M, the Jargon File and the Brown corpus.

mod activations;
mod bootstrap;
mod claims;
mod dictionaries;
mod error;
mod laboratory;
mod probe;
mod splice;

pub use activations::{LAYER, RESIDUAL, mean_row};
pub use bootstrap::document_bootstrap;
pub use claims::claims;
pub use dictionaries::{Family, Recipe};
pub use error::StudyError;
pub use laboratory::{CONTEXT, Laboratory, START, Sequence};
pub use probe::{Confusion, Features, SparseProbe, class_correlations};
pub use splice::{DocumentLoss, Fidelity, HeldOut, loss_recovered};
