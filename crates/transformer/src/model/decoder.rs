use super::scratch::{Pool, in_pool};
use super::weights::Weights;
use crate::config::Config;
use crate::error::{ModelFileError, RunError, TransformerError};
use crate::hooks::Hooks;
use crate::losses::Losses;
use crate::site::Site;
use collimate_attention::{Attention, HeadMap, Mask, Offset, Rotary, RotaryTable};
use collimate_measure::Fingerprint;
use collimate_stream::RngStream;
use collimate_tensor::files::Gguf;
use ndarray::{Array2, ArrayRef2, ArrayView2, s};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The input of a decoder: tokens, and the layer to start from.
///
/// # Examples
/// A changed residual stream enters layer 2; only the layers from there on run:
/// ```
/// use collimate_transformer::{Config, Decoder, RngStream, Run};
/// let decoder = Decoder::random(Config::small(), &mut RngStream::new(1, 0))?;
/// let run = Run::of(&[7, 3, 9]);
/// let residual = decoder.residual(run, 2, &mut ())?;       // [3, 32]: in front of layer 2
/// let again = decoder.logits(run.from_layer(2, &residual.view()), &mut ())?;
/// assert_eq!(again, decoder.logits(run, &mut ())?);        // bit for bit
/// # Ok::<(), collimate_transformer::TransformerError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    pub(super) tokens: &'a [u32],
    pub(super) start: Option<(usize, ArrayView2<'a, f32>)>,
}

impl<'a> Run<'a> {
    /// Makes a run from the first layer, on these tokens.
    pub fn of(tokens: &'a [u32]) -> Self {
        Self { tokens, start: None }
    }

    /// Returns this run from the layer `layer` on, which receives `residual` `[t, d]`; 0 is the first layer, `n_layers` the final
    /// norm.
    ///
    /// The tokens are still the targets of the predictions.
    /// The new run lives as long as the shorter of the two, so one run of tokens serves many residual streams.
    #[must_use]
    pub fn from_layer<'b>(self, layer: usize, residual: &ArrayView2<'b, f32>) -> Run<'b>
    where
        'a: 'b,
    {
        Run { tokens: self.tokens, start: Some((layer, *residual)) }
    }

    fn first_layer(&self) -> usize {
        self.start.map_or(0, |(layer, _)| layer)
    }
}

/// A Llama-style decoder whose every activation can be read and replaced.
///
/// # Shapes
/// A run of t tokens has a residual stream `[t, d]` and logits `[t, v]`.
///
/// # Determinism
/// The results are equal bit for bit on any number of threads, with hooks that change nothing, and when a run is cut into one up to
/// a layer and one from that layer on. Bits may differ between processors.
///
/// # Examples
/// ```
/// use collimate_transformer::{Config, Decoder, RngStream, Run};
/// let decoder = Decoder::random(Config::small(), &mut RngStream::new(1, 0))?;
/// let logits = decoder.logits(Run::of(&[7, 3, 9]), &mut ())?;
/// assert_eq!(logits.dim(), (3, 61));
/// let losses = decoder.losses(Run::of(&[7, 3, 9]), &mut ())?;
/// let sum: f64 = logits.row(0).iter().map(|&x| f64::from(x).exp()).sum();
/// assert!((losses.log_sum_exp[0] - sum.ln()).abs() < 1e-5);
/// # Ok::<(), collimate_transformer::TransformerError>(())
/// ```
///
/// # References
/// Touvron et al. (2023), "LLaMA"; Allal et al. (2025), "SmolLM2".
pub struct Decoder {
    pub(super) config: Config,
    pub(super) weights: Weights,
    pub(super) attention: Attention,
    pub(super) pool: Pool,
    /// The cosines and sines up to the longest input so far.
    rotary: Mutex<Arc<RotaryTable<f32>>>,
    fingerprint: Fingerprint,
}

impl Decoder {
    /// Reads a model of architecture `llama` from a GGUF file; its weights are expanded to f32.
    ///
    /// # Errors
    /// [`TransformerError::File`] when the file is damaged, holds another model, or has a weight that is NaN or infinite;
    /// [`TransformerError::OutOfRange`] when the numbers of its configuration do not fit together.
    pub fn from_gguf(path: impl AsRef<Path>) -> Result<Self, TransformerError> {
        Self::from_open_gguf(&Gguf::open(path).map_err(ModelFileError::from)?)
    }

    /// Reads a model like [`Decoder::from_gguf`], from a file that is already open. Its tokenizer can be read from it too.
    ///
    /// # Errors
    /// As [`Decoder::from_gguf`].
    pub fn from_open_gguf(file: &Gguf) -> Result<Self, TransformerError> {
        let config = Config::from_gguf(file)?;
        Self::new(config, Weights::from_gguf(file, &config)?)
    }

