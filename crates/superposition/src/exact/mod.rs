//! Models whose expected loss is exact: one active feature, two features, their optima and phase diagrams.

mod descent;
mod one_active;
mod phase;
mod polygons;
mod staircase;
mod two_features;

pub use descent::{Descent, DescentConfig, descend};
pub use one_active::{ActiveIntegral, OneActive, cross_talk, own_error};
pub use phase::{
    PhaseDiagram, PhaseRegion, TrainedDiagramConfig, canonical_diagram, logarithmic_range, optimised_diagram,
    trained_diagram,
};
pub use polygons::{CriticalPolygon, UnusedFeatures};
pub use staircase::{StaircaseLevel, gradient_descent, nearest_level, staircase_levels};
pub use two_features::{
    TwoFeatureBoundary, TwoFeatureOptimum, TwoFeatures, canonical_boundary, optimised_boundary,
};
