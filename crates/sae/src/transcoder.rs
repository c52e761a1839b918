use crate::dictionary::{Dictionary, Target};
use crate::error::SaeError;
use crate::members::choices::InputBias;
use crate::members::variant::Variant;
use crate::precision::Precision;
use crate::sae::Sae;
use crate::step::adam::{AdamMoments, AdamParameters, Update};
use crate::step::settings::{Losses, Settings};
use crate::step::workspace::Workspace;
use crate::weights::{Size, Weights, finite};
use collimate_measure::{Fingerprint, ensure};
use collimate_stream::RngStream;
use collimate_tensor::{matmul, matmul_into, sum_of_squares};
use ndarray::{Array2, ArrayRef2};

/// A transcoder: sparse codes of one activation that predict another, such as the output of an MLP from its input.
///
/// ```text
/// f = activation(W_enc x + …)        ŷ = W_decᵀ f + b_dec (+ W_skip x)        L = ‖y − ŷ‖² + what the member adds
/// gradients as for the member with e = ŷ − y        ∂W_skip = 2 e xᵀ
/// ```
/// Any member that compares latents with products of the input serves: it is a dictionary between two spaces. `b_dec`
/// belongs to the output and is never subtracted from the input. With y = x and no skip it is that dictionary.
///
/// # Shapes
/// `w_enc` `[n, d_in]`, `w_dec` `[n, d_out]`, `b_dec` `[d_out]`, the skip `[d_out, d_in]`.
///
/// # Examples
/// ```
/// use collimate_sae::{InputBias, Skip, TopK, Transcoder};
/// use collimate_stream::RngStream;
/// let top = TopK { input_bias: InputBias::NotSubtracted, ..TopK::new(1) };
/// let transcoder = Transcoder::<f64>::new(top, 3, 2, 6, Skip::Zero, &mut RngStream::new(1, 0))?;
/// let x = ndarray::array![[0.5, -1.0, 2.0]];
/// assert_eq!(transcoder.dictionary().reconstruct(&x)?, ndarray::array![[0.0, 0.0]]); // the decoder and the skip start at zero
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
///
/// # References
/// Dunefsky et al. (2024), "Transcoders Find Interpretable LLM Feature Circuits"; Paulo et al. (2025), "Transcoders Beat
/// Sparse Autoencoders for Interpretability", for the skip.
#[derive(Clone, Debug, PartialEq)]
pub struct Transcoder<F> {
    sae: Sae<F>,
}

/// The linear path of a transcoder around its latents, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Skip {
    /// No linear path.
    None,
    /// A linear path that starts at zero.
    Zero,
}

/// The gradient of a transcoder.
#[derive(Clone, Debug, PartialEq)]
pub struct TranscoderGradient<F> {
    /// The gradient of the parameters without the skip.
    pub weights: Weights<F>,
    /// The gradient of the skip, if there is one.
    pub skip: Option<Array2<F>>,
}

/// The moments of the optimiser for a skip.
#[derive(Clone, Debug, PartialEq)]
pub struct SkipMoments<F> {
    /// The first moments.
    pub first: Array2<F>,
    /// The second moments.
    pub second: Array2<F>,
}

impl<F: Precision> Transcoder<F> {
    /// Returns a transcoder before training: random unit encoder rows, decoder and biases zero.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] for an empty size or a parameter of the variant outside its range,
    /// [`SaeError::Unsupported`] for a member that subtracts b_dec from the input or has no encoder of its own.
    pub fn new(
        variant: impl Into<Variant>,
        d_in: usize,
        d_out: usize,
        n_latents: usize,
        skip: Skip,
        stream: &mut RngStream,
    ) -> Result<Self, SaeError> {
        let variant = variant.into();
        supported(&variant)?;
        variant.check(Size { d_model: d_out, n_latents })?;
        Size { d_model: d_out, n_latents }.check_memory::<F>()?;
        let start = Sae::new(variant, Size { d_model: d_in, n_latents }, stream)?.into_weights();
        let weights = Weights {
            w_enc: start.w_enc,
            w_dec: Array2::zeros((n_latents, d_out)),
            b_dec: ndarray::Array1::zeros(d_out),
            per_latent: start.per_latent,
        };
        let skip = (skip == Skip::Zero).then(|| Array2::zeros((d_out, d_in)));
        Self::from_weights(variant, weights, skip)
    }

    /// Returns a transcoder with the given parameters.
    ///
    /// # Errors
    /// As [`Sae::from_weights`]; [`SaeError::Mismatch`] for a skip of another shape, [`SaeError::Unsupported`] as
    /// [`Transcoder::new`].
    pub fn from_weights(
        variant: impl Into<Variant>,
        weights: Weights<F>,
        skip: Option<Array2<F>>,
    ) -> Result<Self, SaeError> {
        let variant = variant.into();
        supported(&variant)?;
        let width = weights.w_enc.ncols();
        ensure(width > 0, "d_in", "at least 1", 0.0)?;
        let mut dictionary = Dictionary::of_width(variant, weights, width)?.with_skip(skip)?;
        dictionary.target = Target::Other;
        Ok(Self { sae: Sae::of(dictionary) })
    }

    /// Returns the member of the family.
    pub fn variant(&self) -> &Variant {
        self.sae.variant()
    }

    /// Returns the parameters without the skip.
    pub fn weights(&self) -> &Weights<F> {
        self.sae.weights()
    }

    /// Returns the skip, if there is one.
    pub fn skip(&self) -> Option<&Array2<F>> {
        self.dictionary().skip()
    }

    /// Returns the dictionary, for encoding and predicting.
    pub fn dictionary(&self) -> &Dictionary<F> {
        self.sae.dictionary()
    }

