//! Activations of a language model replaced: by the reconstructions of a dictionary, steered, ablated, and measured by the loss.

mod held_out;
mod recovered;
mod splice;

pub use held_out::{DocumentLoss, Fidelity, HeldOut, loss_recovered};
pub use recovered::{Recovered, RecoveredOptions, recovered};
pub use splice::{Change, ErrorTerm, Splice};
