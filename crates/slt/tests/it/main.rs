//! The integration tests of `collimate-slt`.

mod exact;
mod oracle;
mod reduced_rank;
mod sgld;
