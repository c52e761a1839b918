//! Tests of the claims framework.

mod exact;
#[cfg(feature = "report")]
mod page;
mod rates;
mod runner;
mod same_bits;
mod trouble;
