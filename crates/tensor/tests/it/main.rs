//! Properties of the public kernels against their plain definitions.

#[cfg(feature = "files")]
mod operators;
mod products;
mod rows;
mod sparse;

use collimate_stream::RngStream;
use collimate_tensor::Scalar;
use ndarray::Array2;

/// Draws a matrix of standard normal numbers.
fn normal<F: Scalar>(rows: usize, columns: usize, stream: &mut RngStream) -> Array2<F> {
    Array2::from_shape_simple_fn((rows, columns), || F::standard_normal(stream))
}

/// Runs a function in a pool of its own.
fn with_threads<T: Send>(threads: usize, run: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a small pool").install(run)
}
