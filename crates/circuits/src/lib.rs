#![doc = include_str!("../README.md")]

mod attribution;
mod error;
mod export;
mod graph;
mod metric;
mod pair;
mod parts;
mod patching;
mod paths;
mod readouts;
mod runs;

pub use error::CircuitError;
pub use metric::{Answer, Metric};
pub use pair::Pair;
pub use parts::{Projection, Reader, Writer};

// Values of one run put into another.
pub use patching::{Ablated, Ablation, Axes, Direction, Patched, Place, Sweep, ablate, patch};
pub use paths::{
    Circuit, DirectPaths, Edge, EdgeNorm, EdgePatches, Faithfulness, Replacement, direct_paths, faithfulness,
    patch_edges,
};

// Gradients times differences.
pub use attribution::{
    EdgeAttribution, Linearisation, NodeAttribution, Quadrature, Selection, Sign, attribute_edges,
    attribute_nodes, faithfulness_curve,
};

// What single activations say about the logits.
pub use readouts::{DirectAttribution, LensEntry, LogitLens, ValueBiases, direct_attribution, logit_lens};

// Attribution graphs.
pub use export::{Collisions, GraphText, graph_json};
pub use graph::{
    AttributionGraph, Feature, FirstPosition, GraphSettings, Held, Intervened, Node, Pruned, ReadSite,
    Scores, Setting, Target, Targets, Transcoders, check_predicted, intervene,
};
