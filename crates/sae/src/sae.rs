use crate::dictionary::Dictionary;
use crate::error::SaeError;
use crate::members::rescale_and_shift::RescaleAndShift;
use crate::members::variant::Variant;
use crate::precision::Precision;
use crate::step::adam::{AdamMoments, AdamParameters};
use crate::step::settings::{Losses, Settings};
use crate::step::workspace::Workspace;
use crate::weights::{Size, Weights};
use collimate_measure::{Fingerprint, ensure};
use collimate_stream::RngStream;
use collimate_tensor::Scalar;
use ndarray::{Array1, ArrayRef2};

/// A sparse autoencoder that can be trained: a member of the family and its parameters.
///
/// ```text
/// encode:  f = activation(W_enc (x − b_dec) + …)        decode:  x̂ = W_decᵀ f + b_dec
/// ```
/// It lends its [`Dictionary`], which encodes and reconstructs.
///
/// # Examples
/// ```
/// use collimate_sae::{RngStream, Sae, Size, TopK};
/// let size = Size { d_model: 4, n_latents: 8 };
/// let sae = Sae::<f64>::new(TopK::new(2), size, &mut RngStream::new(1, 0)).unwrap();
/// let codes = sae.dictionary().encode(&ndarray::array![[1.0, 0.5, -0.25, 0.0]]).unwrap();
/// assert_eq!(codes.n_stored(), 2);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Sae<F> {
    dictionary: Dictionary<F>,
}

impl<F: Scalar> Sae<F> {
    /// Returns a dictionary before training: random unit decoder rows, the encoder tied to them, biases zero. Thresholds of
    /// JumpReLU start at 0.001, with the tanh penalty at 0.1.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] for an empty size or a parameter of the variant outside its range.
    ///
    /// # Determinism
    /// The directions are drawn latent by latent from `stream`, in f64, whatever `F` is.
    pub fn new(variant: impl Into<Variant>, size: Size, stream: &mut RngStream) -> Result<Self, SaeError> {
        let variant = variant.into();
        variant.check(size)?;
        size.check_memory::<F>()?;
        let member = variant.member();
        let mut weights = Weights::tied_unit(size, member.per_latent.len(), stream);
        if member.untied {
            // Both paths start as one, like the path of the tied dictionary.
            let both = [weights.w_enc.view(), weights.w_enc.view()];
            let wide = ndarray::concatenate(ndarray::Axis(1), &both).expect("equal heights");
            // Arrays that are joined along the rows are stored column by column.
            weights.w_enc = wide.as_standard_layout().into_owned();
        }
        if let Some(start) = member.start {
            weights.per_latent[1].fill(F::from_f64(start));
        }
        Self::from_weights(variant, weights)
    }

    /// Returns a dictionary with the given parameters.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] if the shapes do not fit each other, [`SaeError::NonFiniteInput`] for NaN or infinity,
    /// [`SaeError::OutOfRange`] for a parameter of the variant outside its range or a negative threshold.
    pub fn from_weights(variant: impl Into<Variant>, weights: Weights<F>) -> Result<Self, SaeError> {
        Ok(Self { dictionary: Dictionary::new(variant, weights)? })
    }

    /// Returns a model of the latents of a dictionary.
    pub(crate) fn of(dictionary: Dictionary<F>) -> Self {
        Self { dictionary }
    }

    /// Returns the dictionary, for encoding and reconstructing.
    pub fn dictionary(&self) -> &Dictionary<F> {
        &self.dictionary
    }

    /// Returns the dictionary and gives up the model.
    pub fn into_dictionary(self) -> Dictionary<F> {
        self.dictionary
    }

    /// Returns the member of the family.
    pub fn variant(&self) -> &Variant {
        &self.dictionary.variant
    }

    /// Returns the parameters.
    pub fn weights(&self) -> &Weights<F> {
        &self.dictionary.weights
    }

