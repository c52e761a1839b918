//! The integration tests of `collimate-polynomial`.

mod coordinates;
mod exact;
mod formulas;
mod polynomial;
mod text;
mod witnesses;
