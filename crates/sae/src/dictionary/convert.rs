//! Members that compute the same function as another, and the layers of a crosscoder.

use crate::dictionary::{Dictionary, RowNormalisation, Target};
use crate::error::SaeError;
use crate::members::choices::{PenaltyWeight, Ranking};
use crate::members::gated::{Gated, GatedDecoder};
use crate::members::jump_relu::JumpRelu;
use crate::members::relu::Relu;
use crate::members::variant::Variant;
use crate::sae::Sae;
use crate::weights::Weights;
use collimate_measure::ensure;
use collimate_tensor::{Scalar, sum_of_squares};
use ndarray::{Array1, Array2};

impl<F: Scalar> Dictionary<F> {
    /// Returns the JumpReLU dictionary that computes the same function as this gated one, or as this one with a threshold for
    /// all latents.
    ///
    /// ```text
    /// W_enc = e^r W_gate      b_enc = b_mag      θ = max(0, b_mag − e^r b_gate)
    /// ```
    /// π > 0 is the same as z > b_mag − e^r b_gate. If that threshold is negative, the ReLU of the magnitude path decides
    /// instead: without the max(0, ·) the exported dictionary would emit negative codes. A BatchTopK or Matryoshka
    /// dictionary with a threshold t becomes θ_i = t, or t/‖d_i‖ where it ranks by norms.
    ///
    /// # Errors
    /// [`SaeError::Unsupported`] for another member, an untied gated one, or one that selects over the batch and has no
    /// threshold yet.
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{Gated, Sae, Size};
    /// use collimate_stream::RngStream;
    /// let gated = Sae::<f64>::new(Gated::paper(), Size { d_model: 3, n_latents: 6 }, &mut RngStream::new(1, 0)).unwrap();
    /// let x = ndarray::array![[0.3, -0.2, 0.9]];
    /// let jump = gated.to_jump_relu().unwrap();
    /// assert_eq!(gated.dictionary().encode(&x).unwrap().to_dense(), jump.dictionary().encode(&x).unwrap().to_dense());
    /// ```
    ///
    /// # References
    /// Rajamanoharan et al. (2024), section 3.2.1 and appendix E.
    pub fn to_jump_relu(&self) -> Result<Self, SaeError> {
        let member = self.variant.member();
        let gate = matches!(self.variant, Variant::Gated(_) | Variant::RescaleAndShift(_));
        let refuse = |architecture| SaeError::Unsupported { operation: "export to JumpReLU", architecture };
        let Weights { w_enc, w_dec, b_dec, per_latent } = self.weights.clone();
        let weights = match (gate, member.threshold) {
            (true, _) if member.untied => return Err(refuse("untied gated")),
            (true, _) => {
                let [b_gate, b_mag, r] = [&per_latent[0], &per_latent[1], &per_latent[2]];
                let scale = r.mapv(|r| r.exp());
                let thresholds =
                    Array1::from_shape_fn(scale.len(), |i| threshold(b_gate[i], b_mag[i], scale[i]));
                let mut w_enc = w_enc;
                for (mut row, &s) in w_enc.rows_mut().into_iter().zip(&scale) {
                    row.mapv_inplace(|w| s * w);
                }
                Weights { w_enc, w_dec, b_dec, per_latent: vec![b_mag.clone(), thresholds] }
            }
            (false, Some(threshold)) => {
                let thresholds = self.single_thresholds(threshold).mapv(F::from_f64);
                let per_latent = per_latent.into_iter().chain([thresholds]).collect();
                Weights { w_enc, w_dec, b_dec, per_latent }
            }
            (false, None) => return Err(refuse(member.name)),
        };
        Ok(self.clone().replaced(JumpRelu::with_input_bias(member.input_bias), weights))
    }

    /// Returns the model that trains this dictionary further.
    ///
    /// The penalty of a ReLU or gated dictionary is not in the files of other libraries. Decoder rows of length one (to 10⁻³)
    /// are taken to be held there, other rows to be free. This makes no difference to the codes.
    ///
    /// # Errors
    /// [`SaeError::Unsupported`] for transcoders, skip connections and normalisation of rows.
    pub fn to_sae(&self) -> Result<Sae<F>, SaeError> {
        let refuse = |architecture| {
            Err(SaeError::Unsupported { operation: "use as a plain autoencoder", architecture })
        };
        if self.target == Target::Other {
            return refuse("transcoder");
        }
        if self.skip.is_some() {
            return refuse("skip");
        }
        if self.row_normalisation != RowNormalisation::None {
            return refuse("row-normalised");
        }
        let unit = self.decoder_norms().iter().all(|&norm| (norm.to_f64() - 1.0).abs() < 1e-3);
        let variant = match self.variant {
            Variant::Relu(relu) => {
                let penalty = if unit { PenaltyWeight::UnitNorm } else { PenaltyWeight::DecoderNorm };
                Relu { penalty, ..relu }.into()
            }
            Variant::Gated(gated) => {
                let decoder =
                    if unit { GatedDecoder::UnitNormFrozen } else { GatedDecoder::NormWeightedFrozen };
                Gated { decoder, ..gated }.into()
            }
            other => other,
        };
        Sae::from_weights(variant, self.weights.clone())
    }

