//! The inner loops of training and sampling, and the only module of this crate with `unsafe` code.
//!
//! Each is written once as loops over arrays of numbers and compiled for every [`CpuLevel`](collimate_tensor::CpuLevel). The
//! vector levels use fused multiply-add. All processors of one level give equal bits.
#![allow(unsafe_code)]

pub(crate) mod lanes;
pub(crate) mod narrow;
pub(crate) mod samples;
pub(crate) mod uniforms;
pub(crate) mod wide;