    /// Returns the parameters and gives up the model. [`Sae::from_weights`] takes them again after a change.
    pub fn into_weights(self) -> Weights<F> {
        self.dictionary.weights
    }

    pub(crate) fn variant_mut(&mut self) -> &mut Variant {
        &mut self.dictionary.variant
    }

    pub(crate) fn weights_mut(&mut self) -> &mut Weights<F> {
        &mut self.dictionary.weights
    }

    pub(crate) fn skip_mut(&mut self) -> Option<&mut ndarray::Array2<F>> {
        self.dictionary.skip.as_mut()
    }

    /// Returns the width of the rows that are reconstructed and the number of latents.
    pub fn size(&self) -> Size {
        self.weights().size()
    }

    /// Returns the width of the rows that are encoded.
    pub(crate) fn input_width(&self) -> usize {
        self.dictionary.size().d_model
    }

    /// Returns this model in another precision.
    pub fn cast<G: Scalar>(&self) -> Sae<G> {
        Sae { dictionary: self.dictionary.cast() }
    }

    /// Returns the dictionary that computes from x what this one computes from s·x, in the units of x.
    ///
    /// ```text
    /// f'(x) = f(s x)/s        x̂'(x) = x̂(s x)/s
    /// ```
    /// Every member here is positively homogeneous, so dividing all biases and thresholds by s is enough. Both matrices stay as
    /// they are, and a unit-norm decoder stays one. This is how a normalisation of the inputs is folded in.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] unless `s` is positive and finite.
    pub fn with_input_scale(&self, s: f64) -> Result<Self, SaeError> {
        ensure(s > 0.0 && s.is_finite(), "s", "positive and finite", s)?;
        let mut scaled = self.clone();
        let divisor = F::from_f64(s);
        let names = self.variant().per_latent_names();
        let weights = scaled.weights_mut();
        weights.b_dec.mapv_inplace(|b| b / divisor);
        for (vector, name) in weights.per_latent.iter_mut().zip(names) {
            match *name {
                // r is the logarithm of a ratio of two slopes: it has no unit.
                "r_mag" => {}
                "log_threshold" => vector.mapv_inplace(|t| t - divisor.ln()),
                _ => vector.mapv_inplace(|b| b / divisor),
            }
        }
        let threshold = self.variant().threshold().map(|t| t / s);
        *scaled.variant_mut() = self.variant().with_threshold(threshold);
        Ok(scaled)
    }

    /// Computes the fingerprint of the variant and of every parameter.
    pub fn fingerprint(&self) -> Fingerprint {
        self.dictionary.fingerprint()
    }

    /// Returns the factor of the penalty on the code of each latent.
    pub(crate) fn penalty_norms(&self) -> Vec<F> {
        let mut norms = Vec::new();
        self.variant().member().norms(self.weights(), &mut norms);
        norms
    }

    /// Returns the JumpReLU dictionary that computes the same function: see [`Dictionary::to_jump_relu`].
    ///
    /// # Errors
    /// As [`Dictionary::to_jump_relu`].
    pub fn to_jump_relu(&self) -> Result<Self, SaeError> {
        Ok(Self { dictionary: self.dictionary.to_jump_relu()? })
    }

