//! One dictionary for inference, and the changes that keep what it computes.

mod agreement;
mod convert;
mod fold;
mod row_normalisation;

pub use agreement::{Agreement, agreement};
pub use row_normalisation::RowNormalisation;

use crate::error::SaeError;
use crate::members::choices::{InputBias, Ranking};
use crate::members::variant::Variant;
use crate::precision::Precision;
use crate::weights::{Size, Weights, finite};
use collimate_measure::{Fingerprint, ensure};
use collimate_stream::RngStream;
use collimate_tensor::{Scalar, SparseRows, matmul, matmul_into};
use ndarray::{Array1, Array2, ArrayRef2, Axis};

/// The rows that the decoder gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The input itself: an autoencoder.
    Input,
    /// Another activation of the model: a transcoder.
    Other,
}

/// A dictionary for encoding and reconstructing, trained here or read from a file.
///
/// ```text
/// u = normalised x        f = activation(W_enc (u − b_dec) + …) or activation(W_enc u + …)
/// x̂ = W_decᵀ f + b_dec, the normalisation undone                 y = x̂ + W_skip x
/// ```
/// [`Sae`](crate::Sae) and [`Transcoder`](crate::Transcoder), which are trained, lend their dictionary.
/// [`formats::read`](crate::formats::read) reads one from a file of any known library.
///
/// # Shapes
/// `W_enc` `[n, d_in]`, `W_dec` `[n, d_out]`, `b_dec` `[d_out]`, `W_skip` `[d_out, d_in]`.
///
/// # Examples
/// ```
/// use collimate_sae::{Sae, Size, TopK, RngStream};
/// let sae = Sae::<f64>::new(TopK::new(2), Size { d_model: 4, n_latents: 8 }, &mut RngStream::new(1, 0))?;
/// let codes = sae.dictionary().encode(&ndarray::array![[1.0, 0.5, -0.25, 0.0]])?;
/// assert_eq!(codes.n_stored(), 2);
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Dictionary<F> {
    pub(crate) variant: Variant,
    pub(crate) weights: Weights<F>,
    pub(crate) skip: Option<Array2<F>>,
    pub(crate) row_normalisation: RowNormalisation,
    pub(crate) target: Target,
}

/// The codes of some rows and their reconstructions.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward<F: Scalar> {
    /// The codes `[b, n]`.
    pub codes: SparseRows<F>,
    /// The reconstructions, or the predictions of a transcoder, `[b, d_out]`.
    pub reconstruction: Array2<F>,
}

impl<F: Scalar> Dictionary<F> {
    /// Returns an autoencoder with the given parameters.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] if the shapes do not fit each other, [`SaeError::NonFiniteInput`] for NaN or infinity,
    /// [`SaeError::OutOfRange`] for a parameter of the variant outside its range or a negative threshold.
    pub fn new(variant: impl Into<Variant>, weights: Weights<F>) -> Result<Self, SaeError> {
        let width = weights.w_dec.ncols();
        Self::of_width(variant.into(), weights, width)
    }

    /// Returns a dictionary whose encoder takes rows of another width than its decoder gives.
    pub(crate) fn of_width(variant: Variant, weights: Weights<F>, width: usize) -> Result<Self, SaeError> {
        let member = variant.member();
        let columns = if member.untied { 2 * width } else { width };
        let mut weights = weights.checked(member.per_latent, columns)?;
        variant.check(weights.size())?;
        if let Some(vector) = member.not_negative {
            for &t in &weights.per_latent[vector] {
                ensure(t >= F::zero(), "threshold", "at least 0", t.to_f64())?;
            }
        }
        if let Variant::MatchingPursuit(_) = variant {
            weights.w_enc.assign(&weights.w_dec);
        }
        let (skip, row_normalisation, target) = (None, RowNormalisation::None, Target::Input);
        Ok(Self { variant, weights, skip, row_normalisation, target })
    }

    /// Adds a skip connection `[d_out, d_in]`.
    pub(crate) fn with_skip(mut self, skip: Option<Array2<F>>) -> Result<Self, SaeError> {
        if let Some(skip) = &skip {
            let expected = [self.d_out(), self.size().d_model];
            if skip.shape() != expected {
                return Err(SaeError::shape("w_skip", &expected, skip.shape()));
            }
            finite("w_skip", skip)?;
        }
        self.skip = skip.map(|skip| skip.as_standard_layout().into_owned());
        Ok(self)
    }

