//! The learning coefficient of a polynomial: resolution in the plane, the Newton polyhedron in more variables.

mod analysis;
mod certificate;
mod newton;
mod plane;
mod reduce;
mod root;
mod witness;

pub use analysis::{Certainty, PolynomialCoefficient, learning_coefficient, learning_coefficient_with_prior};
