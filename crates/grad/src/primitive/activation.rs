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
    /// The function of [`Activation::GeluTanh`] with the constant 0.79788456 instead of √(2/π), as BLOOM computes it: 1e-9 from it.
    GeluBloom,
    /// The function `x σ(x)`, also called swish.
    Silu,
    /// The function `tanh x`.
    Tanh,
}

impl Activation {
    /// All nonlinearities.
    pub const ALL: [Activation; 6] =
        [Self::Relu, Self::GeluErf, Self::GeluTanh, Self::GeluBloom, Self::Silu, Self::Tanh];

    /// The factor on x + 0.044715 x³ in the forms of GELU with a hyperbolic tangent.
    fn tanh_factor(self) -> f64 {
        if self == Self::GeluBloom { 0.797_884_56 } else { (2.0 / PI).sqrt() }
    }
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
    apply(activation, y.as_slice_mut().expect("standard layout"));
    y
}

/// Replaces each number x by f(x).
///
/// # Examples
/// ```
/// use collimate_grad::primitive::activation::{self, Activation};
/// let mut x = [-1.0f64, 2.0];
/// activation::apply(Activation::Relu, &mut x);
/// assert_eq!(x, [0.0, 2.0]);
/// ```
pub fn apply<F: Scalar>(activation: Activation, slice: &mut [F]) {
    match activation {
        Activation::Relu => slice.iter_mut().for_each(|x| *x = if *x <= F::zero() { F::zero() } else { *x }),
        Activation::GeluErf => gelu_erf(slice),
        Activation::GeluTanh => gelu_tanh(slice),
        Activation::GeluBloom => slice.iter_mut().for_each(|x| {
            let (one, half) = (F::one(), F::from_f64(0.5));
            let cubed = F::from_f64(0.044715) * *x * *x * *x;
            *x = half * *x * (one + (F::from_f64(activation.tanh_factor()) * (*x + cubed)).tanh());
        }),
        Activation::Silu => silu(slice),
        Activation::Tanh => slice.iter_mut().for_each(|x| *x = x.tanh()),
    }
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

/// Computes `f″(x)` in each entry, from the input and the saved output `y = f(x)`.
///
/// # Errors
/// [`ShapeError`] if the shapes differ.
///
/// # Examples
/// ```
/// use collimate_grad::primitive::activation::{self, Activation};
/// let x = ndarray::array![[0.0f64]];
/// let y = activation::forward(Activation::Silu, &x);
/// assert!((activation::second_derivative(Activation::Silu, &x, &y)?[[0, 0]] - 0.5).abs() < 1e-15);
/// # Ok::<(), collimate_tensor::ShapeError>(())
/// ```
pub fn second_derivative<F: Scalar>(
    activation: Activation,
    x: &ArrayRef2<F>,
    y: &ArrayRef2<F>,
) -> Result<Array2<F>, ShapeError> {
    check2("y", x.dim(), y)?;
    let mut out = y.to_owned();
    Zip::from(&mut out).and(x).for_each(|y, &x| *y = bend(activation, x, *y));
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

/// Computes f′(x) of one number, from it and y = f(x).
///
/// # Examples
/// ```
/// use collimate_grad::primitive::activation::{self, Activation};
/// assert_eq!(activation::slope(Activation::Relu, 2.0f64, 2.0), 1.0);
/// ```
// For the three gates `y = x·s(x)`, `s = y/x` saves a second exponential.
pub fn slope<F: Scalar>(activation: Activation, x: F, y: F) -> F {
    let one = F::one();
    let half = F::from_f64(0.5);
    let gate = || gate(x, y);
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
        Activation::GeluTanh | Activation::GeluBloom => {
            // s = ½(1 + tanh u), so s′ = 2 s (1 − s) u′.
            let s = gate();
            let inner = F::from_f64(activation.tanh_factor()) * (one + F::from_f64(3.0 * 0.044715) * x * x);
            s + F::from_f64(2.0) * y * (one - s) * inner
        }
    }
}

/// Returns the factor s of the gates `y = x·s(x)`.
fn gate<F: Scalar>(x: F, y: F) -> F {
    if x.abs() < F::from_f64(1e-30) { F::from_f64(0.5) } else { y / x }
}

/// Computes f″ at one point.
fn bend<F: Scalar>(activation: Activation, x: F, y: F) -> F {
    let number = F::from_f64;
    let (one, two) = (F::one(), number(2.0));
    match activation {
        Activation::Relu => {
            if x.is_nan() {
                x
            } else {
                F::zero()
            }
        }
        Activation::Tanh => -two * y * (one - y * y),
        Activation::Silu => {
            // s′ = s (1 − s) and f″ = 2 s′ + x s′ (1 − 2 s).
            let s = gate(x, y);
            let first = s * (one - s);
            two * first + x * first * (one - two * s)
        }
        Activation::GeluErf => (two - x * x) * (-number(0.5) * x * x).exp() * number(1.0 / (2.0 * PI).sqrt()),
        Activation::GeluTanh | Activation::GeluBloom => {
            // f″ = 2 s′ + x s″ with s′ = 2 s (1 − s) u′ and s″ = 2 (1 − 2 s) s′ u′ + 2 s (1 − s) u″.
            let s = gate(x, y);
            let factor = number(activation.tanh_factor());
            let inner = factor * (one + number(3.0 * 0.044715) * x * x);
            let first = two * s * (one - s) * inner;
            let second = two * (one - two * s) * first * inner
                + two * s * (one - s) * factor * number(6.0 * 0.044715) * x;
            two * first + x * second
        }
    }
}
