use super::TokenLosses;
use crate::RecordedError;
use collimate_measure::ensure;
use ndarray::{Array2, Array3, Array4, ArrayView3, Axis, Zip};
use std::ops::Range;

/// The treatment of several chains in a covariance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chains {
    /// The draws of all chains are joined, and the grand mean is subtracted. Differences between the chains enter as covariance.
    /// devinterp 2.0.1 calls this `stack`.
    Joined,
    /// The chains are averaged draw by draw. devinterp 2.0.1 calls this `mean`.
    Averaged,
    /// Each chain is centred at its own mean. Differences between the chains do not enter.
    Centred,
}

/// The number that two losses have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Association {
    /// The correlation of Pearson, in [−1, 1]. It is NaN if a loss does not vary.
    Correlation,
    /// The covariance, in nats².
    Covariance,
}

/// The convention of a Bayesian influence function, computed from recorded losses.
///
/// # Examples
/// ```
/// use collimate_slt::{Influence, TokenLosses};
/// use ndarray::Array4;
/// // Two rows that move in opposite directions inside each chain, while the chains differ by an offset.
/// let sign = |d: usize| if d % 2 == 0 { 1.0 } else { -1.0 };
/// let loss = |(c, d, r, _): (usize, usize, usize, usize)| 10.0 * c as f64 + sign(d) * sign(r);
/// let losses = TokenLosses::from_array(&Array4::from_shape_fn((2, 40, 2, 1), loss))?;
/// assert!(Influence::DEVINTERP.of_rows(&losses)[[0, 1]] > 0.9);
/// assert!((Influence::CORRECTED.of_rows(&losses)[[0, 1]] + 1.0).abs() < 1e-12);
/// # Ok::<(), collimate_slt::RecordedError>(())
/// ```
///
/// # References
/// Kreer et al. (2025), arXiv 2509.26544.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Influence {
    /// The treatment of several chains.
    pub chains: Chains,
    /// The number that two losses have in common.
    pub association: Association,
}

/// The largest number of values of a table of tokens. They take 1.6 GB.
const LARGEST: usize = 200_000_000;

impl Influence {
    /// The convention that devinterp 2.0.1 uses if none is chosen.
    pub const DEVINTERP: Self = Self { chains: Chains::Joined, association: Association::Correlation };
    /// The convention in which differences between the chains do not count.
    pub const CORRECTED: Self = Self { chains: Chains::Centred, association: Association::Correlation };

    /// Returns the association of the mean losses of all rows.
    ///
    /// [`crate::SampleLosses::influence`] is minus the covariance of [`Chains::Joined`].
    ///
    /// # Shapes
    /// `[rows, rows]`.
    pub fn of_rows(&self, losses: &TokenLosses) -> Array2<f64> {
        let means = row_means(losses);
        let (x, scale) = self.deviations(means.view());
        x.t().dot(&x) * scale
    }

    /// Returns the standard errors of [`Influence::of_rows`], from the spread of the values of single chains.
    ///
    /// # Shapes
    /// `[rows, rows]`.
    ///
    /// # Errors
    /// [`RecordedError::OneChain`] for one chain.
    pub fn error_of_rows(&self, losses: &TokenLosses) -> Result<Array2<f64>, RecordedError> {
        let chains = losses.chains();
        if chains < 2 {
            return Err(RecordedError::OneChain);
        }
        let means = row_means(losses);
        let mut single = Array3::zeros((chains, losses.rows(), losses.rows()));
        for (mut out, chain) in single.outer_iter_mut().zip(means.axis_chunks_iter(Axis(0), 1)) {
            let (x, scale) = self.deviations(chain);
            out.assign(&(x.t().dot(&x) * scale));
        }
        Ok(single.std_axis(Axis(0), 1.0) / (chains as f64).sqrt())
    }

