//! The parts of a dictionary as a file holds them.

use crate::dictionary::{Dictionary, RowNormalisation, Target};
use crate::error::SaeError;
use crate::members::batch_topk::BatchTopK;
use crate::members::choices::InputBias;
use crate::members::gated::Gated;
use crate::members::group_max::GroupMax;
use crate::members::jump_relu::JumpRelu;
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
}

impl<F: Scalar> Activation<F> {
    fn new(variant: impl Into<Variant>, vectors: Vec<Array1<F>>) -> Self {
        Self { variant: variant.into(), vectors }
    }

    /// Returns ReLU codes. The file does not say how they were trained.
    pub(super) fn relu(b_enc: Array1<F>) -> Self {
        Self::new(Relu::norm_weighted(), vec![b_enc])
    }

    /// Returns codes with a threshold for each latent. Negative thresholds become zero, which changes no code.
    pub(super) fn jump_relu(b_enc: Array1<F>, threshold: Array1<F>) -> Self {
        let threshold = threshold.mapv_into(|t| t.max(F::zero()));
        Self::new(JumpRelu::paper(), vec![b_enc, threshold])
    }

    /// Returns gated codes.
    pub(super) fn gated(b_gate: Array1<F>, b_mag: Array1<F>, r_mag: Array1<F>) -> Self {
        Self::new(Gated::paper(), vec![b_gate, b_mag, r_mag])
    }

    /// Returns the k largest codes of a row.
    pub(super) fn top_k(b_enc: Array1<F>, k: usize) -> Self {
        Self::new(TopK::new(k), vec![b_enc])
    }

    /// Returns the largest code of each of k groups.
    pub(super) fn group_max(b_enc: Array1<F>, k: usize) -> Self {
        Self::new(GroupMax::new(k), vec![b_enc])
    }

    /// Returns the k·rows largest codes of all rows that are encoded together.
    pub(super) fn batch_top_k(b_enc: Array1<F>, k: f64) -> Self {
        Self::new(BatchTopK::new(k), vec![b_enc])
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
    /// Returns the dictionary.
    ///
    /// # Errors
    /// As [`Dictionary::new`], if the shapes do not fit or a number is not finite.
    pub(super) fn dictionary(self) -> Result<Dictionary<F>, SaeError> {
        let Activation { variant, vectors } = self.activation;
        let (d_in, (n, d_out)) = (self.w_enc.ncols(), self.w_dec.dim());
        let square = self.target == Target::Input || self.input_bias == InputBias::Subtracted;
        if square && d_in != d_out {
            return Err(SaeError::shape("w_dec", &[n, d_in], self.w_dec.shape()));
        }
        let Self { w_enc, w_dec, b_dec, .. } = self;
        let weights = Weights { w_enc, w_dec, b_dec, per_latent: vectors };
        let variant = variant.with_input_bias(self.input_bias);
        let dictionary = Dictionary::of_width(variant, weights, d_in)?.with_skip(self.w_skip)?;
        Ok(Dictionary { row_normalisation: self.row_normalisation, target: self.target, ..dictionary })
    }
}
