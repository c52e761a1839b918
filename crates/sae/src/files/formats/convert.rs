//! From and to the dictionaries of this crate, and the proof that nothing was lost on the way.

use super::{Activation, Dictionary, RowNormalisation, Target};
use crate::{
    AbsTopK, CrosscoderSparsity, Float, Gated, GatedDecoder, InputBias, JumpRelu, Magnitude, MatchingPursuit,
    PenaltyWeight, Ranking, Relu, Sae, SaeError, ThresholdParameter, TopK, Transcoder, Variant, Weights,
};
use collimate_tensor::Scalar;
use ndarray::{Array2, ArrayRef2};
use std::fmt;

impl<F: Scalar> TryFrom<&Sae<F>> for Dictionary<F> {
    type Error = SaeError;

    /// A threshold that takes the place of a selection becomes JumpReLU; norms that a selection multiplies by are folded, the
    /// codes then being the products. [`SaeError::Unsupported`] for members whose codes are not one of [`Activation`].
    fn try_from(sae: &Sae<F>) -> Result<Self, SaeError> {
        Self::of(sae, None, Target::Input)
    }
}

impl<F: Float> TryFrom<&Transcoder<F>> for Dictionary<F> {
    type Error = SaeError;

    /// As for a [`Sae`], with the skip.
    fn try_from(transcoder: &Transcoder<F>) -> Result<Self, SaeError> {
        Self::of(transcoder.sae(), transcoder.skip().cloned(), Target::Other)
    }
}

impl<F: Scalar> Dictionary<F> {
    fn of(sae: &Sae<F>, w_skip: Option<Array2<F>>, target: Target) -> Result<Self, SaeError> {
        let variant = sae.variant();
        let refuse = |architecture| {
            Err(SaeError::Unsupported { operation: "use as a dictionary of another library", architecture })
        };
        if variant.threshold().is_some() {
            return Self::of(&sae.to_jump_relu()?, w_skip, target);
        }
        let Weights { w_enc, w_dec, b_dec, per_latent } = sae.weights().clone();
        let mut vectors = per_latent.into_iter();
        let mut next = || vectors.next().expect("a member has its vectors");
        let activation = match variant {
            Variant::Relu(_) | Variant::PNorm(_) => Activation::Relu { b_enc: next() },
            Variant::Crosscoder(crosscoder) if crosscoder.sparsity == CrosscoderSparsity::L1 => {
                Activation::Relu { b_enc: next() }
            }
            Variant::AbsTopK(top) => Activation::AbsTopK { b_enc: next(), k: top.k },
            Variant::MatchingPursuit(pursuit) => Activation::MatchingPursuit { k: pursuit.k },
            Variant::Gated(gated) if gated.magnitude == Magnitude::Untied => return refuse("untied gated"),
            Variant::Gated(_) | Variant::RescaleAndShift(_) => {
                Activation::Gated { b_gate: next(), b_mag: next(), r_mag: next() }
            }
            Variant::TopK(top) => Activation::TopK { b_enc: next(), k: top.k },
            Variant::BatchTopK(top) => Activation::BatchTopK { b_enc: next(), k: top.k, threshold: None },
            Variant::JumpRelu(jump) => {
                let (b_enc, stored) = (next(), next());
                let threshold = match jump.threshold {
                    ThresholdParameter::Raw => stored,
                    ThresholdParameter::Log => stored.mapv(|t| t.exp()),
                };
                Activation::JumpRelu { b_enc, threshold }
            }
            other => return refuse(other.name()),
        };
        let (row_normalisation, input_bias) = (RowNormalisation::None, variant.input_bias());
        let dictionary =
            Dictionary { w_enc, w_dec, b_dec, w_skip, activation, input_bias, row_normalisation, target };
        let by_norms = variant.ranking() == Some(Ranking::TimesDecoderNorm);
        let dictionary = dictionary.checked()?;
        Ok(if by_norms { dictionary.fold_selection_norms() } else { dictionary })
    }

