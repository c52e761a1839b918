//! The tiled engine of softmax attention: forward, backward and forward mode in memory linear in the length.
//!
//! Start at [`forward`]: it cuts the queries into blocks, and each block takes in the keys tile by tile.

mod backward;
mod block;
mod decode;
mod forward;
mod intervene;
mod intervention;
mod jvp;
mod nonfinite;
mod overflow;
mod padded;
mod plan;
mod run;
mod saved;
mod scores;
mod tile;

pub(crate) use backward::Gradients4;
pub use intervention::{Intervention, PatternRow, Tile};
pub(crate) use plan::Plan;
pub(crate) use run::{run, run_into};
pub use saved::{Gradients, Saved};
pub(crate) use saved::{SavedPass, along, gradients, sink_gradient};
