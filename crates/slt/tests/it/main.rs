//! The integration tests of `collimate-slt`.

mod deep_linear;
mod diagnostics;
mod estimators;
mod llc;
#[cfg(feature = "nuts")]
mod nuts;
mod oracle;
mod perceptron;
mod phases;
mod proved_limits;
mod recorded;
mod recorded_properties;
mod reduced_rank;
mod refined;
mod responses;
mod samplers;
mod sgld;
mod volumes;
