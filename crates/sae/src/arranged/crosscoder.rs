use crate::arranged::arrangement::{
    Arranged, ArrangedForward, Arrangement, all_finite, check_shape, range, typed, with_numbers,
};
use crate::arranged::products::push;
use crate::dictionary::Dictionary;
use crate::error::SaeError;
use crate::members::crosscoder::Crosscoder;
use crate::members::variant::Variant;
use crate::precision::Precision;
use crate::weights::Weights;
use collimate_measure::{Fingerprint, ensure};
use collimate_tensor::{Scalar, SparseRows};
use ndarray::{Array1, Array2, Array3, ArrayRef3, ArrayViewD, Axis, Ix3, s};

/// The number that is added to a scale before the normalisation is undone, as the crosscoders of the fork of
/// dictionary_learning do.
const EPSILON: f64 = 1e-8;

/// A crosscoder with a threshold on scaled codes and a normalisation of its inputs: one code for several layers, or for the same
/// layer of several models.
///
/// ```text
/// u^l = (x^l − μ^l)·s^l            z = ReLU(Σ_l W_enc^l u^l + b_enc)
/// f_i = z_i·1[z_i·ω_i > θ]                                   with a threshold; otherwise f = z
/// f_i^l = z_i·1[z_i·‖d_i^l‖ > θ^l]                           decoupled: a code for each layer
/// x̂^l = (Σ_i f_i d_i^l + b_dec^l)/(s^l + 10⁻⁸) + μ^l
/// ```
/// ω is the [`CodeScale`]. The threshold is compared with the scaled code, and the unscaled code is decoded. Without a normalisation
/// of the inputs, μ is 0 and no scale is applied. [`Crosscoder`] is the member that is trained here; it has neither a normalisation nor
/// the other scales.
///
/// # Shapes
/// With L layers: `x` `[row, layer, d]`, `w_enc` and `w_dec` `[n, L·d]`, the layers side by side, `b_dec` `[L·d]`, μ
/// `[layer, d]`, s `[layer]`, θ one number or `[layer]`.
///
/// # Examples
/// ```
/// use collimate_sae::{CodeScale, CodeThreshold, LayeredCrosscoder, Weights};
/// use ndarray::array;
/// let weights = Weights {
///     w_enc: array![[1.0, 1.0]],
///     w_dec: array![[3.0, 4.0]],
///     b_dec: array![0.0, 0.0],
///     per_latent: vec![array![0.0]],
/// };
/// let threshold = CodeThreshold { scale: CodeScale::Concatenated, thresholds: vec![4.0] };
/// let crosscoder = LayeredCrosscoder::new(2, weights, Some(threshold), None)?;
/// // z = 1 is above the threshold, because 1·‖(3, 4)‖ = 5 is above 4; z = 0.75 is below it.
/// let x = array![[[0.5], [0.5]], [[0.5], [0.25]]];
/// assert_eq!(crosscoder.reconstruct(&x)?, array![[[3.0], [4.0]], [[0.0], [0.0]]]);
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
///
/// # References
/// Lindsey et al. (Anthropic, October 2024), "Sparse Crosscoders for Cross-Layer Features and Model Diffing"; Minder et
/// al. (2025), "Robustly identifying concepts introduced during chat fine-tuning using crosscoders".
#[derive(Clone, Debug, PartialEq)]
pub struct LayeredCrosscoder<F> {
    /// The weights as the ReLU member, whose rows concatenate the layers.
    dictionary: Dictionary<F>,
    layers: usize,
    threshold: Option<CodeThreshold>,
    normalisation: Option<LayerNormalisation<F>>,
}

/// The factor ω_i of a code before it is compared with a threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CodeScale {
    /// The sum over the layers, ω_i = Σ_l ‖d_i^l‖.
    SumOfLayers,
    /// The length of the whole decoder row, ω_i = √(Σ_l ‖d_i^l‖²), as for a dictionary of concatenated layers.
    Concatenated,
    /// A weighted sum of both, ω_i = a·√(Σ_l ‖d_i^l‖²) + b·Σ_l ‖d_i^l‖.
    Mixed {
        /// The factor a of the length of the whole row.
        concatenated: f64,
        /// The factor b of the sum over the layers.
        sum_of_layers: f64,
    },
    /// No scale, ω_i = 1.
    One,
    /// A scale ‖d_i^l‖ for each layer, so that each layer has codes of its own.
    EachLayer,
}

