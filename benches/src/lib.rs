#![doc = include_str!("../README.md")]

mod alternating;
mod kernels;
mod memory;
mod options;
mod side_by_side;

pub use alternating::{Contender, Timing, alternate, drift};
pub use kernels::{Counting, bare_product};
pub use memory::peak_bytes;
pub use options::options;
pub use side_by_side::{PAUSE, Peer, Probe, load, median, milliseconds, print_comparison, take_turns};

use collimate_stream::RngStream;
use collimate_tensor::Scalar;
use ndarray::Array2;

/// Draws a matrix of standard normal numbers. The name determines the numbers.
pub fn normal_matrix<F: Scalar>(rows: usize, columns: usize, name: &str) -> Array2<F> {
    let mut stream = RngStream::named(0, name);
    Array2::from_shape_simple_fn((rows, columns), || F::standard_normal(&mut stream))
}
