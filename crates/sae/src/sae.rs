use crate::float::Float;
use crate::step::workspace::Workspace;
use crate::step::{Losses, Settings};
use crate::train::adam::{Adam, Moments};
use crate::weights::finite;
use crate::{JumpRelu, JumpReluSparsity, SaeError, Size, ThresholdParameter, Variant, Weights};
use collimate_measure::Fingerprint;
use collimate_stream::RngStream;
use collimate_tensor::SparseRows;
use ndarray::{Array2, ArrayRef2};

/// A sparse autoencoder: a member of the family and its parameters.
///
/// ```text
/// encode:  f = activation(W_enc (x − b_dec) + …)        decode:  x̂ = W_decᵀ f + b_dec
/// ```
///
/// # Examples
/// ```
/// use collimate_sae::{Sae, Size, TopK};
/// use collimate_stream::RngStream;
/// let size = Size { d_model: 4, n_latents: 8 };
/// let sae = Sae::<f64>::new(TopK::new(2), size, &mut RngStream::new(1, 0)).unwrap();
/// let codes = sae.encode(&ndarray::array![[1.0, 0.5, -0.25, 0.0]]).unwrap();
/// assert_eq!(codes.n_stored(), 2);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Sae<F> {
    variant: Variant,
    weights: Weights<F>,
}

impl<F: Float> Sae<F> {
    /// A dictionary before training: random unit decoder rows, the encoder tied to them, biases zero. Thresholds of JumpReLU
    /// start at 0.001, with the tanh penalty at 0.1.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] for an empty size or a parameter of the variant outside its range.
    ///
    /// # Determinism
    /// The directions are drawn latent by latent from `stream`, in f64, whatever `F` is.
    pub fn new(variant: impl Into<Variant>, size: Size, stream: &mut RngStream) -> Result<Self, SaeError> {
        let variant = variant.into();
        variant.check(size)?;
        let mut weights = Weights::tied_unit(size, variant.per_latent_names().len(), stream);
        match &variant {
            Variant::Gated(_) if variant.untied() => {
                // Both paths start as one, as the tied dictionary does.
                let both = [weights.w_enc.view(), weights.w_enc.view()];
                let wide = ndarray::concatenate(ndarray::Axis(1), &both).expect("equal heights");
                // Joined along the rows it comes out column by column.
                weights.w_enc = wide.as_standard_layout().into_owned();
            }
            Variant::JumpRelu(jump) => {
                let theta: f64 =
                    if matches!(jump.sparsity, JumpReluSparsity::Tanh { .. }) { 0.1 } else { 0.001 };
                let start = match jump.threshold {
                    ThresholdParameter::Raw => theta,
                    ThresholdParameter::Log => theta.ln(),
                };
                weights.per_latent[1].fill(F::from_f64(start));
            }
            _ => {}
        }
        Ok(Self { variant, weights })
    }
}

impl<F: collimate_tensor::Scalar> Sae<F> {
    /// A dictionary with the given parameters.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] when the shapes do not fit each other, [`SaeError::NonFiniteInput`] for NaN or infinity,
    /// [`SaeError::OutOfRange`] for a parameter of the variant outside its range or a negative threshold.
    pub fn from_weights(variant: impl Into<Variant>, weights: Weights<F>) -> Result<Self, SaeError> {
        let variant = variant.into();
        let width = weights.w_dec.ncols();
        Self::from_weights_of_width(variant, weights, width)
    }

    /// The same for rows of another width than what is decoded.
    pub(crate) fn from_weights_of_width(
        variant: Variant,
        weights: Weights<F>,
        width: usize,
    ) -> Result<Self, SaeError> {
        let width = if variant.untied() { 2 * width } else { width };
        let mut weights = weights.checked(variant.per_latent_names(), width)?;
        variant.check(weights.size())?;
        if let Some(vector) = variant.not_negative()
            && let Some(&t) = weights.per_latent[vector].iter().find(|&&t| t < F::zero())
        {
            let given = t.to_f64();
            return Err(SaeError::OutOfRange { name: "threshold", expected: "at least 0", given });
        }
        if let Variant::MatchingPursuit(_) = variant {
            weights.w_enc.assign(&weights.w_dec);
        }
        Ok(Self { variant, weights })
    }

    /// The same encoder with its decoder rows in another order, also where training keeps the two equal.
    pub(crate) fn with_decoder_dealt(&self, order: &[usize]) -> Self {
        let mut dealt = self.clone();
        dealt.weights.w_dec = dealt.weights.w_dec.select(ndarray::Axis(0), order);
        dealt
    }

    /// The width of the rows that are encoded.
    pub(crate) fn input_width(&self) -> usize {
        self.weights.w_enc.ncols() / if self.variant.untied() { 2 } else { 1 }
    }

