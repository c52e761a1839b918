//! The learning coefficient of a polynomial. Read `neighbourhood.rs` for the questions and `analysis.rs` for the methods.

mod adapt;
mod analysis;
mod arrangement;
mod bits;
mod certificate;
mod faces;
mod form;
mod found;
mod linear;
mod neighbourhood;
mod newton;
mod parts;
mod plane;
mod power;
mod reduce;
mod series;
mod signs;
mod substitute;
mod witness;

pub use neighbourhood::{
    Certainty, Neighbourhood, PolynomialCoefficient, learning_coefficient, learning_coefficient_with_prior,
};
