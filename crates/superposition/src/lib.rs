#![doc = include_str!("../README.md")]

#[cfg(feature = "claims")]
mod claims;
mod data;
mod ensemble;
mod error;
mod exact;
#[cfg(feature = "figures")]
pub mod figures;
mod geometry;
mod kernels;
mod models;
mod neurons;

#[cfg(feature = "claims")]
pub use claims::claims;
#[doc(no_inline)]
pub use collimate_grad::{AdamConfig, Batch, Decay, Objective, ScheduleConfig, WarmUp};
#[doc(no_inline)]
pub use collimate_measure::OutOfRange;
#[doc(no_inline)]
pub use collimate_stream::RngStream;
#[doc(no_inline)]
pub use collimate_tensor::SparseRows;
pub use data::{
    DecayingConfig, DecayingFeatures, Dependence, FeatureSets, FiniteData, Hierarchy, LowRank,
    OneActiveFeature, RowNorm, Siblings, Signed, Source, SparseFeatures, World, WorldBatch, WorldConfig,
};
pub use ensemble::{ColumnLengths, Ensemble, EnsembleConfig, train_instances};
pub use error::SuperpositionError;
pub use exact::{
    ActiveIntegral, CriticalPolygon, Descent, DescentConfig, OneActive, PhaseDiagram, PhaseRegion,
    StaircaseLevel, TrainedDiagramConfig, TwoFeatureBoundary, TwoFeatureOptimum, TwoFeatures, UnusedFeatures,
    canonical_boundary, canonical_diagram, cross_talk, descend, gradient_descent, logarithmic_range,
    nearest_level, optimised_boundary, optimised_diagram, own_error, staircase_levels, trained_diagram,
};
pub use geometry::{
    DirectionGeometry, Polytope, PolytopeFactor, RANK_TOLERANCE, RecognisedPolytopes, Spectrum, capacity,
    coherence, cosines, cube, dimensions_per_feature, equal_edge_half_height, feature_dimensionality,
    feature_norms, frame_potential, guaranteed_sparsity, interference, leverage_scores, matching_pursuit,
    mean_max_cosine, orthogonal_factors, orthogonal_sum, orthoplex, polytopes_with_share, rank,
    recognise_polytopes, regular_polygon, simplex, square_antiprism, tight_half_height, welch_bound,
};
pub use models::{
    Activation, DecoderWeights, HeadBehaviours, IncidentalNeurons, SkipTrigrams, ToyLoss, ToyModel,
    ToyTrainingConfig, TrainedTrigrams, TrigramLoss, TrigramSample, TwoLayer, TwoLayerConfig, TwoLayerLoss,
    TwoLayerTarget, UniversalAnd, largest_neurons, linear_expected_loss, linear_lowest_loss,
    neuron_collisions, polysemantic_neurons,
};
pub use neurons::{
    Diagnosis, Evidence, Explanation, ParityCode, Representation, circular_code, diagnose, level_code,
    linear_r_squared, neuron_top_share, read_level, rotated_code, turned_code, variance_kept,
};
