use crate::members::rule::{Contribution, Entry, Row, Rule, Scratch};
use crate::{BatchTopK, Float, SaeError};

/// The Matryoshka dictionary: a BatchTopK dictionary whose first m₁, m₂, … latents must each reconstruct by themselves.
///
/// ```text
/// f as for BatchTopK      x̂_g = b_dec + Σ_{i<m_g} f_i d_i      e_g = x̂_g − x      m_1 < … < m_G = n
/// L = Σ_g w_g ‖e_g‖² + α·AuxK(e_G)
///
/// with S_g = Σ_{h≥g} w_h e_h (suffix sums: one residual a level, not G decodes), for a latent i of level g:
///   ∂f_i = 2 d_i·S_g        ∂d_i = 2 f_i S_g        ∂b_dec = 2 S_1 − W_encᵀ ∂f
/// ```
/// The weights are one each unless set: dictionary_learning divides by G twice, SAELens not at all.
///
/// # References
/// Bussmann et al. (2025), "Learning Multi-Level Features with Matryoshka Sparse Autoencoders".
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matryoshka {
    /// How latents are selected.
    pub batch: BatchTopK,
    /// The prefixes that reconstruct by themselves.
    pub levels: Levels,
}

/// Nested prefixes of the latents and the weights of their losses; at most eight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Levels {
    widths: [u32; Levels::MOST],
    weights: [f64; Levels::MOST],
    count: usize,
}

impl Levels {
    /// How many levels there can be.
    pub const MOST: usize = 8;

    /// Prefix widths m₁ < … < m_G, the last of which is the number of latents, each with weight one.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] for no level, more than eight, or widths that do not ascend from at least one.
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::Levels;
    /// let levels = Levels::new(&[4, 16, 64])?;
    /// assert_eq!((levels.of(3), levels.of(4), levels.len()), (0, 1, 3));
    /// # Ok::<(), collimate_sae::SaeError>(())
    /// ```
    pub fn new(widths: &[u32]) -> Result<Self, SaeError> {
        let mut levels = Self { widths: [0; Self::MOST], weights: [1.0; Self::MOST], count: widths.len() };
        if widths.is_empty() || widths.len() > Self::MOST {
            let given = widths.len() as f64;
            return Err(SaeError::OutOfRange { name: "levels", expected: "between 1 and 8", given });
        }
        if widths[0] == 0 || widths.windows(2).any(|w| w[0] >= w[1]) {
            let given = f64::from(widths[0]);
            return Err(SaeError::OutOfRange { name: "widths", expected: "positive and ascending", given });
        }
        levels.widths[..widths.len()].copy_from_slice(widths);
        Ok(levels)
    }

    /// The same with other weights of the losses.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] unless there is one finite weight, not negative, for each level.
    pub fn weighted(mut self, weights: &[f64]) -> Result<Self, SaeError> {
        if weights.len() != self.count {
            let given = weights.len() as f64;
            return Err(SaeError::OutOfRange { name: "weights", expected: "one for each level", given });
        }
        if let Some(&given) = weights.iter().find(|w| !(**w >= 0.0 && w.is_finite())) {
            return Err(SaeError::OutOfRange { name: "weights", expected: "finite, at least 0", given });
        }
        self.weights[..self.count].copy_from_slice(weights);
        Ok(self)
    }

    /// The prefix widths.
    pub fn widths(&self) -> &[u32] {
        &self.widths[..self.count]
    }

    /// The weights of the losses.
    pub fn weights(&self) -> &[f64] {
        &self.weights[..self.count]
    }

    /// How many levels.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Never: there is at least one level.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The first level that contains a latent.
    pub fn of(&self, latent: u32) -> usize {
        self.widths().iter().position(|&width| latent < width).unwrap_or(self.count - 1)
    }
}

impl<F: Float> Rule<F> for Matryoshka {
    const ELEMENTWISE: bool = false;

    fn keep(&self, rows: usize) -> Option<usize> {
        Rule::<F>::keep(&self.batch, rows)
    }

    fn select(&self, row: &Row<'_, F>, scratch: &mut Scratch<F>, out: &mut Vec<Entry<F>>) {
        self.batch.select(row, scratch, out);
    }

    fn local(&self, constants: [F; 3], entry: &mut Entry<F>, dot: F, dot_aux: F, penalty: F) {
        self.batch.local(constants, entry, dot, dot_aux, penalty);
    }

    fn contribution(&self, constants: [F; 3], entry: &Entry<F>) -> Contribution<F> {
        self.batch.contribution(constants, entry)
    }
}
