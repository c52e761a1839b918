//! The integration tests of `collimate-grad`.

mod check;
mod optimisers;
mod primitives;
mod tape;
