//! Convergence diagnostics of chains, and the reasons not to trust an estimate.

mod columns;
mod ess;
mod rank;
mod table;
mod trace;
mod verdict;

pub(crate) use ess::mean;
pub use ess::{ChainMean, autocorrelation_time, effective_sample_size, split_r_hat};
pub use rank::{bulk_ess, rank_normalised_r_hat, tail_ess};
pub use trace::{ExternalTrace, read_csv};
pub use verdict::{ChainDiagnosis, DiagnosisInput, Doubt};
