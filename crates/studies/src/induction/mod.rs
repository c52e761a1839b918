//! In-context induction by attention-only transformers, with one layer and with two.
//!
//! A sequence holds a run of tokens, and then questions: for each questioned token, the model predicts the token that followed it in
//! the run. The answer cannot be stored in the weights: it differs from sequence to sequence, and the bigrams that count at the end
//! never occurred in training.
//!
//! References: Elhage et al. (2021), A Mathematical Framework for Transformer Circuits; Olsson et al. (2022), In-context Learning
//! and Induction Heads; Sanford, Hsu and Telgarsky (2024), One-layer transformers fail to solve the induction heads task.

mod attention_only;
mod bigrams;
mod claims;

pub use attention_only::{AttentionOnly, Size};
pub use bigrams::{Bigrams, Questions};
pub use claims::claims;
