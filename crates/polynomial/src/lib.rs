#![doc = include_str!("../README.md")]

mod arithmetic;
mod error;
mod formulas;
mod learning_coefficient;
mod polynomial;
mod rational;
mod resolution;
mod text;

pub use collimate_measure::{OutOfRange, WrongLength};
pub use error::PolynomialError;
pub use formulas::{
    NormalCrossing, deep_linear, free_gaussian_mixture, gaussian_mixture, reduced_rank, tanh_network,
    toy_model_polygon, vandermonde,
};
pub use learning_coefficient::LearningCoefficient;
pub use num_rational::BigRational;
pub use polynomial::{Polynomial, Product};
pub use rational::Rational;
pub use resolution::{
    Certainty, Neighbourhood, PolynomialCoefficient, learning_coefficient, learning_coefficient_with_prior,
};
