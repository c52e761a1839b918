use super::layer::{LayerActivation, TranscoderLayer};
use super::layered::LayeredTranscoder;
use crate::dictionary::{Dictionary, Target};
use crate::error::SaeError;
use crate::members::jump_relu::JumpRelu;
use crate::members::relu::Relu;
use crate::members::variant::Variant;
use crate::weights::Weights;
use collimate_tensor::Scalar;
use ndarray::{Array1, Array2, Axis};

impl<F: Scalar> LayeredTranscoder<F> {
    /// Computes the lengths of the decoder rows of a layer, each over all layers that it writes to.
    ///
    /// ```text
    /// r_i = √(Σ_m ‖W_dec[i, m]‖²)
    /// ```
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] for a layer that does not exist.
    pub fn decoder_norms(&self, layer: usize) -> Result<Array1<F>, SaeError> {
        let found = self.layer(layer)?;
        let squares = |row: ndarray::ArrayView2<'_, F>| row.iter().map(|&x| x.to_f64().powi(2)).sum::<f64>();
        Ok(found.w_dec.outer_iter().map(|row| F::from_f64(squares(row).sqrt())).collect())
    }

    /// Returns the transcoder of one layer of a set as a dictionary of single rows.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] for a layer that does not exist; [`SaeError::Unsupported`] for a layer that writes to several
    /// layers, and for codes that may be negative (a negative threshold, or the k largest entries with their signs).
    pub fn dictionary(&self, layer: usize) -> Result<Dictionary<F>, SaeError> {
        let refuse = |architecture| {
            Err(SaeError::Unsupported { operation: "use as a dictionary of single rows", architecture })
        };
        let TranscoderLayer { w_enc, b_enc, activation, w_dec, b_dec, w_skip } = self.layer(layer)?;
        if w_dec.len_of(Axis(1)) > 1 {
            return refuse("cross-layer transcoder");
        }
        let (variant, per_latent): (Variant, _) = match activation {
            LayerActivation::Relu => {
                let relu = Relu::norm_weighted();
                (relu.into(), vec![b_enc.clone()])
            }
            LayerActivation::JumpRelu(theta) if theta.iter().all(|&t| t >= F::zero()) => {
                let jump = JumpRelu::with_input_bias(crate::InputBias::NotSubtracted);
                (jump.into(), vec![b_enc.clone(), theta.clone()])
            }
            LayerActivation::JumpRelu(_) => return refuse("JumpReLU transcoder with negative thresholds"),
            LayerActivation::TopK(_) => return refuse("signed TopK transcoder"),
        };
        let weights = Weights {
            w_enc: w_enc.clone(),
            w_dec: w_dec.index_axis(Axis(1), 0).to_owned(),
            b_dec: b_dec.clone(),
            per_latent,
        };
        let dictionary = Dictionary::of_width(variant, weights, w_enc.ncols())?.with_skip(w_skip.clone())?;
        Ok(Dictionary { target: Target::Other, ..dictionary })
    }

    /// Computes the sum of the decoder rows of each latent of a layer over all layers that it writes to, `[n, d_out]`.
    ///
    /// One unit of a code adds this row to the residual stream after the last layer, apart from the reaction of the parts in between.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] for a layer that does not exist.
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{LayerActivation, LayeredTranscoder, Reach, TranscoderLayer};
    /// use ndarray::{Array3, array};
    /// let layer = |outputs: usize| TranscoderLayer {
    ///     w_enc: array![[1.0]],
    ///     b_enc: array![0.0],
    ///     activation: LayerActivation::Relu,
    ///     w_dec: Array3::from_elem((1, outputs, 2), 3.0),
    ///     b_dec: array![0.0, 0.0],
    ///     w_skip: None,
    /// };
    /// let transcoder = LayeredTranscoder::new(vec![layer(2), layer(1)], Reach::LaterLayers)?;
    /// assert_eq!(transcoder.decoder_sums(0)?, array![[6.0, 6.0]]); // to its own layer and to the next one
    /// # Ok::<(), collimate_sae::SaeError>(())
    /// ```
    pub fn decoder_sums(&self, layer: usize) -> Result<Array2<F>, SaeError> {
        Ok(self.layer(layer)?.w_dec.sum_axis(Axis(1)))
    }
}