    /// The same dictionary as a member of the family, to be evaluated, spliced and trained on.
    ///
    /// The penalty of a ReLU or gated one is not in any file: decoder rows of length one (to 10⁻³) are taken to be held
    /// there, others to be free. It makes no difference to the codes.
    ///
    /// # Errors
    /// [`SaeError::Unsupported`] for transcoders, skip connections, normalisation of rows, groups, and selection over a
    /// batch (see [`Dictionary::with_batch_threshold`]).
    pub fn to_sae(&self) -> Result<Sae<F>, SaeError> {
        let refuse = |architecture| {
            Err(SaeError::Unsupported { operation: "use as a plain autoencoder", architecture })
        };
        if self.target == Target::Other {
            return refuse("transcoder");
        }
        if self.w_skip.is_some() {
            return refuse("skip");
        }
        if self.row_normalisation != RowNormalisation::None {
            return refuse("row-normalised");
        }
        let unit = self.decoder_norms().iter().all(|&norm| (norm.to_f64() - 1.0).abs() < 1e-3);
        let input_bias = self.input_bias;
        let (variant, per_latent): (Variant, _) = match &self.activation {
            Activation::Relu { b_enc } => {
                let penalty = if unit { PenaltyWeight::UnitNorm } else { PenaltyWeight::DecoderNorm };
                (Relu { penalty, input_bias }.into(), vec![b_enc.clone()])
            }
            Activation::Gated { b_gate, b_mag, r_mag } => {
                let decoder =
                    if unit { GatedDecoder::UnitNormFrozen } else { GatedDecoder::NormWeightedFrozen };
                let vectors = vec![b_gate.clone(), b_mag.clone(), r_mag.clone()];
                (Gated { input_bias, ..Gated::with_decoder(decoder) }.into(), vectors)
            }
            Activation::TopK { b_enc, k } => {
                (TopK { input_bias, ..TopK::new(*k) }.into(), vec![b_enc.clone()])
            }
            Activation::JumpRelu { b_enc, threshold } => {
                (jump_relu(input_bias), vec![b_enc.clone(), threshold.clone()])
            }
            Activation::AbsTopK { b_enc, k } => {
                (AbsTopK { input_bias, ..AbsTopK::new(*k) }.into(), vec![b_enc.clone()])
            }
            Activation::MatchingPursuit { k } => (MatchingPursuit { k: *k }.into(), Vec::new()),
            other => return refuse(other.name()),
        };
        let (w_enc, w_dec, b_dec) = (self.w_enc.clone(), self.w_dec.clone(), self.b_dec.clone());
        Sae::from_weights(variant, Weights { w_enc, w_dec, b_dec, per_latent })
    }
}

fn jump_relu(input_bias: InputBias) -> Variant {
    JumpRelu::with_input_bias(input_bias).into()
}

/// How far two dictionaries agree on some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// How many rows were compared.
    pub rows: usize,
    /// The largest difference of two reconstructed numbers.
    pub reconstruction: f64,
    /// The same over the largest reconstructed number of the first.
    pub relative: f64,
    /// How many codes are zero in one and not in the other.
    pub support: u64,
    /// The largest difference of two codes, each in the units of its own decoder row: |f_i‖d_i‖ − f_i'‖d_i'‖|.
    pub codes: f64,
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "on {} rows: reconstructions differ by at most {:.2e} ({:.2e} of the largest), codes by {:.2e}, {} codes are \
             active in one only",
            self.rows, self.reconstruction, self.relative, self.codes, self.support
        )
    }
}

/// Compares what two dictionaries make of the same rows. Shapes alone prove nothing: a square matrix hides a transpose.
///
/// # Errors
/// As [`Dictionary::forward`]; [`SaeError::Mismatch`] when the two have other sizes.
pub fn agreement<F: Scalar>(
    a: &Dictionary<F>,
    b: &Dictionary<F>,
    x: &ArrayRef2<F>,
) -> Result<Agreement, SaeError> {
    if a.size() != b.size() || a.d_out() != b.d_out() {
        let shape = |d: &Dictionary<F>| [d.size().n_latents, d.size().d_model, d.d_out()];
        return Err(SaeError::shape("the converted dictionary", &shape(a), &shape(b)));
    }
    let (first, second) = (a.forward(x)?, b.forward(x)?);
    let (norms_a, norms_b) = (a.decoder_norms(), b.decoder_norms());
    let mut out = Agreement { rows: x.nrows(), reconstruction: 0.0, relative: 0.0, support: 0, codes: 0.0 };
    let mut largest = 0.0_f64;
    for (&p, &q) in first.reconstruction.iter().zip(&second.reconstruction) {
        out.reconstruction = out.reconstruction.max((p.to_f64() - q.to_f64()).abs());
        largest = largest.max(p.to_f64().abs());
    }
    out.relative = if largest > 0.0 { out.reconstruction / largest } else { out.reconstruction };
    let mut dense = vec![F::zero(); a.size().n_latents];
    for (p, q) in first.codes.rows().zip(second.codes.rows()) {
        p.0.iter().zip(p.1).for_each(|(&i, &v)| dense[i as usize] = v * norms_a[i as usize]);
        for (&i, &v) in q.0.iter().zip(q.1) {
            let other = std::mem::take(&mut dense[i as usize]);
            out.support += u64::from(other == F::zero());
            out.codes = out.codes.max((other - v * norms_b[i as usize]).to_f64().abs());
        }
        for &i in p.0 {
            let left = std::mem::take(&mut dense[i as usize]);
            out.support += u64::from(left != F::zero());
            out.codes = out.codes.max(left.to_f64().abs());
        }
    }
    Ok(out)
}
