//! Polynomials with rational coefficients, as sums of terms and as products of powers.

mod display;
pub(crate) mod names;
mod product;
mod sum;

pub use product::Product;
pub use sum::Polynomial;
pub(crate) use sum::{BITS, DEGREE, Terms, VARIABLES};
