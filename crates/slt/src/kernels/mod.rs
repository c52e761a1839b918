//! Loops that are compiled once for every level of the processor.
#![allow(unsafe_code)]

pub(crate) mod normals;
pub(crate) mod reduced_rank;
