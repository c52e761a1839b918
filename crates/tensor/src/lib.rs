#![doc = include_str!("../README.md")]

mod cpu;
mod elementwise;
mod error;
#[cfg(feature = "files")]
pub mod files;
mod hot_loops;
mod kernels;
mod matmul;
mod memory;
mod norm;
mod packed;
mod scalar;
mod selection;
mod softmax;
mod sparse;
mod vector;

pub use cpu::CpuLevel;
pub use elementwise::{exp_in_place, gelu_erf, gelu_tanh, silu, silu_times};
pub use error::ShapeError;
pub use matmul::{batched_matmul, matmul, matmul_into};
pub use memory::zeros;
pub use norm::{layer_norm_into, rms_norm_into};
pub use packed::PackedMatrix;
pub use scalar::Scalar;
pub use selection::top_k;
pub use softmax::{log_softmax_in_place, log_sum_exp, softmax_in_place, softmax_rows};
pub use sparse::SparseRows;
pub use vector::{axpy, dot, sum_of_squares};
