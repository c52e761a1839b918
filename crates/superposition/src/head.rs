//! An attention head with several behaviours.

use crate::error::{SuperpositionError, require, require_shape};
use crate::polysemanticity::rotated_code;
use collimate_stream::RngStream;
use ndarray::{Array2, ArrayRef1, s};

/// The output-value circuit of a head that serves several behaviours: behaviour `i` reads direction `v_i` and writes `u_i`.
///
/// ```text
/// W_OV = Σ_i u_i v_iᵀ        rank at most the dimension of the head
/// ```
///
/// Up to that rank the directions can be orthogonal: the head does several things and none disturbs another
/// (claim `superposition/head-of-two-behaviours`). Beyond it they cannot, and each is disturbed.
///
/// # References
/// A. Jermyn, C. Olah, T. Henighan (2023), "Attention Head Superposition"; N. Elhage et al. (2021) for `W_OV`.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadBehaviours {
    /// What each behaviour reads: one unit column each.
    pub reads: Array2<f64>,
    /// What each behaviour writes: one unit column each.
    pub writes: Array2<f64>,
}

impl HeadBehaviours {
    /// Behaviours whose directions are orthogonal, turned at random.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for no behaviour or more than the model has dimensions.
    pub fn orthogonal(
        behaviours: usize,
        width: usize,
        stream: &mut RngStream,
    ) -> Result<Self, SuperpositionError> {
        let allowed = "1 to the width of the model";
        require((1..=width).contains(&behaviours), "behaviours", behaviours as f64, allowed)?;
        let mut draw = || Ok(rotated_code(width, stream)?.slice(s![.., ..behaviours]).to_owned());
        Ok(Self { reads: draw()?, writes: draw()? })
    }

    /// The best a head of dimension `head` can do for all behaviours together: `Σ u_i v_iᵀ` cut to its largest `head` singular
    /// values, which for orthogonal behaviours keeps the first `head` of them.
    ///
    /// # Shapes
    /// Result: width × width.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for a head without dimension.
    pub fn output_value(&self, head: usize) -> Result<Array2<f64>, SuperpositionError> {
        require(head > 0, "head", 0.0, "at least 1")?;
        let kept = head.min(self.reads.ncols());
        Ok(self.writes.slice(s![.., ..kept]).dot(&self.reads.slice(s![.., ..kept]).t()))
    }

    /// How strongly each behaviour is disturbed: what the other reads add to its write direction.
    ///
    /// ```text
    /// Σ_{j≠i} (u_iᵀ W_OV v_j)²
    /// ```
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`] when the matrix does not fit the directions.
    pub fn disturbance(&self, output_value: &Array2<f64>) -> Result<Vec<f64>, SuperpositionError> {
        let width = self.reads.nrows();
        require_shape("output_value", &[width, width], output_value.shape())?;
        let answers = self.writes.t().dot(output_value).dot(&self.reads);
        Ok((0..answers.nrows())
            .map(|i| (0..answers.ncols()).filter(|&j| j != i).map(|j| answers[[i, j]].powi(2)).sum())
            .collect())
    }

    /// How strongly each behaviour answers to an attended residual vector.
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`] when the vector or the matrix does not fit.
    pub fn answers(
        &self,
        output_value: &Array2<f64>,
        attended: &ArrayRef1<f64>,
    ) -> Result<Vec<f64>, SuperpositionError> {
        let width = self.reads.nrows();
        require_shape("attended", &[width], attended.shape())?;
        require_shape("output_value", &[width, width], output_value.shape())?;
        Ok(self.writes.t().dot(&output_value.dot(attended)).to_vec())
    }
}
