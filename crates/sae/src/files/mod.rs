//! Dictionaries and training states on disk (feature `files`).
//!
//! Each is one safetensors file, which is written under another name and renamed, so that no incomplete file is ever seen. The
//! metadata of the file hold its `format`, its `variant` (for example `topk k=32 input_bias=subtracted`), and for a trained
//! dictionary the fingerprint of everything that determines it.

mod checkpoint;
mod dictionary;
pub mod formats;
