//! Models with a hidden layer of neurons: autoencoders in a privileged basis, and networks that compute functions of features.

use super::adam;
use super::toy_model::Activation;
use crate::data::Source;
use crate::error::{SuperpositionError, require_finite, require_shape};
use collimate_grad::{Batch, Objective, PerSampleLosses, Scratch};
use collimate_measure::ensure;
use collimate_stream::RngStream;
use collimate_tensor::matmul;
use ndarray::{Array1, Array2, ArrayRef2, Axis, CowArray, Ix2};

/// The relation between decoder and encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecoderWeights {
    /// One matrix is both encoder and decoder: the toy model with a hidden ReLU.
    Tied,
    /// Encoder and decoder are two matrices.
    Untied,
}

/// The target of the outputs.
#[derive(Clone, Debug, PartialEq)]
pub enum TwoLayerTarget {
    /// The features themselves.
    Same,
    /// The absolute values of the features.
    Absolute,
    /// The rectified features plus a mixing term, `max(x, 0) + M x`. Without a matrix the labels are clean.
    Relu {
        /// The mixing matrix `M` `[n, n]`.
        mixing: Option<Array2<f64>>,
    },
}

impl TwoLayerTarget {
    /// Computes the targets of samples.
    ///
    /// # Shapes
    /// `x`: `[b, n]`; result: `[b, n]`.
    pub fn of(&self, x: &ArrayRef2<f64>) -> Array2<f64> {
        match self {
            Self::Same => x.to_owned(),
            Self::Absolute => x.mapv(f64::abs),
            Self::Relu { mixing } => {
                let clean = x.mapv(|x| x.max(0.0));
                match mixing {
                    None => clean,
                    Some(m) => clean + x.dot(&m.t()),
                }
            }
        }
    }
}

/// A two-layer model.
///
/// ```text
/// h = act_h(E x)        y = act_o(Dᵀ h + b)        D = E when tied
/// L = mean over samples of Σ_i I_i (y_i − t_i)²
/// ```
///
/// # Examples
/// ```
/// use collimate_superposition::TwoLayer;
/// use ndarray::array;
/// // Two neurons per feature compute the absolute value exactly.
/// let model = TwoLayer::absolute_value(2);
/// assert_eq!(model.forward(&array![[0.3, -0.7]])?, array![[0.3, 0.7]]);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
///
/// # References
/// Elhage et al. (2022), sections "Superposition in a Privileged Basis" and "Computation in Superposition"; D. Braun et
/// al. (2025), compressed computation.
#[derive(Clone, Debug, PartialEq)]
pub struct TwoLayer {
    /// The encoder E `[neurons, n]`.
    pub encoder: Array2<f64>,
    /// The decoder D `[neurons, n]`; `None` if the encoder is also the decoder.
    pub decoder: Option<Array2<f64>>,
    /// The output bias b `[n]`.
    pub bias: Array1<f64>,
    /// The activation of the neurons.
    pub hidden: Activation,
    /// The activation of the outputs.
    pub output: Activation,
}

impl TwoLayer {
    /// Returns the network of `2n` ReLU neurons that computes `n` absolute values without error.
    pub fn absolute_value(n: usize) -> Self {
        let sign = |k: usize| if k < n { 1.0 } else { -1.0 };
        let at = |k: usize, i: usize| f64::from(u8::from(k % n == i));
        Self {
            encoder: Array2::from_shape_fn((2 * n, n), |(k, i)| sign(k) * at(k, i)),
            decoder: Some(Array2::from_shape_fn((2 * n, n), |(k, i)| at(k, i))),
            bias: Array1::zeros(n),
            hidden: Activation::Relu,
            output: Activation::Relu,
        }
    }

