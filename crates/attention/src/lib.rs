#![doc = include_str!("../README.md")]

pub mod algebra;
mod attention;
#[cfg(feature = "claims")]
pub mod claims;
mod error;
mod kernels;
pub mod linear;
mod partial;
mod parts;
mod passes;
mod patterns;
mod precision;
pub mod product_rule;
mod tasks;
mod tiled;

pub use attention::{Attention, Scale};
pub use collimate_measure::{Measurement, OutOfRange};
pub use collimate_stream::RngStream;
pub use collimate_tensor::{Scalar, ShapeError};
pub use error::{AttentionError, Overflow};
pub use partial::Partial;
pub use parts::{
    HeadAxes, HeadMap, KeyValueCache, LatentCache, Mask, Offset, Rotary, RotaryLayout, RotaryScaling,
    RotaryTable, YarnAmplitude, YarnRamp, split_heads, split_heads_mut,
};
pub use patterns::circuits;
pub use patterns::{
    attention_entropy, duplicate_token, first_position_mass, prefix_matching, previous_token,
};
pub use precision::Precision;
pub use tiled::{Gradients, Intervention, PatternRow, Saved, Tile};
