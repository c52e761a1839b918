//! Closed formulas for the learning coefficients of models.

mod deep_linear;
mod known;
mod normal_crossing;
mod reduced_rank;
mod vandermonde;

pub use deep_linear::deep_linear;
pub use known::{free_gaussian_mixture, gaussian_mixture, tanh_network, toy_model_polygon};
pub use normal_crossing::NormalCrossing;
pub use reduced_rank::reduced_rank;
pub use vandermonde::vandermonde;
