use crate::forward::{Pool, in_pool};
use crate::weights::Weights;
use crate::{Config, Hooks, Losses, Site, TransformerError};
use collimate_attention::{Attention, HeadMap, Mask, Offset, Rotary, RotaryTable};
use collimate_measure::Fingerprint;
use collimate_stream::RngStream;
use collimate_tensor::files::Gguf;
use ndarray::{Array2, ArrayRef2, ArrayView2, s};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// What goes into a decoder: tokens, and where to start.
///
/// # Examples
/// Splice a changed residual stream into layer 2; only the layers behind it run:
/// ```
/// use collimate_stream::RngStream;
/// use collimate_transformer::{Config, Decoder, Run};
/// let decoder = Decoder::random(Config::small(), &mut RngStream::new(1, 0))?;
/// let run = Run::of(&[7, 3, 9]);
/// let residual = decoder.residual(run, 2, &mut ())?;       // (3, 32): in front of layer 2
/// let again = decoder.logits(run.from_layer(2, &residual.view()), &mut ())?;
/// assert_eq!(again, decoder.logits(run, &mut ())?);        // bit for bit
/// # Ok::<(), collimate_transformer::TransformerError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    pub(crate) tokens: &'a [u32],
    pub(crate) start: Option<(usize, ArrayView2<'a, f32>)>,
}

impl<'a> Run<'a> {
    /// From the first layer, on these tokens.
    pub fn of(tokens: &'a [u32]) -> Self {
        Self { tokens, start: None }
    }

    /// From the layer `layer`, which receives `residual` (t, d); 0 is the first layer, `n_layers` the final norm.
    ///
    /// The tokens still say what is to be predicted.
    #[must_use]
    pub fn from_layer(self, layer: usize, residual: &ArrayView2<'a, f32>) -> Self {
        Self { start: Some((layer, *residual)), ..self }
    }

    fn first_layer(&self) -> usize {
        self.start.map_or(0, |(layer, _)| layer)
    }
}

/// A Llama-style decoder whose every activation can be looked at and replaced.
///
/// # Shapes
/// t tokens give a residual stream (t, d) and logits (t, v).
///
/// # Determinism
/// The same bits on any number of threads; with hooks that change nothing; and when a run is cut into one up to a layer
/// and one from it. Bits may differ between processors.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_transformer::{Config, Decoder, Run};
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
    pub(crate) config: Config,
    pub(crate) weights: Weights,
    pub(crate) attention: Attention,
    pub(crate) pool: Pool,
    /// Cosines and sines up to the longest input so far.
    rotary: Mutex<Arc<RotaryTable<f32>>>,
    fingerprint: Fingerprint,
}

impl Decoder {
    /// Reads a model of architecture `llama` from a GGUF file; its weights are expanded to f32.
    ///
    /// # Errors
    /// [`TransformerError::File`] when the file is not sound, [`TransformerError::Metadata`],
    /// [`TransformerError::Config`], [`TransformerError::TensorShape`] and [`TransformerError::UnexpectedTensor`] when it is
    /// not such a model, [`TransformerError::NonFinite`] when a weight is NaN or infinite.
    pub fn from_gguf(path: impl AsRef<Path>) -> Result<Self, TransformerError> {
        Self::from_open_gguf(&Gguf::open(path)?)
    }

    /// As [`Decoder::from_gguf`], from a file that is already open (its tokenizer can be read from it too).
    ///
    /// # Errors
    /// As [`Decoder::from_gguf`].
    pub fn from_open_gguf(file: &Gguf) -> Result<Self, TransformerError> {
        let config = Config::from_gguf(file)?;
        Self::new(config, Weights::from_gguf(file, &config)?)
    }

    /// A decoder with random weights: normal, of variance 1/(fan in), embeddings of variance 1, gains near 1.
    ///
    /// # Errors
    /// [`TransformerError::Config`] when the numbers do not fit together.
    pub fn random(config: Config, stream: &mut RngStream) -> Result<Self, TransformerError> {
        config.check()?;
        Self::new(config, Weights::random(&config, stream)?)
    }

