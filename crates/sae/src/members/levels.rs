//! Nested prefixes of the latents.

use collimate_measure::{OutOfRange, ensure};

/// Nested prefixes of the latents and the weights of their losses; at most eight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Levels {
    widths: [u32; Levels::MOST],
    weights: [f64; Levels::MOST],
    count: usize,
}

impl Levels {
    /// The largest number of levels.
    pub const MOST: usize = 8;

    /// Returns levels with the prefix widths m₁ < … < m_G, each with weight one. The last width is the number of latents.
    ///
    /// # Errors
    /// [`OutOfRange`] for no level, more than eight, or widths that do not ascend from at least one.
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::Levels;
    /// let levels = Levels::new(&[4, 16, 64])?;
    /// assert_eq!((levels.of(3), levels.of(4), levels.len()), (0, 1, 3));
    /// # Ok::<(), collimate_sae::OutOfRange>(())
    /// ```
    pub fn new(widths: &[u32]) -> Result<Self, OutOfRange> {
        let mut levels = Self { widths: [0; Self::MOST], weights: [1.0; Self::MOST], count: widths.len() };
        let some = !widths.is_empty() && widths.len() <= Self::MOST;
        ensure(some, "levels", "between 1 and 8", widths.len() as f64)?;
        let ascend = widths[0] > 0 && widths.windows(2).all(|w| w[0] < w[1]);
        ensure(ascend, "widths", "positive and ascending", f64::from(widths[0]))?;
        levels.widths[..widths.len()].copy_from_slice(widths);
        Ok(levels)
    }

    /// Returns these levels with other weights of the losses.
    ///
    /// # Errors
    /// [`OutOfRange`] unless there is one finite weight, not negative, for each level.
    pub fn weighted(mut self, weights: &[f64]) -> Result<Self, OutOfRange> {
        let one_each = weights.len() == self.count;
        ensure(one_each, "weights", "one for each level", weights.len() as f64)?;
        for &weight in weights {
            ensure(weight >= 0.0 && weight.is_finite(), "weights", "finite, at least 0", weight)?;
        }
        self.weights[..self.count].copy_from_slice(weights);
        Ok(self)
    }

    /// Returns the prefix widths.
    pub fn widths(&self) -> &[u32] {
        &self.widths[..self.count]
    }

    /// Returns the weights of the losses.
    pub fn weights(&self) -> &[f64] {
        &self.weights[..self.count]
    }

    /// Returns the number of levels.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns false: there is at least one level.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the first level that contains a latent.
    pub fn of(&self, latent: u32) -> usize {
        self.widths().iter().position(|&width| latent < width).unwrap_or(self.count - 1)
    }
}
