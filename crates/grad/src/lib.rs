#![doc = include_str!("../README.md")]

mod check;
mod error;
mod kernels;
mod objective;
mod optimiser;
pub mod primitive;
mod schedule;
mod scratch;
mod tape;

pub use collimate_measure::{OutOfRange, WrongLength};
pub use collimate_tensor::{Scalar, ShapeError};

pub use check::{CheckConfig, CoordinateCheck, Coordinates, GradientReport, Kinks, check_gradient};
pub use error::GradError;
pub use kernels::Precision;
pub use objective::{
    Batch, BatchIter, HessianVectorProducts, Objective, PerSampleLosses, SufficientStatistics,
};
pub use optimiser::{
    Adam, AdamConfig, AdamState, EpsilonPlacement, Momentum, Optimiser, ResetSteps, Sgd, SgdConfig, SgdState,
    WeightDecay, clip_global_norm, global_norm,
};
pub use primitive::activation::Activation;
pub use schedule::{Decay, Schedule, ScheduleConfig, WarmUp};
pub use scratch::Scratch;
pub use tape::{Gradients, Parameters, Tape, TapeObjective, Var};
