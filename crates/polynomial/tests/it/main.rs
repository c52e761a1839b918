//! The integration tests of `collimate-polynomial`.

mod coefficients;
mod coordinates;
mod exact;
mod formulas;
mod polynomial;
mod text;
mod witnesses;
