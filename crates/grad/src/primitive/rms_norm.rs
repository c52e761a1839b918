//! Root-mean-square normalisation of each row.

use super::{InRange, check1, check2, contiguous};
use collimate_tensor::{Scalar, ShapeError, rms_norm_into};
use ndarray::{Array1, Array2, ArrayRef1, ArrayRef2, Zip};

/// Computes `y_d = g_d x_d r`, `r = 1/√(mean(x²) + ε)`.
///
/// # Shapes
/// `x [b, d]`, `gain [d]`, result `[b, d]`.
///
/// # Errors
/// [`ShapeError`] if the lengths differ.
///
/// # Examples
/// ```
/// use ndarray::array;
/// let y = collimate_grad::primitive::rms_norm::forward(&array![[3.0f64, -4.0]], &array![1.0, 2.0], 0.0)?;
/// assert!((y[[0, 0]] - 3.0 / 12.5f64.sqrt()).abs() < 1e-15);
/// # Ok::<(), collimate_tensor::ShapeError>(())
/// ```
///
/// # References
/// Zhang & Sennrich (2019), eq. 4.
pub fn forward<F: Scalar>(
    x: &ArrayRef2<F>,
    gain: &ArrayRef1<F>,
    epsilon: F,
) -> Result<Array2<F>, ShapeError> {
    check1("gain", x.ncols(), gain)?;
    let gain = contiguous(gain);
    let mut out = Array2::zeros(x.dim());
    for (mut out, x) in out.rows_mut().into_iter().zip(x.rows()) {
        rms_norm_into(&contiguous(&x), &gain, epsilon, out.as_slice_mut().expect("standard layout"));
    }
    Ok(out)
}

/// Computes `x̄ = r (u − x̂ mean(u x̂))` with `u = g ∘ ȳ`, `x̂ = r x`; `ḡ = Σ_b ȳ ∘ x̂`.
///
/// # Errors
/// [`ShapeError`] if the shapes do not fit.
pub fn vjp<F: Scalar>(
    x: &ArrayRef2<F>,
    gain: &ArrayRef1<F>,
    epsilon: F,
    d_out: &ArrayRef2<F>,
) -> Result<(Array2<F>, Array1<F>), ShapeError> {
    check1("gain", x.ncols(), gain)?;
    check2("d_out", x.dim(), d_out)?;
    let mut d_x = Array2::zeros(x.dim());
    let mut d_gain = Array1::zeros(gain.len());
    for ((mut d_x, x), d_out) in d_x.rows_mut().into_iter().zip(x.rows()).zip(d_out.rows()) {
        let InRange { row: x, epsilon, divisor } = InRange::new(&x, mean_square(&x) + epsilon, epsilon);
        let r = inverse_rms(&x, epsilon);
        let n = F::from_f64(x.len() as f64);
        let mut mean = F::zero();
        Zip::from(&mut d_x).and(gain).and(d_out).for_each(|u, &g, &d| *u = g * d);
        Zip::from(&d_x).and(&x).for_each(|&u, &x| mean += u * x * r);
        mean /= n;
        Zip::from(&mut d_x).and(&x).for_each(|u, &x| *u = r * (*u - x * r * mean) / divisor);
        Zip::from(&mut d_gain).and(d_out).and(&x).for_each(|g: &mut F, &d, &x| *g += d * x * r);
    }
    Ok((d_x, d_gain))
}

/// Computes `ẏ = g ∘ r (ẋ − x̂ mean(x̂ ẋ)) + ġ ∘ x̂`.
///
/// # Errors
/// [`ShapeError`] if the shapes do not fit.
pub fn jvp<F: Scalar>(
    x: &ArrayRef2<F>,
    gain: &ArrayRef1<F>,
    epsilon: F,
    x_dot: &ArrayRef2<F>,
    gain_dot: &ArrayRef1<F>,
) -> Result<Array2<F>, ShapeError> {
    check1("gain", x.ncols(), gain)?;
    check2("x_dot", x.dim(), x_dot)?;
    check1("gain_dot", gain.len(), gain_dot)?;
    let mut out = x_dot.to_owned();
    for (mut out, x) in out.rows_mut().into_iter().zip(x.rows()) {
        let InRange { row: x, epsilon, divisor } = InRange::new(&x, mean_square(&x) + epsilon, epsilon);
        out.mapv_inplace(|dot| dot / divisor);
        let r = inverse_rms(&x, epsilon);
        let mean = x.dot(&out) * r / F::from_f64(x.len() as f64);
        Zip::from(&mut out)
            .and(&x)
            .and(gain)
            .and(gain_dot)
            .for_each(|y, &x, &g, &g_dot| *y = g * r * (*y - x * r * mean) + g_dot * x * r);
    }
    Ok(out)
}

/// Returns `1/√(mean(x²) + ε)` of a row.
fn inverse_rms<F: Scalar>(x: &ArrayRef1<F>, epsilon: F) -> F {
    F::one() / (mean_square(x) + epsilon).sqrt()
}

fn mean_square<F: Scalar>(x: &ArrayRef1<F>) -> F {
    x.dot(x) / F::from_f64(x.len() as f64)
}
