//! Exact interventions on edges: what one part reads of another, with everything else left to follow.

mod circuit;
mod direct;
mod edge;

pub use circuit::{Circuit, Faithfulness, Replacement, faithfulness};
pub use direct::{DirectPaths, direct_paths};
pub use edge::{Edge, EdgeNorm, EdgePatches, patch_edges};
