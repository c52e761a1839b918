//! Integration tests of `collimate-studies`.

mod data;
mod numerics;
