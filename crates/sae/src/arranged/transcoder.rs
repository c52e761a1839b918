use crate::arranged::arrangement::{
    Arranged, ArrangedForward, Arrangement, all_finite, check_shape, range, typed, with_numbers,
};
use crate::arranged::products::{codes, positive};
use crate::dictionary::{Dictionary, Target};
use crate::error::SaeError;
use crate::members::jump_relu::JumpRelu;
use crate::members::relu::Relu;
use crate::members::variant::Variant;
use crate::precision::Precision;
use crate::weights::Weights;
use collimate_measure::{Fingerprint, ensure};
use collimate_stream::RngStream;
use collimate_tensor::{Scalar, SparseRows, matmul_into, top_k};
use ndarray::{Array1, Array2, Array3, ArrayRef2, ArrayRef3, ArrayViewD, Axis, Ix3, s};

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
    layers: Vec<TranscoderLayer<F>>,
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

/// The activation of a layer.
#[derive(Clone, Debug, PartialEq)]
pub enum LayerActivation<F> {
    /// a = ReLU(z).
    Relu,
    /// `a = z·1[z > θ]`, with a threshold `[n]` for each latent. A negative threshold lets negative codes through.
    JumpRelu(Array1<F>),
    /// The k largest entries of z. They keep their signs.
    TopK(usize),
}

/// The parameters of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct TranscoderLayer<F> {
    /// The encoder directions `[n, d_in]`, one latent a row.
    pub w_enc: Array2<F>,
    /// The encoder bias `[n]`.
    pub b_enc: Array1<F>,
    /// The activation.
    pub activation: LayerActivation<F>,
    /// The decoder directions `[n, layers written to, d_out]`, the own layer first.
    pub w_dec: Array3<F>,
    /// The decoder bias `[d_out]` of the output of this layer.
    pub b_dec: Array1<F>,
    /// The linear path `[d_out, d_in]` from the input to the output of this layer, if there is one.
    pub w_skip: Option<Array2<F>>,
}

impl<F: Scalar> TranscoderLayer<F> {
    /// Brings every array into row order, and returns an error for other shapes, NaN and infinity.
    fn checked(mut self, [n, d_in, d_out]: [usize; 3], outputs: usize) -> Result<Self, SaeError> {
        check_shape("w_enc", &[n, d_in], self.w_enc.shape())?;
        check_shape("b_enc", &[n], self.b_enc.shape())?;
        check_shape("w_dec", &[n, outputs, d_out], self.w_dec.shape())?;
        check_shape("b_dec", &[d_out], self.b_dec.shape())?;
        self.w_enc = self.w_enc.as_standard_layout().into_owned();
        self.w_dec = self.w_dec.as_standard_layout().into_owned();
        all_finite("w_enc", &self.w_enc)?;
        all_finite("b_enc", &self.b_enc)?;
        all_finite("w_dec", &self.w_dec)?;
        all_finite("b_dec", &self.b_dec)?;
        match &self.activation {
            LayerActivation::Relu => {}
            LayerActivation::JumpRelu(threshold) => {
                check_shape("threshold", &[n], threshold.shape())?;
                all_finite("threshold", threshold)?;
            }
            LayerActivation::TopK(k) => {
                ensure((1..=n).contains(k), "k", "between 1 and the number of latents", *k as f64)?;
            }
        }
        if let Some(skip) = self.w_skip.take() {
            check_shape("w_skip", &[d_out, d_in], skip.shape())?;
            all_finite("w_skip", &skip)?;
            self.w_skip = Some(skip.as_standard_layout().into_owned());
        }
        Ok(self)
    }

    /// Computes the codes of rows `[b, d_in]`. The caller has checked the width and the numbers.
    fn encode(&self, x: &ArrayRef2<F>) -> Result<SparseRows<F>, SaeError> {
        match &self.activation {
            LayerActivation::Relu => codes(x, &self.w_enc, &self.b_enc, positive),
            LayerActivation::JumpRelu(threshold) => codes(x, &self.w_enc, &self.b_enc, |z, kept| {
                let above = z.iter().zip(threshold).enumerate().filter(|(_, (z, theta))| *z > *theta);
                kept.extend(above.map(|(latent, (&z, _))| (latent as u32, z)));
            }),
            LayerActivation::TopK(k) => codes(x, &self.w_enc, &self.b_enc, |z, kept| top_k(z, *k, kept)),
        }
    }
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

