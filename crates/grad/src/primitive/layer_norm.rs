//! Layer normalisation of each row.

use super::{InRange, check1, check2, contiguous};
use collimate_tensor::{Scalar, ShapeError, layer_norm_into};
use ndarray::{Array1, Array2, ArrayRef1, ArrayRef2, Zip};

/// Computes `y_d = g_d (x_d − μ) r + β_d`, `r = 1/√(var(x) + ε)` with the population variance.
///
/// # Shapes
/// `x [b, d]`, `gain [d]`, `bias [d]`, result `[b, d]`.
///
/// # Errors
/// [`ShapeError`] if the lengths differ.
///
/// # Examples
/// ```
/// use ndarray::array;
/// let y = collimate_grad::primitive::layer_norm::forward(&array![[1.0f64, 3.0]], &array![1.0, 1.0], &array![0.0, 5.0], 0.0)?;
/// assert!((y[[0, 0]] + 1.0).abs() < 1e-12 && (y[[0, 1]] - 6.0).abs() < 1e-12);
/// # Ok::<(), collimate_tensor::ShapeError>(())
/// ```
///
/// # References
/// Ba, Kiros, Hinton (2016), eq. 4.
pub fn forward<F: Scalar>(
    x: &ArrayRef2<F>,
    gain: &ArrayRef1<F>,
    bias: &ArrayRef1<F>,
    epsilon: F,
) -> Result<Array2<F>, ShapeError> {
    check1("gain", x.ncols(), gain)?;
    check1("bias", x.ncols(), bias)?;
    let (gain, bias) = (contiguous(gain), contiguous(bias));
    let mut out = Array2::zeros(x.dim());
    for (mut out, x) in out.rows_mut().into_iter().zip(x.rows()) {
        layer_norm_into(&contiguous(&x), &gain, &bias, epsilon, out.as_slice_mut().expect("standard layout"));
    }
    Ok(out)
}

/// Computes `x̄ = r (u − mean(u) − x̂ mean(u x̂))` with `u = g ∘ ȳ`; `ḡ = Σ_b ȳ ∘ x̂`; `β̄ = Σ_b ȳ`.
///
/// # Errors
/// [`ShapeError`] if the shapes do not fit.
pub fn vjp<F: Scalar>(
    x: &ArrayRef2<F>,
    gain: &ArrayRef1<F>,
    epsilon: F,
    d_out: &ArrayRef2<F>,
) -> Result<(Array2<F>, Array1<F>, Array1<F>), ShapeError> {
    check1("gain", x.ncols(), gain)?;
    check2("d_out", x.dim(), d_out)?;
    let mut d_x = Array2::zeros(x.dim());
    let mut d_gain = Array1::zeros(gain.len());
    let mut d_bias = Array1::zeros(gain.len());
    let n = F::from_f64(x.ncols() as f64);
    for ((mut d_x, x), d_out) in d_x.rows_mut().into_iter().zip(x.rows()).zip(d_out.rows()) {
        let InRange { row: x, epsilon, divisor } = InRange::new(&x, spread(&x).1 + epsilon, epsilon);
        let (mu, r) = moments(&x, epsilon);
        let (mut mean, mut mean_hat) = (F::zero(), F::zero());
        Zip::from(&mut d_x).and(gain).and(d_out).and(&x).for_each(|u, &g, &d, &x| {
            *u = g * d;
            mean += *u;
            mean_hat += *u * (x - mu) * r;
        });
        (mean, mean_hat) = (mean / n, mean_hat / n);
        Zip::from(&mut d_x)
            .and(&x)
            .for_each(|u, &x| *u = r * (*u - mean - (x - mu) * r * mean_hat) / divisor);
        Zip::from(&mut d_gain).and(d_out).and(&x).for_each(|g: &mut F, &d, &x| *g += d * (x - mu) * r);
        *d_bias += &*d_out;
    }
    Ok((d_x, d_gain, d_bias))
}

/// Computes `ẏ = g ∘ r (ẋ − mean(ẋ) − x̂ mean(x̂ ẋ)) + ġ ∘ x̂ + β̇`.
///
/// # Errors
/// [`ShapeError`] if the shapes do not fit.
pub fn jvp<F: Scalar>(
    x: &ArrayRef2<F>,
    gain: &ArrayRef1<F>,
    epsilon: F,
    x_dot: &ArrayRef2<F>,
    gain_dot: &ArrayRef1<F>,
    bias_dot: &ArrayRef1<F>,
) -> Result<Array2<F>, ShapeError> {
    check1("gain", x.ncols(), gain)?;
    check2("x_dot", x.dim(), x_dot)?;
    check1("gain_dot", gain.len(), gain_dot)?;
    check1("bias_dot", gain.len(), bias_dot)?;
    let mut out = x_dot.to_owned();
    let n = F::from_f64(x.ncols() as f64);
    for (mut out, x) in out.rows_mut().into_iter().zip(x.rows()) {
        let InRange { row: x, epsilon, divisor } = InRange::new(&x, spread(&x).1 + epsilon, epsilon);
        out.mapv_inplace(|dot| dot / divisor);
        let (mu, r) = moments(&x, epsilon);
        let (mut mean, mut mean_hat) = (F::zero(), F::zero());
        Zip::from(&out).and(&x).for_each(|&d, &x| {
            mean += d;
            mean_hat += d * (x - mu) * r;
        });
        (mean, mean_hat) = (mean / n, mean_hat / n);
        Zip::from(&mut out).and(&x).and(gain).and(gain_dot).and(bias_dot).for_each(
            |y, &x, &g, &g_dot, &b_dot| {
                let hat = (x - mu) * r;
                *y = g * r * (*y - mean - hat * mean_hat) + g_dot * hat + b_dot;
            },
        );
    }
    Ok(out)
}

/// Returns the mean and `1/√(var + ε)` of a row.
fn moments<F: Scalar>(x: &ArrayRef1<F>, epsilon: F) -> (F, F) {
    let (mu, variance) = spread(x);
    (mu, F::one() / (variance + epsilon).sqrt())
}

/// Returns the mean and the variance of a row.
fn spread<F: Scalar>(x: &ArrayRef1<F>) -> (F, F) {
    let n = F::from_f64(x.len() as f64);
    let mu = x.sum() / n;
    (mu, x.iter().map(|&x| (x - mu) * (x - mu)).sum::<F>() / n)
}
