use super::{Activation, RowNormalisation};
use crate::members::matching_pursuit::pursuit_codes;
use crate::weights::finite;
use crate::{InputBias, SaeError, Size};
use collimate_measure::Fingerprint;
use collimate_tensor::{Scalar, SparseRows, matmul, matmul_into};
use ndarray::{Array1, Array2, ArrayRef2, Axis, s};

/// Rows that are multiplied with the encoder at once.
const BLOCK: usize = 256;

/// What the decoder is to give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The input itself: an autoencoder.
    Input,
    /// Another activation of the model: a transcoder.
    Other,
}

/// A dictionary of any library, for encoding and reconstructing.
///
/// ```text
/// u = normalised x        p = W_enc (u − b_dec) or W_enc u        f = activation(p)
/// x̂ = W_decᵀ f + b_dec, the normalisation undone                 y = x̂ + W_skip x
/// ```
///
/// # Shapes
/// `W_enc` `[n, d_in]`, `W_dec` `[n, d_out]`, `b_dec` `[d_out]`, `W_skip` `[d_out, d_in]`.
///
/// # Examples
/// ```
/// use collimate_sae::formats::Dictionary;
/// use collimate_sae::{Sae, Size, TopK};
/// use collimate_stream::RngStream;
/// let sae = Sae::<f64>::new(TopK::new(2), Size { d_model: 4, n_latents: 8 }, &mut RngStream::new(1, 0))?;
/// let dictionary = Dictionary::try_from(&sae)?;
/// let x = ndarray::array![[1.0, 0.5, -0.25, 0.0]];
/// assert_eq!(dictionary.forward(&x)?.codes.to_dense(), sae.encode(&x)?.to_dense());
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Dictionary<F> {
    pub(super) w_enc: Array2<F>,
    pub(super) w_dec: Array2<F>,
    pub(super) b_dec: Array1<F>,
    pub(super) w_skip: Option<Array2<F>>,
    pub(super) activation: Activation<F>,
    pub(super) input_bias: InputBias,
    pub(super) row_normalisation: RowNormalisation,
    pub(super) target: Target,
}

/// The codes of some rows and what the decoder makes of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward<F: Scalar> {
    /// The codes `[b, n]`.
    pub codes: SparseRows<F>,
    /// The reconstructions, or what stands for them in a transcoder, `[b, d_out]`.
    pub reconstruction: Array2<F>,
}

impl<F: Scalar> Dictionary<F> {
    /// Checks that all shapes fit and all numbers are finite, and makes negative thresholds zero.
    pub(super) fn checked(mut self) -> Result<Self, SaeError> {
        let (n, d_out) = self.w_dec.dim();
        let d_in = self.w_enc.ncols();
        if n == 0 || d_in == 0 || d_out == 0 || u32::try_from(n).is_err() {
            let expected = "positive, and at most 2³² − 1";
            return Err(SaeError::OutOfRange { name: "the number of latents", expected, given: n as f64 });
        }
        if self.w_enc.nrows() != n {
            return Err(SaeError::shape("w_enc", &[n, d_in], self.w_enc.shape()));
        }
        if self.b_dec.len() != d_out {
            return Err(SaeError::shape("b_dec", &[d_out], self.b_dec.shape()));
        }
        let square = self.target == Target::Input || self.input_bias == InputBias::Subtracted;
        if square && d_in != d_out {
            return Err(SaeError::shape("w_dec", &[n, d_in], self.w_dec.shape()));
        }
        if let Some(skip) = &self.w_skip {
            if skip.dim() != (d_out, d_in) {
                return Err(SaeError::shape("w_skip", &[d_out, d_in], skip.shape()));
            }
            finite("w_skip", skip)?;
        }
        for (name, vector) in self.activation.vectors() {
            if vector.len() != n {
                return Err(SaeError::shape(name, &[n], vector.shape()));
            }
            finite(name, &vector.view().insert_axis(Axis(0)))?;
        }
        finite("b_dec", &self.b_dec.view().insert_axis(Axis(0)))?;
        let (k, most) = match self.activation {
            Activation::TopK { k, .. } | Activation::GroupMax { k, .. } | Activation::AbsTopK { k, .. } => {
                (k as f64, n as f64)
            }
            Activation::MatchingPursuit { k } => (k as f64, f64::INFINITY),
            Activation::BatchTopK { k, .. } => (k, n as f64),
            _ => (1.0, 1.0),
        };
        if !(k > 0.0 && k <= most) {
            return Err(SaeError::OutOfRange {
                name: "k",
                expected: "positive, at most the number of latents",
                given: k,
            });
        }
        if matches!(self.activation, Activation::GroupMax { .. }) && !n.is_multiple_of(k as usize) {
            return Err(SaeError::OutOfRange {
                name: "k",
                expected: "a divisor of the number of latents",
                given: k,
            });
        }
        if let Activation::JumpRelu { threshold, .. } = &mut self.activation {
            // ReLU(z)·1[z > θ] does not see how far below zero a threshold is.
            threshold.mapv_inplace(|t| t.max(F::zero()));
        }
        self.w_enc = self.w_enc.as_standard_layout().into_owned();
        self.w_dec = self.w_dec.as_standard_layout().into_owned();
        finite("w_enc", &self.w_enc)?;
        finite("w_dec", &self.w_dec)?;
        Ok(self)
    }