    /// Returns the member of the family.
    pub fn variant(&self) -> &Variant {
        &self.variant
    }

    /// Returns the parameters without the skip.
    pub fn weights(&self) -> &Weights<F> {
        &self.weights
    }

    /// Returns the width of the inputs and the number of latents.
    pub fn size(&self) -> Size {
        let member = self.variant.member();
        Size { d_model: member.input_width(&self.weights), n_latents: self.weights.w_dec.nrows() }
    }

    /// Returns the width of the outputs.
    pub fn d_out(&self) -> usize {
        self.weights.w_dec.ncols()
    }

    /// Returns the encoder directions `[n, d_in]`, one latent a row.
    pub fn encoder(&self) -> &Array2<F> {
        &self.weights.w_enc
    }

    /// Returns the decoder directions `[n, d_out]`, one latent a row.
    pub fn decoder(&self) -> &Array2<F> {
        &self.weights.w_dec
    }

    /// Returns the decoder bias `[d_out]`.
    pub fn decoder_bias(&self) -> &Array1<F> {
        &self.weights.b_dec
    }

    /// Returns the skip connection `[d_out, d_in]` of a skip transcoder.
    pub fn skip(&self) -> Option<&Array2<F>> {
        self.skip.as_ref()
    }

    /// Returns the input of the encoder: x or x − b_dec.
    pub fn input_bias(&self) -> InputBias {
        self.variant.input_bias()
    }

    /// Returns the normalisation of each row before the encoder.
    pub fn row_normalisation(&self) -> RowNormalisation {
        self.row_normalisation
    }

    /// Returns the rows that the decoder gives back.
    pub fn target(&self) -> Target {
        self.target
    }

    /// Computes the lengths of the decoder rows.
    pub fn decoder_norms(&self) -> Array1<F> {
        self.weights.w_dec.rows().into_iter().map(|row| row.dot(&row).sqrt()).collect()
    }

    /// Returns this dictionary in another precision.
    pub fn cast<G: Scalar>(&self) -> Dictionary<G> {
        Dictionary {
            variant: self.variant,
            weights: self.weights.cast(),
            skip: self.skip.as_ref().map(|skip| skip.map(|&x| G::from_f64(x.to_f64()))),
            row_normalisation: self.row_normalisation,
            target: self.target,
        }
    }

    /// Returns the null model: this dictionary with its decoder rows shuffled across the latents.
    ///
    /// It keeps the codes and the directions, and breaks the link between them. So it is the floor of reconstruction and of
    /// loss recovered.
    ///
    /// # Determinism
    /// The order is drawn from `seed` alone.
    #[must_use]
    pub fn null(&self, seed: u64) -> Self {
        let order = RngStream::named(seed, "null dictionary").permutation(self.decoder().nrows());
        let mut null = self.clone();
        null.weights.w_dec = null.weights.w_dec.select(Axis(0), &order);
        null
    }

    /// Computes the fingerprint of the variant and of every parameter.
    pub fn fingerprint(&self) -> Fingerprint {
        let described = format!("{:?} {}", self.variant, F::NAME);
        let Weights { w_enc, w_dec, b_dec, per_latent } = &self.weights;
        let bits = |values: &mut dyn Iterator<Item = &F>| -> Vec<u8> {
            values.flat_map(|&x| x.to_f64().to_bits().to_le_bytes()).collect()
        };
        let all = w_enc.iter().chain(w_dec).chain(b_dec).chain(per_latent.iter().flatten());
        let mut fingerprint = Fingerprint::of(described.as_bytes()).and(&bits(&mut all.into_iter()));
        if self.target == Target::Other || self.skip.is_some() {
            fingerprint = fingerprint.and(&bits(&mut self.skip.iter().flatten()));
        }
        if self.row_normalisation != RowNormalisation::None {
            fingerprint = fingerprint.and(format!("{:?}", self.row_normalisation).as_bytes());
        }
        fingerprint
    }

    /// Returns an error unless the rows have the width of the encoder and finite values.
    pub(crate) fn check_rows(&self, x: &ArrayRef2<F>) -> Result<(), SaeError> {
        let d = self.size().d_model;
        if x.ncols() != d {
            return Err(SaeError::shape("x", &[x.nrows(), d], x.shape()));
        }
        finite("x", &x.as_standard_layout())
    }

