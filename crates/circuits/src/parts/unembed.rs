use super::norm::NormMap;
use super::writers::refuse;
use crate::error::CircuitError;
use collimate_tensor::{Scalar, matmul};
use collimate_transformer::{Model, ParameterName, Part, Precision};
use ndarray::{Array1, Array2, ArrayRef2};

/// The way from the last residual stream to the logits.
pub(crate) struct Unembed<F> {
    pub(crate) norm: NormMap<F>,
    /// The matrix `[v, d]` with the factor on the logits, before the softcap.
    pub(crate) matrix: Array2<F>,
    /// The bias `[v]` of each word.
    pub(crate) bias: Array1<F>,
    softcap: Option<F>,
}

impl<F: Precision> Unembed<F> {
    /// Returns the head of a model.
    pub(crate) fn new(model: &Model<F>) -> Result<Self, CircuitError> {
        let d = model.description();
        let head = d.head.as_ref().ok_or_else(|| refuse(model, "it has no head that gives logits"))?;
        if head.transform.is_some() {
            return Err(refuse(
                model,
                "its head has a nonlinear layer, so the logits are no product of the residual stream",
            ));
        }
        let whole = |part: Part| model.read_parameter(ParameterName { layer: None, part });
        let part = if head.tied { Part::TokenEmbedding } else { Part::Head };
        let table = whole(part).ok_or_else(|| refuse(model, "it has no matrix of the head"))?;
        let factor = <F as Scalar>::from_f64(head.scale);
        let mut matrix = match whole(Part::ProjectOut) {
            Some(project) => matmul(&table, &project)?,
            None => table,
        };
        matrix.mapv_inplace(|x| x * factor);
        let bias = match whole(Part::HeadBias) {
            Some(bias) => bias.iter().map(|&x| x * factor).collect(),
            None => Array1::zeros(d.vocabulary),
        };
        let norm =
            NormMap::new(model, d.final_norm.as_ref(), None, [Part::FinalNormGain, Part::FinalNormBias]);
        let softcap = head.softcap.map(<F as Scalar>::from_f64);
        Ok(Self { norm, matrix, bias, softcap })
    }

    /// Computes the logits `[t, v]` of a residual stream `[t, d]`.
    pub(crate) fn logits(&self, x: &ArrayRef2<F>) -> Result<Array2<F>, CircuitError> {
        let mut out = matmul(&self.norm.forward(x)?, &self.matrix.t())? + &self.bias;
        if let Some(cap) = self.softcap {
            out.mapv_inplace(|x| cap * (x / cap).tanh());
        }
        Ok(out)
    }
}
