//! Training: the configuration, one run or several on the same rows, and what a run changes by itself.

pub(crate) mod anneal;
pub(crate) mod config;
pub(crate) mod driver;
mod effects;
pub(crate) mod model;
pub(crate) mod progress;
mod resample;
pub(crate) mod rows;
pub(crate) mod shuffle;
pub(crate) mod training;
