use super::layer::TranscoderLayer;
use crate::arranged::arrangement::{all_finite, check_shape};
use crate::error::SaeError;
use collimate_measure::ensure;
use collimate_stream::RngStream;
use collimate_tensor::{Scalar, SparseRows};
use ndarray::{Array3, ArrayRef3, Axis};

/// A transcoder for each layer of a model: sparse codes of the input of a layer that predict the output of that layer, and with
/// [`Reach::LaterLayers`] also the outputs of all layers after it.
///
/// ```text
/// z^l = W_enc^l x^l + b_enc^l        a^l = ReLU(z^l), or z^l·1[z^l > θ^l], or the k largest entries of z^l
/// ŷ^m = b_dec^m + Σ_{l ≤ m} a^l W_dec^l[:, m − l] (+ W_skip^m x^m)                   (LaterLayers: a cross-layer transcoder)
/// ŷ^m = b_dec^m + a^m W_dec^m[:, 0] (+ W_skip^m x^m)                                 (OwnLayer: a set of transcoders)
/// ```
///
/// # Shapes
/// With L layers, layer l has `w_enc` `[n, d_in]`, `b_enc` `[n]`, `w_dec` `[n, L − l, d_out]` (`[n, 1, d_out]` for
/// [`Reach::OwnLayer`]), `b_dec` `[d_out]` and the skip `[d_out, d_in]`. n, d_in and d_out are the same in every layer.
///
/// # Examples
/// ```
/// use collimate_sae::{LayerActivation, LayeredTranscoder, Reach, TranscoderLayer};
/// use ndarray::{Array3, array};
/// let layer = |outputs: usize| TranscoderLayer {
///     w_enc: array![[1.0, 0.0]],
///     b_enc: array![0.0],
///     activation: LayerActivation::Relu,
///     w_dec: Array3::from_elem((1, outputs, 1), 10.0),
///     b_dec: array![0.5],
///     w_skip: None,
/// };
/// let transcoder = LayeredTranscoder::new(vec![layer(2), layer(1)], Reach::LaterLayers)?;
/// let x = array![[[3.0, 9.0]], [[-1.0, 9.0]]]; // one row at two layers
/// assert_eq!(transcoder.reconstruct(&x)?, array![[[30.5]], [[30.5]]]); // the first layer writes to both
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
///
/// # References
/// Ameisen et al. (Anthropic, 2025), "Circuit Tracing: Revealing Computational Graphs in Language Models", for cross-layer
/// transcoders; Dunefsky et al. (2024), "Transcoders Find Interpretable LLM Feature Circuits", for those of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayeredTranscoder<F> {
    pub(super) layers: Vec<TranscoderLayer<F>>,
    reach: Reach,
}

/// The layers that the latents of a layer write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Their own layer alone: a set of transcoders that do not depend on each other.
    OwnLayer,
    /// Their own layer and all layers after it: a cross-layer transcoder.
    LaterLayers,
}

impl<F: Scalar> LayeredTranscoder<F> {
    /// Returns a transcoder with the given parameters.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] if a shape does not fit, [`SaeError::OutOfRange`] for no layer, an empty size or k outside 1…n,
    /// [`SaeError::NonFiniteInput`] for NaN or infinity.
    pub fn new(layers: Vec<TranscoderLayer<F>>, reach: Reach) -> Result<Self, SaeError> {
        let count = layers.len();
        let Some(first) = layers.first() else {
            ensure(false, "layers", "at least 1", 0.0)?;
            return Ok(Self { layers, reach });
        };
        let (n, d_in) = first.w_enc.dim();
        let size = [n, d_in, first.b_dec.len()];
        ensure(size.iter().all(|&axis| axis > 0), "n_latents × d_in × d_out", "positive", 0.0)?;
        ensure(u32::try_from(n).is_ok(), "n_latents", "below 2³²", n as f64)?;
        let outputs = |layer: usize| if reach == Reach::OwnLayer { 1 } else { count - layer };
        let layers = layers.into_iter().enumerate();
        let layers = layers.map(|(l, layer)| layer.checked(size, outputs(l))).collect::<Result<_, _>>()?;
        Ok(Self { layers, reach })
    }

    /// Returns the parameters, layer by layer.
    pub fn layers(&self) -> &[TranscoderLayer<F>] {
        &self.layers
    }

    /// Returns the layers that the latents of a layer write to.
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// Returns the number of latents of each layer.
    pub fn n_latents(&self) -> usize {
        self.layers[0].w_enc.nrows()
    }

    /// Returns the width of the inputs.
    pub fn d_in(&self) -> usize {
        self.layers[0].w_enc.ncols()
    }

