//! Dictionaries in the files of other libraries (feature `files`).
//!
//! | format | files | read | write |
//! |---|---|---|---|
//! | [`Format::Collimate`] | one `.safetensors` of [`Sae::save`](crate::Sae::save) | yes | yes |
//! | [`Format::SaeLens`] | `cfg.json`, `sae_weights.safetensors` | yes | [`write_saelens`] |
//! | [`Format::GemmaScope`] | `params.npz` | yes | no |
//! | [`Format::GemmaScope2`] | `config.json`, `params.safetensors` | yes | no |
//! | [`Format::Sparsify`] | `cfg.json`, `sae.safetensors` | yes | no |
//! | [`Format::DictionaryLearning`] | `ae.pt`, `config.json` | yes | no |
//! | [`Format::OpenAi`] | `N.pt` | yes | no |
//!
//! [`read`] returns a [`Dictionary`] for every format. The libraries disagree about the orientation of the matrices, about
//! whether the encoder sees x or x − b_dec, about the meaning of a threshold and about normalisation. Each reader decides
//! this, and [`Checkpoint::notes`] lists its decisions. A pickle is read as data and never run.
//!
//! Everything in a file is checked. A damaged file gives an error that names the file, the tensor and the expected content.

mod checkpoint;
mod common_member;
mod detect;
mod dictionary_learning;
mod gemma_scope;
mod json;
mod openai;
mod parts;
mod read;
mod saelens;
mod sparsify;
mod tensors;

pub use crate::dictionary::{Agreement, Dictionary, Forward, RowNormalisation, Target, agreement};
pub use checkpoint::Checkpoint;
pub use detect::Format;
pub use read::{read, read_as};
pub use saelens::write_saelens;