    /// Computes the outputs.
    ///
    /// # Shapes
    /// `x`: `[b, n]`; result: `[b, n]`.
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`] if sizes do not fit.
    pub fn forward(&self, x: &ArrayRef2<f64>) -> Result<Array2<f64>, SuperpositionError> {
        let decoder = self.decoder.as_ref().unwrap_or(&self.encoder);
        require_shape("x", &[x.nrows(), self.encoder.ncols()], x.shape())?;
        require_shape("decoder", self.encoder.shape(), decoder.shape())?;
        require_shape("bias", &[self.encoder.ncols()], self.bias.shape())?;
        let hidden = x.dot(&self.encoder.t()).mapv(|z| self.hidden.apply(z));
        Ok((hidden.dot(decoder) + &self.bias).mapv(|z| self.output.apply(z)))
    }

    /// Returns the mean loss over samples, without importances.
    ///
    /// # Errors
    /// The errors of [`TwoLayer::forward`].
    pub fn loss(&self, x: &ArrayRef2<f64>, target: &TwoLayerTarget) -> Result<f64, SuperpositionError> {
        let error = self.forward(x)? - target.of(x);
        Ok(error.iter().map(|e| e * e).sum::<f64>() / x.nrows().max(1) as f64)
    }
}

/// The configuration of a two-layer model: sizes, activations, target and importances.
#[derive(Clone, Debug, PartialEq)]
pub struct TwoLayerConfig {
    /// The number of neurons.
    pub neurons: usize,
    /// The relation between decoder and encoder.
    pub weights: DecoderWeights,
    /// The activation of the neurons.
    pub hidden: Activation,
    /// The activation of the outputs.
    pub output: Activation,
    /// The importance of each feature.
    pub importance: Vec<f64>,
    /// The target of the outputs.
    pub target: TwoLayerTarget,
}

impl TwoLayerConfig {
    /// Returns a network that computes absolute values, with two matrices and two ReLUs.
    pub fn absolute_value(features: usize, neurons: usize) -> Self {
        Self {
            neurons,
            weights: DecoderWeights::Untied,
            hidden: Activation::Relu,
            output: Activation::Relu,
            importance: vec![1.0; features],
            target: TwoLayerTarget::Absolute,
        }
    }

    /// Returns the toy model whose hidden dimensions are neurons, with one matrix and two ReLUs.
    pub fn neurons(features: usize, neurons: usize) -> Self {
        Self {
            weights: DecoderWeights::Tied,
            target: TwoLayerTarget::Same,
            ..Self::absolute_value(features, neurons)
        }
    }

    /// Returns a network for compressed computation: it computes the ReLU of each feature with linear outputs, usually with fewer
    /// neurons than features.
    pub fn compressed(features: usize, neurons: usize, mixing: Option<Array2<f64>>) -> Self {
        Self {
            output: Activation::Linear,
            target: TwoLayerTarget::Relu { mixing },
            ..Self::absolute_value(features, neurons)
        }
    }

    fn features(&self) -> usize {
        self.importance.len()
    }

    /// Returns the number of parameters: encoder, decoder unless tied, bias.
    pub fn parameters(&self) -> usize {
        let matrices = if self.weights == DecoderWeights::Tied { 1 } else { 2 };
        (matrices * self.neurons + 1) * self.features()
    }

    fn check(&self) -> Result<(), SuperpositionError> {
        ensure(self.neurons > 0, "neurons", "at least 1", 0.0)?;
        ensure(self.features() > 0, "importance.len()", "at least 1", 0.0)?;
        require_finite("importance", &self.importance)?;
        if let TwoLayerTarget::Relu { mixing: Some(m) } = &self.target {
            require_shape("mixing", &[self.features(); 2], m.shape())?;
            require_finite("mixing", m.iter())?;
        }
        Ok(())
    }

    /// Returns the encoder (block 0) or the decoder (block 1) from the parameters.
    fn matrix(&self, w: &[f64], block: usize) -> Array2<f64> {
        let (m, n) = (self.neurons, self.features());
        Array2::from_shape_fn((m, n), |(k, i)| w[block * m * n + k * n + i])
    }

    /// Returns the block of the parameters that is the decoder.
    fn decoder_block(&self) -> usize {
        usize::from(self.weights == DecoderWeights::Untied)
    }

    /// Computes the neurons and the outputs of samples.
    fn forward(&self, w: &[f64], x: &ArrayRef2<f64>) -> Pass {
        let decoder = self.matrix(w, self.decoder_block());
        let before = product(x, &self.matrix(w, 0).t());
        let hidden = before.mapv(|z| self.hidden.apply(z));
        let mut output = product(&hidden, &decoder);
        let bias = &w[w.len() - self.features()..];
        for mut row in output.rows_mut() {
            row.iter_mut().zip(bias).for_each(|(z, b)| *z += b);
        }
        Pass { decoder, before, hidden, output }
    }

    /// Computes the loss of each sample.
    fn losses(&self, w: &[f64], x: &ArrayRef2<f64>, out: &mut [f64]) {
        let (output, target) = (self.forward(w, x).output, self.target.of(x));
        for (loss, (z, target)) in out.iter_mut().zip(output.rows().into_iter().zip(target.rows())) {
            let of = |i: usize| self.importance[i] * (self.output.apply(z[i]) - target[i]).powi(2);
            *loss = (0..self.features()).map(of).sum();
        }
    }

    /// Computes the mean loss over samples and writes its gradient to `out`.
    fn accumulate(&self, w: &[f64], x: &ArrayRef2<f64>, out: &mut [f64]) -> f64 {
        let (m, n) = (self.neurons, self.features());
        let Pass { decoder, before, hidden, output: mut delta } = self.forward(w, x);
        let target = self.target.of(x);
        let share = 1.0 / x.nrows() as f64;
        let mut loss = 0.0;
        for (mut row, target) in delta.rows_mut().into_iter().zip(target.rows()) {
            for i in 0..n {
                let z = row[i];
                let error = self.output.apply(z) - target[i];
                loss += share * self.importance[i] * error * error;
                row[i] = 2.0 * share * self.importance[i] * error * self.output.slope(z);
            }
        }
        let d_decoder = product(&hidden.t(), &delta);
        let mut back = product(&delta, &decoder.t());
        back.zip_mut_with(&before, |d, &z| *d *= self.hidden.slope(z));
        let d_encoder = product(&back.t(), x);
        let (first, rest) = out.split_at_mut(m * n);
        first.iter_mut().zip(&d_encoder).for_each(|(o, g)| *o = *g);
        match self.weights {
            DecoderWeights::Tied => first.iter_mut().zip(&d_decoder).for_each(|(o, g)| *o += *g),
            DecoderWeights::Untied => rest[..m * n].iter_mut().zip(&d_decoder).for_each(|(o, g)| *o = *g),
        }
        for (o, column) in out[w.len() - n..].iter_mut().zip(delta.axis_iter(Axis(1))) {
            *o = column.sum();
        }
        loss
    }

    /// Trains on fresh samples with Adam at a learning rate that falls along half a cosine.
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`] and [`SuperpositionError::OutOfRange`] for sizes and rates that do not fit,
    /// [`SuperpositionError::Diverged`] if a gradient is not finite.
    ///
    /// # Determinism
    /// The start uses `stream.child(0)` and the data `stream.child(1)`.
    pub fn train(
        &self,
        source: &dyn Source,
        batch: usize,
        steps: u64,
        learning_rate: f64,
        stream: &RngStream,
    ) -> Result<TwoLayer, SuperpositionError> {
        self.check()?;
        require_shape("source.features()", &[self.features()], &[source.features()])?;
        ensure(batch > 0, "batch", "at least 1", 0.0)?;
        let (m, n) = (self.neurons, self.features());
        let mut initial = stream.child(0);
        let scale = (2.0 / (m + n) as f64).sqrt();
        let mut point: Vec<f64> = (0..self.parameters() - n).map(|_| scale * initial.normal()).collect();
        point.resize(self.parameters(), 0.0);
        let mut data = stream.child(1);
        adam::train(&mut point, steps, learning_rate, |point, gradient| {
            self.accumulate(point, &source.rows(batch, &mut data), gradient);
        })?;
        Ok(self.model(&point))
    }

    /// Returns the model with these parameters: encoder `[neurons, n]`, decoder `[neurons, n]` unless tied, bias `[n]`.
    fn model(&self, w: &[f64]) -> TwoLayer {
        let decoder = match self.weights {
            DecoderWeights::Tied => None,
            DecoderWeights::Untied => Some(self.matrix(w, 1)),
        };
        let bias = Array1::from(w[w.len() - self.features()..].to_vec());
        TwoLayer { encoder: self.matrix(w, 0), decoder, bias, hidden: self.hidden, output: self.output }
    }
}

