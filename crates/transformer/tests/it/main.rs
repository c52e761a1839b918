//! Properties of models with random weights, their claims, and the inputs that they refuse.

mod architectures;
mod claims;
mod experts;
mod folding;
mod gguf;
mod hooks;
mod interventions;
mod network;
mod reference;
mod refusals;
mod runs;
mod stored;
#[cfg(feature = "tokenizer")]
mod tokenizer;
mod training;
