use crate::float::Float;
use crate::step::workspace::Workspace;
use crate::step::{Losses, Settings};
use crate::train::adam::{Adam, Moments, Update};
use crate::weights::finite;
use crate::{InputBias, Sae, SaeError, Size, Variant, Weights};
use collimate_measure::Fingerprint;
use collimate_stream::RngStream;
use collimate_tensor::{SparseRows, matmul, matmul_into, sum_of_squares};
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
/// assert_eq!(transcoder.predict(&x)?, ndarray::array![[0.0, 0.0]]); // the decoder and the skip start at zero
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
///
/// # References
/// Dunefsky et al. (2024), "Transcoders Find Interpretable LLM Feature Circuits"; Paulo et al. (2025), "Transcoders Beat
/// Sparse Autoencoders for Interpretability", for the skip.
#[derive(Clone, Debug, PartialEq)]
pub struct Transcoder<F> {
    sae: Sae<F>,
    skip: Option<Array2<F>>,
}

/// Whether a transcoder has a linear path around its latents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Skip {
    /// None.
    None,
    /// One that starts at zero.
    Zero,
}

/// The gradient of a transcoder.
#[derive(Clone, Debug, PartialEq)]
pub struct TranscoderGradient<F> {
    /// Of the dictionary.
    pub weights: Weights<F>,
    /// Of the skip, if there is one.
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

impl<F: Float> Transcoder<F> {
    /// A transcoder before training: random unit encoder rows, decoder and biases zero.
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

    /// A transcoder with the given parameters.
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
        if width == 0 {
            return Err(SaeError::OutOfRange { name: "d_in", expected: "at least 1", given: 0.0 });
        }
        let sae = Sae::from_weights_of_width(variant, weights, width)?;
        let skip = match skip {
            None => None,
            Some(skip) => {
                let expected = [sae.size().d_model, width];
                if skip.shape() != expected {
                    return Err(SaeError::shape("the skip", &expected, skip.shape()));
                }
                finite("the skip", &skip)?;
                Some(skip.as_standard_layout().into_owned())
            }
        };
        Ok(Self { sae, skip })
    }

    /// Which member of the family it is.
    pub fn variant(&self) -> &Variant {
        self.sae.variant()
    }

    /// The parameters without the skip.
    pub fn weights(&self) -> &Weights<F> {
        self.sae.weights()
    }

    /// The skip, if there is one.
    pub fn skip(&self) -> Option<&Array2<F>> {
        self.skip.as_ref()
    }

    /// The dictionary without the skip.
    pub(crate) fn sae(&self) -> &Sae<F> {
        &self.sae
    }

    pub(crate) fn sae_mut(&mut self) -> &mut Sae<F> {
        &mut self.sae
    }

    /// The fingerprint of the variant and of every parameter.
    pub fn fingerprint(&self) -> Fingerprint {
        let skip = self.skip.iter().flatten();
        let bytes: Vec<u8> = skip.flat_map(|&v| v.to_f64().to_bits().to_le_bytes()).collect();
        self.sae.fingerprint().and(&bytes)
    }

    /// The widths of the input and of the output.
    pub fn widths(&self) -> (usize, usize) {
        (self.sae.input_width(), self.sae.size().d_model)
    }

    /// The transcoder that does to x what this one does to s·x, with both its input and its output in the units of x.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] unless `s` is positive and finite.
    pub fn with_scale(&self, s: f64) -> Result<Self, SaeError> {
        // The skip is a ratio of the two units, which are scaled alike.
        Ok(Self { sae: self.sae.with_input_scale(s)?, skip: self.skip.clone() })
    }

    /// The sparse codes of some inputs.
    ///
    /// # Errors
    /// As [`Sae::encode`].
    pub fn encode(&self, x: &ArrayRef2<F>) -> Result<SparseRows<F>, SaeError> {
        self.sae.encode(x)
    }

    /// The predictions ŷ from some inputs.
    ///
    /// # Errors
    /// As [`Sae::encode`].
    pub fn predict(&self, x: &ArrayRef2<F>) -> Result<Array2<F>, SaeError> {
        let mut y = self.sae.decode(&self.encode(x)?)?;
        if let Some(skip) = &self.skip {
            matmul_into(F::one(), x, &skip.t(), F::one(), &mut y)?;
        }
        Ok(y)
    }