    /// Makes a decoder with random normal weights: of variance 1/(fan in), embeddings of variance 1, gains near 1.
    ///
    /// # Errors
    /// [`TransformerError::OutOfRange`] when the numbers do not fit together.
    pub fn random(config: Config, stream: &mut RngStream) -> Result<Self, TransformerError> {
        config.check()?;
        Self::new(config, Weights::random(&config, stream)?)
    }

    fn new(config: Config, weights: Weights) -> Result<Self, TransformerError> {
        let rotary =
            Rotary::interleaved(config.d_head, config.rotary_base).table(0..0).map_err(RunError::from)?;
        let attention = Attention::scaled_dot_product()
            .heads(HeadMap::grouped_by_floor(config.n_heads, config.n_key_heads))
            .mask(Mask::causal(Offset::zero()));
        let fingerprint =
            Fingerprint::of(format!("{config:?}").as_bytes()).and(&weights.digest.to_le_bytes());
        Ok(Self {
            config,
            weights,
            attention,
            pool: Pool::default(),
            rotary: Mutex::new(Arc::new(rotary)),
            fingerprint,
        })
    }

    /// Returns the sizes and constants.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the fingerprint of the configuration and of the bits of every weight.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Returns the embedding `[v, d]`. A model that ties the two uses it for the logits too.
    pub fn embedding(&self) -> &ArrayRef2<f32> {
        &self.weights.embedding
    }

    /// Computes the residual stream `[t, d]` in front of layer `layer`; `n_layers` is the final norm.
    ///
    /// # Errors
    /// [`RunError::EmptyInput`], [`RunError::UnknownToken`], [`RunError::ContextOverflow`], [`RunError::Shape`] and
    /// [`RunError::NonFinite`] when the input does not fit the model; [`RunError::Layer`] when `layer` lies before the start or
    /// behind the end; [`RunError::NoSuchPoint`] when a hook names a layer that the model does not have; [`RunError::NonFinite`] with
    /// the site when a hook leaves NaN or infinity, or when finite numbers overflow.
    pub fn residual(
        &self,
        run: Run<'_>,
        layer: usize,
        hooks: &mut dyn Hooks,
    ) -> Result<Array2<f32>, RunError> {
        let first = run.first_layer();
        if layer < first || layer > self.config.n_layers {
            return Err(RunError::Layer { given: layer, first, last: self.config.n_layers });
        }
        let layers = self.config.n_layers;
        if let Some(point) = hooks.points().into_iter().find(|point| point.layer >= layers) {
            return Err(RunError::NoSuchPoint { point, layers });
        }
        let mut residual = self.enter(&run)?;
        in_pool(|| self.layers(first..layer, &mut residual, hooks))?;
        Ok(residual)
    }

    /// Runs up to the last layer at which the hooks want an activation, and returns nothing.
    ///
    /// # Errors
    /// As [`Decoder::residual`].
    pub fn visit(&self, run: Run<'_>, hooks: &mut dyn Hooks) -> Result<(), RunError> {
        let first = run.first_layer();
        let wanted = |layer: &usize| Site::ALL.iter().any(|site| hooks.wants(site.of_layer(*layer)));
        let end = (first..self.config.n_layers).rev().find(wanted).map_or(first, |layer| layer + 1);
        self.residual(run, end, hooks).map(drop)
    }

    /// Computes the logits `[t, v]` of every position.
    ///
    /// # Errors
    /// As [`Decoder::residual`].
    pub fn logits(&self, run: Run<'_>, hooks: &mut dyn Hooks) -> Result<Array2<f32>, RunError> {
        let residual = self.residual(run, self.config.n_layers, hooks)?;
        in_pool(|| self.unembed(&residual))
    }

    /// Computes the logits `[v]` of the last position: the prediction of the next token.
    ///
    /// # Errors
    /// As [`Decoder::residual`].
    pub fn last_logits(&self, run: Run<'_>, hooks: &mut dyn Hooks) -> Result<Vec<f32>, RunError> {
        let residual = self.residual(run, self.config.n_layers, hooks)?;
        let logits = in_pool(|| self.unembed(&residual.slice(s![-1.., ..])))?;
        Ok(logits.into_raw_vec_and_offset().0)
    }

    /// Computes the negative log-likelihood of each token given the tokens before it, without holding all logits at once.
    ///
    /// # Errors
    /// As [`Decoder::residual`].
    pub fn losses(&self, run: Run<'_>, hooks: &mut dyn Hooks) -> Result<Losses, RunError> {
        let residual = self.residual(run, self.config.n_layers, hooks)?;
        in_pool(|| self.losses_of(&residual, run.tokens))
    }

    /// Returns the cosines and sines for `positions` positions.
    pub(super) fn rotary(&self, positions: usize) -> Result<Arc<RotaryTable<f32>>, RunError> {
        let mut table = self.rotary.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() < positions {
            let longer = positions.next_power_of_two().min(self.config.context);
            let rotary = Rotary::interleaved(self.config.d_head, self.config.rotary_base);
            *table = Arc::new(rotary.table(0..longer as i64)?);
        }
        Ok(table.clone())
    }
}
