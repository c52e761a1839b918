use num_bigint::BigInt;
use num_rational::{BigRational, Ratio};
use num_traits::{Signed, Zero};

/// An exact fraction.
pub type Rational = Ratio<i128>;

/// Returns a whole number as a fraction.
pub(crate) fn whole(x: impl Into<BigInt>) -> BigRational {
    BigRational::from(x.into())
}

/// Returns the fraction with the smallest denominator strictly between two numbers, `low < high`.
pub(crate) fn simplest_between(low: &BigRational, high: &BigRational) -> BigRational {
    if low.is_negative() {
        if high.is_positive() {
            return BigRational::zero();
        }
        return -simplest_between(&-high, &-low);
    }
    let floor = low.floor();
    let next = &floor + whole(1);
    if next < *high {
        return next;
    }
    // Both lie between floor and floor + 1. The fraction is floor + 1/z with the simplest z above 1/(high − floor).
    let from = (high - &floor).recip();
    if *low == floor {
        return floor + (from.floor() + whole(1)).recip();
    }
    let to = (low - &floor).recip();
    floor + simplest_between(&from, &to).recip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_simplest_fraction_lies_between() {
        let of = |a: i64, b: i64| BigRational::new(a.into(), b.into());
        for (low, high, found) in [
            (of(0, 1), of(1, 1), of(1, 2)),
            (of(1, 3), of(1, 2), of(2, 5)),
            (of(314, 100), of(315, 100), of(22, 7)),
            (of(-1, 2), of(-1, 3), of(-2, 5)),
            (of(-1, 9), of(1, 9), of(0, 1)),
            (of(2, 1), of(5, 2), of(7, 3)),
            (of(3, 2), of(2, 1), of(5, 3)),
        ] {
            assert_eq!(simplest_between(&low, &high), found);
        }
    }
}