/// The intermediate results of a forward pass that the backward pass needs.
struct Pass {
    decoder: Array2<f64>,
    /// The neurons before their activation.
    before: Array2<f64>,
    hidden: Array2<f64>,
    /// The outputs before their activation.
    output: Array2<f64>,
}

fn product(a: &ArrayRef2<f64>, b: &ArrayRef2<f64>) -> Array2<f64> {
    matmul(a, b).expect("the inner sizes are equal")
}

/// The loss of a two-layer model on fixed samples, as an [`Objective`] that also gives the losses of single samples.
///
/// The parameters are encoder, decoder (unless tied) and bias.
///
/// # Examples
/// ```
/// use collimate_grad::{Batch, Objective, Scratch};
/// use collimate_superposition::{TwoLayerConfig, TwoLayerLoss};
/// use ndarray::array;
/// let loss = TwoLayerLoss::new(TwoLayerConfig::absolute_value(1, 1), array![[0.5], [-0.5]])?;
/// // Encoder, decoder, bias. One neuron responds to one sign.
/// let (w, mut each) = ([1.0, 1.0, 0.0], [0.0; 2]);
/// loss.per_sample_losses().unwrap().per_sample_losses_into(&w, Batch::All, &mut Scratch::new(), &mut each);
/// assert_eq!(each, [0.0, 0.25]);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TwoLayerLoss {
    config: TwoLayerConfig,
    data: Array2<f64>,
}

