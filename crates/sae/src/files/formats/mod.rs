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
//! Whatever the file, [`read`] gives a [`Dictionary`]: an encoder, an activation, a decoder, and what happens to a row before
//! and after. The libraries disagree about the orientation of the matrices, about whether the encoder sees x or x − b_dec,
//! about what a threshold means and about normalisation; each reader settles that, and [`Checkpoint::notes`] says what it
//! had to decide. A pickle is read as data and never run.
//!
//! Nothing in a file is believed before it is checked: a bad one gives an error that names the file, the tensor and what
//! would have been right.

mod activation;
mod checkpoint;
mod convert;
mod detect;
mod dictionary;
mod dictionary_learning;
mod fold;
mod gemma_scope;
mod json;
mod normalisation;
mod openai;
mod saelens;
mod sparsify;
mod tensors;

pub use activation::Activation;
pub use checkpoint::{Checkpoint, read, read_as};
pub use convert::{Agreement, agreement};
pub use detect::Format;
pub use dictionary::{Dictionary, Forward, Target};
pub use normalisation::RowNormalisation;
pub use saelens::write_saelens;