    /// What the latents have to explain: y without the skip's part.
    fn remainder(&self, x: &ArrayRef2<F>, y: &ArrayRef2<F>) -> Result<Array2<F>, SaeError> {
        self.sae.check_rows(x)?;
        let shape = [x.nrows(), self.sae.size().d_model];
        if y.shape() != shape {
            return Err(SaeError::shape("y", &shape, y.shape()));
        }
        finite("y", y)?;
        let mut left = y.as_standard_layout().into_owned();
        if let Some(skip) = &self.skip {
            matmul_into(-F::one(), x, &skip.t(), F::one(), &mut left)?;
        }
        Ok(left)
    }

    /// ∂L/∂W_skip from the residual that a step left behind.
    fn skip_gradient(&self, x: &ArrayRef2<F>, workspace: &Workspace<F>) -> Result<Array2<F>, SaeError> {
        let mut gradient = matmul(&workspace.residual.t(), x)?;
        let two = F::from_f64(2.0 / x.nrows() as f64);
        gradient.mapv_inplace(|g| two * g);
        if let (Variant::TopK(top), Some(multi)) = (self.variant(), second_weight(self.variant())) {
            debug_assert!(top.multi.is_some());
            matmul_into(two * F::from_f64(multi), &workspace.aux.t(), x, F::one(), &mut gradient)?;
        } else if let Variant::Gated(_) = self.variant()
            && self.variant().aux_trains_decoder()
        {
            matmul_into(two, &workspace.aux.t(), x, F::one(), &mut gradient)?;
        }
        Ok(gradient)
    }

    /// The loss of a batch and its gradient with respect to every parameter, nothing projected. In the losses `input`
    /// stands for what the latents have to explain: y without the skip's part.
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
        let (losses, weights) = F::gradient(&self.sae, x, &left, settings, workspace)?;
        let skip = self.skip.is_some().then(|| self.skip_gradient(x, workspace)).transpose()?;
        Ok((losses, TranscoderGradient { weights, skip }))
    }

    /// No update made yet.
    pub fn moments(&self) -> (Moments<F>, Option<SkipMoments<F>>) {
        let skip = self.skip.as_ref().map(|skip| SkipMoments {
            first: Array2::zeros(skip.raw_dim()),
            second: Array2::zeros(skip.raw_dim()),
        });
        (Moments::zeros(self.weights()), skip)
    }

    /// One update, as [`Sae::step`]. The skip is not clipped with the rest.
    ///
    /// # Errors
    /// As [`Transcoder::gradient`].
    ///
    /// # Determinism
    /// The same bits on any number of threads.
    pub fn step(
        &mut self,
        moments: &mut (Moments<F>, Option<SkipMoments<F>>),
        x: &ArrayRef2<F>,
        y: &ArrayRef2<F>,
        settings: &Settings<'_>,
        adam: &Adam,
        learning_rate: f64,
        workspace: &mut Workspace<F>,
    ) -> Result<Losses, SaeError> {
        let left = self.remainder(x, y)?;
        let (of_sae, of_skip) = moments;
        let losses = self.sae.step_to(of_sae, x, &left, settings, adam, learning_rate, workspace)?;
        if self.skip.is_some() {
            let gradient = self.skip_gradient(x, workspace)?;
            let slice = "standard layout";
            let flat = gradient.as_slice().expect(slice);
            if !sum_of_squares(flat).is_finite() {
                return Err(SaeError::Diverged { step: of_sae.updates - 1, tensor: "w_skip" });
            }
            let (Some(skip), Some(moments)) = (&mut self.skip, of_skip) else {
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

fn second_weight(variant: &Variant) -> Option<f64> {
    match variant {
        Variant::TopK(top) => top.multi.map(|multi| multi.weight),
        _ => None,
    }
}

fn supported(variant: &Variant) -> Result<(), SaeError> {
    let between =
        !matches!(variant, Variant::MatchingPursuit(_) | Variant::Crosscoder(_)) && !variant.untied();
    if !between || variant.input_bias() == InputBias::Subtracted {
        let (operation, architecture) =
            ("transcoding (with b_dec subtracted from the input)", variant.name());
        return Err(SaeError::Unsupported { operation, architecture });
    }
    Ok(())
}
