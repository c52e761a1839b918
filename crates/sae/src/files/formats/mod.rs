//! Dictionaries in the files of other libraries (feature `files`).
//!
//! | format | files | read | write |
//! |---|---|---|---|
//! | [`Format::Collimate`] | one file of [`Sae::save`](crate::Sae::save) | yes | yes |
//! | [`Format::SaeLens`] | `cfg.json`, `sae_weights.safetensors`, `activation_scaler.json`; a `.pt` with `cfg` and `state_dict` | yes | [`write_saelens`] |
//! | [`Format::GemmaScope`] | `params.npz` | yes | no |
//! | [`Format::GemmaScope2`] | `config.json`, `params.safetensors` | yes | no |
//! | [`Format::Sparsify`] | `cfg.json`, `sae.safetensors` | yes | no |
//! | [`Format::LlamaScope`] | `hyperparams.json`, `checkpoints/final.safetensors`; `config.json`, `sae_weights.safetensors` | yes | no |
//! | [`Format::OpenAi`] | `N.pt` | yes | no |
//! | [`Format::CrossLayer`] | `W_enc_N.safetensors`, `W_dec_N.safetensors`, `config.yaml` | yes | no |
//! | [`Format::PerLayer`] | `layer_N.safetensors`, `config.yaml` | yes | no |
//! | [`Format::GemmaScope2CrossLayer`] | `params_layer_N.safetensors`, `config.json` | yes | no |
//! | [`Format::Crosscoder`] | `model.pt` | yes | no |
//! | [`Format::Temporal`] | `conf.yaml`, `latest_ckpt.safetensors`, or a folder of SAELens | yes | no |
//! | [`Format::Goodfire`] | one `.pt` or `.pth` | yes | no |
//! | [`Format::QwenScope`] | `…-L0_K/layerN.sae.pt` | yes | no |
//! | [`Format::DictionaryLearning`] | `ae.pt`, `config.json`; DeepSeek R1 of qresearch, T-SAE | yes | no |
//!
//! [`read_any`] returns an [`AnyDictionary`](crate::AnyDictionary) for every format, and [`read`] a [`Dictionary`] for those of
//! single rows. The libraries disagree about the orientation of the matrices, about whether the encoder sees x or x − b_dec, about the meaning of a threshold and about normalisation. Each reader decides
//! this, and [`Checkpoint::notes`] lists its decisions. The content of a file tells its format, and its path decides nothing
//! except k of Qwen Scope, which stands nowhere else ([`Given`]), and the embeddings of the release of Gemma Scope. A pickle is read as data and never run.
//!
//! Every tensor and every key of a configuration that bears on the function is used, noted or refused by its name. A damaged
//! file gives an error that names the file, the tensor and the expected content; a web page or a Git LFS pointer is named.

mod activation_scaler;
mod any_checkpoint;
mod arranged;
mod checkpoint;
mod common_member;
mod detect;
mod dictionary_learning;
mod format;
mod gemma_scope;
mod gemma_scope_2;
mod given;
mod goodfire;
mod json;
mod llama_scope;
mod llama_scope_norms;
mod openai;
mod own;
mod parts;
mod place;
mod qwen_scope;
mod read;
mod refusal;
mod saelens;
mod saelens_keys;
mod saelens_writer;
mod sparsify;
mod tensors;

pub use crate::dictionary::{Agreement, Dictionary, Forward, RowNormalisation, Target, agreement};
pub use any_checkpoint::AnyCheckpoint;
pub use checkpoint::Checkpoint;
pub use format::Format;
pub use given::Given;
pub use read::{read, read_any, read_any_given, read_as, read_given};
pub use saelens_writer::write_saelens;
