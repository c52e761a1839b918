#![doc = include_str!("../README.md")]

mod architectures;
mod arrays;
mod cache;
#[cfg(feature = "claims")]
pub mod claims;
mod description;
mod error;
mod hooks;
mod interventions;
mod losses;
mod metadata;
mod network;
mod ops;
mod parameters;
mod pass;
mod precision;
mod program;
mod site;
#[cfg(feature = "tokenizer")]
mod tokenizer;
mod train;

pub use description::{
    Alibi, Arrangement, AttentionDescription, BoundedGate, Description, Differential, Embedding,
    ExpertWeights, Experts, Frequencies, GainForm, Head, HeadNorm, HeadNormOver, LayerDescription,
    LearnedPositions, MlpDescription, Norm, NormKind, Rotary,
};
pub use error::{ModelFileError, NonFinite, RunError, TrainingError, TransformerError};
pub use hooks::{Capture, Edit, Hooks};
pub use interventions::{Intervention, Interventions, MeanOver};
pub use losses::{CROSS_ENTROPY, Losses};
pub use network::{
    Activations, Along, Choice, Derivative, Generation, Gradients, HeadWeights, LossGradient, Model, Outputs,
    PullBack, Run, Sampling, SequenceObjective, Targets,
};
pub use parameters::{ParameterName, Part};
pub use pass::Input;
pub use precision::Precision;
pub use site::{HookPoint, Site, UnknownPoint};
#[cfg(feature = "tokenizer")]
pub use tokenizer::{EncodeOptions, Encoding, SpecialIds, SpecialText, SpecialTokens, Tokenizer, Unspelt};
pub use train::{StepReport, Training, TrainingConfig};

// The types of other crates in public items, so that one dependency is enough.
pub use collimate_attention::circuits::Factored;
pub use collimate_attention::{
    AttentionError, RotaryLayout, RotaryScaling, YarnAmplitude, YarnRamp, prefix_matching,
};
pub use collimate_grad::primitive::activation::Activation;
pub use collimate_grad::{AdamConfig, Decay, Schedule, ScheduleConfig, WarmUp};
pub use collimate_measure::{Fingerprint, MeasureError, Measurement, OutOfRange, Quantity};
pub use collimate_stream::RngStream;
pub use collimate_tensor::ShapeError;
pub use collimate_tensor::files::{FileError, Gguf};