    /// Computes the reconstructions of some codes, W_decᵀ f + b_dec.
    ///
    /// A normalisation of rows is not undone, and a skip is not added: both need the input.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] for codes over another number of latents.
    pub fn decode(&self, codes: &SparseRows<F>) -> Result<Array2<F>, SaeError> {
        let n = self.decoder().nrows();
        if codes.n_columns() != n {
            return Err(SaeError::shape("codes", &[codes.n_rows(), n], &[codes.n_rows(), codes.n_columns()]));
        }
        let mut x_hat = codes.decode(&self.weights.w_dec)?;
        x_hat += &self.weights.b_dec;
        Ok(x_hat)
    }

    /// Normalises rows, and returns the scale and the shift that undo it for each row.
    fn normalised(&self, x: &ArrayRef2<F>) -> (Array2<F>, Vec<(F, F)>) {
        let mut input = x.as_standard_layout().into_owned();
        let rows = input.rows_mut().into_iter();
        let restore = rows
            .map(|mut row| self.row_normalisation.apply(row.as_slice_mut().expect("standard layout")))
            .collect();
        (input, restore)
    }
}

impl<F: Precision> Dictionary<F> {
    /// Computes the sparse codes of some rows: only the latents that are not zero.
    ///
    /// # Shapes
    /// `x` `[b, d_in]`; the result has b rows and n columns.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] for another width, [`SaeError::NonFiniteInput`] for NaN or infinity in `x`.
    ///
    /// # Determinism
    /// The same bits on any number of threads. For members that select over the batch and have no threshold, the codes of a
    /// row depend on the rows that are encoded with it.
    pub fn encode(&self, x: &ArrayRef2<F>) -> Result<SparseRows<F>, SaeError> {
        self.check_rows(x)?;
        match self.row_normalisation {
            RowNormalisation::None => F::encode(&self.variant, &self.weights, x),
            _ => F::encode(&self.variant, &self.weights, &self.normalised(x).0),
        }
    }

    /// Computes the reconstructions of some rows, or the predictions of a transcoder.
    ///
    /// # Errors
    /// As [`Dictionary::encode`].
    pub fn reconstruct(&self, x: &ArrayRef2<F>) -> Result<Array2<F>, SaeError> {
        Ok(self.forward(x)?.reconstruction)
    }

    /// Computes the codes and the reconstructions of some rows.
    ///
    /// # Shapes
    /// `x` `[b, d_in]`.
    ///
    /// # Errors
    /// As [`Dictionary::encode`].
    ///
    /// # Determinism
    /// As [`Dictionary::encode`].
    pub fn forward(&self, x: &ArrayRef2<F>) -> Result<Forward<F>, SaeError> {
        self.check_rows(x)?;
        let (codes, restore) = match self.row_normalisation {
            RowNormalisation::None => (F::encode(&self.variant, &self.weights, x)?, Vec::new()),
            _ => {
                let (input, restore) = self.normalised(x);
                (F::encode(&self.variant, &self.weights, &input)?, restore)
            }
        };
        let mut reconstruction = self.decode(&codes)?;
        if self.target == Target::Input {
            for (mut row, (scale, shift)) in reconstruction.rows_mut().into_iter().zip(restore) {
                row.mapv_inplace(|v| v * scale + shift);
            }
        }
        if let Some(skip) = &self.skip {
            matmul_into(F::one(), x, &skip.t(), F::one(), &mut reconstruction)?;
        }
        Ok(Forward { codes, reconstruction })
    }

    /// Computes the factor and the shift by which the decoder's rows count in the reconstruction of each row.
    ///
    /// ```text
    /// x̂ = scale·(W_decᵀ f + b_dec) + shift        scale 1 and shift 0 without a normalisation of rows, and for a transcoder
    /// ```
    /// A change of code i by δ moves the reconstruction of row b by δ·scale_b·d_i. Only the row itself tells its scale.
    ///
    /// # Shapes
    /// `x` `[b, d_in]`; one pair `(scale, shift)` a row.
    ///
    /// # Errors
    /// As [`Dictionary::encode`].
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{RngStream, Sae, Size, TopK};
    /// let sae = Sae::<f64>::new(TopK::new(1), Size { d_model: 2, n_latents: 3 }, &mut RngStream::new(1, 0))?;
    /// assert_eq!(sae.dictionary().output_scales(&ndarray::array![[3.0, 4.0]])?, [(1.0, 0.0)]);
    /// # Ok::<(), collimate_sae::SaeError>(())
    /// ```
    pub fn output_scales(&self, x: &ArrayRef2<F>) -> Result<Vec<(F, F)>, SaeError> {
        self.check_rows(x)?;
        if self.target == Target::Other || self.row_normalisation == RowNormalisation::None {
            return Ok(vec![(F::one(), F::zero()); x.nrows()]);
        }
        Ok(self.normalised(x).1)
    }

