//! Sets of features that are on together, or instead of each other.

use super::Source;
use crate::error::{SuperpositionError, require};
use collimate_stream::RngStream;

/// What the features of one set have to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Together {
    /// Correlated: all of them are on, or none.
    All,
    /// Anticorrelated (mutually exclusive): exactly one is on, each as likely, or none.
    OneOf,
}

/// Sets of `size` features; each set is on with one probability, independently of the other sets.
///
/// Values are uniform on `[0, 1]`, independent of each other also inside a set.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::data::{FeatureSets, Source, Together};
/// let pairs = FeatureSets::new(3, 2, 0.5, Together::OneOf)?;
/// let x = pairs.rows(100, &mut RngStream::new(1, 0));
/// assert!(x.rows().into_iter().all(|row| row[0] * row[1] == 0.0));
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
///
/// # References
/// Elhage et al. (2022), section "Correlated or Anticorrelated Features".
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureSets {
    sets: usize,
    size: usize,
    on_probability: f64,
    together: Together,
}

impl FeatureSets {
    /// `sets` sets of `size` features; set `k` holds the features `k·size … (k + 1)·size − 1`.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for no set, an empty set, or an on-probability outside `[0, 1]`.
    pub fn new(
        sets: usize,
        size: usize,
        on_probability: f64,
        together: Together,
    ) -> Result<Self, SuperpositionError> {
        require(sets > 0, "sets", sets as f64, "at least 1")?;
        require(size > 0, "size", size as f64, "at least 1")?;
        require((0.0..=1.0).contains(&on_probability), "on_probability", on_probability, "0 to 1")?;
        Ok(Self { sets, size, on_probability, together })
    }
}

impl Source for FeatureSets {
    fn features(&self) -> usize {
        self.sets * self.size
    }

    fn fill_row(&self, row: &mut [f64], stream: &mut RngStream) {
        row.fill(0.0);
        for set in row.chunks_exact_mut(self.size) {
            if !stream.bernoulli(self.on_probability) {
                continue;
            }
            match self.together {
                Together::All => set.iter_mut().for_each(|x| *x = stream.uniform()),
                Together::OneOf => set[stream.below(self.size)] = stream.uniform(),
            }
        }
    }
}
