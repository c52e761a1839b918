//! Linear attention and its recurrent relatives.

mod forms;
mod members;
mod memory;
mod order;
mod sequences;

pub use forms::{bidirectional_linear_is_last, linear_forms_agree, linear_state_is_all};
pub(super) use members::{Member, without_mask};
pub use memory::{additive_memory_overwrites, delta_exact_memory};
pub use order::{causal_linear_pattern_rank, delta_forgets_order, linear_forgets_order, linear_pattern_rank};
pub use sequences::{KeepsState, Tokens};
