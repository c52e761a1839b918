//! Studies on a real language model.

mod bootstrap;
mod probe;

pub use bootstrap::document_bootstrap;
pub use probe::{Confusion, Features, SparseProbe, class_correlations};
