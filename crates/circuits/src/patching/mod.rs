//! Values of one run put into another, and values replaced by zeros, by means and by those of other prompts.

mod ablation;
mod changes;
mod place;
mod sweep;

pub(crate) use ablation::check_held_out;
pub use ablation::{Ablated, Ablation, ablate};
pub(crate) use changes::{Changes, Values};
pub use place::{Axes, Place, Sweep};
pub use sweep::{Direction, Patched, patch};