    /// The width of the inputs and the number of latents.
    pub fn size(&self) -> Size {
        Size { d_model: self.w_enc.ncols(), n_latents: self.w_enc.nrows() }
    }

    /// The width of the outputs.
    pub fn d_out(&self) -> usize {
        self.w_dec.ncols()
    }

    /// The encoder directions `[n, d_in]`, one latent a row.
    pub fn encoder(&self) -> &Array2<F> {
        &self.w_enc
    }

    /// The decoder directions `[n, d_out]`, one latent a row.
    pub fn decoder(&self) -> &Array2<F> {
        &self.w_dec
    }

    /// The decoder bias `[d_out]`.
    pub fn decoder_bias(&self) -> &Array1<F> {
        &self.b_dec
    }

    /// The skip connection `[d_out, d_in]` of a skip transcoder.
    pub fn skip(&self) -> Option<&Array2<F>> {
        self.w_skip.as_ref()
    }

    /// The activation with its vectors.
    pub fn activation(&self) -> &Activation<F> {
        &self.activation
    }

    /// Whether the encoder sees x or x − b_dec.
    pub fn input_bias(&self) -> InputBias {
        self.input_bias
    }

    /// What is done to a row before the encoder.
    pub fn row_normalisation(&self) -> RowNormalisation {
        self.row_normalisation
    }

    /// What the decoder is to give back.
    pub fn target(&self) -> Target {
        self.target
    }

    /// The same with its decoder rows dealt out anew among the latents, as
    /// [`null_dictionary`](crate::null_dictionary) does: the floor of reconstruction and of loss recovered.
    ///
    /// # Determinism
    /// The order is drawn from `seed` alone.
    #[must_use]
    pub fn null(&self, seed: u64) -> Self {
        let order = crate::metrics::dealt(self.size().n_latents, seed);
        Self { w_dec: self.w_dec.select(Axis(0), &order), ..self.clone() }
    }

    /// The fingerprint of every parameter and choice.
    pub fn fingerprint(&self) -> Fingerprint {
        let how = format!(
            "{} {:?} {:?} {:?} {}",
            self.activation.name(),
            self.input_bias,
            self.row_normalisation,
            self.target,
            F::NAME
        );
        let mut fingerprint = Fingerprint::of(how.as_bytes());
        if let Activation::TopK { k, .. }
        | Activation::GroupMax { k, .. }
        | Activation::AbsTopK { k, .. }
        | Activation::MatchingPursuit { k } = self.activation
        {
            fingerprint = fingerprint.and(&k.to_le_bytes());
        }
        if let Activation::BatchTopK { k, threshold, .. } = self.activation {
            fingerprint = fingerprint.and(&k.to_le_bytes()).and(format!("{threshold:?}").as_bytes());
        }
        let mut bytes = Vec::new();
        let vectors = self.activation.vectors();
        let skip = self.w_skip.iter().flatten();
        let all = self.w_enc.iter().chain(&self.w_dec).chain(&self.b_dec).chain(skip);
        all.chain(vectors.iter().flat_map(|(_, v)| v.iter()))
            .for_each(|&x| bytes.extend_from_slice(&x.to_f64().to_bits().to_le_bytes()));
        fingerprint.and(&bytes)
    }

