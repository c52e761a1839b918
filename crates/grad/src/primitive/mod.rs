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
use ndarray::{ArrayRef1, ArrayRef2, CowArray, Ix1};

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

/// A row whose squares are in range, for the derivatives of the norms.
///
/// A norm does not depend on a common scale: `norm(x, ε) = norm(x/s, ε/s²)`, so its derivative by x is the derivative by x/s over s.
struct InRange<'a, F> {
    /// The row over the divisor.
    row: CowArray<'a, F, Ix1>,
    /// ε over the square of the divisor.
    epsilon: F,
    /// The divisor, 1 for nearly every row.
    divisor: F,
}

impl<'a, F: Scalar> InRange<'a, F> {
    /// Divides a row if `square`, its mean square plus ε, has overflowed or has lost digits.
    fn new(x: &'a ArrayRef1<F>, square: F, epsilon: F) -> Self {
        let fine = square > F::min_positive_value() / F::epsilon() && square < F::infinity();
        // A NaN, once reached, remains the largest.
        let larger = |top: F, v: &F| if v.abs() > top || v.is_nan() { v.abs() } else { top };
        let top = x.iter().fold(epsilon.sqrt(), larger);
        if fine || !(top > F::zero() && top < F::infinity()) {
            return Self { row: x.view().into(), epsilon, divisor: F::one() };
        }
        let root = epsilon.sqrt() / top;
        Self { row: x.mapv(|v| v / top).into(), epsilon: root * root, divisor: top }
    }
}