/// A threshold on scaled codes.
#[derive(Clone, Debug, PartialEq)]
pub struct CodeThreshold {
    /// The scale of the codes.
    pub scale: CodeScale,
    /// The thresholds θ: one, or with [`CodeScale::EachLayer`] one for each layer. A negative threshold keeps every positive code.
    pub thresholds: Vec<f64>,
}

/// A normalisation of the inputs, which is undone after the decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNormalisation<F> {
    /// The means μ `[layer, d]`.
    pub mean: Array2<F>,
    /// The scales s `[layer]`, above zero.
    pub scale: Array1<F>,
}

impl<F: Scalar> LayeredCrosscoder<F> {
    /// Returns a crosscoder with the given parameters.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] if a shape does not fit, [`SaeError::OutOfRange`] for no layer, a scale that is not above zero or another
    /// number of thresholds, [`SaeError::NonFiniteInput`] for NaN or infinity.
    pub fn new(
        layers: usize,
        weights: Weights<F>,
        threshold: Option<CodeThreshold>,
        normalisation: Option<LayerNormalisation<F>>,
    ) -> Result<Self, SaeError> {
        let dictionary = Dictionary::new(Crosscoder::l1(layers), weights)?;
        let d = dictionary.d_out() / layers;
        if let Some(CodeThreshold { scale, thresholds }) = &threshold {
            let needed = if *scale == CodeScale::EachLayer { layers } else { 1 };
            check_shape("thresholds", &[needed], &[thresholds.len()])?;
            for &theta in thresholds {
                ensure(theta.is_finite(), "threshold", "finite", theta)?;
            }
        }
        if let Some(LayerNormalisation { mean, scale }) = &normalisation {
            check_shape("mean", &[layers, d], mean.shape())?;
            check_shape("scale", &[layers], scale.shape())?;
            all_finite("mean", mean)?;
            all_finite("scale", scale)?;
            for &s in scale {
                ensure(s > F::zero(), "scale", "above 0", s.to_f64())?;
            }
        }
        Ok(Self { dictionary, layers, threshold, normalisation })
    }

    /// Returns the weights as the ReLU member, whose rows concatenate the layers, without threshold and normalisation.
    pub fn dictionary(&self) -> &Dictionary<F> {
        &self.dictionary
    }

    /// Returns the number of layers.
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// Returns the width of one layer.
    pub fn width(&self) -> usize {
        self.dictionary.d_out() / self.layers
    }

    /// Returns the threshold on scaled codes, if there is one.
    pub fn threshold(&self) -> Option<&CodeThreshold> {
        self.threshold.as_ref()
    }

    /// Returns the normalisation of the inputs, if there is one.
    pub fn normalisation(&self) -> Option<&LayerNormalisation<F>> {
        self.normalisation.as_ref()
    }

    /// Returns true if each layer has codes of its own.
    pub fn is_decoupled(&self) -> bool {
        self.threshold.as_ref().is_some_and(|threshold| threshold.scale == CodeScale::EachLayer)
    }

    /// Computes the scales ω of the codes `[layers or 1, n]`: one row for all layers, or one for each.
    fn scales(&self, scale: CodeScale) -> Result<Array2<f64>, SaeError> {
        let norms = self.dictionary.layer_norms()?;
        if scale == CodeScale::EachLayer {
            return Ok(norms.reversed_axes());
        }
        let of_latent = |row: ndarray::ArrayView1<'_, f64>| {
            let (sum, whole) = (row.sum(), row.dot(&row).sqrt());
            match scale {
                CodeScale::SumOfLayers => sum,
                CodeScale::Concatenated => whole,
                CodeScale::Mixed { concatenated, sum_of_layers } => {
                    concatenated * whole + sum_of_layers * sum
                }
                CodeScale::One | CodeScale::EachLayer => 1.0,
            }
        };
        let scales: Array1<f64> = norms.rows().into_iter().map(of_latent).collect();
        Ok(scales.insert_axis(Axis(0)))
    }
}