    /// Computes the pre-activations of some rows: the encoder products plus the bias of the gate or of the encoder.
    ///
    /// # Shapes
    /// `x` `[b, d_in]`; the result `[b, n]`.
    ///
    /// # Errors
    /// As [`Dictionary::encode`].
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{Relu, RngStream, Sae, Size};
    /// let sae = Sae::<f64>::new(Relu::unit_norm(), Size { d_model: 2, n_latents: 3 }, &mut RngStream::new(1, 0))?;
    /// let x = ndarray::array![[1.0, 0.5]];
    /// let positive = sae.dictionary().pre_activations(&x)?.mapv(|z| z.max(0.0));
    /// assert_eq!(positive, sae.dictionary().encode(&x)?.to_dense());
    /// # Ok::<(), collimate_sae::SaeError>(())
    /// ```
    pub fn pre_activations(&self, x: &ArrayRef2<F>) -> Result<Array2<F>, SaeError> {
        self.check_rows(x)?;
        let (mut input, _) = self.normalised(x);
        if self.input_bias() == InputBias::Subtracted {
            input -= &self.weights.b_dec;
        }
        let mut products = matmul(&input, &self.variant.member().gate_rows(&self.weights).t())?;
        if let Some(bias) = self.weights.per_latent.first() {
            products += bias;
        }
        Ok(products)
    }

    /// Computes the reconstruction loss of every level of a Matryoshka dictionary: the mean over rows of ‖x − x̂_g‖², without
    /// weights, in squared units of x. Other members have a single level.
    ///
    /// # Errors
    /// As [`Dictionary::encode`]; [`SaeError::Unsupported`] for a transcoder or a normalisation of rows.
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{BatchTopK, Levels, Matryoshka, RngStream, Sae, Size};
    /// let member = Matryoshka { batch: BatchTopK::new(4.0), levels: Levels::new(&[2, 8])? };
    /// let sae = Sae::<f64>::new(member, Size { d_model: 4, n_latents: 8 }, &mut RngStream::new(1, 0))?;
    /// let x = ndarray::array![[1.0, 0.5, -0.25, 0.0]];
    /// let losses = sae.dictionary().level_losses(&x)?;
    /// let error: f64 = (sae.dictionary().reconstruct(&x)? - &x).iter().map(|e| e * e).sum();
    /// assert!(losses.len() == 2 && (losses[1] - error).abs() < 1e-12); // the last level is the whole dictionary
    /// # Ok::<(), collimate_sae::SaeError>(())
    /// ```
    pub fn level_losses(&self, x: &ArrayRef2<F>) -> Result<Vec<f64>, SaeError> {
        if self.target == Target::Other || self.row_normalisation != RowNormalisation::None {
            let (operation, architecture) = ("the losses of levels", "transcoder or row-normalised");
            return Err(SaeError::Unsupported { operation, architecture });
        }
        let codes = self.encode(x)?;
        let n = self.decoder().nrows();
        let widths = self.variant.levels().map_or(vec![n as u32], |levels| levels.widths().to_vec());
        widths
            .into_iter()
            .map(|width| {
                let mut prefix = SparseRows::new(n);
                for (latents, values) in codes.rows() {
                    let end = latents.partition_point(|&latent| latent < width);
                    prefix.push_row(&latents[..end], &values[..end])?;
                }
                let error = self.decode(&prefix)? - x;
                let sum: f64 = error.iter().map(|&e| e.to_f64().powi(2)).sum();
                Ok(sum / x.nrows().max(1) as f64)
            })
            .collect()
    }
}

impl<F: Scalar> Dictionary<F> {
    /// Returns true if the selection multiplies pre-activations by the decoder norms.
    pub(crate) fn ranks_by_norms(&self) -> bool {
        self.variant.member().ranking == Some(Ranking::TimesDecoderNorm)
    }
}