    /// Returns this dictionary with another member and other parameters of the same sizes.
    pub(crate) fn replaced(self, variant: impl Into<Variant>, weights: Weights<F>) -> Self {
        Self { variant: variant.into(), weights, ..self }
    }

    /// Returns the threshold of each latent that equals one threshold for all.
    fn single_thresholds(&self, threshold: f64) -> Array1<f64> {
        let member = self.variant.member();
        let width = self.d_out() / member.layers;
        let of_row = |row: &[F]| {
            // For a crosscoder, sum the norms over its layers.
            let norm2 = |part: &[F]| part.iter().map(|&v| v.to_f64().powi(2)).sum::<f64>();
            let norm: f64 = row.chunks(width).map(|part| norm2(part).sqrt()).sum();
            if norm > 0.0 { threshold / norm } else { f64::from(f32::MAX) }
        };
        let rows = self.decoder().rows().into_iter();
        match member.ranking {
            Some(Ranking::TimesDecoderNorm) => {
                rows.map(|row| of_row(row.to_slice().expect("rows are contiguous"))).collect()
            }
            _ => rows.map(|_| threshold).collect(),
        }
    }

    /// Computes the norms ‖d_i^l‖ of the parts of each decoder row of a crosscoder.
    ///
    /// # Shapes
    /// `[n, layers]`
    ///
    /// # Errors
    /// [`SaeError::Unsupported`] for another architecture.
    pub fn layer_norms(&self) -> Result<Array2<f64>, SaeError> {
        let Variant::Crosscoder(crosscoder) = self.variant() else {
            let architecture = self.variant().name();
            return Err(SaeError::Unsupported { operation: "the norms of layers", architecture });
        };
        let decoder = self.decoder();
        let width = decoder.ncols() / crosscoder.layers;
        Ok(Array2::from_shape_fn((decoder.nrows(), crosscoder.layers), |(i, layer)| {
            let row = decoder.row(i);
            let row = row.as_slice().expect("rows are contiguous");
            sum_of_squares(&row[layer * width..(layer + 1) * width]).sqrt().to_f64()
        }))
    }

    /// Computes the share of each latent of a crosscoder that belongs to layer (or model) `b` rather than `a`.
    ///
    /// ```text
    /// Δ_i = ½ ((‖d_i^b‖ − ‖d_i^a‖)/max(‖d_i^a‖, ‖d_i^b‖) + 1)
    /// ```
    /// 0: only in `a`, ½: in both alike, 1: only in `b`. ½ for a latent with no decoder in either.
    ///
    /// # Errors
    /// [`SaeError::Unsupported`] for another architecture, [`SaeError::OutOfRange`] for a layer that does not exist.
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{Crosscoder, Sae, Size};
    /// use collimate_stream::RngStream;
    /// let size = Size { d_model: 4, n_latents: 1 };
    /// let sae = Sae::<f64>::new(Crosscoder::l1(2), size, &mut RngStream::new(1, 0))?;
    /// let mut weights = sae.into_weights();
    /// weights.w_dec.row_mut(0).assign(&ndarray::array![3.0, 4.0, 0.0, 0.0]);
    /// let sae = Sae::from_weights(Crosscoder::l1(2), weights)?;
    /// assert_eq!(sae.dictionary().relative_decoder_norms(0, 1)?, ndarray::array![0.0]);
    /// # Ok::<(), collimate_sae::SaeError>(())
    /// ```
    ///
    /// # References
    /// Minder et al. (2025), "Robustly identifying concepts introduced during chat fine-tuning using crosscoders". (Quoted
    /// from memory of the paper: its text could not be read.)
    pub fn relative_decoder_norms(&self, a: usize, b: usize) -> Result<ndarray::Array1<f64>, SaeError> {
        let norms = self.layer_norms()?;
        for layer in [a, b] {
            ensure(layer < norms.ncols(), "layer", "below the number of layers", layer as f64)?;
        }
        Ok(norms
            .rows()
            .into_iter()
            .map(|row| {
                let largest = row[a].max(row[b]);
                if largest > 0.0 { 0.5 * ((row[b] - row[a]) / largest + 1.0) } else { 0.5 }
            })
            .collect())
    }
}

/// Returns θ = max(0, b_mag − e^r b_gate), given e^r.
fn threshold<F: Scalar>(b_gate: F, b_mag: F, scale: F) -> F {
    (b_mag - scale * b_gate).max(F::zero())
}
