use crate::arranged::arrangement::{
    Arranged, ArrangedForward, Arrangement, all_finite, check_shape, typed, with_numbers,
};
use crate::arranged::products::{positive, push};
use crate::error::SaeError;
use crate::precision::Precision;
use collimate_measure::{Fingerprint, ensure};
use collimate_tensor::{Scalar, ShapeError, SparseRows, matmul, softmax_in_place, top_k};
use ndarray::{Array1, Array2, Array3, ArrayRef2, ArrayRef3, ArrayViewD, Axis, Ix3, s};

/// The number that is added to the length of a prediction before it is divided by.
const EPSILON: f64 = 1e-6;

/// A dictionary that predicts a part of the codes of a position from the positions before it, and encodes the rest.
///
/// ```text
/// r = s·x − b_dec (or s·x)          λ = 1/(4d)
/// for each context layer:   z = ReLU(λ r W_enc),   c = z one position later, zeros first
///                           p = ReLU(W_o attention(W_q z + b_q, W_k c + b_k, W_v c + b_v) + b_o)
///                           D = p W_dec,   α = D·r/(‖D‖ + 10⁻⁶)²,   predicted += α p,   r −= α D
/// novel = ReLU(λ r W_enc), or the k largest of it
/// x̂ = ((novel + predicted) W_dec + b_dec)/s
/// ```
/// The attention is causal: position t takes the context up to z of position t − 1. α may be negative, and so may predicted codes.
/// The codes of [`TemporalDictionary::forward`] are the novel ones; decoding them alone is not the reconstruction.
///
/// # Shapes
/// `w_enc` and `w_dec` `[n, d]`, `b_dec` `[d]`; in a context layer the queries and keys `[q, n]` with q a multiple of the heads, the
/// values and the output `[n, n]`. The input is `[sequence, position, d]`, and each sequence must be given from its first position.
///
/// # Examples
/// ```
/// use collimate_sae::{NovelCodes, TemporalDictionary};
/// use ndarray::array;
/// // Without context layers it is a ReLU dictionary with λ = 1/(4·1).
/// let parts = collimate_sae::TemporalParts {
///     w_enc: array![[4.0], [-4.0]],
///     w_dec: array![[1.0], [-1.0]],
///     b_dec: array![0.5],
///     context_layers: vec![],
///     heads: 1,
///     novel: NovelCodes::Relu,
///     input_scale: 2.0,
///     subtracts_bias: true,
/// };
/// let dictionary = TemporalDictionary::new(parts)?;
/// let out = dictionary.forward(&array![[[1.0], [-1.0]]])?; // 2·x − 0.5 is 1.5, then −2.5
/// assert_eq!(out.codes.to_dense(), array![[1.5, 0.0], [0.0, 2.5]]);
/// assert_eq!(out.reconstruction, array![[[1.0], [-1.0]]]);
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
///
/// # References
/// Lubana et al. (2025), "Priors in Time: Missing Inductive Biases for Language Model Interpretability".
#[derive(Clone, Debug, PartialEq)]
pub struct TemporalDictionary<F> {
    parts: TemporalParts<F>,
}

/// The parameters of a temporal dictionary.
#[derive(Clone, Debug, PartialEq)]
pub struct TemporalParts<F> {
    /// The encoder directions `[n, d]`, one latent a row.
    pub w_enc: Array2<F>,
    /// The decoder directions `[n, d]`, one latent a row.
    pub w_dec: Array2<F>,
    /// The decoder bias `[d]`.
    pub b_dec: Array1<F>,
    /// The layers that predict codes from the context, in the order in which they are applied.
    pub context_layers: Vec<ContextLayer<F>>,
    /// The number of heads of each context layer.
    pub heads: usize,
    /// The selection of the codes of what the context does not predict.
    pub novel: NovelCodes,
    /// The factor s that multiplies the input, above zero. The reconstruction is divided by it.
    pub input_scale: F,
    /// True if the encoder takes s·x − b_dec, false if it takes s·x.
    pub subtracts_bias: bool,
}