impl<F: Precision> LayeredCrosscoder<F> {
    /// Computes the codes of some rows.
    ///
    /// # Shapes
    /// `x` `[row, layer, d]`; the result has n columns and a row for each row of `x`. A decoupled crosscoder gives a row for each row
    /// and layer, the layer fastest.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] for another number of layers or another width, [`SaeError::NonFiniteInput`] for NaN or infinity.
    ///
    /// # Determinism
    /// The same bits on any number of threads.
    pub fn encode(&self, x: &ArrayRef3<F>) -> Result<SparseRows<F>, SaeError> {
        let (rows, d) = (x.len_of(Axis(0)), self.width());
        check_shape("x", &[rows, self.layers, d], x.shape())?;
        all_finite("x", x)?;
        let mut input = x.as_standard_layout().into_owned();
        if let Some(LayerNormalisation { mean, scale }) = &self.normalisation {
            for mut row in input.outer_iter_mut() {
                for ((mut layer, mean), &s) in row.outer_iter_mut().zip(mean.rows()).zip(scale) {
                    layer.zip_mut_with(&mean, |x, &mean| *x = (*x - mean) * s);
                }
            }
        }
        let flat = input.into_shape_with_order((rows, self.layers * d)).expect("standard layout");
        let positive = self.dictionary.encode(&flat)?;
        let Some(CodeThreshold { scale, thresholds }) = &self.threshold else { return Ok(positive) };
        let scales = self.scales(*scale)?;
        let mut codes = SparseRows::new(positive.n_columns());
        for (latents, values) in positive.rows() {
            for (omega, &theta) in scales.rows().into_iter().zip(thresholds) {
                let entries = latents.iter().zip(values).map(|(&latent, &z)| (latent, z));
                push(&mut codes, entries.filter(|&(i, z)| z.to_f64() * omega[i as usize] > theta))?;
            }
        }
        Ok(codes)
    }

    /// Computes the reconstructions of some codes.
    ///
    /// # Shapes
    /// `codes` as [`LayeredCrosscoder::encode`] returns them; the result `[row, layer, d]`.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] for codes over another number of latents, and for decoupled codes whose number is no multiple of the
    /// layers.
    pub fn decode(&self, codes: &SparseRows<F>) -> Result<Array3<F>, SaeError> {
        let (layers, d) = (self.layers, self.width());
        let mut out = if self.is_decoupled() {
            let rows = codes.n_rows() / layers;
            check_shape("codes", &[rows * layers, codes.n_columns()], &[codes.n_rows(), codes.n_columns()])?;
            let mut out = Array3::zeros((rows, layers, d));
            for layer in 0..layers {
                let mut of_layer = SparseRows::new(codes.n_columns());
                for row in 0..rows {
                    let (latents, values) = codes.row(row * layers + layer);
                    of_layer.push_row(latents, values)?;
                }
                let columns = s![.., layer * d..(layer + 1) * d];
                let written = of_layer.decode(&self.dictionary.decoder().slice(columns))?;
                let mut to = out.index_axis_mut(Axis(1), layer);
                to.assign(&written);
                to += &self.dictionary.decoder_bias().slice(s![layer * d..(layer + 1) * d]);
            }
            out
        } else {
            let flat = self.dictionary.decode(codes)?;
            flat.into_shape_with_order((codes.n_rows(), layers, d)).expect("standard layout")
        };
        if let Some(LayerNormalisation { mean, scale }) = &self.normalisation {
            let epsilon = F::from_f64(EPSILON);
            for mut row in out.outer_iter_mut() {
                for ((mut layer, mean), &s) in row.outer_iter_mut().zip(mean.rows()).zip(scale) {
                    layer.zip_mut_with(&mean, |x, &mean| *x = *x / (s + epsilon) + mean);
                }
            }
        }
        Ok(out)
    }

