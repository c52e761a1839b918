//! The result of a step: λ and m or a bound, and the signs that a function takes near the origin.

use num_rational::BigRational;
use std::cmp::Ordering;

/// The signs that a function takes near the origin, outside its zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signs {
    /// Never negative.
    Positive,
    /// Never positive.
    Negative,
    /// Both, arbitrarily close to the origin.
    Both,
    /// Undecided.
    Unknown,
}

impl Signs {
    /// Returns the signs of minus the function.
    pub(super) fn negated(self) -> Self {
        match self {
            Self::Positive => Self::Negative,
            Self::Negative => Self::Positive,
            other => other,
        }
    }

    /// Returns the signs of the product with a function of other variables.
    pub(super) fn times(self, other: Self) -> Self {
        match (self, other) {
            (Self::Both, _) | (_, Self::Both) => Self::Both,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (a, b) if a == b => Self::Positive,
            _ => Self::Negative,
        }
    }

    /// Returns the signs of the sum with a function of other variables. Both functions are zero at the origin.
    pub(super) fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Both, _) | (_, Self::Both) => Self::Both,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (a, b) if a == b => a,
            _ => Self::Both,
        }
    }

    /// Returns this, or the other if this is undecided.
    pub(super) fn or(self, other: Self) -> Self {
        if self == Self::Unknown { other } else { self }
    }
}

/// λ and m of the absolute value of a function, or a bound of λ and the reason why it is no more than that.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) lambda: BigRational,
    /// m, which is meaningless beside a doubt.
    pub(super) multiplicity: u32,
    pub(super) doubt: Option<String>,
    pub(super) signs: Signs,
}

impl Found {
    pub(super) fn certain(lambda: BigRational, multiplicity: u32, signs: Signs) -> Self {
        Self { lambda, multiplicity, doubt: None, signs }
    }

    pub(super) fn bound(lambda: BigRational, doubt: impl Into<String>, signs: Signs) -> Self {
        Self { lambda, multiplicity: 1, doubt: Some(doubt.into()), signs }
    }

    /// Returns the result for a sum over disjoint variables. It is exact if both functions have one and the same sign.
    pub(super) fn sum(self, other: Self) -> Self {
        Self {
            lambda: self.lambda + other.lambda,
            multiplicity: self.multiplicity + other.multiplicity - 1,
            doubt: self.doubt.or(other.doubt),
            signs: self.signs.plus(other.signs),
        }
    }

    /// Returns the result for a product over disjoint variables.
    pub(super) fn product(self, other: Self) -> Self {
        let multiplicity = match self.lambda.cmp(&other.lambda) {
            Ordering::Less => self.multiplicity,
            Ordering::Greater => other.multiplicity,
            Ordering::Equal => self.multiplicity + other.multiplicity,
        };
        Self {
            doubt: self.doubt.or(other.doubt),
            lambda: self.lambda.min(other.lambda),
            multiplicity,
            signs: self.signs.times(other.signs),
        }
    }

    /// Returns the better of two results for one function: the exact one, or the lower bound.
    pub(super) fn or(mut self, other: Self) -> Self {
        let signs = self.signs.or(other.signs);
        if self.doubt.is_some() {
            if other.doubt.is_none() {
                self = other;
            } else {
                self.lambda = self.lambda.min(other.lambda);
                // The first reason that says something stays.
                self.doubt = self.doubt.filter(|reason| !reason.is_empty()).or(other.doubt);
            }
        }
        Self { signs, ..self }
    }
}
