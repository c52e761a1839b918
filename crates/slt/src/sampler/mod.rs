//! Markov chains on the tempered, localised posterior of an objective.

mod batch;
mod chain;
mod half_step;
mod hmc;
mod loops;
mod preconditioned;
mod preconditioner;
mod region;
mod sampling;
mod scalar;
mod sgld;
mod starts;
mod target;
mod trajectory;
mod tune;

pub use batch::BatchSampling;
#[cfg(feature = "claims")]
pub(crate) use batch::Batches;
pub use chain::{Chain, Method, Step};
pub use hmc::{MalaPoint, mala_log_acceptance};
pub use preconditioner::{Divergence, Preconditioner};
pub use region::{Boundary, Region};
pub use sampling::{ChainTrace, Draw, Observer, Sampling, SamplingRun, StepSize};
pub use scalar::SamplerScalar;
pub use target::Target;
pub use tune::{Tuned, tune_step_size};
