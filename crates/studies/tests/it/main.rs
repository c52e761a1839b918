//! Integration tests of `collimate-studies`.

mod data;
mod model;
mod numerics;
mod worlds;
