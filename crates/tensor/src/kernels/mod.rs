//! The hot loops, and the only place of this crate with `unsafe` code.
//!
//! Each kernel is written once as a plain inlined loop and compiled at every [`crate::CpuLevel`]; the dispatch picks the
//! version that the processor has. A property test holds each against its plain definition.
#![allow(unsafe_code)]

mod gemm;
mod hot_loops;
pub mod lanes;
mod leveled;
mod loops;
pub(crate) mod packed;
pub(crate) mod pages;
pub mod register_tile;
mod rows;
mod selection;

pub(crate) use loops::HotLoops;

/// Panics unless an array or a slice has this shape. The loops behind this check read and write without bounds checks, so another shape
/// is a fault of the calling crate that must not reach them.
#[track_caller]
pub fn assert_shape(argument: &str, axes: &str, expected: &[usize], given: &[usize]) {
    assert!(expected == given, "{argument} {axes} must have the shape {expected:?}, but has {given:?}");
}
