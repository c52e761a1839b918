use thiserror::Error;

/// The errors of a measurement.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum MeasureError {
    /// No value was given.
    #[error("{quantity}: no values were given, but at least one is needed")]
    Empty {
        /// The name of the quantity.
        quantity: &'static str,
    },
    /// Some values are NaN or infinite.
    #[error("{quantity}: {count} of {total} values are NaN or infinite (the first at position {first})")]
    NonFinite {
        /// The name of the quantity.
        quantity: &'static str,
        /// The number of non-finite values.
        count: u64,
        /// The number of values.
        total: u64,
        /// The position of the first non-finite value, counted from zero.
        first: u64,
    },
    /// An argument lies outside its range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
}

/// An argument that lies outside its range.
///
/// Every crate of the toolkit uses this type, so that all such errors read alike.
///
/// # Examples
/// ```
/// use collimate_measure::ensure;
/// let error = ensure(false, "the share", "in [0, 1]", 1.5).unwrap_err();
/// assert_eq!(error.to_string(), "the share must be in [0, 1], but is 1.5");
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq)]
#[error("{argument} must be {allowed}, but is {given}")]
pub struct OutOfRange {
    /// The name of the argument.
    pub argument: &'static str,
    /// The allowed range, in words.
    pub allowed: &'static str,
    /// The value that was given.
    pub given: f64,
}

/// A list or slice whose length does not fit the object that it belongs to.
///
/// # Examples
/// ```
/// use collimate_measure::same_length;
/// let error = same_length("targets", 3, 2).unwrap_err();
/// assert_eq!(error.to_string(), "targets must have 3 entries, but has 2");
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{argument} must have {expected} entries, but has {given}")]
pub struct WrongLength {
    /// The name of the argument.
    pub argument: &'static str,
    /// The length that it should have.
    pub expected: usize,
    /// The length that was given.
    pub given: usize,
}

/// Returns an error unless two lengths are equal.
///
/// # Errors
/// [`WrongLength`] with the argument and both lengths.
///
/// # Examples
/// ```
/// use collimate_measure::{WrongLength, same_length};
/// assert!(same_length("w", 4, [0.0; 4].len()).is_ok());
/// assert_eq!(same_length("w", 4, 5), Err(WrongLength { argument: "w", expected: 4, given: 5 }));
/// ```
pub fn same_length(argument: &'static str, expected: usize, given: usize) -> Result<(), WrongLength> {
    if expected == given { Ok(()) } else { Err(WrongLength { argument, expected, given }) }
}

/// Returns an error unless an argument lies in its range.
///
/// # Errors
/// [`OutOfRange`] with the argument, the range and the value, if `holds` is false.
///
/// # Examples
/// ```
/// use collimate_measure::{OutOfRange, ensure};
/// fn root(x: f64) -> Result<f64, OutOfRange> {
///     ensure(x >= 0.0, "x", "at least 0", x)?;
///     Ok(x.sqrt())
/// }
/// assert_eq!(root(4.0), Ok(2.0));
/// assert!(root(f64::NAN).is_err());
/// ```
pub fn ensure(
    holds: bool,
    argument: &'static str,
    allowed: &'static str,
    given: f64,
) -> Result<(), OutOfRange> {
    if holds { Ok(()) } else { Err(OutOfRange { argument, allowed, given }) }
}
