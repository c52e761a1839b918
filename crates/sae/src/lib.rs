#![doc = include_str!("../README.md")]

mod arranged;
#[cfg(feature = "claims")]
pub mod claims;
mod dictionary;
mod error;
#[cfg(feature = "files")]
mod files;
mod float;
mod kernels;
mod members;
mod metrics;
mod precision;
pub mod presets;
mod sae;
pub mod shards;
mod step;
mod train;
mod transcoder;
mod weights;

// The members and the dictionary.
pub use dictionary::{Agreement, Dictionary, Forward, RowNormalisation, Target, agreement};
pub use members::abs_topk::AbsTopK;
pub use members::aux_k::{AuxCodes, AuxK, AuxScale};
pub use members::batch_topk::{BatchTopK, ThresholdEstimate};
pub use members::choices::{DecoderRows, InputBias, PenaltyWeight, PreActivationLoss, PullOver, Ranking};
pub use members::crosscoder::{Crosscoder, CrosscoderSparsity};
pub use members::gated::{Gated, GatedDecoder, Magnitude};
pub use members::group_max::GroupMax;
pub use members::jump_relu::{Estimator, JumpOn, JumpRelu, JumpReluSparsity, ThresholdParameter};
pub use members::levels::Levels;
pub use members::matching_pursuit::MatchingPursuit;
pub use members::matryoshka::Matryoshka;
pub use members::p_norm::{PNorm, PNormForm};
pub use members::relu::Relu;
pub use members::rescale_and_shift::RescaleAndShift;
pub use members::topk::{MultiTopK, TopK};
pub use members::variant::Variant;
pub use sae::Sae;
pub use transcoder::{Skip, SkipMoments, Transcoder, TranscoderGradient};
pub use weights::{Size, Weights, normalise};

// Architectures whose input has further axes.
pub use arranged::any::AnyDictionary;
pub use arranged::arrangement::{ArrangedForward, Arrangement};
pub use arranged::crosscoder::{CodeScale, CodeThreshold, LayerNormalisation, LayeredCrosscoder};
pub use arranged::temporal::{
    Affine, ContextLayer, NovelCodes, TemporalDictionary, TemporalForward, TemporalParts,
};
pub use arranged::transcoder::{LayerActivation, LayeredTranscoder, Reach, TranscoderLayer};

// Training.
#[cfg(feature = "files")]
pub use files::formats;
pub use step::adam::{AdamMoments, AdamParameters};
pub use step::settings::{Losses, Path, Settings};
pub use step::workspace::Workspace;
pub use train::anneal::{PAnneal, TargetL0};
pub use train::config::{BiasStart, L1, LossConvention, Normalisation, Resampling, TrainingConfig};
pub use train::model::Model;
pub use train::progress::Progress;
pub use train::rows::{IntoRows, ShuffleBuffer, epochs};
pub use train::training::{Trained, Training, advance_together, train_together};

// Metrics.
pub use metrics::frontier::{CurveGap, SweepPoint, difference_at_equal_l0, l0_ratio_at_equal_value};
pub use metrics::loss_recovered::{KlRecovered, LossRecovered};
pub use metrics::planted::{Planted, mmcs, mmcs_null};
pub use metrics::{
    Absorption, DocumentSums, Evaluation, Matching, Recognition, Sums, Usage, WithNull, decoder_geometry,
    decoder_geometry_with_null, evaluate, quantity,
};

pub use collimate_measure::{Fingerprint, Measurement, OutOfRange, Quantity, WrongLength};
pub use collimate_stream::RngStream;
pub use error::{ErrorKind, SaeError};
pub use precision::Precision;
