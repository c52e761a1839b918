//! The geometry of feature directions: measures of one matrix, ideal arrangements, recognition and decoding.

mod blocks;
mod directions;
mod polytope;
mod pursuit;
mod recognition;
mod scale;
mod spectrum;

pub use blocks::{DirectionGeometry, orthogonal_factors};
pub use directions::{
    RANK_TOLERANCE, capacity, coherence, cosines, dimensions_per_feature, feature_dimensionality,
    feature_norms, frame_potential, interference, leverage_scores, mean_max_cosine, rank, welch_bound,
};
pub use polytope::{
    cube, equal_edge_half_height, orthogonal_sum, orthoplex, regular_polygon, simplex, square_antiprism,
    tight_half_height,
};
pub use pursuit::{guaranteed_sparsity, matching_pursuit};
pub use recognition::{
    Polytope, PolytopeFactor, RecognisedPolytopes, polytopes_with_share, recognise_polytopes,
};
pub use spectrum::Spectrum;
