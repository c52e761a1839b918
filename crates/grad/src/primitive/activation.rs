//! Elementwise nonlinearities.

use super::check2;
use collimate_tensor::{Scalar, ShapeError, gelu_erf, gelu_tanh, silu};
use ndarray::{Array2, ArrayRef2, Zip};
use std::f64::consts::PI;

/// A nonlinearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// The function `max(x, 0)`. Its derivative at 0 is defined as 0.
    Relu,
    /// The function `x Φ(x)` with the normal distribution function (PyTorch's default GELU).
    GeluErf,
    /// The function `½x (1 + tanh(√(2/π)(x + 0.044715 x³)))`: GPT-2's GELU, up to 5e-4 from [`Activation::GeluErf`].
    GeluTanh,
    /// The function `x σ(x)`, also called swish.
    Silu,
    /// The function `tanh x`.
    Tanh,
}

impl Activation {
    /// All nonlinearities.
    pub const ALL: [Activation; 5] = [Self::Relu, Self::GeluErf, Self::GeluTanh, Self::Silu, Self::Tanh];
}

/// Computes `y = f(x)` in each entry.
///
/// # Examples
/// ```
/// use collimate_grad::primitive::activation::{self, Activation};
/// let y = activation::forward(Activation::Silu, &ndarray::array![[0.0f64, 1.0f64]]);
/// assert!((y[[0, 1]] - 1.0 / (1.0 + (-1f64).exp())).abs() < 1e-12);
/// ```
pub fn forward<F: Scalar>(activation: Activation, x: &ArrayRef2<F>) -> Array2<F> {
    let mut y = x.as_standard_layout().into_owned();
    let slice = y.as_slice_mut().expect("standard layout");
    match activation {
        Activation::Relu => slice.iter_mut().for_each(|x| *x = if *x <= F::zero() { F::zero() } else { *x }),
        Activation::GeluErf => gelu_erf(slice),
        Activation::GeluTanh => gelu_tanh(slice),
        Activation::Silu => silu(slice),
        Activation::Tanh => slice.iter_mut().for_each(|x| *x = x.tanh()),
    }
    y
}

/// Computes `f′(x)` in each entry, from the input and the saved output `y = f(x)`.
///
/// # Errors
/// [`ShapeError`] if the shapes differ.
pub fn derivative<F: Scalar>(
    activation: Activation,
    x: &ArrayRef2<F>,
    y: &ArrayRef2<F>,
) -> Result<Array2<F>, ShapeError> {
    check2("y", x.dim(), y)?;
    let mut out = y.to_owned();
    Zip::from(&mut out).and(x).for_each(|y, &x| *y = slope(activation, x, *y));
    Ok(out)
}

/// Computes `x̄ = f′(x) ∘ ȳ`, from the input and the saved output.
///
/// # Errors
/// [`ShapeError`] if the shapes differ.
pub fn vjp<F: Scalar>(
    activation: Activation,
    x: &ArrayRef2<F>,
    y: &ArrayRef2<F>,
    d_out: &ArrayRef2<F>,
) -> Result<Array2<F>, ShapeError> {
    check2("d_out", x.dim(), d_out)?;
    let mut out = derivative(activation, x, y)?;
    *out *= d_out;
    Ok(out)
}

/// Computes `ẏ = f′(x) ∘ ẋ`. The Jacobian is diagonal, so this equals [`vjp`].
///
/// # Errors
/// [`ShapeError`] if the shapes differ.
pub fn jvp<F: Scalar>(
    activation: Activation,
    x: &ArrayRef2<F>,
    y: &ArrayRef2<F>,
    x_dot: &ArrayRef2<F>,
) -> Result<Array2<F>, ShapeError> {
    vjp(activation, x, y, x_dot)
}

/// Computes f′ at one point. For the three gates `y = x·s(x)`, `s = y/x` saves a second exponential.
fn slope<F: Scalar>(activation: Activation, x: F, y: F) -> F {
    let one = F::one();
    let half = F::from_f64(0.5);
    let gate = || if x.abs() < F::from_f64(1e-30) { half } else { y / x };
    match activation {
        Activation::Relu => {
            if x > F::zero() {
                one
            } else if x.is_nan() {
                x
            } else {
                F::zero()
            }
        }
        Activation::Tanh => one - y * y,
        Activation::Silu => {
            let s = gate();
            s + y * (one - s)
        }
        Activation::GeluErf => gate() + x * (-half * x * x).exp() * F::from_f64(1.0 / (2.0 * PI).sqrt()),
        Activation::GeluTanh => {
            // s = ½(1 + tanh u), so s′ = 2 s (1 − s) u′.
            let s = gate();
            let inner = F::from_f64((2.0 / PI).sqrt()) * (one + F::from_f64(3.0 * 0.044715) * x * x);
            s + F::from_f64(2.0) * y * (one - s) * inner
        }
    }
}