    /// Computes the reconstructions of some rows.
    ///
    /// # Shapes
    /// `x` and the result `[row, layer, d]`.
    ///
    /// # Errors
    /// As [`LayeredCrosscoder::encode`].
    pub fn reconstruct(&self, x: &ArrayRef3<F>) -> Result<Array3<F>, SaeError> {
        self.decode(&self.encode(x)?)
    }

    /// Returns the member of the family that computes the same function on rows that concatenate the layers.
    ///
    /// # Errors
    /// [`SaeError::Unsupported`] with a normalisation of the inputs, or with a threshold that the member does not have.
    pub fn to_dictionary(&self) -> Result<Dictionary<F>, SaeError> {
        let refuse = |architecture| {
            Err(SaeError::Unsupported {
                operation: "use as a dictionary of concatenated layers",
                architecture,
            })
        };
        if self.normalisation.is_some() {
            return refuse("normalised crosscoder");
        }
        let variant: Variant = match &self.threshold {
            None => Crosscoder::l1(self.layers).into(),
            Some(CodeThreshold { scale, thresholds }) => match (scale, thresholds.first()) {
                // A negative threshold keeps every positive code.
                (CodeScale::EachLayer, _) => return refuse("decoupled crosscoder"),
                (_, Some(&theta)) if theta < 0.0 => Crosscoder::l1(self.layers).into(),
                (CodeScale::SumOfLayers, Some(&theta)) => {
                    let batch: Variant = Crosscoder::batch_topk(self.layers, 1.0).into();
                    batch.with_threshold(Some(theta))
                }
                _ => return refuse("crosscoder with another scale of its codes"),
            },
        };
        Dictionary::new(variant, self.dictionary.weights().clone())
    }
}

impl<F: Precision> Arranged<F> for LayeredCrosscoder<F> {
    fn name(&self) -> &'static str {
        "crosscoder"
    }

    fn arrangement(&self) -> Arrangement {
        Arrangement::RowsOfLayers { layers: self.layers }
    }

    fn widths(&self) -> [usize; 2] {
        [self.width(); 2]
    }

    fn n_latents(&self) -> usize {
        self.dictionary.size().n_latents
    }

    fn properties(&self) -> Vec<(&'static str, String)> {
        let mut properties = vec![("activation", "ReLU".to_owned())];
        if let Some(CodeThreshold { scale, thresholds }) = &self.threshold {
            let scale = match scale {
                CodeScale::SumOfLayers => {
                    "the code times the sum of its decoder norms over the layers".to_owned()
                }
                CodeScale::Concatenated => "the code times the length of its whole decoder row".to_owned(),
                CodeScale::Mixed { concatenated, sum_of_layers } => format!(
                    "the code times ({concatenated} the length of its decoder row + {sum_of_layers} the sum over the layers)"
                ),
                CodeScale::One => "the code itself".to_owned(),
                CodeScale::EachLayer => {
                    "the code times its decoder norm in each layer; a code for each layer".to_owned()
                }
            };
            properties.push(("threshold", format!("{thresholds:?} on {scale}")));
        }
        if let Some(LayerNormalisation { scale, .. }) = &self.normalisation {
            let scales = range(scale.iter()).unwrap_or_default();
            properties.push(("rows", format!("the mean of each layer subtracted, then times {scales}")));
        }
        properties
    }

    fn fingerprint(&self) -> Fingerprint {
        let f = self.dictionary.fingerprint().and(format!("{:?}", self.threshold).as_bytes());
        let normalisation = self.normalisation.iter();
        with_numbers(f, normalisation.flat_map(|LayerNormalisation { mean, scale }| mean.iter().chain(scale)))
    }

    fn forward_checked(&self, x: ArrayViewD<'_, F>) -> Result<ArrangedForward<F>, SaeError> {
        let x = typed::<F, Ix3>(x);
        let codes = self.encode(&x)?;
        let reconstruction = self.decode(&codes)?.into_dyn();
        let rows = x.len_of(Axis(0));
        let code_axes = if self.is_decoupled() { vec![rows, self.layers] } else { vec![rows] };
        Ok(ArrangedForward { codes, code_axes, reconstruction, predicted: None })
    }
}
