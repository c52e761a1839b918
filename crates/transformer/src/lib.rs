#![doc = include_str!("../README.md")]

mod config;
mod entries;
mod error;
mod hooks;
mod losses;
mod model;
mod site;
#[cfg(feature = "tokenizer")]
mod tokenizer;

pub use config::Config;
pub use error::{ModelFileError, NonFinite, RunError, TransformerError};
pub use hooks::{Capture, Edit, Hooks};
pub use losses::{CROSS_ENTROPY, Losses};
pub use model::{Decoder, Run};
pub use site::{HookPoint, Site};
#[cfg(feature = "tokenizer")]
pub use tokenizer::Tokenizer;

// The types of other crates in public items, so that one dependency is enough.
pub use collimate_attention::{AttentionError, prefix_matching};
pub use collimate_measure::{Fingerprint, MeasureError, Measurement, OutOfRange, Quantity};
pub use collimate_stream::RngStream;
pub use collimate_tensor::ShapeError;
pub use collimate_tensor::files::{FileError, Gguf};
