#![doc = include_str!("../README.md")]

pub mod algebra;
mod attention;
mod backward;
mod cache;
pub mod circuits;
#[cfg(feature = "claims")]
pub mod claims;
mod editing;
mod element;
mod error;
mod few;
mod forward;
mod heads;
mod hooked;
mod jvp;
mod kernels;
mod layout;
pub mod linear;
mod mask;
mod merge;
mod overflow;
mod plan;
mod poison;
pub mod product_rule;
mod rotary;
mod rotary_scaling;
mod saved;
mod scores;
mod sink;
mod statistics;
mod tile;

pub use attention::{Attention, Scale};
pub use cache::{KeyValueCache, LatentCache};
pub use element::Element;
pub use error::AttentionError;
pub use heads::HeadMap;
pub use hooked::Tile;
pub use layout::{HeadAxes, split_heads, split_heads_mut};
pub use mask::{Mask, Offset};
pub use merge::Partial;
pub use rotary::{Rotary, RotaryLayout, RotaryTable};
pub use rotary_scaling::{RotaryScaling, YarnAmplitude, YarnRamp};
pub use saved::{Gradients, Saved};
pub use statistics::{
    attention_entropy, duplicate_token, first_position_mass, prefix_matching, previous_token,
};
