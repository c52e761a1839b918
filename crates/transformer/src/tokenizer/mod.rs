//! Tokenizers: texts become ids and ids become texts, as the files of a model define it.

mod charsmap;
mod check;
mod encode;
mod encoding;
mod gguf;
mod json;
mod open;
mod options;
mod pipeline;
mod special;

pub use encoding::Encoding;
pub use options::{EncodeOptions, SpecialText, SpecialTokens, Unspelt};
pub use pipeline::Tokenizer;
pub use special::SpecialIds;
