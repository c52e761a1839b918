//! Tests of attention against its naive definition, its derivatives, its masks and other libraries.

mod algebra;
mod bad_input;
mod circuits;
mod claims;
mod claims_of_users;
mod conformance;
mod decode;
mod definition;
mod derivatives;
mod determinism;
mod linear;
mod naive;
mod nonfinite;
mod overflow;
mod product_rule;
mod rotary;
mod statistics;
mod tiles;
