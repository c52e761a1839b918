//! A small tape for reverse mode, and models written on it.

mod backward;
mod objective;
mod parameters;
mod record;

pub use backward::Gradients;
pub use objective::TapeObjective;
pub use parameters::Parameters;
pub use record::{Tape, Var};
