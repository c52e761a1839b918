//! Sets of features that are correlated or that exclude each other.

use super::source::Source;
use crate::error::SuperpositionError;
use collimate_measure::ensure;
use collimate_stream::RngStream;

/// The dependence between the features of one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependence {
    /// All features of the set are on, or none.
    Correlated,
    /// Exactly one feature of the set is on, each with the same probability, or none.
    Exclusive,
}

/// Sets of `size` features. Each set is on with one probability, independently of the other sets.
///
/// Values are uniform on `[0, 1]` and independent, also inside a set.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::{Dependence, FeatureSets, Source};
/// let pairs = FeatureSets::new(3, 2, 0.5, Dependence::Exclusive)?;
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
    dependence: Dependence,
}

impl FeatureSets {
    /// Creates `sets` sets of `size` features. Set `k` holds the features `k·size … (k + 1)·size − 1`.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for no set, an empty set, or an on-probability outside `[0, 1]`.
    pub fn new(
        sets: usize,
        size: usize,
        on_probability: f64,
        dependence: Dependence,
    ) -> Result<Self, SuperpositionError> {
        ensure(sets > 0, "sets", "at least 1", sets as f64)?;
        ensure(size > 0, "size", "at least 1", size as f64)?;
        ensure((0.0..=1.0).contains(&on_probability), "on_probability", "0 to 1", on_probability)?;
        Ok(Self { sets, size, on_probability, dependence })
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
            match self.dependence {
                Dependence::Correlated => set.iter_mut().for_each(|x| *x = stream.uniform()),
                Dependence::Exclusive => set[stream.below(self.size)] = stream.uniform(),
            }
        }
    }
}