/// The selection of the codes of what the context does not predict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NovelCodes {
    /// All positive codes.
    Relu,
    /// The k largest codes of a position, if they are positive.
    TopK(usize),
    /// No codes: the reconstruction is what the context predicts.
    None,
}

/// A layer that predicts codes from the context by attention.
#[derive(Clone, Debug, PartialEq)]
pub struct ContextLayer<F> {
    /// The queries `[q, n]`, from the codes of the position itself.
    pub query: Affine<F>,
    /// The keys `[q, n]`, from the context.
    pub key: Affine<F>,
    /// The values `[n, n]`, from the context.
    pub value: Affine<F>,
    /// The output `[n, n]`.
    pub output: Affine<F>,
}

/// An affine map y = W x + b.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine<F> {
    /// The matrix W `[out, in]`.
    pub weight: Array2<F>,
    /// The vector b `[out]`.
    pub bias: Array1<F>,
}

/// The codes, the predicted codes and the reconstruction of some sequences.
#[derive(Clone, Debug, PartialEq)]
pub struct TemporalForward<F: Scalar> {
    /// The novel codes: a row for each position, sequence after sequence.
    pub codes: SparseRows<F>,
    /// The codes that the context predicts `[sequence, position, n]`. They may be negative.
    pub predicted: Array3<F>,
    /// The reconstructions `[sequence, position, d]` from both.
    pub reconstruction: Array3<F>,
}

impl<F: Scalar> Affine<F> {
    /// Computes W x + b for rows.
    fn apply(&self, x: &ArrayRef2<F>) -> Result<Array2<F>, ShapeError> {
        Ok(matmul(x, &self.weight.t())? + &self.bias)
    }

    fn check(&self, what: &'static str, output: usize, input: usize) -> Result<(), SaeError> {
        check_shape(what, &[output, input], self.weight.shape())?;
        check_shape(what, &[output], self.bias.shape())?;
        all_finite(what, &self.weight)?;
        all_finite(what, &self.bias)
    }
}

impl<F: Scalar> ContextLayer<F> {
    /// Predicts codes `[position, n]` of one sequence from its codes.
    fn predict(&self, codes: &ArrayRef2<F>, heads: usize) -> Result<Array2<F>, SaeError> {
        let (positions, n) = codes.dim();
        let mut context = Array2::zeros((positions, n));
        if positions > 1 {
            context.slice_mut(s![1.., ..]).assign(&codes.slice(s![..positions - 1, ..]));
        }
        let (query, key, value) =
            (self.query.apply(codes)?, self.key.apply(&context)?, self.value.apply(&context)?);
        let (width, of_value) = (query.ncols() / heads, n / heads);
        let scale = F::from_f64(1.0 / (width as f64).sqrt());
        let mut mixed = Array2::zeros((positions, n));
        for head in 0..heads {
            let columns = s![.., head * width..(head + 1) * width];
            let mut weights = matmul(&query.slice(columns), &key.slice(columns).t())?;
            for (t, mut row) in weights.rows_mut().into_iter().enumerate() {
                let row = row.as_slice_mut().expect("standard layout");
                row[..=t].iter_mut().for_each(|w| *w *= scale);
                softmax_in_place(&mut row[..=t]);
                row[t + 1..].fill(F::zero());
            }
            let columns = s![.., head * of_value..(head + 1) * of_value];
            mixed.slice_mut(columns).assign(&matmul(&weights, &value.slice(columns))?);
        }
        Ok(rectified(self.output.apply(&mixed)?))
    }
}

/// Replaces negative numbers by zero.
fn rectified<F: Scalar>(x: Array2<F>) -> Array2<F> {
    x.mapv_into(|x| x.max(F::zero()))
}

