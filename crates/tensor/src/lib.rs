#![doc = include_str!("../README.md")]

mod cpu;
mod error;
#[cfg(feature = "files")]
pub mod files;
mod kernels;
mod memory;
mod pool;
mod products;
mod rows;
mod scalar;
mod selection;
pub mod small;
mod sparse;
mod vector;

pub use collimate_stream::RngStream;
pub use cpu::CpuLevel;
pub use error::ShapeError;
pub use memory::{keep_freed_memory, memory_fits, zeros};
pub use pool::BufferPool;
pub use products::{PackedMatrix, batched_matmul, matmul, matmul_into};
pub use rows::{
    exp_in_place, gelu_erf, gelu_tanh, layer_norm_into, log_softmax_in_place, log_sum_exp, rms_norm_into,
    silu, silu_times, softmax_in_place, softmax_rows,
};
pub use scalar::Scalar;
pub use selection::top_k;
pub use sparse::SparseRows;
pub use vector::{axpy, dot, sum_of_squares};

/// Parts of kernels that other crates of the workspace build on. They may change at any time.
#[doc(hidden)]
pub mod kernel_parts {
    pub use crate::kernels::{assert_shape, lanes, register_tile};
}
