//! Properties of decoders with random weights, and what is refused.

mod gguf;
mod hooks;
mod reference;
mod refusals;
mod runs;
