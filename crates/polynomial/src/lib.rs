#![doc = include_str!("../README.md")]

mod arithmetic;
mod error;
mod formulas;
mod learning_coefficient;
mod parse;
mod polynomial;
mod rational;
mod resolution;

pub use collimate_measure::OutOfRange;
pub use error::PolynomialError;
pub use formulas::{
    NormalCrossing, deep_linear, gaussian_mixture, reduced_rank, tanh_network, toy_model_polygon,
};
pub use learning_coefficient::LearningCoefficient;
pub use num_rational::BigRational;
pub use polynomial::Polynomial;
pub use rational::Rational;
pub use resolution::{
    Certainty, PolynomialCoefficient, learning_coefficient, learning_coefficient_with_prior,
};
