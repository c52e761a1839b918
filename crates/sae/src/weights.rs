use crate::SaeError;
use collimate_measure::{OutOfRange, ensure};
use collimate_stream::RngStream;
use collimate_tensor::{Scalar, memory_fits, sum_of_squares};
use ndarray::{Array1, Array2};

/// The width of the rows and the number of latents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// The width d of the rows that are encoded.
    pub d_model: usize,
    /// The number n of latents.
    pub n_latents: usize,
}

impl Size {
    /// Returns an error if two matrices of this size do not fit into the memory of the machine.
    pub(crate) fn check_memory<F>(self) -> Result<(), OutOfRange> {
        let bytes = (self.d_model as u64).saturating_mul(self.n_latents as u64);
        let bytes = bytes.saturating_mul(2 * size_of::<F>() as u64);
        let allowed = "small enough for the weights to fit into memory";
        ensure(memory_fits(bytes), "n_latents", allowed, self.n_latents as f64)
    }
}

/// The parameters of a dictionary.
///
/// Both matrices keep one latent a row, contiguous, so that reading or updating a latent touches two rows.
///
/// # Shapes
/// `w_enc` `[n, d]` (the transpose of what the equations call W_enc; `[n, 2d]` for an untied gated dictionary, `[n, d_in]`
/// for a transcoder), `w_dec` `[n, d]`, `b_dec` `[d]`, and the
/// vectors of the architecture, `[n]` each, in the order of [`Variant::per_latent_names`](crate::Variant::per_latent_names).
#[derive(Clone, Debug, PartialEq)]
pub struct Weights<F> {
    /// The encoder directions, one a row.
    pub w_enc: Array2<F>,
    /// The decoder directions, one a row.
    pub w_dec: Array2<F>,
    /// The decoder bias.
    pub b_dec: Array1<F>,
    /// The vectors with one entry a latent.
    pub per_latent: Vec<Array1<F>>,
}

impl<F: Scalar> Weights<F> {
    /// Returns parameters that are all zero.
    pub fn zeros(size: Size, n_vectors: usize) -> Self {
        let Size { d_model: d, n_latents: n } = size;
        Self {
            w_enc: Array2::zeros((n, d)),
            w_dec: Array2::zeros((n, d)),
            b_dec: Array1::zeros(d),
            per_latent: vec![Array1::zeros(n); n_vectors],
        }
    }

    /// Returns parameters that are all zero, in the shapes of others.
    pub(crate) fn zeros_like(other: &Self) -> Self {
        Self {
            w_enc: Array2::zeros(other.w_enc.raw_dim()),
            w_dec: Array2::zeros(other.w_dec.raw_dim()),
            b_dec: Array1::zeros(other.b_dec.len()),
            per_latent: vec![Array1::zeros(other.w_dec.nrows()); other.per_latent.len()],
        }
    }

    /// Draws random unit directions in the decoder, with the encoder tied to them and every bias zero.
    pub(crate) fn tied_unit(size: Size, n_vectors: usize, stream: &mut RngStream) -> Self {
        let mut weights = Self::zeros(size, n_vectors);
        for mut row in weights.w_dec.rows_mut() {
            row.mapv_inplace(|_| F::from_f64(stream.normal()));
            normalise(row.as_slice_mut().expect("rows are contiguous"));
        }
        weights.w_enc.assign(&weights.w_dec);
        weights
    }

    /// Returns the width and the number of latents.
    pub fn size(&self) -> Size {
        Size { d_model: self.w_dec.ncols(), n_latents: self.w_dec.nrows() }
    }

    /// Returns the number of numbers.
    pub fn len(&self) -> usize {
        self.w_enc.len() + self.w_dec.len() + self.b_dec.len() + self.per_latent.len() * self.w_dec.nrows()
    }

    /// Returns true if there are no parameters at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the parameters in another precision.
    pub fn cast<G: Scalar>(&self) -> Weights<G> {
        let to = |&x: &F| G::from_f64(x.to_f64());
        Weights {
            w_enc: self.w_enc.map(to),
            w_dec: self.w_dec.map(to),
            b_dec: self.b_dec.map(to),
            per_latent: self.per_latent.iter().map(|v| v.map(to)).collect(),
        }
    }

    /// Checks the shapes, brings every matrix into row order and refuses NaN and infinity.
    ///
    /// `width` is what an encoder row must have.
    pub(crate) fn checked(mut self, names: &[&'static str], width: usize) -> Result<Self, SaeError> {
        let (n, d) = self.w_dec.dim();
        ensure(n > 0 && d > 0, "n_latents × d_model", "positive", 0.0)?;
        ensure(u32::try_from(n).is_ok(), "n_latents", "below 2³²", n as f64)?;
        if self.w_enc.dim() != (n, width) {
            return Err(SaeError::shape("w_enc", &[n, width], self.w_enc.shape()));
        }
        if self.b_dec.len() != d {
            return Err(SaeError::shape("b_dec", &[d], self.b_dec.shape()));
        }
        if self.per_latent.len() != names.len() {
            return Err(SaeError::shape("per_latent", &[names.len()], &[self.per_latent.len()]));
        }
        for (vector, name) in self.per_latent.iter().zip(names) {
            if vector.len() != n {
                return Err(SaeError::shape(name, &[n], vector.shape()));
            }
        }
        self.w_enc = standard(self.w_enc);
        self.w_dec = standard(self.w_dec);
        self.per_latent = self.per_latent.into_iter().map(|v| v.as_standard_layout().into_owned()).collect();
        self.b_dec = self.b_dec.as_standard_layout().into_owned();
        for (what, array) in [("w_enc", &self.w_enc), ("w_dec", &self.w_dec)] {
            finite(what, array)?;
        }
        let vectors = names.iter().copied().zip(&self.per_latent).chain([("b_dec", &self.b_dec)]);
        for (what, vector) in vectors {
            finite(what, &vector.view().insert_axis(ndarray::Axis(0)).to_owned())?;
        }
        Ok(self)
    }
}

fn standard<F: Scalar>(a: Array2<F>) -> Array2<F> {
    if a.is_standard_layout() { a } else { a.as_standard_layout().into_owned() }
}

/// Refuses NaN and infinity, naming the first one.
pub(crate) fn finite<F: Scalar>(what: &'static str, rows: &ndarray::ArrayRef2<F>) -> Result<(), SaeError> {
    for (row, values) in rows.rows().into_iter().enumerate() {
        // The sum of squares is finite for all but bad and huge rows; only those are looked at number by number.
        if values.to_slice().is_some_and(|row| sum_of_squares(row).is_finite()) {
            continue;
        }
        if let Some(column) = values.iter().position(|x| !x.is_finite()) {
            return Err(SaeError::NonFiniteInput { what, row, column, value: values[column].to_f64() });
        }
    }
    Ok(())
}

/// Scales a vector to length one; the zero vector stays zero.
///
/// # Examples
/// ```
/// let mut v = [3.0, 4.0];
/// collimate_sae::normalise(&mut v);
/// assert_eq!(v, [0.6, 0.8]);
/// let mut zero = [0.0, 0.0];
/// collimate_sae::normalise(&mut zero);
/// assert_eq!(zero, [0.0, 0.0]); // not NaN
/// ```
pub fn normalise<F: Scalar>(v: &mut [F]) {
    let norm = sum_of_squares(v).sqrt();
    if norm > F::zero() {
        v.iter_mut().for_each(|x| *x /= norm);
    }
}
