//! Exact values at finite n, so that an estimator can be tested at its own Monte-Carlo error.
//!
//! A learning coefficient is an asymptotic quantity. An estimator at `β = 1/log n` converges to a *tempered expectation*,
//! which for multiplicity m lies below λ by about `(m − 1)/log(nβ)`. A test of the estimator against λ needs tolerances of
//! a third. A test against these values needs no tolerance.

mod circle;
mod crossing;
mod gaussian;
mod interval;
mod localised;
mod quadratic;
pub(crate) mod quadrature;
mod reduced_rank;

pub use circle::CircleMean;
pub use crossing::CrossingOracle;
pub use gaussian::GaussianMean;
pub use interval::IntervalOracle;
pub use localised::LocalisedCrossing;
pub use quadratic::QuadraticOracle;
pub(crate) use quadrature::gauss_legendre;
pub use reduced_rank::ReducedRankOracle;