    /// Which member of the family it is.
    pub fn variant(&self) -> &Variant {
        &self.variant
    }

    /// The parameters.
    pub fn weights(&self) -> &Weights<F> {
        &self.weights
    }

    /// The parameters, taken out. [`Sae::from_weights`] puts them back after a change.
    pub fn into_weights(self) -> Weights<F> {
        self.weights
    }

    /// The same parameters under another variant of the same architecture: to turn a setting of training, or a threshold.
    ///
    /// # Errors
    /// As [`Sae::from_weights`].
    pub fn with_variant(self, variant: impl Into<Variant>) -> Result<Self, SaeError> {
        let width = self.input_width();
        Self::from_weights_of_width(variant.into(), self.weights, width)
    }

    pub(crate) fn variant_mut(&mut self) -> &mut Variant {
        &mut self.variant
    }

    pub(crate) fn weights_mut(&mut self) -> &mut Weights<F> {
        &mut self.weights
    }

    /// The width and the number of latents.
    pub fn size(&self) -> Size {
        self.weights.size()
    }

    /// The same dictionary in another precision.
    pub fn cast<G: collimate_tensor::Scalar>(&self) -> Sae<G> {
        Sae { variant: self.variant, weights: self.weights.cast() }
    }

    /// The dictionary that does to x what this one does to s·x, in the units of x.
    ///
    /// ```text
    /// f'(x) = f(s x)/s        x̂'(x) = x̂(s x)/s
    /// ```
    /// Every member here is positively homogeneous, so dividing all biases and thresholds by s is enough; both matrices
    /// stay as they are, and a unit-norm decoder stays one. This is how a normalisation of the inputs is folded in.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] unless `s` is positive and finite.
    pub fn with_input_scale(&self, s: f64) -> Result<Self, SaeError> {
        if !(s > 0.0 && s.is_finite()) {
            return Err(SaeError::OutOfRange { name: "s", expected: "positive and finite", given: s });
        }
        let mut scaled = self.clone();
        let divisor = F::from_f64(s);
        scaled.weights.b_dec.mapv_inplace(|b| b / divisor);
        for (vector, name) in scaled.weights.per_latent.iter_mut().zip(self.variant.per_latent_names()) {
            match *name {
                // r is the logarithm of a ratio of two slopes: it has no unit.
                "r_mag" => {}
                "log_threshold" => vector.mapv_inplace(|t| t - divisor.ln()),
                _ => vector.mapv_inplace(|b| b / divisor),
            }
        }
        scaled.variant = self.variant.with_threshold(self.variant.threshold().map(|t| t / s));
        Ok(scaled)
    }

    /// The fingerprint of the variant and of every parameter.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut fingerprint = Fingerprint::of(format!("{:?} {}", self.variant, F::NAME).as_bytes());
        let Weights { w_enc, w_dec, b_dec, per_latent } = &self.weights;
        let mut bytes = Vec::new();
        let all = w_enc.iter().chain(w_dec).chain(b_dec).chain(per_latent.iter().flatten());
        all.for_each(|&x| bytes.extend_from_slice(&x.to_f64().to_bits().to_le_bytes()));
        fingerprint = fingerprint.and(&bytes);
        fingerprint
    }

    pub(crate) fn check_rows(&self, x: &ArrayRef2<F>) -> Result<(), SaeError> {
        let d = self.input_width();
        if x.ncols() != d {
            return Err(SaeError::shape("x", &[x.nrows(), d], x.shape()));
        }
        finite("x", x)
    }

    /// What the penalty multiplies the code of each latent with.
    pub(crate) fn penalty_norms(&self) -> Vec<F> {
        let mut norms = Vec::new();
        crate::step::workspace::set_norms(&self.variant, &self.weights, &mut norms);
        norms
    }

    /// Folds a threshold for all latents into one a latent.
    pub(crate) fn threshold_to_jump_relu(&self) -> Result<Self, SaeError> {
        let (operation, architecture) = ("export to JumpReLU", self.variant.name());
        let unsupported = SaeError::Unsupported { operation, architecture };
        let Some(threshold) = self.variant.threshold() else { return Err(unsupported) };
        let width = self.weights.w_dec.ncols() / self.variant.layers();
        let of = self.weights.w_dec.rows().into_iter().map(|row| {
            if self.variant.ranking() != Some(crate::Ranking::TimesDecoderNorm) {
                return threshold;
            }
            // Of a crosscoder the sum over its layers.
            let parts = row.to_slice().expect("rows are contiguous").chunks(width);
            let norm2 = |part: &[F]| part.iter().map(|&v| v.to_f64().powi(2)).sum::<f64>();
            let norm: f64 = parts.map(|part| norm2(part).sqrt()).sum();
            if norm > 0.0 { threshold / norm } else { f64::from(f32::MAX) }
        });
        let mut weights = self.weights.clone();
        weights.per_latent.push(of.map(F::from_f64).collect());
        Self::from_weights_of_width(
            JumpRelu::with_input_bias(self.variant.input_bias()).into(),
            weights,
            self.input_width(),
        )
    }
}

