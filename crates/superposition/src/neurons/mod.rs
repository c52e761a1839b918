//! Polysemantic neurons: representations with known ground truth, and the diagnosis of their cause.

mod codes;
mod diagnosis;

pub use codes::{
    ParityCode, Representation, circular_code, level_code, linear_r_squared, neuron_top_share, read_level,
    rotated_code, turned_code, variance_kept,
};
pub use diagnosis::{Diagnosis, Evidence, Explanation, diagnose};