    fn new(config: Config, weights: Weights) -> Result<Self, TransformerError> {
        let rotary = Rotary::interleaved(config.d_head, config.rotary_base).table(0..0)?;
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

    /// Its sizes and constants.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Of its configuration and every weight, by their bits.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The embedding (v, d), also used for the logits when the model ties the two.
    pub fn embedding(&self) -> &ArrayRef2<f32> {
        &self.weights.embedding
    }

    /// The residual stream (t, d) in front of layer `layer`; `n_layers` gives the one in front of the final norm.
    ///
    /// # Errors
    /// [`TransformerError::EmptyInput`], [`TransformerError::UnknownToken`], [`TransformerError::ContextOverflow`],
    /// [`TransformerError::Shape`] and [`TransformerError::NonFinite`] when the input does not fit the model,
    /// [`TransformerError::Layer`] when `layer` lies before the start or behind the end, and
    /// [`TransformerError::NonFinite`] when a hook leaves NaN or infinity.
    pub fn residual(
        &self,
        run: Run<'_>,
        layer: usize,
        hooks: &mut dyn Hooks,
    ) -> Result<Array2<f32>, TransformerError> {
        let first = run.first_layer();
        if layer < first || layer > self.config.n_layers {
            return Err(TransformerError::Layer { given: layer, first, last: self.config.n_layers });
        }
        let mut residual = self.enter(&run)?;
        in_pool(|| self.layers(first..layer, &mut residual, hooks))?;
        Ok(residual)
    }

    /// Runs as far as the last layer that a hook wants something of, and gives nothing back.
    ///
    /// # Errors
    /// As [`Decoder::residual`].
    pub fn visit(&self, run: Run<'_>, hooks: &mut dyn Hooks) -> Result<(), TransformerError> {
        let first = run.first_layer();
        let wanted = |layer: &usize| Site::ALL.iter().any(|site| hooks.wants(site.of_layer(*layer)));
        let end = (first..self.config.n_layers).rev().find(wanted).map_or(first, |layer| layer + 1);
        self.residual(run, end, hooks).map(drop)
    }

    /// The logits (t, v) of every position.
    ///
    /// # Errors
    /// As [`Decoder::residual`].
    pub fn logits(&self, run: Run<'_>, hooks: &mut dyn Hooks) -> Result<Array2<f32>, TransformerError> {
        let residual = self.residual(run, self.config.n_layers, hooks)?;
        in_pool(|| self.unembed(&residual))
    }

    /// The logits (v) of the last position: of the token to come.
    ///
    /// # Errors
    /// As [`Decoder::residual`].
    pub fn last_logits(&self, run: Run<'_>, hooks: &mut dyn Hooks) -> Result<Vec<f32>, TransformerError> {
        let residual = self.residual(run, self.config.n_layers, hooks)?;
        let logits = in_pool(|| self.unembed(&residual.slice(s![-1.., ..])))?;
        Ok(logits.into_raw_vec_and_offset().0)
    }

    /// The negative log-likelihood of each token given those before it, without ever holding all logits.
    ///
    /// # Errors
    /// As [`Decoder::residual`].
    pub fn losses(&self, run: Run<'_>, hooks: &mut dyn Hooks) -> Result<Losses, TransformerError> {
        let residual = self.residual(run, self.config.n_layers, hooks)?;
        in_pool(|| self.losses_of(&residual, run.tokens))
    }

    /// The cosines and sines for `positions` positions.
    pub(crate) fn rotary(&self, positions: usize) -> Result<Arc<RotaryTable<f32>>, TransformerError> {
        let mut table = self.rotary.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() < positions {
            let longer = positions.next_power_of_two().min(self.config.context);
            let rotary = Rotary::interleaved(self.config.d_head, self.config.rotary_base);
            *table = Arc::new(rotary.table(0..longer as i64)?);
        }
        Ok(table.clone())
    }
}