impl TwoLayerLoss {
    /// Creates a loss over the rows of `data`.
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`], [`SuperpositionError::NotFinite`] and [`SuperpositionError::OutOfRange`] for
    /// sizes, numbers and settings that do not fit.
    pub fn new(config: TwoLayerConfig, data: Array2<f64>) -> Result<Self, SuperpositionError> {
        config.check()?;
        ensure(data.nrows() > 0, "data rows", "at least 1", 0.0)?;
        require_shape("data", &[data.nrows(), config.features()], data.shape())?;
        require_finite("data", data.iter())?;
        Ok(Self { config, data })
    }

    /// Returns the samples of a batch. Only a batch of indices is copied.
    fn rows(&self, batch: Batch<'_>) -> CowArray<'_, f64, Ix2> {
        match batch {
            Batch::All => self.data.view().into(),
            Batch::Indices(indices) => self.data.select(Axis(0), indices).into(),
        }
    }
}

impl Objective<f64> for TwoLayerLoss {
    fn n_parameters(&self) -> usize {
        self.config.parameters()
    }

    fn n_samples(&self) -> usize {
        self.data.nrows()
    }

    fn loss_and_gradient_into(&self, w: &[f64], batch: Batch<'_>, _: &mut Scratch, out: &mut [f64]) -> f64 {
        self.config.accumulate(w, &self.rows(batch), out)
    }

    fn per_sample_losses(&self) -> Option<&dyn PerSampleLosses<f64>> {
        Some(self)
    }
}

impl PerSampleLosses<f64> for TwoLayerLoss {
    fn per_sample_losses_into(&self, w: &[f64], batch: Batch<'_>, _: &mut Scratch, out: &mut [f64]) {
        self.config.losses(w, &self.rows(batch), out);
    }
}
