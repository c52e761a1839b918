//! Activations of a language model replaced: by the reconstructions of a dictionary, steered, ablated, and measured by the loss.

mod comparison;
mod held_out;
mod layer_splice;
mod recovered;
mod recovered_by_layers;
mod splice;

pub use comparison::Recovered;
pub use held_out::{DocumentLoss, Fidelity, HeldOut, loss_recovered};
pub use recovered::{RecoveredOptions, recovered};
pub use recovered_by_layers::{LayersOptions, recovered_by_layers};
pub use splice::{Change, ErrorTerm, Splice};
