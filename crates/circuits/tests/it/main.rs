//! Recorded values of other libraries, and identities.

mod attribution;
mod cases;
mod export;
mod graphs;
mod metrics;
mod patching;
mod paths;
mod readouts;