    /// Returns the model of the latents, which holds the skip too.
    pub(crate) fn sae(&self) -> &Sae<F> {
        &self.sae
    }

    pub(crate) fn sae_mut(&mut self) -> &mut Sae<F> {
        &mut self.sae
    }

    /// Computes the fingerprint of the variant and of every parameter.
    pub fn fingerprint(&self) -> Fingerprint {
        self.dictionary().fingerprint()
    }

    /// Returns the widths of the input and of the output.
    pub fn widths(&self) -> (usize, usize) {
        (self.sae.input_width(), self.sae.size().d_model)
    }

    /// Returns the transcoder that computes from x what this one computes from s·x, with its input and its output in the units
    /// of x.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] unless `s` is positive and finite.
    pub fn with_scale(&self, s: f64) -> Result<Self, SaeError> {
        // The skip is a ratio of the two units, which are scaled alike.
        Ok(Self { sae: self.sae.with_input_scale(s)? })
    }

    /// Computes what the latents have to explain: y without the skip's part.
    fn remainder(&self, x: &ArrayRef2<F>, y: &ArrayRef2<F>) -> Result<Array2<F>, SaeError> {
        self.dictionary().check_rows(x)?;
        let shape = [x.nrows(), self.sae.size().d_model];
        if y.shape() != shape {
            return Err(SaeError::shape("y", &shape, y.shape()));
        }
        finite("y", y)?;
        let mut left = y.as_standard_layout().into_owned();
        if let Some(skip) = self.skip() {
            matmul_into(-F::one(), x, &skip.t(), F::one(), &mut left)?;
        }
        Ok(left)
    }

    /// Computes ∂L/∂W_skip from the residuals of a step.
    fn skip_gradient(&self, x: &ArrayRef2<F>, workspace: &Workspace<F>) -> Result<Array2<F>, SaeError> {
        let mut gradient = matmul(&workspace.residuals().t(), x)?;
        let two = F::from_f64(2.0 / x.nrows() as f64);
        gradient.mapv_inplace(|g| two * g);
        if let Some(second) = self.variant().member().second.filter(|second| second.trains_decoder) {
            let factor = two * F::from_f64(second.weight);
            matmul_into(factor, &workspace.second_residuals().t(), x, F::one(), &mut gradient)?;
        }
        Ok(gradient)
    }

    /// Computes the loss of a batch and its gradient with respect to every parameter, without projection. In the losses,
    /// `input` refers to y without the skip's part, which the latents have to explain.
    ///
    /// # Shapes
    /// `x` `[b, d_in]`, `y` `[b, d_out]`.
    ///
    /// # Errors
    /// As [`Sae::gradient`]; [`SaeError::Mismatch`] when `y` does not fit `x`.
    ///
    /// # Determinism
    /// The same bits on any number of threads.
    pub fn gradient(
        &self,
        x: &ArrayRef2<F>,
        y: &ArrayRef2<F>,
        settings: &Settings<'_>,
        workspace: &mut Workspace<F>,
    ) -> Result<(Losses, TranscoderGradient<F>), SaeError> {
        let left = self.remainder(x, y)?;
        self.sae.check_settings(settings)?;
        let (losses, weights) =
            F::gradient(self.sae.variant(), self.sae.weights(), [x, &left], settings, workspace)?;
        let skip = self.skip().is_some().then(|| self.skip_gradient(x, workspace)).transpose()?;
        Ok((losses, TranscoderGradient { weights, skip }))
    }

    /// Returns the moments before the first update.
    pub fn moments(&self) -> (AdamMoments<F>, Option<SkipMoments<F>>) {
        let skip = self.skip().map(|skip| SkipMoments {
            first: Array2::zeros(skip.raw_dim()),
            second: Array2::zeros(skip.raw_dim()),
        });
        (AdamMoments::zeros(self.weights()), skip)
    }

    /// Makes one update, like [`Sae::step`]. The skip is not clipped.
    ///
    /// # Errors
    /// As [`Transcoder::gradient`].
    ///
    /// # Determinism
    /// The same bits on any number of threads.
    pub fn step(
        &mut self,
        moments: &mut (AdamMoments<F>, Option<SkipMoments<F>>),
        x: &ArrayRef2<F>,
        y: &ArrayRef2<F>,
        settings: &Settings<'_>,
        adam: &AdamParameters,
        learning_rate: f64,
        workspace: &mut Workspace<F>,
    ) -> Result<Losses, SaeError> {
        let left = self.remainder(x, y)?;
        let (of_sae, of_skip) = moments;
        let losses = self.sae.step_to(of_sae, [x, &left], settings, (adam, learning_rate), workspace)?;
        if self.skip().is_some() {
            let gradient = self.skip_gradient(x, workspace)?;
            let slice = "standard layout";
            let flat = gradient.as_slice().expect(slice);
            if !sum_of_squares(flat).is_finite() {
                return Err(SaeError::Diverged { step: of_sae.updates - 1, tensor: "w_skip" });
            }
            let (Some(skip), Some(moments)) = (self.sae.skip_mut(), of_skip) else {
                return Err(SaeError::shape("the moments of the skip", gradient.shape(), &[0, 0]));
            };
            Update::new(adam, learning_rate, of_sae.updates).apply(
                skip.as_slice_mut().expect(slice),
                moments.first.as_slice_mut().expect(slice),
                moments.second.as_slice_mut().expect(slice),
                flat,
            );
        }
        Ok(losses)
    }
}

fn supported(variant: &Variant) -> Result<(), SaeError> {
    let member = variant.member();
    if !member.between_spaces || member.untied || member.input_bias == InputBias::Subtracted {
        let (operation, architecture) =
            ("transcoding (with b_dec subtracted from the input)", variant.name());
        return Err(SaeError::Unsupported { operation, architecture });
    }
    Ok(())
}
