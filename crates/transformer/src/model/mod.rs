//! The decoder: its weights, and the runs through its layers.

mod decoder;
mod forward;
mod heads;
mod scratch;
mod unembedding;
mod weights;

pub use decoder::{Decoder, Run};
