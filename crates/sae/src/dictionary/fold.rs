//! Changes of a dictionary that keep what it computes, in other units or with fewer parts.

use crate::dictionary::{Dictionary, RowNormalisation, Target};
use crate::error::SaeError;
use crate::members::choices::InputBias;
use crate::members::variant::Variant;
use crate::weights::Weights;
use collimate_measure::ensure;
use collimate_tensor::Scalar;
use ndarray::{Array1, Array2, ArrayRef2};

impl<F: Scalar> Dictionary<F> {
    /// Returns the same function with codes in other units: latent i counts in units of 1/s_i.
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
        for &factor in factors {
            let holds = factor > F::zero() && factor.is_finite();
            ensure(holds, "a factor", "positive and finite", factor.to_f64())?;
        }
        const OPERATION: &str = "a change of the scale of single latents";
        self.by_products(OPERATION)?;
        if self.variant.member().compares && factors.iter().any(|&s| s != factors[0]) {
            let architecture = self.variant.name();
            return Err(SaeError::Unsupported { operation: OPERATION, architecture });
        }
        self.rescale(factors);
        Ok(self)
    }

    fn rescale(&mut self, factors: &Array1<F>) {
        for (i, &s) in factors.iter().enumerate() {
            self.weights.w_enc.row_mut(i).mapv_inplace(|w| w * s);
            self.weights.w_dec.row_mut(i).mapv_inplace(|w| w / s);
        }
        self.scale_vectors(factors);
        if !self.ranks_by_norms() {
            // All factors are equal here. A score that is multiplied by the norm does not change.
            self.scale_threshold(factors[0].to_f64());
        }
    }

    fn scale_threshold(&mut self, factor: f64) {
        self.variant = self.variant.with_threshold(self.variant.threshold().map(|t| t * factor));
    }

    /// Returns the same function with decoder rows of length one. A row of zeros is unchanged.
    ///
    /// [`Dictionary::rescale_latents`] by the former lengths' inverses undoes it.
    ///
    /// # Errors
    /// [`SaeError::Unsupported`] for members that compare latents with each other: their selection would change.
    pub fn fold_decoder_norms(self) -> Result<Self, SaeError> {
        let norms = self.decoder_norms().mapv(|s| if s > F::zero() { s } else { F::one() });
        self.rescale_latents(&norms)
    }

    /// Folds the norms that a selection multiplies by into encoder and decoder: afterwards a selection without norms gives the
    /// same codes times the norms.
    #[cfg(feature = "files")]
    pub(crate) fn fold_selection_norms(mut self) -> Self {
        let norms = self.decoder_norms();
        for (i, &s) in norms.iter().enumerate() {
            if s > F::zero() {
                self.weights.w_dec.row_mut(i).mapv_inplace(|w| w / s);
            }
            self.weights.w_enc.row_mut(i).mapv_inplace(|w| w * s);
        }
        self.scale_vectors(&norms);
        self
    }

    /// Returns the dictionary that computes from x what this one computes from s·x.
    ///
    /// ```text
    /// W_enc ×s        W_dec, b_dec ÷s (not those of a transcoder)        W_skip ×s        f' (x) = f(s x)
    /// ```
    /// The codes keep their units. [`Sae::with_input_scale`](crate::Sae::with_input_scale) keeps the matrices instead.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] unless `s` is positive and finite, [`SaeError::Unsupported`] after a normalisation of rows and for
    /// matching pursuit.
    pub fn fold_input_scale(mut self, s: f64) -> Result<Self, SaeError> {
        ensure(s > 0.0 && s.is_finite(), "s", "positive and finite", s)?;
        const OPERATION: &str = "folding a scale of the inputs";
        self.without_row_normalisation(OPERATION)?;
        self.by_products(OPERATION)?;
        let s = F::from_f64(s);
        self.weights.w_enc.mapv_inplace(|w| w * s);
        if self.target == Target::Input {
            self.weights.w_dec.mapv_inplace(|w| w / s);
            self.weights.b_dec.mapv_inplace(|w| w / s);
            if self.ranks_by_norms() {
                self.scale_threshold(1.0 / s.to_f64());
            }
            // Input and output both change their unit: the skip connection stays.
        } else if let Some(skip) = &mut self.skip {
            skip.mapv_inplace(|w| w * s);
        }
        Ok(self)
    }

    /// Returns the dictionary that computes from x what this one computes from the whitened z = (x − mean)·M, and maps its
    /// output back.
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
    /// [`SaeError::Unsupported`] for transcoders, skip connections, matching pursuit and after a normalisation of rows.
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
        if self.target != Target::Input || self.skip.is_some() {
            return Err(SaeError::Unsupported { operation: OPERATION, architecture: "transcoder" });
        }
        if self.ranks_by_norms() {
            return Err(SaeError::Unsupported { operation: OPERATION, architecture: "norm-ranking" });
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
        ensure(off <= 1e-3, "whitening·inverse", "within 0.001 of the identity", off)?;
        let before = self.weights.w_enc.dot(&self.weights.b_dec);
        self.weights.w_enc = self.weights.w_enc.dot(&whitening.t());
        self.weights.w_dec = self.weights.w_dec.dot(inverse);
        self.weights.b_dec = self.weights.b_dec.dot(inverse) + mean;
        let shift = match self.input_bias() {
            // Zero if the inverse is exact; otherwise this corrects the difference.
            InputBias::Subtracted => self.weights.w_enc.dot(&(&self.weights.b_dec - mean)) - before,
            InputBias::NotSubtracted => -self.weights.w_enc.dot(mean),
        };
        self.shift_biases(|i| shift[i]);
        Ok(self)
    }

    /// Returns the same function with an encoder that sees x and not x − b_dec: W(x − b) + c = Wx + (c − Wb). Matching pursuit,
    /// which has no c, is unchanged.
    #[must_use]
    pub fn fold_input_bias(mut self) -> Self {
        let pursuit = matches!(self.variant, Variant::MatchingPursuit(_));
        if self.input_bias() == InputBias::Subtracted && !pursuit {
            let shift = self.weights.w_enc.dot(&self.weights.b_dec);
            self.shift_biases(|i| -shift[i]);
            self.variant = self.variant.with_input_bias(InputBias::NotSubtracted);
        }
        self
    }

    /// Adds `change` to the bias of every path, times the slope of the path.
    fn shift_biases(&mut self, change: impl Fn(usize) -> F) {
        let Weights { per_latent, .. } = &mut self.weights;
        let names = self.variant.per_latent_names();
        let slopes = names.iter().position(|&name| name == "r_mag").map(|r| per_latent[r].mapv(|r| r.exp()));
        for (vector, &name) in per_latent.iter_mut().zip(names) {
            match (name, &slopes) {
                ("b_enc" | "b_gate", _) => {
                    vector.iter_mut().enumerate().for_each(|(i, b)| *b += change(i));
                }
                ("b_mag", Some(slopes)) => {
                    vector.iter_mut().enumerate().for_each(|(i, b)| *b += slopes[i] * change(i));
                }
                _ => {}
            }
        }
    }

    /// Multiplies every vector that has the unit of a code by one factor for each latent.
    fn scale_vectors(&mut self, factors: &Array1<F>) {
        for (vector, name) in self.weights.per_latent.iter_mut().zip(self.variant.per_latent_names()) {
            match *name {
                // r is the logarithm of a ratio of two slopes: it has no unit.
                "r_mag" => {}
                "log_threshold" => vector.zip_mut_with(factors, |t, s| *t += s.ln()),
                _ => *vector *= factors,
            }
        }
    }

    /// Returns an error if the decoder is the encoder, or if an encoder row holds two paths.
    fn by_products(&self, operation: &'static str) -> Result<(), SaeError> {
        let architecture = match self.variant {
            Variant::MatchingPursuit(_) => self.variant.name(),
            _ if self.variant.member().untied => "untied gated",
            _ => return Ok(()),
        };
        Err(SaeError::Unsupported { operation, architecture })
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
