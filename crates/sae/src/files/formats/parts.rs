//! The parts of a dictionary as a file holds them.

use super::checkpoint::Checkpoint;
use super::format::Format;
use crate::dictionary::{Dictionary, RowNormalisation, Target};
use crate::error::SaeError;
use crate::members::abs_topk::AbsTopK;
use crate::members::batch_topk::BatchTopK;
use crate::members::choices::InputBias;
use crate::members::gated::Gated;
use crate::members::group_max::GroupMax;
use crate::members::jump_relu::JumpRelu;
use crate::members::matching_pursuit::MatchingPursuit;
use crate::members::relu::Relu;
use crate::members::topk::TopK;
use crate::members::variant::Variant;
use crate::weights::Weights;
use collimate_tensor::Scalar;
use ndarray::{Array1, Array2};

/// A member with its vectors of one entry a latent.
pub(super) struct Activation<F> {
    variant: Variant,
    vectors: Vec<Array1<F>>,
    note: Option<String>,
}

impl<F: Scalar> Activation<F> {
    fn new(variant: impl Into<Variant>, vectors: Vec<Array1<F>>) -> Self {
        Self { variant: variant.into(), vectors, note: None }
    }

    /// Returns the codes of a member with one bias.
    pub(super) fn of(variant: impl Into<Variant>, b_enc: Array1<F>) -> Self {
        Self::new(variant, vec![b_enc])
    }

    /// Returns ReLU codes. The file does not say how they were trained.
    pub(super) fn relu(b_enc: Array1<F>) -> Self {
        Self::new(Relu::norm_weighted(), vec![b_enc])
    }

    /// Returns codes with a threshold for each latent. Negative thresholds become zero, which changes no code of a library
    /// that takes the ReLU too; a note says so.
    pub(super) fn jump_relu(b_enc: Array1<F>, threshold: Array1<F>) -> Self {
        let negative = threshold.iter().filter(|&&t| t < F::zero()).count();
        let threshold = threshold.mapv_into(|t| if t < F::zero() { F::zero() } else { t });
        let note = (negative > 0).then(|| {
            format!("{negative} negative thresholds are set to 0: the ReLU behind them gives the same codes")
        });
        Self { note, ..Self::new(JumpRelu::paper(), vec![b_enc, threshold]) }
    }

    /// Returns gated codes.
    pub(super) fn gated(b_gate: Array1<F>, b_mag: Array1<F>, r_mag: Array1<F>) -> Self {
        Self::new(Gated::paper(), vec![b_gate, b_mag, r_mag])
    }

    /// Returns the k largest codes of a row.
    pub(super) fn top_k(b_enc: Array1<F>, k: usize) -> Self {
        Self::new(TopK::new(k), vec![b_enc])
    }

    /// Returns the k codes of a row that are largest in magnitude, with their signs.
    pub(super) fn abs_top_k(b_enc: Array1<F>, k: usize) -> Self {
        Self::new(AbsTopK::new(k), vec![b_enc])
    }

    /// Returns the largest code of each of k groups.
    pub(super) fn group_max(b_enc: Array1<F>, k: usize) -> Self {
        Self::new(GroupMax::new(k), vec![b_enc])
    }

    /// Returns the k·rows largest codes of all rows that are encoded together.
    pub(super) fn batch_top_k(b_enc: Array1<F>, k: f64) -> Self {
        Self::new(BatchTopK::new(k), vec![b_enc])
    }

    /// Returns the codes of a matching pursuit.
    pub(super) fn pursuit(pursuit: MatchingPursuit) -> Self {
        Self::new(pursuit, Vec::new())
    }
}

/// The parts of a dictionary.
pub(super) struct Parts<F> {
    pub(super) w_enc: Array2<F>,
    pub(super) w_dec: Array2<F>,
    pub(super) b_dec: Array1<F>,
    pub(super) w_skip: Option<Array2<F>>,
    pub(super) activation: Activation<F>,
    pub(super) input_bias: InputBias,
    pub(super) row_normalisation: RowNormalisation,
    pub(super) target: Target,
}

impl<F: Scalar> Parts<F> {
    /// Returns a plain autoencoder: no skip, no normalisation of rows.
    pub(super) fn autoencoder(
        [w_enc, w_dec]: [Array2<F>; 2],
        b_dec: Array1<F>,
        activation: Activation<F>,
        input_bias: InputBias,
    ) -> Self {
        let (w_skip, row_normalisation, target) = (None, RowNormalisation::None, Target::Input);
        Self { w_enc, w_dec, b_dec, w_skip, activation, input_bias, row_normalisation, target }
    }

    /// Returns the dictionary with the notes of its activation.
    ///
    /// # Errors
    /// As [`Dictionary::new`], if the shapes do not fit or a number is not finite.
    pub(super) fn checkpoint(self, format: Format) -> Result<Checkpoint<F>, SaeError> {
        let Activation { variant, vectors, note } = self.activation;
        let ((n, d_in), d_out) = (self.w_enc.dim(), self.w_dec.ncols());
        let square = self.target == Target::Input || self.input_bias == InputBias::Subtracted;
        if self.w_dec.nrows() != n || square && d_in != d_out {
            let width = if square { d_in } else { d_out };
            return Err(SaeError::shape("W_dec", &[n, width], self.w_dec.shape()));
        }
        let Self { w_enc, w_dec, b_dec, .. } = self;
        let weights = Weights { w_enc, w_dec, b_dec, per_latent: vectors };
        let variant = variant.with_input_bias(self.input_bias);
        let dictionary = Dictionary::of_width(variant, weights, d_in)?.with_skip(self.w_skip)?;
        let dictionary =
            Dictionary { row_normalisation: self.row_normalisation, target: self.target, ..dictionary };
        let mut checkpoint = Checkpoint::of(dictionary, format);
        checkpoint.notes.extend(note);
        Ok(checkpoint)
    }
}