impl<F: Scalar> TemporalDictionary<F> {
    /// Returns a dictionary with the given parameters.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] if a shape does not fit; [`SaeError::OutOfRange`] for an empty size, k outside 1…n, a scale that is not above
    /// zero, and heads that do not divide n and the width of the queries; [`SaeError::NonFiniteInput`] for NaN or infinity.
    pub fn new(mut parts: TemporalParts<F>) -> Result<Self, SaeError> {
        let (n, d) = parts.w_dec.dim();
        ensure(n > 0 && d > 0, "n_latents × d", "positive", 0.0)?;
        ensure(u32::try_from(n).is_ok(), "n_latents", "below 2³²", n as f64)?;
        check_shape("w_enc", &[n, d], parts.w_enc.shape())?;
        check_shape("b_dec", &[d], parts.b_dec.shape())?;
        parts.w_enc = parts.w_enc.as_standard_layout().into_owned();
        parts.w_dec = parts.w_dec.as_standard_layout().into_owned();
        all_finite("w_enc", &parts.w_enc)?;
        all_finite("w_dec", &parts.w_dec)?;
        all_finite("b_dec", &parts.b_dec)?;
        let scale = parts.input_scale.to_f64();
        ensure(scale > 0.0 && scale.is_finite(), "input_scale", "finite, above 0", scale)?;
        let heads = parts.heads;
        ensure(heads > 0 && n.is_multiple_of(heads), "heads", "a divisor of n_latents", heads as f64)?;
        for layer in &parts.context_layers {
            let width = layer.query.weight.nrows();
            let divides = width > 0 && width.is_multiple_of(heads);
            ensure(divides, "heads", "a divisor of the width of the queries", heads as f64)?;
            layer.query.check("query", width, n)?;
            layer.key.check("key", width, n)?;
            layer.value.check("value", n, n)?;
            layer.output.check("output", n, n)?;
        }
        if let NovelCodes::TopK(k) = parts.novel {
            ensure((1..=n).contains(&k), "k", "between 1 and the number of latents", k as f64)?;
        }
        Ok(Self { parts })
    }

    /// Returns the parameters.
    pub fn parts(&self) -> &TemporalParts<F> {
        &self.parts
    }

    /// Computes the codes, the predicted codes and the reconstructions of some sequences.
    ///
    /// # Shapes
    /// `x` `[sequence, position, d]`.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] for another width, [`SaeError::NonFiniteInput`] for NaN or infinity.
    ///
    /// # Determinism
    /// The same bits on any number of threads. Sequences do not depend on each other.
    pub fn forward(&self, x: &ArrayRef3<F>) -> Result<TemporalForward<F>, SaeError> {
        let (sequences, positions, width) = x.dim();
        let (n, d) = self.parts.w_dec.dim();
        check_shape("x", &[sequences, positions, d], &[sequences, positions, width])?;
        all_finite("x", x)?;
        let mut codes = SparseRows::new(n);
        let mut predicted = Array3::zeros((sequences, positions, n));
        let mut reconstruction = Array3::zeros((sequences, positions, d));
        for (sequence, x) in x.outer_iter().enumerate() {
            let [of_sequence, restored] = self.sequence(&x, &mut codes)?;
            predicted.index_axis_mut(Axis(0), sequence).assign(&of_sequence);
            reconstruction.index_axis_mut(Axis(0), sequence).assign(&restored);
        }
        Ok(TemporalForward { codes, predicted, reconstruction })
    }