    /// Computes the lengths of the decoder rows of a layer, each over all layers that it writes to.
    ///
    /// ```text
    /// r_i = √(Σ_m ‖W_dec[i, m]‖²)
    /// ```
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] for a layer that does not exist.
    pub fn decoder_norms(&self, layer: usize) -> Result<Array1<F>, SaeError> {
        ensure(layer < self.layers.len(), "layer", "below the number of layers", layer as f64)?;
        let squares = |row: ndarray::ArrayView2<'_, F>| row.iter().map(|&x| x.to_f64().powi(2)).sum::<f64>();
        Ok(self.layers[layer].w_dec.outer_iter().map(|row| F::from_f64(squares(row).sqrt())).collect())
    }

    /// Returns the transcoder of one layer of a set as a dictionary of single rows.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] for a layer that does not exist; [`SaeError::Unsupported`] for a layer that writes to several
    /// layers, and for codes that may be negative (a negative threshold, or the k largest entries with their signs).
    pub fn dictionary(&self, layer: usize) -> Result<Dictionary<F>, SaeError> {
        ensure(layer < self.layers.len(), "layer", "below the number of layers", layer as f64)?;
        let refuse = |architecture| {
            Err(SaeError::Unsupported { operation: "use as a dictionary of single rows", architecture })
        };
        let TranscoderLayer { w_enc, b_enc, activation, w_dec, b_dec, w_skip } = &self.layers[layer];
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

    /// Computes the codes of every layer.
    ///
    /// # Shapes
    /// `x` `[layer, b, d_in]`; each result has b rows and n columns.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] for another number of layers or another width, [`SaeError::NonFiniteInput`] for NaN or infinity.
    ///
    /// # Determinism
    /// The same bits on any number of threads.
    pub fn encode(&self, x: &ArrayRef3<F>) -> Result<Vec<SparseRows<F>>, SaeError> {
        check_shape("x", &[self.layers.len(), x.len_of(Axis(1)), self.d_in()], x.shape())?;
        all_finite("x", x)?;
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
        let (count, d) = (self.layers.len(), self.d_out());
        check_shape("codes", &[count], &[codes.len()])?;
        let rows = codes[0].n_rows();
        let mut out = Array3::zeros((count, rows, d));
        for (layer, mut of_layer) in self.layers.iter().zip(out.outer_iter_mut()) {
            of_layer += &layer.b_dec;
        }
        for (l, (layer, codes)) in self.layers.iter().zip(codes).enumerate() {
            check_shape("codes", &[rows, self.n_latents()], &[codes.n_rows(), codes.n_columns()])?;
            let outputs = layer.w_dec.len_of(Axis(1));
            let flat = layer.w_dec.view().into_shape_with_order((self.n_latents(), outputs * d));
            let written = codes.decode(&flat.expect("standard layout"))?;
            for m in 0..outputs {
                let mut to = out.index_axis_mut(Axis(0), l + m);
                to += &written.slice(s![.., m * d..(m + 1) * d]);
            }
        }
        Ok(out)
    }

    /// Adds the skips of an input to predictions.
    fn add_skips(&self, x: &ArrayRef3<F>, out: &mut Array3<F>) -> Result<(), SaeError> {
        for ((layer, x), mut out) in self.layers.iter().zip(x.outer_iter()).zip(out.outer_iter_mut()) {
            if let Some(skip) = &layer.w_skip {
                matmul_into(F::one(), &x, &skip.t(), F::one(), &mut out)?;
            }
        }
        Ok(())
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
        let codes = self.encode(x)?;
        let mut out = self.decode(&codes)?;
        self.add_skips(x, &mut out)?;
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

    /// Returns the null model: in each layer, the decoder rows are shuffled across the latents. A row keeps what it writes to all layers.
    ///
    /// It keeps the codes, the biases and the skips. The order of the first layer is that of [`Dictionary::null`].
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

impl<F: Precision> Arranged<F> for LayeredTranscoder<F> {
    fn name(&self) -> &'static str {
        match self.reach {
            Reach::OwnLayer => "set of transcoders",
            Reach::LaterLayers => "cross-layer transcoder",
        }
    }

    fn arrangement(&self) -> Arrangement {
        Arrangement::LayersOfRows { layers: self.layers.len() }
    }

    fn widths(&self) -> [usize; 2] {
        [self.d_in(), self.d_out()]
    }

    fn n_latents(&self) -> usize {
        LayeredTranscoder::n_latents(self)
    }

    fn properties(&self) -> Vec<(&'static str, String)> {
        let activation = match &self.layers[0].activation {
            LayerActivation::Relu => "ReLU".to_owned(),
            LayerActivation::JumpRelu(_) => "JumpReLU".to_owned(),
            LayerActivation::TopK(k) => format!("the {k} largest, with their signs"),
        };
        let thresholds = self.layers.iter().filter_map(|layer| match &layer.activation {
            LayerActivation::JumpRelu(threshold) => Some(threshold),
            _ => None,
        });
        let mut properties = vec![("activation", activation)];
        properties.extend(range(thresholds.flatten()).map(|range| ("thresholds", range)));
        if self.layers.iter().any(|layer| layer.w_skip.is_some()) {
            properties.push(("skip", "yes".to_owned()));
        }
        properties
    }

    fn fingerprint(&self) -> Fingerprint {
        self.layers.iter().fold(
            Fingerprint::of(format!("{:?} {}", self.reach, F::NAME).as_bytes()),
            |f, layer| {
                let TranscoderLayer { w_enc, b_enc, activation, w_dec, b_dec, w_skip } = layer;
                let f = match activation {
                    LayerActivation::Relu => f.and(b"relu"),
                    LayerActivation::JumpRelu(threshold) => with_numbers(f, threshold),
                    LayerActivation::TopK(k) => f.and(format!("top {k}").as_bytes()),
                };
                with_numbers(
                    f,
                    w_enc.iter().chain(b_enc).chain(w_dec).chain(b_dec).chain(w_skip.iter().flatten()),
                )
            },
        )
    }

    fn forward_checked(&self, x: ArrayViewD<'_, F>) -> Result<ArrangedForward<F>, SaeError> {
        let x = typed::<F, Ix3>(x);
        let (each, reconstruction) = self.forward(&x)?;
        let mut codes = SparseRows::new(self.n_latents());
        for (columns, values) in each.iter().flat_map(|codes| codes.rows()) {
            codes.push_row(columns, values)?;
        }
        let code_axes = vec![self.layers.len(), x.len_of(Axis(1))];
        Ok(ArrangedForward { codes, code_axes, reconstruction: reconstruction.into_dyn(), predicted: None })
    }
}
