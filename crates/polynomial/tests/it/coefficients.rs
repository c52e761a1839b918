//! Expected coefficients, and the check of a certified result against them.

use collimate_polynomial::{
    LearningCoefficient, Polynomial, PolynomialCoefficient, Product, Rational, learning_coefficient,
};

/// Returns λ as a fraction, and m.
pub(crate) fn coefficient(numerator: i128, denominator: i128, multiplicity: u32) -> LearningCoefficient {
    LearningCoefficient::new(Rational::new(numerator, denominator), multiplicity)
}

/// Reads a polynomial, whose brackets are multiplied out.
#[track_caller]
pub(crate) fn parse(text: &str) -> Polynomial {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Reads a product, whose factors are kept.
#[track_caller]
pub(crate) fn parse_product(text: &str) -> Product {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Analyses a loss at the origin.
#[track_caller]
pub(crate) fn found(k: impl Into<Product>) -> PolynomialCoefficient {
    let k = k.into();
    learning_coefficient(k.clone()).unwrap_or_else(|error| panic!("{k}: {error}"))
}

#[track_caller]
fn check(text: &str, found: &PolynomialCoefficient, expected: LearningCoefficient) {
    assert!(found.certified(), "{text}: {found}");
    assert_eq!(found.coefficient, expected, "{text}");
}

/// Checks that a loss, with its brackets multiplied out, has this coefficient, certified.
#[track_caller]
pub(crate) fn certified(text: &str, numerator: i128, denominator: i128, multiplicity: u32) {
    check(text, &found(parse(text)), coefficient(numerator, denominator, multiplicity));
}

/// Checks that a product of known factors has this coefficient, certified.
#[track_caller]
pub(crate) fn certified_product(text: &str, numerator: i128, denominator: i128, multiplicity: u32) {
    check(text, &found(parse_product(text)), coefficient(numerator, denominator, multiplicity));
}
