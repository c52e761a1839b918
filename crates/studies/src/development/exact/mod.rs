//! Known values beside which a training is measured: plateaus, logits, ranks and entropies without a training.

mod entropies;
mod linear_attention;
mod quadratic_rank;
mod trigonometric;

pub use entropies::conditional_entropy;
pub use linear_attention::LinearAttention;
pub use quadratic_rank::quadratic_network_rank;
pub use trigonometric::{AdditionMargins, PhaseGrid, TrigonometricAddition, UnitFunction};
