//! Reads polynomials from text.

mod parser;
mod tokens;
