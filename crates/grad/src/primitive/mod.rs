//! Each primitive with its forward map, its vector–Jacobian product and its Jacobian–vector product.
//!
//! ```text
//! forward   y = f(x)
//! vjp       x̄ = Jᵀ ȳ        (backward: a gradient with respect to y becomes one with respect to x)
//! jvp       ẏ = J ẋ         (forward: a change of x becomes a change of y)
//! ```
//!
//! The two are adjoint: `⟨ȳ, J ẋ⟩ = ⟨Jᵀȳ, ẋ⟩`, which the tests check for every pair. All functions are pure: the caller keeps
//! the values that a backward pass needs.
//!
//! Axis letters: `b` rows (a batch, positions), `i` inputs, `o` outputs, `d` features, `c` classes, `v` table rows.

pub mod activation;
pub mod bias;
pub mod cross_entropy;
pub mod embedding;
pub mod layer_norm;
pub mod matmul;
pub mod reduce;
pub mod rms_norm;
pub mod softmax;

use collimate_tensor::{Scalar, ShapeError};
use ndarray::{ArrayRef1, ArrayRef2};

/// Returns an error unless a matrix has the given shape.
fn check2<F>(
    argument: &'static str,
    expected: (usize, usize),
    given: &ArrayRef2<F>,
) -> Result<(), ShapeError> {
    ShapeError::check(argument, &[expected.0, expected.1], given.shape())
}

/// Returns an error unless a vector has the given length.
fn check1<F>(argument: &'static str, expected: usize, given: &ArrayRef1<F>) -> Result<(), ShapeError> {
    ShapeError::check(argument, &[expected], given.shape())
}

/// Returns a vector as contiguous memory, and copies it only if necessary.
fn contiguous<F: Scalar>(x: &ArrayRef1<F>) -> std::borrow::Cow<'_, [F]> {
    match x.as_slice() {
        Some(slice) => slice.into(),
        None => x.to_vec().into(),
    }
}
