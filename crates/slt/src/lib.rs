#![doc = include_str!("../README.md")]

#[cfg(feature = "claims")]
mod claims;
mod diagnostics;
mod error;
mod estimator;
mod kernels;
mod model;
mod oracle;
mod phase;
mod recorded;
mod sampler;
mod scaling;
mod temperature;

#[cfg(feature = "claims")]
pub use claims::claims;
pub use collimate_grad::{Batch, Objective, PerSampleLosses, Scratch, SufficientStatistics};
pub use collimate_measure::{Fingerprint, Interval, Measurement, OutOfRange, Quantity, WrongLength};
pub use collimate_polynomial::{
    Certainty, LearningCoefficient, Neighbourhood, NormalCrossing, Polynomial, PolynomialCoefficient,
    PolynomialError, Product, Rational, deep_linear, free_gaussian_mixture, gaussian_mixture,
    learning_coefficient, learning_coefficient_with_prior, reduced_rank, tanh_network, toy_model_polygon,
    vandermonde,
};
pub use collimate_stream::RngStream;
pub use diagnostics::{
    ChainDiagnosis, ChainMean, DiagnosisInput, Doubt, ExternalTrace, autocorrelation_time, bulk_ess,
    effective_sample_size, rank_normalised_r_hat, read_csv, split_r_hat, tail_ess,
};
pub use error::{RecordedError, SltError, TraceError};
pub use estimator::{
    Calibration, CalibrationCase, CalibrationRun, CalibrationTarget, FreeEnergy, FreeEnergyEstimate, Llc,
    LlcEstimate, PosteriorErrors, SampleLossRun, SampleLosses, StepBias, Susceptibility, Sweep, SweepCell,
    TwoTemperatures, VolumeSlope, Wbic, susceptibility,
};
pub use model::{
    CrossingLoss, DeepLinear, Perceptron, PolynomialLoss, QuadraticLoss, ReducedRank, ReducedRankConfig,
};
pub use oracle::{
    CircleMean, CrossingOracle, GaussianMean, IntervalOracle, LocalisedCrossing, QuadraticOracle,
    ReducedRankOracle,
};
pub use phase::{Phase, levels_along};
pub use recorded::{
    Association, Chains, DevinterpLlc, Influence, PairedLlc, RecordedRun, RecordedSusceptibility, TokenLosses,
};
pub use sampler::{
    BatchSampling, Boundary, Chain, ChainTrace, Divergence, Draw, MalaPoint, Method, Observer,
    Preconditioner, Region, SamplerScalar, Sampling, SamplingRun, Step, StepSize, Target, Tuned,
    mala_log_acceptance, tune_step_size,
};
pub use scaling::{ComputeBudget, Observation, ScalingFit, ScalingLaw, fit_scaling_law};
pub use temperature::{Beta, LossScale, NBeta};
