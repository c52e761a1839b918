#![doc = include_str!("../README.md")]

mod check;
mod error;
mod kernels;
mod objective;
mod optimiser;
mod schedule;
mod scratch;

pub use check::{CheckConfig, CoordinateCheck, Coordinates, GradientReport, Kinks, check_gradient};
pub use error::GradError;
pub use objective::{Batch, HessianVectorProducts, Objective, PerSampleLosses, SufficientStatistics};
pub use optimiser::{
    Adam, AdamConfig, AdamState, EpsilonPlacement, Momentum, Optimiser, ResetSteps, Sgd, SgdConfig, SgdState,
    WeightDecay, clip_global_norm, global_norm,
};
pub use schedule::{Decay, Schedule, ScheduleConfig, WarmUp};
pub use scratch::Scratch;
