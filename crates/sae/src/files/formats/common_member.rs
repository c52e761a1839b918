//! Dictionaries as members that other libraries know.

use crate::dictionary::Dictionary;
use crate::error::SaeError;
use crate::members::choices::Ranking;
use crate::members::crosscoder::CrosscoderSparsity;
use crate::members::gated::Gated;
use crate::members::jump_relu::{JumpRelu, ThresholdParameter};
use crate::members::relu::Relu;
use crate::members::topk::TopK;
use crate::members::variant::Variant;
use collimate_tensor::Scalar;

impl<F: Scalar> Dictionary<F> {
    /// Returns this dictionary with another threshold; unchanged if there is no selection over the batch.
    #[must_use]
    pub(crate) fn with_threshold(mut self, threshold: f64) -> Self {
        self.variant = self.variant.with_threshold(Some(threshold));
        self
    }

    /// Returns the same function as a member that other libraries have: ReLU, JumpReLU, gated or TopK.
    ///
    /// # Errors
    /// [`SaeError::Unsupported`] if there is none.
    pub(crate) fn to_common_member(&self) -> Result<Self, SaeError> {
        let relu = Relu { input_bias: self.input_bias(), ..Relu::norm_weighted() };
        let refuse = |architecture| {
            Err(SaeError::Unsupported { operation: "use as a dictionary of another library", architecture })
        };
        if self.variant.threshold().is_some() {
            return self.to_jump_relu();
        }
        let same = self.clone();
        match self.variant {
            Variant::PNorm(_) => {}
            Variant::Crosscoder(crosscoder) if crosscoder.sparsity == CrosscoderSparsity::L1 => {}
            Variant::TopK(top) if self.ranks_by_norms() => {
                let folded = same.fold_selection_norms();
                let weights = folded.weights.clone();
                let ranking = Ranking::PreActivation;
                return Ok(folded.replaced(TopK { ranking, ..top }, weights));
            }
            Variant::JumpRelu(jump) if jump.threshold == ThresholdParameter::Log => {
                let mut weights = same.weights.clone();
                weights.per_latent[1].mapv_inplace(|t| t.exp());
                return Ok(same.replaced(JumpRelu { threshold: ThresholdParameter::Raw, ..jump }, weights));
            }
            _ if self.variant.member().untied => return refuse("untied gated"),
            Variant::Relu(_) | Variant::JumpRelu(_) | Variant::Gated(_) | Variant::TopK(_) => {
                return Ok(same);
            }
            Variant::RescaleAndShift(baseline) => {
                let gated = Gated { input_bias: baseline.input_bias, ..Gated::paper() };
                let weights = same.weights.clone();
                return Ok(same.replaced(gated, weights));
            }
            other => return refuse(other.name()),
        }
        let weights = same.weights.clone();
        Ok(same.replaced(relu, weights))
    }
}
