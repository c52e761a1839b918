//! Dictionaries and training states on disk (feature `files`).
//!
//! One safetensors file each, written beside its place and renamed, so that no half file is ever seen. The free text of the
//! file says what it is: `format`, `variant` (for example `topk k=32 input_bias=subtracted`), and for a trained
//! dictionary the fingerprint of everything that made it.

mod checkpoint;
mod dictionary;
pub mod formats;
mod rows;
mod text;

pub use rows::read_rows;
