//! The integration tests of `collimate-polynomial`.

mod formulas;
mod polynomial;