    /// Returns the mean association of the tokens of each pair of rows.
    ///
    /// With [`Association::Correlation`] it is the mean of the correlations, and not the correlation of the means.
    ///
    /// # Shapes
    /// `[rows, rows]`.
    pub fn of_token_averages(&self, losses: &TokenLosses) -> Array2<f64> {
        let (x, scale) = self.token_deviations(losses, 0..losses.rows());
        let draws = x.nrows();
        let x = x.into_shape_with_order((draws, losses.rows(), losses.tokens())).expect("rows of tokens");
        // The mean over pairs of tokens is the product of the means over tokens.
        let means = x.sum_axis(Axis(2)) / losses.tokens() as f64;
        means.t().dot(&means) * scale
    }

    /// Returns the association of each token of some rows with each token of other rows.
    ///
    /// # Shapes
    /// `[left, right, tokens, tokens]`.
    ///
    /// # Errors
    /// [`RecordedError::OutOfRange`] if a range ends after the last row, for an empty range, and for more than 2·10⁸ pairs of tokens.
    pub fn of_tokens(
        &self,
        losses: &TokenLosses,
        left: Range<usize>,
        right: Range<usize>,
    ) -> Result<Array4<f64>, RecordedError> {
        let (rows, tokens) = (losses.rows(), losses.tokens());
        for range in [&left, &right] {
            let argument = "the end of a range of rows";
            ensure(range.end <= rows, argument, "at most the number of rows", range.end as f64)?;
        }
        let size = (left.len() * tokens).saturating_mul(right.len() * tokens);
        let argument = "the number of pairs of tokens";
        ensure((1..=LARGEST).contains(&size), argument, "in 1..=200000000", size as f64)?;
        let (x, scale) = self.token_deviations(losses, left.clone());
        let (y, _) = self.token_deviations(losses, right.clone());
        let products = x.t().dot(&y) * scale;
        let table = products
            .as_standard_layout()
            .into_owned()
            .into_shape_with_order((left.len(), tokens, right.len(), tokens))
            .expect("the columns are rows of tokens");
        Ok(table.permuted_axes([0, 2, 1, 3]).as_standard_layout().into_owned())
    }

    /// Returns the deviations of the tokens of some rows, as [`Influence::deviations`].
    fn token_deviations(&self, losses: &TokenLosses, rows: Range<usize>) -> (Array2<f64>, f64) {
        let part = losses.values().slice_axis(Axis(2), rows.into());
        let (chains, draws, rows, tokens) = part.dim();
        let part = part.as_standard_layout();
        let columns =
            part.view().into_shape_with_order((chains, draws, rows * tokens)).expect("rows of tokens");
        self.deviations(columns)
    }

    /// Returns centred columns, of length 1 for correlations, and the factor of their products.
    ///
    /// # Shapes
    /// From `[chains, draws, columns]` to `[joined draws, columns]`.
    fn deviations(&self, losses: ArrayView3<'_, f64>) -> (Array2<f64>, f64) {
        let (chains, draws, columns) = losses.dim();
        let mut x = match self.chains {
            Chains::Averaged => losses.mean_axis(Axis(0)).expect("a chain").insert_axis(Axis(0)),
            Chains::Joined => {
                let joined = losses.as_standard_layout().into_owned();
                joined.into_shape_with_order((1, chains * draws, columns)).expect("the same numbers")
            }
            Chains::Centred => losses.as_standard_layout().into_owned(),
        };
        for mut chain in x.outer_iter_mut() {
            let first = chain.row(0).to_owned();
            // A column that is constant has deviations of exactly 0, without the rounding of its mean.
            chain -= &first;
            let means = chain.mean_axis(Axis(0)).expect("a draw");
            chain -= &means;
        }
        let (groups, count, _) = x.dim();
        let mut x = x.into_shape_with_order((groups * count, columns)).expect("the same numbers");
        match self.association {
            Association::Covariance => (x, 1.0 / (groups * (count - 1)) as f64),
            Association::Correlation => {
                let lengths = x.map_axis(Axis(0), |column| column.dot(&column).sqrt());
                for mut row in x.rows_mut() {
                    Zip::from(&mut row).and(&lengths).for_each(|x, length| *x /= length);
                }
                (x, 1.0)
            }
        }
    }
}

/// Returns the mean loss of each row, `[chains, draws, rows]`.
fn row_means(losses: &TokenLosses) -> Array3<f64> {
    losses.values().mean_axis(Axis(3)).expect("a token")
}
