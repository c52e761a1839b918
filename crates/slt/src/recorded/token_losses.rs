use crate::{RecordedError, SampleLosses};
use ndarray::{Array2, Array4, ArrayRef, Axis, Ix4, concatenate};

/// The axes of the losses, in order.
const AXES: &str = "[chains, draws, rows, tokens]";

/// The loss of every predicted token of some rows of text, along chains.
///
/// The loss of a token is `−log p(x_{t+1} | x_≤t)`, in nats.
///
/// # Shapes
/// `[chains, draws, rows, tokens]`.
///
/// # Examples
/// ```
/// use collimate_slt::{RecordedError, TokenLosses};
/// use ndarray::Array4;
/// // Two chains of three draws, on two rows of two tokens.
/// let mut losses = Array4::from_shape_fn((2, 3, 2, 2), |(c, d, r, t)| (c + d + r + t) as f64);
/// assert_eq!(TokenLosses::from_array(&losses)?.draw_means()[[1, 2]], 4.0);
/// losses[[1, 2, 0, 0]] = f64::NAN;
/// assert_eq!(TokenLosses::from_array(&losses), Err(RecordedError::Diverged { chain: 1, draw: 2, draws: 3 }));
/// # Ok::<(), RecordedError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLosses {
    values: Array4<f64>,
}

impl TokenLosses {
    /// Takes losses that another program recorded.
    ///
    /// # Shapes
    /// `losses` `[chains, draws, rows, tokens]`.
    ///
    /// # Errors
    /// [`RecordedError::Empty`] for an axis of length 0. [`RecordedError::Diverged`] if each draw of a chain from one draw to the end
    /// has a loss that is not finite. [`RecordedError::NotFinite`] for any other NaN or infinity.
    pub fn from_array(losses: &ArrayRef<f64, Ix4>) -> Result<Self, RecordedError> {
        if losses.is_empty() {
            let shape = losses.shape().to_vec();
            return Err(RecordedError::Empty { what: "the array of losses", axes: AXES, shape });
        }
        for (chain, draws) in losses.outer_iter().enumerate() {
            let bad: Vec<usize> = (draws.outer_iter().enumerate())
                .filter(|(_, draw)| draw.iter().any(|loss| !loss.is_finite()))
                .map(|(draw, _)| draw)
                .collect();
            let Some(&first) = bad.first() else { continue };
            let count = draws.shape()[0];
            if bad.len() == count - first {
                return Err(RecordedError::Diverged { chain, draw: first, draws: count });
            }
            let losses = draws.index_axis(Axis(0), first);
            if let Some(((row, token), &value)) = losses.indexed_iter().find(|(_, loss)| !loss.is_finite()) {
                return Err(RecordedError::NotFinite { chain, draw: first, row, token, value });
            }
        }
        Ok(Self { values: losses.to_owned() })
    }

    /// Joins the rows of several recordings of one run, in order.
    ///
    /// # Errors
    /// [`RecordedError::Empty`] without a recording. [`RecordedError::Axis`] if they differ in chains, draws or tokens.
    pub fn joined_rows(parts: &[&Self]) -> Result<Self, RecordedError> {
        let Some(first) = parts.first() else {
            return Err(RecordedError::Empty { what: "the list of recordings", axes: AXES, shape: vec![0] });
        };
        for part in parts {
            part.same_draws(first, "a recording", "the first one")?;
            part.same_axis(3, first, "a recording", "the first one")?;
        }
        let views: Vec<_> = parts.iter().map(|part| part.values.view()).collect();
        let values =
            concatenate(Axis(2), &views).expect("the recordings have equal chains, draws and tokens");
        Ok(Self { values })
    }

    /// Returns the losses.
    ///
    /// # Shapes
    /// `[chains, draws, rows, tokens]`.
    pub fn values(&self) -> &Array4<f64> {
        &self.values
    }

    /// Returns the number of chains.
    pub fn chains(&self) -> usize {
        self.values.dim().0
    }

    /// Returns the number of draws of each chain.
    pub fn draws(&self) -> usize {
        self.values.dim().1
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.values.dim().2
    }

    /// Returns the number of predicted tokens of each row.
    pub fn tokens(&self) -> usize {
        self.values.dim().3
    }

    /// Returns the mean loss of all rows and tokens at each draw.
    ///
    /// # Shapes
    /// `[chains, draws]`.
    pub fn draw_means(&self) -> Array2<f64> {
        let count = (self.rows() * self.tokens()) as f64;
        let sums = self.values.sum_axis(Axis(3)).sum_axis(Axis(2));
        sums / count
    }

    /// Returns the mean loss of each row, whose influence functions and WAIC [`SampleLosses`] computes.
    pub fn row_means(&self) -> SampleLosses {
        let means = self.values.sum_axis(Axis(3)) / self.tokens() as f64;
        SampleLosses::from_array(&means).expect("the losses are finite and no axis is empty")
    }

    /// Returns an error unless two recordings have the same chains and draws.
    pub(super) fn same_draws(
        &self,
        other: &Self,
        what: &'static str,
        name: &'static str,
    ) -> Result<(), RecordedError> {
        self.same_axis(0, other, what, name)?;
        self.same_axis(1, other, what, name)
    }

    /// Returns an error unless two recordings agree in the length of an axis.
    pub(super) fn same_axis(
        &self,
        axis: usize,
        other: &Self,
        what: &'static str,
        name: &'static str,
    ) -> Result<(), RecordedError> {
        let (expected, given) = (other.values.shape()[axis], self.values.shape()[axis]);
        let axis = ["chains", "draws", "rows", "tokens"][axis];
        if expected == given {
            return Ok(());
        }
        Err(RecordedError::Axis { what, axis, other: name, expected, given })
    }
}
