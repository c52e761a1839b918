//! Softmax and log-softmax over the last axis.
//!
//! The softmax of a row of only `−∞` (a query without visible keys) is all zeros, and so are its derivatives.

use super::check2;
use collimate_tensor::{Scalar, ShapeError, log_softmax_in_place, softmax_rows};
use ndarray::{Array2, ArrayRef2, Zip};

/// Computes `p_c = e^{x_c} / Σ_k e^{x_k}` in each row.
///
/// # Shapes
/// `x [b, c]`, result `[b, c]`.
pub fn forward<F: Scalar>(x: &ArrayRef2<F>) -> Array2<F> {
    let mut p = x.as_standard_layout().into_owned();
    softmax_rows(&mut p);
    p
}

/// Computes `x̄ = p ∘ (ȳ − ⟨p, ȳ⟩)`, from the saved output `p`.
///
/// # Errors
/// [`ShapeError`] if the shapes differ.
///
/// # Examples
/// ```
/// use collimate_grad::primitive::softmax;
/// use ndarray::array;
/// let p = softmax::forward(&array![[0.0, 0.0]]);
/// assert_eq!(softmax::vjp(&p, &array![[1.0, 0.0]])?, array![[0.25, -0.25]]);
/// # Ok::<(), collimate_tensor::ShapeError>(())
/// ```
pub fn vjp<F: Scalar>(p: &ArrayRef2<F>, d_out: &ArrayRef2<F>) -> Result<Array2<F>, ShapeError> {
    check2("d_out", p.dim(), d_out)?;
    let mut out = d_out.to_owned();
    for (mut row, p) in out.rows_mut().into_iter().zip(p.rows()) {
        let mean = p.dot(&row);
        Zip::from(&mut row).and(p).for_each(|d, &p| *d = p * (*d - mean));
    }
    Ok(out)
}

/// Computes `ẏ = p ∘ (ẋ − ⟨p, ẋ⟩)`. The Jacobian `diag(p) − p pᵀ` is symmetric, so this equals [`vjp`].
///
/// # Errors
/// [`ShapeError`] if the shapes differ.
pub fn jvp<F: Scalar>(p: &ArrayRef2<F>, x_dot: &ArrayRef2<F>) -> Result<Array2<F>, ShapeError> {
    check2("x_dot", p.dim(), x_dot)?;
    vjp(p, x_dot)
}

/// Computes `ℓ_c = x_c − log Σ_k e^{x_k}` in each row.
///
/// # Shapes
/// `x [b, c]`, result `[b, c]`.
pub fn log_forward<F: Scalar>(x: &ArrayRef2<F>) -> Array2<F> {
    let mut out = x.as_standard_layout().into_owned();
    for mut row in out.rows_mut() {
        log_softmax_in_place(row.as_slice_mut().expect("standard layout"));
    }
    out
}

/// Computes `x̄ = ȳ − e^ℓ Σ_k ȳ_k`, from the saved output `ℓ`.
///
/// # Errors
/// [`ShapeError`] if the shapes differ.
pub fn log_vjp<F: Scalar>(log_p: &ArrayRef2<F>, d_out: &ArrayRef2<F>) -> Result<Array2<F>, ShapeError> {
    check2("d_out", log_p.dim(), d_out)?;
    let mut out = d_out.to_owned();
    for (mut row, log_p) in out.rows_mut().into_iter().zip(log_p.rows()) {
        let total = row.sum();
        Zip::from(&mut row).and(log_p).for_each(|d, &log_p| *d -= log_p.exp() * total);
    }
    Ok(out)
}

/// Computes `ẏ = ẋ − ⟨e^ℓ, ẋ⟩`.
///
/// # Errors
/// [`ShapeError`] if the shapes differ.
pub fn log_jvp<F: Scalar>(log_p: &ArrayRef2<F>, x_dot: &ArrayRef2<F>) -> Result<Array2<F>, ShapeError> {
    check2("x_dot", log_p.dim(), x_dot)?;
    let mut out = x_dot.to_owned();
    for (mut row, log_p) in out.rows_mut().into_iter().zip(log_p.rows()) {
        let mean: F = row.iter().zip(log_p).map(|(&d, &log_p)| d * log_p.exp()).sum();
        row.mapv_inplace(|d| d - mean);
    }
    Ok(out)
}
