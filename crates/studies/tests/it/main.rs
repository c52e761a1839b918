//! Integration tests of `collimate-studies`.

mod attribution;
mod data;
mod development;
mod encoder;
mod exact;
mod induction;
mod layered;
mod model;
mod numerics;
mod recovered;
mod staircase;
mod toy_responses;
mod worlds;
