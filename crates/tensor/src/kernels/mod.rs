//! The hot loops, and the only place of this crate with `unsafe` code.
//!
//! Each kernel is written once as a plain inlined loop and compiled at every [`crate::CpuLevel`]; the dispatch picks the
//! version that the processor has. A property test holds each against its plain definition.
#![allow(unsafe_code)]

mod gemm;
mod hot_loops;
mod leveled;
mod loops;
pub(crate) mod packed;
pub(crate) mod pages;
pub mod register_tile;
mod rows;
mod selection;

pub(crate) use loops::HotLoops;