impl<F: Float> Sae<F> {
    /// The sparse codes of some rows: only the latents that are not zero.
    ///
    /// # Shapes
    /// `x` `[b, d]`; the result has b rows and n columns.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] for another width, [`SaeError::NonFiniteInput`] for NaN or infinity in `x`.
    ///
    /// # Determinism
    /// The same bits on any number of threads.
    pub fn encode(&self, x: &ArrayRef2<F>) -> Result<SparseRows<F>, SaeError> {
        self.check_rows(x)?;
        F::encode(self, x)
    }

    /// The reconstructions of some codes, x̂ = W_decᵀ f + b_dec.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] for codes over another number of latents.
    pub fn decode(&self, codes: &SparseRows<F>) -> Result<Array2<F>, SaeError> {
        let n = self.size().n_latents;
        if codes.n_columns() != n {
            return Err(SaeError::shape("codes", &[codes.n_rows(), n], &[codes.n_rows(), codes.n_columns()]));
        }
        let mut x_hat = codes.decode(&self.weights.w_dec)?;
        x_hat += &self.weights.b_dec;
        Ok(x_hat)
    }

    /// The reconstructions of some rows.
    ///
    /// # Errors
    /// As [`Sae::encode`].
    pub fn reconstruct(&self, x: &ArrayRef2<F>) -> Result<Array2<F>, SaeError> {
        self.decode(&self.encode(x)?)
    }

    /// The loss of a batch and its gradient with respect to every parameter, nothing projected.
    ///
    /// # Errors
    /// As [`Sae::encode`]; [`SaeError::Diverged`] when a term of the loss is not finite.
    ///
    /// # Determinism
    /// The same bits on any number of threads.
    pub fn gradient(
        &self,
        x: &ArrayRef2<F>,
        settings: &Settings<'_>,
        workspace: &mut Workspace<F>,
    ) -> Result<(Losses, Weights<F>), SaeError> {
        self.check_rows(x)?;
        self.check_settings(settings)?;
        F::gradient(self, x, x, settings, workspace)
    }

    /// One update: gradient, projection of its decoder part, Adam, normalisation of the decoder.
    ///
    /// The gradient is never written out: each latent gathers its own rows, updates and normalises them at once.
    /// [`Training`](crate::Training) calls this in a loop.
    ///
    /// # Errors
    /// As [`Sae::gradient`]. After [`SaeError::Diverged`] on a gradient the other tensors may have been updated.
    ///
    /// # Determinism
    /// The same bits on any number of threads.
    pub fn step(
        &mut self,
        moments: &mut Moments<F>,
        x: &ArrayRef2<F>,
        settings: &Settings<'_>,
        adam: &Adam,
        learning_rate: f64,
        workspace: &mut Workspace<F>,
    ) -> Result<Losses, SaeError> {
        self.check_rows(x)?;
        self.step_to(moments, x, x, settings, adam, learning_rate, workspace)
    }

    /// One update towards rows `y` that need not be the input.
    pub(crate) fn step_to(
        &mut self,
        moments: &mut Moments<F>,
        x: &ArrayRef2<F>,
        y: &ArrayRef2<F>,
        settings: &Settings<'_>,
        adam: &Adam,
        learning_rate: f64,
        workspace: &mut Workspace<F>,
    ) -> Result<Losses, SaeError> {
        self.check_settings(settings)?;
        let given = moments.first.size();
        if given != self.size() || moments.second.size() != self.size() {
            let Size { d_model, n_latents } = self.size();
            return Err(SaeError::shape("moments", &[n_latents, d_model], &[given.n_latents, given.d_model]));
        }
        F::step(self, moments, x, y, settings, adam, learning_rate, workspace)
    }

    pub(crate) fn check_settings(&self, settings: &Settings<'_>) -> Result<(), SaeError> {
        if !(settings.penalty >= 0.0 && settings.penalty.is_finite()) {
            let given = settings.penalty;
            return Err(SaeError::OutOfRange { name: "penalty", expected: "finite, at least 0", given });
        }
        let n = self.size().n_latents;
        let ascending = settings.dead.windows(2).all(|w| w[0] < w[1]);
        if !ascending || settings.dead.last().is_some_and(|&i| i as usize >= n) {
            let given = settings.dead.len() as f64;
            return Err(SaeError::OutOfRange { name: "dead", expected: "ascending latents below n", given });
        }
        Ok(())
    }
}