    /// Appends the novel codes of one sequence, and returns its predicted codes and its reconstruction.
    fn sequence(&self, x: &ArrayRef2<F>, codes: &mut SparseRows<F>) -> Result<[Array2<F>; 2], SaeError> {
        let TemporalParts { w_enc, w_dec, b_dec, context_layers, heads, novel, .. } = &self.parts;
        let (scale, (n, d)) = (self.parts.input_scale, w_dec.dim());
        let lambda = F::from_f64(1.0 / (4.0 * d as f64));
        let mut remainder = x.mapv(|x| x * scale);
        if self.parts.subtracts_bias {
            remainder -= b_dec;
        }
        let encode = |remainder: &Array2<F>| -> Result<Array2<F>, SaeError> {
            Ok(rectified(matmul(&remainder.mapv(|r| r * lambda), &w_enc.t())?))
        };
        let mut predicted = Array2::zeros((x.nrows(), n));
        for layer in context_layers {
            let prediction = layer.predict(&encode(&remainder)?, *heads)?;
            let directions = matmul(&prediction, w_dec)?;
            for (t, direction) in directions.rows().into_iter().enumerate() {
                let mut left = remainder.row_mut(t);
                let sum = |a: ndarray::ArrayView1<'_, F>, b: ndarray::ArrayView1<'_, F>| {
                    a.iter().zip(b).map(|(&a, &b)| a.to_f64() * b.to_f64()).sum::<f64>()
                };
                let length = sum(direction, direction).sqrt() + EPSILON;
                let alpha = F::from_f64(sum(direction, left.view()) / (length * length));
                left.scaled_add(-alpha, &direction);
                predicted.row_mut(t).scaled_add(alpha, &prediction.row(t));
            }
        }
        let candidates = encode(&remainder)?;
        let mut both = predicted.clone();
        let mut kept = Vec::new();
        for (row, mut both) in candidates.rows().into_iter().zip(both.rows_mut()) {
            let row = row.to_slice().expect("standard layout");
            kept.clear();
            match *novel {
                NovelCodes::Relu => positive(row, &mut kept),
                NovelCodes::TopK(k) => top_k(row, k, &mut kept),
                NovelCodes::None => {}
            }
            kept.iter().for_each(|&(latent, code)| both[latent as usize] += code);
            push(codes, kept.iter().copied())?;
        }
        let mut restored = matmul(&both, w_dec)? + b_dec;
        restored.mapv_inplace(|x| x / scale);
        Ok([predicted, restored])
    }
}

impl<F: Precision> Arranged<F> for TemporalDictionary<F> {
    fn name(&self) -> &'static str {
        "temporal dictionary"
    }

    fn arrangement(&self) -> Arrangement {
        Arrangement::Sequences
    }

    fn widths(&self) -> [usize; 2] {
        [self.parts.w_dec.ncols(); 2]
    }

    fn n_latents(&self) -> usize {
        self.parts.w_dec.nrows()
    }

    fn properties(&self) -> Vec<(&'static str, String)> {
        let TemporalParts { context_layers, heads, novel, input_scale, subtracts_bias, .. } = &self.parts;
        let novel = match novel {
            NovelCodes::Relu => "ReLU".to_owned(),
            NovelCodes::TopK(k) => format!("the {k} largest, if positive"),
            NovelCodes::None => "no codes besides the predicted ones".to_owned(),
        };
        let input = if *subtracts_bias { "x·s − b_dec" } else { "x·s" };
        let widths: Vec<_> = context_layers.iter().map(|layer| layer.query.weight.nrows()).collect();
        vec![
            ("activation", novel),
            ("encoder input", format!("{input}, s = {input_scale}")),
            (
                "context",
                format!("{} layers of {heads} heads, widths of the queries {widths:?}", context_layers.len()),
            ),
        ]
    }

    fn fingerprint(&self) -> Fingerprint {
        let TemporalParts { w_enc, w_dec, b_dec, context_layers, heads, novel, input_scale, subtracts_bias } =
            &self.parts;
        let described = format!("temporal {heads} {novel:?} {subtracts_bias} {}", F::NAME);
        let numbers = w_enc.iter().chain(w_dec).chain(b_dec).chain(std::iter::once(input_scale));
        let start = with_numbers(Fingerprint::of(described.as_bytes()), numbers);
        context_layers.iter().fold(start, |f, layer| {
            let ContextLayer { query, key, value, output } = layer;
            let maps = [query, key, value, output].into_iter();
            with_numbers(f, maps.flat_map(|Affine { weight, bias }| weight.iter().chain(bias)))
        })
    }

    fn forward_checked(&self, x: ArrayViewD<'_, F>) -> Result<ArrangedForward<F>, SaeError> {
        let out = self.forward(&typed::<F, Ix3>(x))?;
        Ok(ArrangedForward {
            code_axes: out.reconstruction.shape()[..2].to_vec(),
            codes: out.codes,
            reconstruction: out.reconstruction.into_dyn(),
            predicted: Some(out.predicted.into_dyn()),
        })
    }
}
