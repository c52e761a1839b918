//! In-context induction by transformers that are nothing but attention: what one layer can, and two can.
//!
//! A sequence shows a run of tokens and then asks, token by token, what followed them in the run. No weights can know the answer:
//! it is another one in every sequence, and the bigrams that count at the end were never part of a sequence in training.
//!
//! References: Elhage et al. (2021), A Mathematical Framework for Transformer Circuits; Olsson et al. (2022), In-context Learning
//! and Induction Heads; Sanford, Hsu and Telgarsky (2024), One-layer transformers fail to solve the induction heads task.

mod attention_only;
mod bigrams;
mod claims;

pub use attention_only::{AttentionOnly, Size};
pub use bigrams::{Bigrams, Questions};
pub use claims::claims;
