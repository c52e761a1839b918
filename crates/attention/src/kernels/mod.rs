//! The hot loops, and the only place of this crate with `unsafe` code.
//!
//! Queries lie along the lanes of a vector: a tile of scores is rows of keys, `tile[key][query]`. So the maximum, the sum and the
//! rescaling of the softmax run down the columns and never cross lanes. The products read their left operand (keys, values)
//! in place, with any strides, and broadcast each of its numbers to all lanes. Only the block of queries is copied into a new layout.
#![allow(unsafe_code)]

mod columns;
mod dots;
mod lanes;
mod loops;
mod micro;
pub(crate) mod rotate;
mod transpose;

pub(crate) use lanes::whole;
pub(crate) use loops::Loops;
pub(crate) use micro::Join;
