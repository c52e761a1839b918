//! Estimates from token losses that another program recorded along its chains.
//!
//! The software devinterp stores such losses. Its numbers can be repeated here, and corrected numbers stand beside them.

mod autocorrelation;
mod influence;
mod llc;
mod susceptibility;
mod token_losses;

pub use influence::{Association, Chains, Influence};
pub use llc::{DevinterpLlc, PairedLlc};
pub use susceptibility::{RecordedRun, RecordedSusceptibility};
pub use token_losses::TokenLosses;
