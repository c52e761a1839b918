//! The integration tests of `collimate-grad`.

mod check;
mod optimisers;