    /// The codes and the reconstructions of some rows.
    ///
    /// # Shapes
    /// `x` `[b, d_in]`.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] for another width, [`SaeError::NonFiniteInput`] for NaN or infinity in `x`.
    ///
    /// # Determinism
    /// The same bits on any number of threads, and for all but [`Activation::BatchTopK`] whatever rows come together.
    pub fn forward(&self, x: &ArrayRef2<F>) -> Result<Forward<F>, SaeError> {
        let Size { d_model: d, n_latents: n } = self.size();
        if x.ncols() != d {
            return Err(SaeError::shape("x", &[x.nrows(), d], x.shape()));
        }
        finite("x", &x.as_standard_layout())?;
        let mut codes = SparseRows::new(n);
        let mut restore = Vec::with_capacity(x.nrows());
        let (mut kept, mut latents, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for start in (0..x.nrows()).step_by(BLOCK) {
            let end = (start + BLOCK).min(x.nrows());
            let mut input = x.slice(s![start..end, ..]).as_standard_layout().into_owned();
            for mut row in input.rows_mut() {
                restore.push(self.row_normalisation.apply(row.as_slice_mut().expect("standard layout")));
            }
            if self.input_bias == InputBias::Subtracted {
                input -= &self.b_dec;
            }
            if let Activation::MatchingPursuit { k } = self.activation {
                for (latents, values) in pursuit_codes(k, &self.w_enc, input)? {
                    codes.push_row(&latents, &values)?;
                }
                continue;
            }
            let mut products = matmul(&input, &self.w_enc.t())?;
            for mut row in products.rows_mut() {
                self.activation.select(row.as_slice_mut().expect("standard layout"), &mut kept);
                latents.clear();
                values.clear();
                kept.iter().for_each(|&(latent, value)| {
                    latents.push(latent);
                    values.push(value);
                });
                codes.push_row(&latents, &values)?;
            }
        }
        if let Activation::BatchTopK { k, .. } = self.activation {
            codes = largest(&codes, (k * x.nrows() as f64) as usize)?;
        }
        let mut reconstruction = self.decode(&codes)?;
        if self.target == Target::Input && self.row_normalisation != RowNormalisation::None {
            for (mut row, (scale, shift)) in reconstruction.rows_mut().into_iter().zip(restore) {
                row.mapv_inplace(|v| v * scale + shift);
            }
        }
        if let Some(skip) = &self.w_skip {
            matmul_into(F::one(), x, &skip.t(), F::one(), &mut reconstruction)?;
        }
        Ok(Forward { codes, reconstruction })
    }

    /// W_decᵀ f + b_dec alone, on the scale on which the encoder works.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] for codes over another number of latents.
    pub fn decode(&self, codes: &SparseRows<F>) -> Result<Array2<F>, SaeError> {
        let mut out = codes.decode(&self.w_dec)?;
        out += &self.b_dec;
        Ok(out)
    }

    /// The same dictionary in another precision.
    pub fn cast<G: Scalar>(&self) -> Dictionary<G> {
        let vector = |v: &Array1<F>| v.map(|&x| G::from_f64(x.to_f64()));
        let matrix = |m: &Array2<F>| m.map(|&x| G::from_f64(x.to_f64()));
        let activation = match &self.activation {
            Activation::Relu { b_enc } => Activation::Relu { b_enc: vector(b_enc) },
            Activation::JumpRelu { b_enc, threshold } => {
                Activation::JumpRelu { b_enc: vector(b_enc), threshold: vector(threshold) }
            }
            Activation::Gated { b_gate, b_mag, r_mag } => {
                Activation::Gated { b_gate: vector(b_gate), b_mag: vector(b_mag), r_mag: vector(r_mag) }
            }
            Activation::TopK { b_enc, k } => Activation::TopK { b_enc: vector(b_enc), k: *k },
            Activation::GroupMax { b_enc, k } => Activation::GroupMax { b_enc: vector(b_enc), k: *k },
            Activation::AbsTopK { b_enc, k } => Activation::AbsTopK { b_enc: vector(b_enc), k: *k },
            Activation::MatchingPursuit { k } => Activation::MatchingPursuit { k: *k },
            Activation::BatchTopK { b_enc, k, threshold } => {
                Activation::BatchTopK { b_enc: vector(b_enc), k: *k, threshold: *threshold }
            }
        };
        Dictionary {
            w_enc: matrix(&self.w_enc),
            w_dec: matrix(&self.w_dec),
            b_dec: vector(&self.b_dec),
            w_skip: self.w_skip.as_ref().map(matrix),
            activation,
            input_bias: self.input_bias,
            row_normalisation: self.row_normalisation,
            target: self.target,
        }
    }
}

/// The `count` largest values of all rows; of equal ones the earlier row, then the smaller latent.
fn largest<F: Scalar>(codes: &SparseRows<F>, count: usize) -> Result<SparseRows<F>, SaeError> {
    let mut all: Vec<(F, usize, u32)> = Vec::with_capacity(codes.n_stored());
    for (row, (latents, values)) in codes.rows().enumerate() {
        all.extend(latents.iter().zip(values).map(|(&latent, &value)| (value, row, latent)));
    }
    if count < all.len() {
        all.select_nth_unstable_by(count, |a, b| {
            b.0.partial_cmp(&a.0).expect("products of finite numbers").then((a.1, a.2).cmp(&(b.1, b.2)))
        });
        all.truncate(count);
    }
    all.sort_unstable_by_key(|&(_, row, latent)| (row, latent));
    let mut out = SparseRows::new(codes.n_columns());
    let mut rest = all.as_slice();
    for row in 0..codes.n_rows() {
        let here = rest.partition_point(|&(_, r, _)| r == row);
        let (now, later) = rest.split_at(here);
        out.push_row(
            &now.iter().map(|entry| entry.2).collect::<Vec<_>>(),
            &now.iter().map(|entry| entry.0).collect::<Vec<_>>(),
        )?;
        rest = later;
    }
    Ok(out)
}
