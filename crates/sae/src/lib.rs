#![doc = include_str!("../README.md")]

mod abs_topk;
mod adam;
mod anneal;
mod batch;
mod batch_topk;
#[cfg(feature = "claims")]
pub mod claims;
mod config;
mod crosscoder;
mod dense;
mod error;
#[cfg(feature = "files")]
mod files;
mod float;
#[cfg(feature = "files")]
pub mod formats;
mod frontier;
mod gated;
mod jump_relu;
mod kernels;
mod latents;
mod loss_recovered;
mod matching_pursuit;
mod matryoshka;
mod metrics;
mod model;
mod p_norm;
mod planted;
mod progress;
mod relu;
mod resample;
mod rescale_and_shift;
mod rows;
mod rule;
mod run;
mod sae;
pub mod shards;
mod spare;
mod sparse;
mod step;
mod topk;
mod training;
mod transcoder;
mod variant;
mod weights;
mod workspace;

// The members and the dictionary.
pub use abs_topk::AbsTopK;
pub use batch_topk::{BatchTopK, ThresholdEstimate};
pub use crosscoder::{Crosscoder, CrosscoderSparsity};
pub use gated::{Gated, GatedDecoder, Magnitude};
pub use jump_relu::{
    DecoderRows, Estimator, JumpOn, JumpRelu, JumpReluSparsity, PreActivationLoss, PullOver,
    ThresholdParameter,
};
pub use matching_pursuit::MatchingPursuit;
pub use matryoshka::{Levels, Matryoshka};
pub use p_norm::{PNorm, PNormForm};
pub use relu::Relu;
pub use rescale_and_shift::RescaleAndShift;
pub use sae::Sae;
pub use topk::{AuxCodes, AuxK, AuxScale, MultiTopK, Ranking, TopK};
pub use transcoder::{Skip, SkipMoments, Transcoder, TranscoderGradient};
pub use variant::{InputBias, PenaltyWeight, Variant};
pub use weights::{Size, Weights, normalise};

// Training.
pub use adam::{Adam, Moments};
pub use anneal::{PAnneal, TargetL0};
pub use config::{BiasStart, L1, LossConvention, Normalisation, Resampling, TrainingConfig};
#[cfg(feature = "files")]
pub use files::read_rows;
pub use model::Model;
pub use progress::Progress;
pub use rows::{IntoRows, ShuffleBuffer, epochs};
pub use step::{Losses, Path, Settings};
pub use training::{Trained, Training, advance_together, train_together};
pub use workspace::Workspace;

// Metrics.
pub use frontier::{SweepPoint, difference_at_equal_l0, l0_ratio_at_equal_value};
pub use loss_recovered::{KlRecovered, LossRecovered};
pub use metrics::{
    Absorption, DocumentSums, Evaluation, Matching, Recognition, Sums, Usage, WithNull, decoder_geometry,
    decoder_geometry_with_null, evaluate, null_dictionary, quantity,
};
pub use planted::{Planted, mmcs, mmcs_null};

pub use error::SaeError;
pub use float::Float;
