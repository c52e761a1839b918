//! Tests of attention against its naive definition, its derivatives, its masks and other people's numbers.

mod algebra;
mod bad_input;
mod circuits;
mod claims;
mod claims_of_users;
mod conformance;
mod definition;
mod derivatives;
mod determinism;
mod few;
mod linear;
mod naive;
mod overflow;
mod poison;
mod product_rule;
mod rotary;
mod statistics;
mod tiles;