    /// Returns the rescale-and-shift baseline of a ReLU dictionary before its training; it computes the same function.
    ///
    /// # Errors
    /// [`SaeError::Unsupported`] for a dictionary without plain ReLU codes.
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{Relu, Sae, Size};
    /// use collimate_stream::RngStream;
    /// let size = Size { d_model: 3, n_latents: 6 };
    /// let sae = Sae::<f64>::new(Relu::unit_norm(), size, &mut RngStream::new(1, 0))?;
    /// let x = ndarray::array![[0.3, -0.2, 0.9]];
    /// assert_eq!(sae.to_rescale_and_shift()?.dictionary().encode(&x)?, sae.dictionary().encode(&x)?);
    /// # Ok::<(), collimate_sae::SaeError>(())
    /// ```
    pub fn to_rescale_and_shift(&self) -> Result<Self, SaeError> {
        let input_bias = match self.variant() {
            Variant::Relu(relu) => relu.input_bias,
            Variant::PNorm(norm) => norm.input_bias,
            other => {
                let (operation, architecture) = ("rescale-and-shift", other.name());
                return Err(SaeError::Unsupported { operation, architecture });
            }
        };
        let Weights { w_enc, w_dec, b_dec, per_latent } = self.weights().clone();
        let b_enc = per_latent.into_iter().next().expect("a ReLU dictionary has one vector");
        let r = Array1::zeros(b_enc.len());
        let weights = Weights { w_enc, w_dec, b_dec, per_latent: vec![b_enc.clone(), b_enc, r] };
        Self::from_weights(RescaleAndShift { input_bias }, weights)
    }

    pub(crate) fn check_settings(&self, settings: &Settings<'_>) -> Result<(), SaeError> {
        let penalty = settings.penalty;
        ensure(penalty >= 0.0 && penalty.is_finite(), "penalty", "finite, at least 0", penalty)?;
        let n = self.size().n_latents;
        let ascending = settings.dead.windows(2).all(|w| w[0] < w[1]);
        let exist = settings.dead.last().is_none_or(|&i| (i as usize) < n);
        ensure(ascending && exist, "dead", "ascending latents below n", settings.dead.len() as f64)?;
        Ok(())
    }
}

impl<F: Precision> Sae<F> {
    /// Computes the loss of a batch and its gradient with respect to every parameter, without projection.
    ///
    /// # Errors
    /// As [`Dictionary::encode`]; [`SaeError::Diverged`] if a term of the loss is not finite.
    ///
    /// # Determinism
    /// The same bits on any number of threads.
    pub fn gradient(
        &self,
        x: &ArrayRef2<F>,
        settings: &Settings<'_>,
        workspace: &mut Workspace<F>,
    ) -> Result<(Losses, Weights<F>), SaeError> {
        self.dictionary.check_rows(x)?;
        self.check_settings(settings)?;
        F::gradient(self.variant(), self.weights(), [x, x], settings, workspace)
    }

    /// Makes one update: gradient, projection of its decoder part, Adam, normalisation of the decoder.
    ///
    /// The gradient is never written out: each latent gathers its own rows, updates and normalises them at once.
    /// [`Training`](crate::Training) calls this in a loop.
    ///
    /// # Errors
    /// As [`Sae::gradient`]. After [`SaeError::Diverged`] on a gradient, other tensors may have been updated.
    ///
    /// # Determinism
    /// The same bits on any number of threads.
    pub fn step(
        &mut self,
        moments: &mut AdamMoments<F>,
        x: &ArrayRef2<F>,
        settings: &Settings<'_>,
        adam: &AdamParameters,
        learning_rate: f64,
        workspace: &mut Workspace<F>,
    ) -> Result<Losses, SaeError> {
        self.dictionary.check_rows(x)?;
        self.step_to(moments, [x, x], settings, (adam, learning_rate), workspace)
    }

    /// Makes one update from inputs towards targets.
    pub(crate) fn step_to(
        &mut self,
        moments: &mut AdamMoments<F>,
        rows: [&ArrayRef2<F>; 2],
        settings: &Settings<'_>,
        optimiser: (&AdamParameters, f64),
        workspace: &mut Workspace<F>,
    ) -> Result<Losses, SaeError> {
        self.check_settings(settings)?;
        let given = moments.first.size();
        if given != self.size() || moments.second.size() != self.size() {
            let Size { d_model, n_latents } = self.size();
            return Err(SaeError::shape("moments", &[n_latents, d_model], &[given.n_latents, given.d_model]));
        }
        let Dictionary { variant, weights, .. } = &mut self.dictionary;
        F::update(variant, weights, moments, rows, settings, optimiser, workspace)
    }
}
