//! Transcoders of several layers: the parameters of a layer, all layers together, layer after layer, one layer as rows, and the frame of every architecture.

mod any;
mod by_layer;
mod layer;
mod layered;
mod rows;

pub use layer::{LayerActivation, TranscoderLayer};
pub use layered::{LayeredTranscoder, Reach};
