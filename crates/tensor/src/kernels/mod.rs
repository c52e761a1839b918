//! The hot loops, and the only place of this crate with `unsafe` code.
//!
//! Each kernel is written once as a plain inlined loop and compiled at every [`crate::CpuLevel`]; the dispatch picks the
//! version that the processor has. A property test holds each against its plain definition.
#![allow(unsafe_code)]

pub(crate) mod gemm;
mod leveled;
pub(crate) mod packed;
pub(crate) mod pages;
pub(crate) mod rows;
