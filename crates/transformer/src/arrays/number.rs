//! Numbers and dual numbers, so that a row function is written once for values and for derivatives along a direction.

use collimate_tensor::{Scalar, exp_in_place};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A number that the row functions compute with.
pub trait Number:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    /// A number of this kind in double precision.
    type Wide: Number;
    /// Returns this number in double precision.
    fn widen(self) -> Self::Wide;
    /// Returns the nearest number of this precision.
    fn narrow(wide: Self::Wide) -> Self;
    /// Returns a constant.
    fn constant(x: f64) -> Self;
    /// Returns √x.
    fn root(self) -> Self;
    /// Returns eˣ.
    fn exponential(self) -> Self;
    /// Replaces every number by its exponential.
    fn exponentials(x: &mut [Self]) {
        x.iter_mut().for_each(|x| *x = x.exponential());
    }
    /// Returns tanh x.
    fn hyperbolic_tangent(self) -> Self;
    /// Returns the value as f64, without the derivative.
    fn plain(self) -> f64;
}

macro_rules! plain_number {
    ($f:ident) => {
        impl Number for $f {
            type Wide = f64;
            fn widen(self) -> f64 {
                f64::from(self)
            }
            fn narrow(wide: f64) -> Self {
                wide as $f
            }
            fn constant(x: f64) -> Self {
                x as $f
            }
            fn root(self) -> Self {
                self.sqrt()
            }
            fn exponential(self) -> Self {
                self.exp()
            }
            fn exponentials(x: &mut [Self]) {
                exp_in_place(x);
            }
            fn hyperbolic_tangent(self) -> Self {
                self.tanh()
            }
            fn plain(self) -> f64 {
                f64::from(self)
            }
        }
    };
}

plain_number!(f32);
plain_number!(f64);

/// A dual number x + ẋ·ε with ε² = 0: a value and its derivative along a direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Dual<F> {
    pub(crate) value: F,
    pub(crate) tangent: F,
}

impl<F: Scalar> Add for Dual<F> {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { value: self.value + other.value, tangent: self.tangent + other.tangent }
    }
}

impl<F: Scalar> Sub for Dual<F> {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { value: self.value - other.value, tangent: self.tangent - other.tangent }
    }
}

impl<F: Scalar> Mul for Dual<F> {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let tangent = self.tangent * other.value + self.value * other.tangent;
        Self { value: self.value * other.value, tangent }
    }
}

impl<F: Scalar> Div for Dual<F> {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let value = self.value / other.value;
        Self { value, tangent: (self.tangent - value * other.tangent) / other.value }
    }
}

impl<F: Scalar> Neg for Dual<F> {
    type Output = Self;
    fn neg(self) -> Self {
        Self { value: -self.value, tangent: -self.tangent }
    }
}

impl<F: Scalar> Number for Dual<F> {
    type Wide = Dual<f64>;
    fn widen(self) -> Dual<f64> {
        Dual { value: self.value.to_f64(), tangent: self.tangent.to_f64() }
    }
    fn narrow(wide: Dual<f64>) -> Self {
        Self { value: F::from_f64(wide.value), tangent: F::from_f64(wide.tangent) }
    }
    fn constant(x: f64) -> Self {
        Self { value: F::from_f64(x), tangent: F::zero() }
    }
    fn root(self) -> Self {
        let value = self.value.sqrt();
        Self { value, tangent: self.tangent / (value + value) }
    }
    fn exponential(self) -> Self {
        let value = self.value.exp();
        // e^−∞ is 0 and does not move, whatever the direction.
        let tangent = if value == F::zero() { F::zero() } else { value * self.tangent };
        Self { value, tangent }
    }
    fn hyperbolic_tangent(self) -> Self {
        let value = self.value.tanh();
        Self { value, tangent: (F::one() - value * value) * self.tangent }
    }
    fn plain(self) -> f64 {
        self.value.to_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_are_central_differences() {
        fn f<T: Number>(x: T) -> T {
            let two = T::constant(2.0);
            (x * x + two).root() / (x.exponential() - x.hyperbolic_tangent()) + -(x * two)
        }
        let (x, step) = (0.37_f64, 1e-6);
        let dual = f(Dual { value: x, tangent: 1.5 });
        let difference = 1.5 * (f(x + step) - f(x - step)) / (2.0 * step);
        assert!((dual.tangent - difference).abs() < 1e-9 && dual.plain() == f(x));
    }

    #[test]
    fn a_masked_logit_does_not_move() {
        let masked = Dual { value: f64::NEG_INFINITY, tangent: 1.0 }.exponential();
        assert_eq!(masked, Dual { value: 0.0, tangent: 0.0 });
    }
}
