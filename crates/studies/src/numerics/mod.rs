//! Claims about what everything else computes with: products, row kernels, gradients and optimisers.

mod gradients;
mod kernels;
mod optimisers;
mod products;

use collimate_claims::Claims;
use collimate_stream::RngStream;
use ndarray::Array2;

/// The claims about `tensor` and `grad`.
pub fn claims() -> Claims {
    products::claims().extend(kernels::claims()).extend(gradients::claims()).extend(optimisers::claims())
}

/// A matrix of normal numbers that f32 holds exactly, so that no error comes from rounding the inputs.
fn normal_f32(rows: usize, columns: usize, stream: &mut RngStream) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || f64::from(stream.normal() as f32))
}

/// Small integers: their products and sums are exact, which makes the smallest counterexamples readable.
fn bounded(x: &Array2<f64>) -> bool {
    x.iter().all(|v| v.is_finite() && v.abs() <= 1e3)
}
