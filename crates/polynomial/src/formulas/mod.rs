//! Closed formulas for the learning coefficients of models.

mod deep_linear;
mod known;
mod normal_crossing;
mod reduced_rank;

pub use deep_linear::deep_linear;
pub use known::{gaussian_mixture, tanh_network, toy_model_polygon};
pub use normal_crossing::NormalCrossing;
pub use reduced_rank::reduced_rank;
