use collimate_measure::{WrongLength, same_length};
use collimate_stream::RngStream;
use ndarray::{Array2, ArrayRef2};

/// Rows with a known dictionary: sparse non-negative combinations of random unit directions, with noise.
///
/// ```text
/// x = Σ_i b_i a_i u_i + σ ε        b_i ~ Bernoulli(p), a_i ~ U(½, 3/2), ε ~ N(0, 1)
/// ```
///
/// # Examples
/// ```
/// use collimate_sae::{mmcs, Planted};
/// use collimate_stream::RngStream;
/// let mut stream = RngStream::new(1, 0);
/// let planted = Planted::random(12, 6, 0.1, 0.0, &mut stream);
/// assert_eq!(planted.rows(5, &mut stream).dim(), (5, 6));
/// assert!((mmcs(&planted.directions, &planted.directions)? - 1.0).abs() < 1e-12);
/// # Ok::<(), collimate_sae::WrongLength>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Planted {
    /// The unit directions, one a row `[m, d]`.
    pub directions: Array2<f64>,
    /// The probability p that a feature is on.
    pub probability: f64,
    /// The standard deviation σ of the noise in each dimension.
    pub noise: f64,
}

impl Planted {
    /// Draws random directions.
    pub fn random(
        n_features: usize,
        d_model: usize,
        probability: f64,
        noise: f64,
        stream: &mut RngStream,
    ) -> Self {
        let mut directions = Array2::from_shape_fn((n_features, d_model), |_| stream.normal());
        for mut row in directions.rows_mut() {
            crate::normalise(row.as_slice_mut().expect("standard layout"));
        }
        Self { directions, probability, noise }
    }

    /// Draws rows.
    pub fn rows(&self, count: usize, stream: &mut RngStream) -> Array2<f32> {
        let (m, d) = self.directions.dim();
        let mut rows = Array2::zeros((count, d));
        for mut row in rows.rows_mut() {
            let mut x: Vec<f64> = (0..d).map(|_| self.noise * stream.normal()).collect();
            for i in 0..m {
                if stream.bernoulli(self.probability) {
                    let amount = stream.uniform_in(0.5, 1.5);
                    x.iter_mut().zip(self.directions.row(i)).for_each(|(x, u)| *x += amount * u);
                }
            }
            row.iter_mut().zip(x).for_each(|(to, v)| *to = v as f32);
        }
        rows
    }
}

/// Computes the mean over the rows of `from` of the largest cosine with a row of `to`.
///
/// One-directional and many-to-one: rows of `to` that nobody is near do not lower it. `mmcs(truth, dictionary)` says how
/// much of the truth was found, `mmcs(dictionary, truth)` how much of the dictionary is true. A row of zeros has cosine 0.
///
/// # Shapes
/// `from` `[a, d]`, `to` `[b, d]`.
///
/// # Errors
/// [`WrongLength`] if the rows differ in width.
///
/// # References
/// Sharkey, Braun and Millidge (2022), in the direction of their released code.
pub fn mmcs(from: &ArrayRef2<f64>, to: &ArrayRef2<f64>) -> Result<f64, WrongLength> {
    same_length("a row of `to`", from.ncols(), to.ncols())?;
    let units = |rows: &ArrayRef2<f64>| {
        let mut rows = rows.as_standard_layout().into_owned();
        rows.rows_mut()
            .into_iter()
            .for_each(|mut r| crate::normalise(r.as_slice_mut().expect("standard layout")));
        rows
    };
    let cosines = units(from).dot(&units(to).t());
    let best = cosines.rows().into_iter().map(|row| row.fold(f64::NEG_INFINITY, |m, &c| m.max(c)));
    Ok(best.sum::<f64>() / from.nrows() as f64)
}

/// Computes [`mmcs`] for random directions instead of `to`: the result without training.
pub fn mmcs_null(from: &ArrayRef2<f64>, n_latents: usize, stream: &mut RngStream) -> f64 {
    let random = Array2::from_shape_fn((n_latents, from.ncols()), |_| stream.normal());
    mmcs(from, &random).expect("equal widths")
}