    /// Returns the width of the outputs.
    pub fn d_out(&self) -> usize {
        self.layers[0].b_dec.len()
    }

    /// Computes the codes of every layer.
    ///
    /// # Shapes
    /// `x` `[layer, b, d_in]`; each result has b rows and n columns.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] for another number of layers or another width, [`SaeError::NonFiniteInput`] for NaN or infinity.
    ///
    /// # Determinism
    /// The bits are the same on any number of threads.
    pub fn encode(&self, x: &ArrayRef3<F>) -> Result<Vec<SparseRows<F>>, SaeError> {
        self.check_input(x)?;
        self.layers.iter().zip(x.outer_iter()).map(|(layer, x)| layer.encode(&x)).collect()
    }

    /// Computes the predictions from the codes of every layer, without the skips, which need the input.
    ///
    /// # Shapes
    /// One set of codes for each layer, with b rows and n columns; the result `[layer, b, d_out]`.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] for another number of layers, of rows or of latents.
    ///
    /// # Determinism
    /// Contributions are added in ascending order of the layer and of the latent: the same bits on any number of threads.
    pub fn decode(&self, codes: &[SparseRows<F>]) -> Result<Array3<F>, SaeError> {
        check_shape("codes", &[self.layers.len()], &[codes.len()])?;
        let mut out = self.biases(codes[0].n_rows());
        codes.iter().enumerate().try_for_each(|(layer, codes)| self.write(layer, codes, &mut out))?;
        Ok(out)
    }

    /// Computes the codes of every layer and the predictions of an input.
    ///
    /// # Shapes
    /// `x` `[layer, b, d_in]`; one set of codes with b rows and n columns for each layer; the predictions `[layer, b, d_out]`.
    ///
    /// # Errors
    /// As [`LayeredTranscoder::encode`].
    ///
    /// # Determinism
    /// As [`LayeredTranscoder::decode`].
    pub fn forward(&self, x: &ArrayRef3<F>) -> Result<(Vec<SparseRows<F>>, Array3<F>), SaeError> {
        self.check_input(x)?;
        let mut out = self.biases(x.len_of(Axis(1)));
        let layers = x.outer_iter().enumerate();
        let codes = layers.map(|(layer, x)| self.add_layer(layer, &x, &mut out)).collect::<Result<_, _>>()?;
        Ok((codes, out))
    }

    /// Computes the predictions of an input.
    ///
    /// # Shapes
    /// `x` `[layer, b, d_in]`; the result `[layer, b, d_out]`.
    ///
    /// # Errors
    /// As [`LayeredTranscoder::encode`].
    ///
    /// # Determinism
    /// As [`LayeredTranscoder::decode`].
    pub fn reconstruct(&self, x: &ArrayRef3<F>) -> Result<Array3<F>, SaeError> {
        Ok(self.forward(x)?.1)
    }

    fn check_input(&self, x: &ArrayRef3<F>) -> Result<(), SaeError> {
        check_shape("x", &[self.layers.len(), x.len_of(Axis(1)), self.d_in()], x.shape())?;
        all_finite("x", x)
    }

    /// Returns the null model: in each layer, the decoder rows are shuffled across the latents. A row keeps what it writes to all layers.
    ///
    /// It keeps the codes, the biases and the skips. The order of the first layer is that of [`Dictionary::null`](crate::Dictionary::null).
    ///
    /// # Determinism
    /// The orders are drawn from `seed` alone.
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{LayerActivation, LayeredTranscoder, Reach, TranscoderLayer};
    /// use ndarray::{Array3, array};
    /// let layer = TranscoderLayer {
    ///     w_enc: array![[1.0], [1.0]],
    ///     b_enc: array![0.0, 0.0],
    ///     activation: LayerActivation::Relu,
    ///     w_dec: Array3::from_shape_vec((2, 1, 1), vec![10.0, 20.0]).unwrap(),
    ///     b_dec: array![0.0],
    ///     w_skip: None,
    /// };
    /// let transcoder = LayeredTranscoder::new(vec![layer], Reach::OwnLayer)?;
    /// // Both latents have the code 2, so the order of the decoder rows changes nothing.
    /// assert_eq!(transcoder.null(1).reconstruct(&array![[[2.0]]])?, array![[[60.0]]]);
    /// # Ok::<(), collimate_sae::SaeError>(())
    /// ```
    #[must_use]
    pub fn null(&self, seed: u64) -> Self {
        let mut null = self.clone();
        let mut stream = RngStream::named(seed, "null dictionary");
        for layer in &mut null.layers {
            let order = stream.permutation(layer.w_dec.len_of(Axis(0)));
            layer.w_dec = layer.w_dec.select(Axis(0), &order);
        }
        null
    }
}
