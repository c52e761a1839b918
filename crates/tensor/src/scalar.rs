use crate::kernels::HotLoops;
use collimate_stream::RngStream;
use ndarray::NdFloat;
use rand_distr::{Distribution, StandardNormal};
use std::iter::Sum;

/// A floating-point type that the toolkit computes in: `f32` or `f64`, and no other (the trait is sealed).
///
/// The hidden methods of its supertrait are the hot loops. They are compiled in this crate, so they run at this crate's
/// optimisation level, whatever the level of the calling crate.
///
/// # Examples
/// ```
/// use collimate_tensor::Scalar;
/// fn half<F: Scalar>() -> F { F::from_f64(0.5) }
/// assert_eq!(half::<f32>().to_f64(), 0.5);
/// ```
pub trait Scalar: HotLoops + NdFloat + Default + Sum {
    /// The name of the type, `"f32"` or `"f64"`.
    const NAME: &'static str;

    /// Returns the nearest value to an `f64`.
    fn from_f64(x: f64) -> Self;

    /// Returns the value as an `f64`.
    fn to_f64(self) -> f64;

    /// Draws a standard normal number.
    fn standard_normal(stream: &mut RngStream) -> Self;

    /// Draws a uniform number in [0, 1).
    fn uniform(stream: &mut RngStream) -> Self;
}

macro_rules! scalar {
    ($f:ident, $name:literal) => {
        impl Scalar for $f {
            const NAME: &'static str = $name;

            fn from_f64(x: f64) -> Self {
                x as $f
            }
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            fn standard_normal(stream: &mut RngStream) -> Self {
                StandardNormal.sample(stream)
            }
            fn uniform(stream: &mut RngStream) -> Self {
                // Rounding to f32 could reach 1: keep only the bits that fit into the mantissa.
                let bits = $f::MANTISSA_DIGITS;
                (stream.bits() >> (64 - bits)) as $f / (1u64 << bits) as $f
            }
        }
    };
}

scalar!(f32, "f32");
scalar!(f64, "f64");
