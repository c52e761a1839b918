use thiserror::Error;

/// Why a number could not be measured.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum MeasureError {
    /// No value was given.
    #[error("{quantity}: no values were given, so there is nothing to measure")]
    Empty {
        /// The name of the quantity.
        quantity: &'static str,
    },
    /// NaN or infinity among the values. They are named, never averaged in.
    #[error("{quantity}: {count} of {total} values are NaN or infinite (the first at position {first})")]
    NonFinite {
        /// The name of the quantity.
        quantity: &'static str,
        /// How many values are not finite.
        count: u64,
        /// How many values were given.
        total: u64,
        /// The position of the first of them, counted from zero.
        first: u64,
    },
    /// A parameter outside its range.
    #[error("{name} must be {expected}, but is {given}")]
    OutOfRange {
        /// The name of the parameter.
        name: &'static str,
        /// The range, in words.
        expected: &'static str,
        /// What was given.
        given: f64,
    },
}
