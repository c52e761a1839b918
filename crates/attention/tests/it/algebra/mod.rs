//! The algebra of variants against its definition, its derivatives, other libraries, and bad input.

mod bad_input;
mod cases;
mod conformance;
mod definition;
mod derivatives;
mod extremes;
mod latent;
mod naive;
mod tiled;
