use num_bigint::BigInt;
use num_rational::{BigRational, Ratio};

/// An exact fraction.
pub type Rational = Ratio<i128>;

/// Returns a whole number as a fraction.
pub(crate) fn whole(x: impl Into<BigInt>) -> BigRational {
    BigRational::from(x.into())
}
