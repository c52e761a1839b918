//! Changes of a dictionary that leave what it computes as it is, in other units or with less around it.

use super::{Activation, Dictionary, RowNormalisation, Target};
use crate::{InputBias, SaeError};
use collimate_tensor::Scalar;
use ndarray::{Array1, Array2, ArrayRef2};

impl<F: Scalar> Dictionary<F> {
    /// The lengths of the decoder rows.
    pub fn decoder_norms(&self) -> Array1<F> {
        self.w_dec.rows().into_iter().map(|row| row.dot(&row).sqrt()).collect()
    }

    /// The same function with codes in other units: latent i counts in units of 1/s_i.
    ///
    /// ```text
    /// W_enc, b, θ ×s_i        W_dec ÷s_i        r unchanged        f_i' = s_i f_i
    /// ```
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] unless there is one factor a latent, [`SaeError::OutOfRange`] unless all are positive and
    /// finite, [`SaeError::Unsupported`] for members that compare latents with each other, unless all factors are equal, and for
    /// matching pursuit.
    pub fn rescale_latents(mut self, factors: &Array1<F>) -> Result<Self, SaeError> {
        let n = self.size().n_latents;
        if factors.len() != n {
            return Err(SaeError::shape("factors", &[n], factors.shape()));
        }
        if let Some(&bad) = factors.iter().find(|s| !(**s > F::zero() && s.is_finite())) {
            let given = bad.to_f64();
            return Err(SaeError::OutOfRange { name: "a factor", expected: "positive and finite", given });
        }
        const OPERATION: &str = "a change of the scale of single latents";
        self.by_products(OPERATION)?;
        if self.activation.selects() && factors.iter().any(|&s| s != factors[0]) {
            let architecture = self.activation.name();
            return Err(SaeError::Unsupported { operation: OPERATION, architecture });
        }
        self.rescale(factors);
        Ok(self)
    }

    fn rescale(&mut self, factors: &Array1<F>) {
        for (i, &s) in factors.iter().enumerate() {
            self.w_enc.row_mut(i).mapv_inplace(|w| w * s);
            self.w_dec.row_mut(i).mapv_inplace(|w| w / s);
        }
        self.activation.scale(factors);
        if let Activation::BatchTopK { threshold: Some(threshold), .. } = &mut self.activation {
            // Only reached with equal factors, or when the norms were part of the selection.
            *threshold *= factors[0].to_f64();
        }
    }

    /// The same function with decoder rows of length one. A row of zeros stays one.
    ///
    /// [`Dictionary::rescale_latents`] by the former lengths' inverses undoes it.
    ///
    /// # Errors
    /// [`SaeError::Unsupported`] for members that compare latents with each other: their selection would change.
    pub fn fold_decoder_norms(self) -> Result<Self, SaeError> {
        let norms = self.decoder_norms().mapv(|s| if s > F::zero() { s } else { F::one() });
        self.rescale_latents(&norms)
    }

    /// Folds norms that the selection of a TopK file multiplies by: afterwards plain TopK does the same.
    pub(super) fn fold_selection_norms(mut self) -> Self {
        let norms = self.decoder_norms();
        for (i, &s) in norms.iter().enumerate() {
            if s > F::zero() {
                self.w_dec.row_mut(i).mapv_inplace(|w| w / s);
            }
            self.w_enc.row_mut(i).mapv_inplace(|w| w * s);
        }
        self.activation.scale(&norms);
        self
    }

    /// The dictionary that does to x what this one does to s·x.
    ///
    /// ```text
    /// W_enc ×s        W_dec, b_dec ÷s (not those of a transcoder)        W_skip ×s        f' (x) = f(s x)
    /// ```
    /// The codes keep their units. [`Sae::with_input_scale`](crate::Sae::with_input_scale) keeps the matrices instead.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] unless `s` is positive and finite, [`SaeError::Unsupported`] behind a normalisation of rows and for
    /// matching pursuit.
    pub fn fold_input_scale(mut self, s: f64) -> Result<Self, SaeError> {
        if !(s > 0.0 && s.is_finite()) {
            return Err(SaeError::OutOfRange { name: "s", expected: "positive and finite", given: s });
        }
        const OPERATION: &str = "folding a scale of the inputs";
        self.without_row_normalisation(OPERATION)?;
        self.by_products(OPERATION)?;
        let s = F::from_f64(s);
        self.w_enc.mapv_inplace(|w| w * s);
        if self.target == Target::Input {
            self.w_dec.mapv_inplace(|w| w / s);
            self.b_dec.mapv_inplace(|w| w / s);
            // Input and output both change their unit: the skip connection stays.
        } else if let Some(skip) = &mut self.w_skip {
            skip.mapv_inplace(|w| w * s);
        }
        Ok(self)
    }

    /// The dictionary that does to x what this one does to the whitened z = (x − mean)·M, and maps its output back.
    ///
    /// ```text
    /// z = (x − μ) M        x̂ = ẑ M⁻¹ + μ
    /// W_enc ← W_enc Mᵀ     W_dec ← W_dec M⁻¹     b_dec ← b_dec M⁻¹ + μ     biases shifted so that f'(x) = f(z)
    /// ```
    ///
    /// # Shapes
    /// `mean` `[d]`, `whitening` and `inverse` `[d, d]`.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] for other shapes, [`SaeError::OutOfRange`] when `whitening·inverse` is not the identity to 10⁻³,
    /// [`SaeError::Unsupported`] for transcoders, skip connections, matching pursuit and behind a normalisation of rows.
    pub fn fold_whitening(
        mut self,
        mean: &Array1<F>,
        whitening: &ArrayRef2<F>,
        inverse: &ArrayRef2<F>,
    ) -> Result<Self, SaeError> {
        const OPERATION: &str = "folding a whitening";
        let d = self.size().d_model;
        self.without_row_normalisation(OPERATION)?;
        self.by_products(OPERATION)?;
        if self.target != Target::Input || self.w_skip.is_some() {
            return Err(SaeError::Unsupported { operation: OPERATION, architecture: "transcoder" });
        }
        for (argument, matrix) in [("whitening", whitening), ("inverse", inverse)] {
            if matrix.dim() != (d, d) {
                return Err(SaeError::shape(argument, &[d, d], matrix.shape()));
            }
        }
        if mean.len() != d {
            return Err(SaeError::shape("mean", &[d], mean.shape()));
        }
        let off = (whitening.dot(inverse) - Array2::eye(d)).fold(0.0, |m: f64, &v| m.max(v.to_f64().abs()));
        if off.is_nan() || off > 1e-3 {
            let expected = "within 0.001 of the identity";
            return Err(SaeError::OutOfRange { name: "whitening·inverse", expected, given: off });
        }
        let before = self.w_enc.dot(&self.b_dec);
        self.w_enc = self.w_enc.dot(&whitening.t());
        self.w_dec = self.w_dec.dot(inverse);
        self.b_dec = self.b_dec.dot(inverse) + mean;
        let shift = match self.input_bias {
            // Zero when the inverse is exact; what is left of it otherwise is made up for here.
            InputBias::Subtracted => self.w_enc.dot(&(&self.b_dec - mean)) - before,
            InputBias::NotSubtracted => -self.w_enc.dot(mean),
        };
        self.activation.shift(|i| shift[i]);
        Ok(self)
    }

    /// The same function with an encoder that sees x and not x − b_dec: W(x − b) + c = Wx + (c − Wb). Matching pursuit, which has no
    /// c, stays as it is.
    #[must_use]
    pub fn fold_input_bias(mut self) -> Self {
        let pursuit = matches!(self.activation, Activation::MatchingPursuit { .. });
        if self.input_bias == InputBias::Subtracted && !pursuit {
            let shift = self.w_enc.dot(&self.b_dec);
            self.activation.shift(|i| -shift[i]);
            self.input_bias = InputBias::NotSubtracted;
        }
        self
    }

    /// The form for single rows of a dictionary that selects over a batch: JumpReLU with its one threshold.
    ///
    /// # Errors
    /// [`SaeError::Unsupported`] for other members and where the file has no threshold.
    pub fn with_batch_threshold(mut self) -> Result<Self, SaeError> {
        match self.activation {
            Activation::BatchTopK { b_enc, threshold: Some(threshold), .. } => {
                let threshold = Array1::from_elem(b_enc.len(), F::from_f64(threshold.max(0.0)));
                self.activation = Activation::JumpRelu { b_enc, threshold };
                Ok(self)
            }
            other => Err(SaeError::Unsupported {
                operation: "encoding by a threshold learned from batches",
                architecture: other.name(),
            }),
        }
    }

    /// Complains of a dictionary whose decoder is the encoder, which no longer holds when one of the two changes.
    fn by_products(&self, operation: &'static str) -> Result<(), SaeError> {
        match self.activation {
            Activation::MatchingPursuit { .. } => {
                Err(SaeError::Unsupported { operation, architecture: self.activation.name() })
            }
            _ => Ok(()),
        }
    }

    fn without_row_normalisation(&self, operation: &'static str) -> Result<(), SaeError> {
        let architecture = match self.row_normalisation {
            RowNormalisation::None => return Ok(()),
            RowNormalisation::ConstantNorm => "constant-norm",
            RowNormalisation::LayerNorm => "layer-norm",
        };
        Err(SaeError::Unsupported { operation, architecture })
    }
}
