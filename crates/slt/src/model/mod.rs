//! Models whose learning coefficient is known exactly.

mod crossing;
mod deep_linear;
mod perceptron;
mod polynomial;
mod quadratic;
mod reduced_rank;
mod second_moments;

pub use crossing::CrossingLoss;
pub use deep_linear::DeepLinear;
pub use perceptron::Perceptron;
pub use polynomial::PolynomialLoss;
pub use quadratic::QuadraticLoss;
pub use reduced_rank::{ReducedRank, ReducedRankConfig};
