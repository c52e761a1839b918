use super::rotary_scaling::RotaryScaling;
use super::rotary_table::{RotaryLayout, RotaryTable};
use crate::AttentionError;
use collimate_measure::ensure;
use collimate_tensor::Scalar;
use ndarray::Array2;

/// Rotary positions: pair `i` of a row at position `m` is turned by the angle `m · base^(−2i/w)`.
///
/// ```text
/// (a, b) ↦ (a cos mθᵢ − b sin mθᵢ,  a sin mθᵢ + b cos mθᵢ),   θᵢ = base^(−2i/w),   i < w/2
/// ```
///
/// Only the first `width` numbers of a row are turned. The rest are not changed (partial rotary). The angles are
/// computed in f64 for rows of any type.
///
/// # Examples
/// ```
/// use collimate_attention::Rotary;
/// use ndarray::array;
/// let table = Rotary::interleaved(2, 10_000.0).table::<f64>([0, 1])?;
/// let mut x = array![[[1.0, 0.0], [1.0, 0.0]]]; // one head, two positions
/// table.apply(&mut x)?;
/// assert!((x[[0, 1, 1]] - 1f64.sin()).abs() < 1e-15);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Su et al. (2021), "RoFormer", equation 15.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Rotary {
    /// The layout of the pairs.
    pub layout: RotaryLayout,
    /// The number of numbers of a row that are turned; even.
    pub width: usize,
    /// The base of the angles, for example 10 000.
    pub base: f64,
    /// The scaling of the angles for long sequences.
    pub scaling: RotaryScaling,
}

impl Rotary {
    /// Returns rotary positions that turn neighbouring numbers together.
    pub fn interleaved(width: usize, base: f64) -> Self {
        Self { layout: RotaryLayout::Interleaved, width, base, scaling: RotaryScaling::None }
    }

    /// Returns rotary positions that turn numbers half a width apart together.
    pub fn half_split(width: usize, base: f64) -> Self {
        Self { layout: RotaryLayout::HalfSplit, width, base, scaling: RotaryScaling::None }
    }

    /// Returns these positions with `scaling` of the angles.
    #[must_use]
    pub fn scaling(self, scaling: RotaryScaling) -> Self {
        Self { scaling, ..self }
    }

    /// Returns the angle by which one step turns each pair: `base^(−2i/w)`, scaled.
    pub fn frequencies(&self) -> Vec<f64> {
        let angle = |i: usize| self.base.powf(-2.0 * i as f64 / self.width as f64);
        (0..self.width / 2).map(|i| self.scaling.apply(self.width, self.base, i, angle(i))).collect()
    }

    /// Computes the cosines and sines for rows at the given positions.
    ///
    /// # Errors
    /// [`AttentionError::OutOfRange`] if the width is odd, or if the base or a number of the scaling is not positive and finite.
    pub fn table<F: Scalar>(
        &self,
        positions: impl IntoIterator<Item = i64>,
    ) -> Result<RotaryTable<F>, AttentionError> {
        ensure(self.width.is_multiple_of(2), "the rotary width", "even", self.width as f64)?;
        ensure(
            self.base > 0.0 && self.base.is_finite(),
            "the rotary base",
            "positive and finite",
            self.base,
        )?;
        self.scaling.check(self.base)?;
        let amplitude = self.scaling.amplitude();
        let positions: Vec<f64> = positions.into_iter().map(|p| p as f64).collect();
        let frequencies = self.frequencies();
        let angle = |(row, pair): (usize, usize)| positions[row] * frequencies[pair];
        let shape = (positions.len(), frequencies.len());
        RotaryTable::from_cos_sin(
            self.layout,
            Array2::from_shape_fn(shape, |at| F::from_f64(amplitude * angle(at).cos())),
            Array2::from_shape_fn(shape, |at| F::from_f64(amplitude * angle(at).sin())),
        )
    }
}
