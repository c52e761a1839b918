//! The choices that an attention is composed of, and the containers for its rows.

mod cache;
mod head_map;
mod layout;
mod mask;
mod pairs;
mod rotary;
mod rotary_scaling;
mod rotary_table;

pub use cache::{KeyValueCache, LatentCache};
pub use head_map::HeadMap;
pub use layout::{HeadAxes, split_heads, split_heads_mut};
pub use mask::{Mask, Offset};
pub(crate) use pairs::Pairs;
pub use pairs::{PairKeys, Pairing};
pub use rotary::Rotary;
pub use rotary_scaling::{RotaryScaling, YarnAmplitude, YarnRamp};
pub use rotary_table::{RotaryLayout, RotaryTable};
