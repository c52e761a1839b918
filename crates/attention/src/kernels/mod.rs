//! The hot loops, and the only place of this crate with `unsafe` code.
//!
//! Queries lie along the lanes of a vector: a tile of scores is rows of keys, `tile[key][query]`. So maximum, sum and rescaling
//! of the softmax run down the columns without ever crossing lanes, and the products take their left operand (keys, values)
//! where it lies, with any strides: each number of it is broadcast to all lanes. Only the block of queries is laid out anew.
#![allow(unsafe_code)]

pub(crate) mod columns;
pub(crate) mod dots;
pub(crate) mod micro;
mod tiles;
pub(crate) mod transpose;

pub(crate) use micro::Join;
pub(crate) use tiles::Tiles;

use collimate_tensor::CpuLevel;

/// The numbers in a vector at a level, for numbers of so many bytes. Rows of tiles are whole vectors.
pub(crate) fn lanes(level: CpuLevel, bytes: usize) -> usize {
    match level {
        CpuLevel::Avx512 => 64 / bytes,
        _ => 32 / bytes,
    }
}

/// The vectors side by side of the widest product whose sums stay in registers.
pub(crate) fn vectors(level: CpuLevel) -> usize {
    match level {
        CpuLevel::Avx512 => 4,
        CpuLevel::Avx2 => 2,
        _ => 1,
    }
}
