//! An attention head with several behaviours.

use crate::error::{SuperpositionError, require_shape};
use crate::neurons::rotated_code;
use collimate_measure::ensure;
use collimate_stream::RngStream;
use ndarray::{Array2, ArrayRef1, s};

/// The output-value circuit of a head that serves several behaviours: behaviour `i` reads direction `v_i` and writes `u_i`.
///
/// ```text
/// W_OV = Σ_i u_i v_iᵀ        rank at most the dimension of the head
/// ```
///
/// Up to that rank the directions can be orthogonal, and then no behaviour disturbs another
/// (claim `superposition/head-of-two-behaviours`). Beyond it they cannot be orthogonal, and each behaviour is disturbed.
///
/// # References
/// A. Jermyn, C. Olah, T. Henighan (2023), "Attention Head Superposition"; N. Elhage et al. (2021) for `W_OV`.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadBehaviours {
    /// The read directions `[width, behaviours]`: one unit column per behaviour.
    pub reads: Array2<f64>,
    /// The write directions `[width, behaviours]`: one unit column per behaviour.
    pub writes: Array2<f64>,
}

impl HeadBehaviours {
    /// Draws behaviours with orthogonal directions.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for no behaviour, or for more behaviours than the model has dimensions.
    pub fn orthogonal(
        behaviours: usize,
        width: usize,
        stream: &mut RngStream,
    ) -> Result<Self, SuperpositionError> {
        let allowed = "1 to the width of the model";
        ensure((1..=width).contains(&behaviours), "behaviours", allowed, behaviours as f64)?;
        let mut draw = || rotated_code(width, stream).map(|code| code.slice(s![.., ..behaviours]).to_owned());
        Ok(Self { reads: draw()?, writes: draw()? })
    }

    /// Returns the best matrix of rank at most `head` for all behaviours: `Σ u_i v_iᵀ` with only its largest `head` singular
    /// values. For orthogonal behaviours these are the first `head` behaviours.
    ///
    /// # Shapes
    /// Result: `[width, width]`.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for a head of dimension 0.
    pub fn output_value(&self, head: usize) -> Result<Array2<f64>, SuperpositionError> {
        ensure(head > 0, "head", "at least 1", 0.0)?;
        let kept = head.min(self.reads.ncols());
        Ok(self.writes.slice(s![.., ..kept]).dot(&self.reads.slice(s![.., ..kept]).t()))
    }

    /// Computes how strongly each behaviour is disturbed: the squared contributions of the other reads to its write direction.
    ///
    /// ```text
    /// Σ_{j≠i} (u_iᵀ W_OV v_j)²
    /// ```
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`] if the matrix does not fit the directions.
    pub fn disturbance(&self, output_value: &Array2<f64>) -> Result<Vec<f64>, SuperpositionError> {
        let width = self.reads.nrows();
        require_shape("output_value", &[width, width], output_value.shape())?;
        let answers = self.writes.t().dot(output_value).dot(&self.reads);
        Ok((0..answers.nrows())
            .map(|i| (0..answers.ncols()).filter(|&j| j != i).map(|j| answers[[i, j]].powi(2)).sum())
            .collect())
    }

    /// Computes how strongly each behaviour responds to an attended residual vector.
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`] if the vector or the matrix does not fit.
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
