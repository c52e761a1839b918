use collimate_measure::{OutOfRange, WrongLength};

/// An input that has no learning coefficient, or that this crate cannot work with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PolynomialError {
    /// A number lies outside its range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// A list has another length than the object it belongs to.
    #[error(transparent)]
    Length(#[from] WrongLength),
    /// A name of a variable is not known, is given twice, or would not read back.
    #[error(
        "{name:?} cannot be used as a variable here; expected a variable of the polynomial, once: a letter with or without a \
         subscript, such as x or x_1"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// A text is not a polynomial.
    #[error("at character {position}: {message}")]
    Syntax {
        /// The position in the text, from 1.
        position: usize,
        /// The problem there, and what was expected.
        message: String,
    },
    /// A size is above the limit of this crate.
    #[error("{what}: {given} is above the limit of {limit}")]
    TooLarge {
        /// The name of the size.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// The size that was given or reached.
        given: usize,
    },
    /// A polynomial does not have a minimum of 0 at the origin.
    #[error("K is not a loss with its minimum 0 at the origin: {reason}")]
    NotALoss {
        /// The reason.
        reason: String,
    },
}

/// The beginning of the reason for a polynomial that is negative near the origin.
pub(crate) const NEGATIVE: &str = "it is negative arbitrarily close to the ";

impl PolynomialError {
    /// Returns true if a polynomial was refused because it is negative near the origin. Its square is a loss.
    ///
    /// # Examples
    /// ```
    /// use collimate_polynomial::{Polynomial, learning_coefficient};
    /// let refused = |text: &str| learning_coefficient(&text.parse::<Polynomial>().unwrap()).unwrap_err();
    /// assert!(refused("x^2 - y^2").is_about_negative_values());
    /// assert!(!refused("1 + x^2").is_about_negative_values());
    /// ```
    pub fn is_about_negative_values(&self) -> bool {
        matches!(self, Self::NotALoss { reason } if reason.starts_with(NEGATIVE))
    }
}

/// Returns an error if a size is above its limit.
pub(crate) fn limit(what: &'static str, limit: usize, given: usize) -> Result<(), PolynomialError> {
    if given > limit { Err(PolynomialError::TooLarge { what, limit, given }) } else { Ok(()) }
}
