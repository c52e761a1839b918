//! Integration tests of `collimate-studies`.

mod attribution;
mod data;
mod induction;
mod model;
mod numerics;
mod recovered;
mod staircase;
mod toy_responses;
mod worlds;
