use crate::error::CircuitError;

/// A clean and a corrupt prompt of equal length.
///
/// # Examples
/// ```
/// use collimate_circuits::Pair;
/// let pair = Pair::new(vec![1, 2, 3], vec![1, 5, 3])?;
/// assert_eq!(pair.clean().len(), 3);
/// assert!(Pair::new(vec![1, 2, 3], vec![1, 2]).is_err());
/// # Ok::<(), collimate_circuits::CircuitError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    clean: Vec<u32>,
    corrupt: Vec<u32>,
}

impl Pair {
    /// Makes a pair of token ids.
    ///
    /// # Errors
    /// [`CircuitError::UnequalLengths`] with both lists of tokens.
    pub fn new(clean: Vec<u32>, corrupt: Vec<u32>) -> Result<Self, CircuitError> {
        if clean.len() != corrupt.len() {
            return Err(CircuitError::UnequalLengths { clean, corrupt });
        }
        Ok(Self { clean, corrupt })
    }

    /// Returns the tokens of the clean prompt.
    pub fn clean(&self) -> &[u32] {
        &self.clean
    }

    /// Returns the tokens of the corrupt prompt.
    pub fn corrupt(&self) -> &[u32] {
        &self.corrupt
    }
}
