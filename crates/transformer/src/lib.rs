#![doc = include_str!("../README.md")]

mod config;
mod decoder;
mod error;
mod forward;
mod heads;
mod hooks;
mod losses;
#[cfg(feature = "tokenizer")]
mod tokenizer;
mod weights;

pub use config::Config;
pub use decoder::{Decoder, Run};
pub use error::TransformerError;
pub use hooks::{Capture, Edit, HookPoint, Hooks, Site};
pub use losses::{CROSS_ENTROPY, Losses};
#[cfg(feature = "tokenizer")]
pub use tokenizer::Tokenizer;
