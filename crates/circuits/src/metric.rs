use crate::error::CircuitError;
use collimate_tensor::{log_softmax_in_place, softmax_in_place};
use ndarray::{Array2, ArrayRef2};

/// A number computed from the logits of one sequence, with its gradient.
///
/// [`Answer`] has the usual ones. A function of your own implements this trait.
///
/// # Examples
/// ```
/// use collimate_circuits::Metric;
/// use ndarray::{Array2, ArrayRef2};
/// /// The sum of all logits of the first position.
/// struct First;
/// impl Metric for First {
///     fn value(&self, logits: &ArrayRef2<f64>) -> f64 {
///         logits.row(0).sum()
///     }
///     fn gradient(&self, logits: &ArrayRef2<f64>) -> Array2<f64> {
///         Array2::from_shape_fn(logits.dim(), |(t, _)| if t == 0 { 1.0 } else { 0.0 })
///     }
/// }
/// assert_eq!(First.value(&ndarray::array![[1.0, 2.0], [5.0, 5.0]]), 3.0);
/// ```
pub trait Metric: Sync {
    /// Computes the metric of logits `[t, v]`.
    fn value(&self, logits: &ArrayRef2<f64>) -> f64;

    /// Computes the gradient of the metric by the logits, `[t, v]`.
    fn gradient(&self, logits: &ArrayRef2<f64>) -> Array2<f64>;

    /// Returns an error if the metric does not fit a model with this vocabulary. The default accepts every model.
    ///
    /// # Errors
    /// [`CircuitError::Argument`] with the reason.
    fn check(&self, _vocabulary: usize) -> Result<(), CircuitError> {
        Ok(())
    }
}

/// A metric of the logits y at the last position.
///
/// # Examples
/// ```
/// use collimate_circuits::{Answer, Metric};
/// let logits = ndarray::array![[0.0, 0.0], [3.0, 1.0]];
/// assert_eq!(Answer::LogitDifference { answer: 0, wrong: 1 }.value(&logits), 2.0);
/// let p = Answer::Probability { answer: 0 }.value(&logits);
/// assert!((p - 1.0 / (1.0 + (-2.0f64).exp())).abs() < 1e-15);
/// assert!((Answer::Loss { answer: 0 }.value(&logits) + p.ln()).abs() < 1e-15);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// `y[answer] − y[wrong]`.
    LogitDifference {
        /// The right token.
        answer: u32,
        /// The wrong token.
        wrong: u32,
    },
    /// `softmax(y)[answer]`.
    Probability {
        /// The right token.
        answer: u32,
    },
    /// `−ln softmax(y)[answer]`, in nats.
    Loss {
        /// The right token.
        answer: u32,
    },
}

impl Answer {
    fn tokens(self) -> Vec<u32> {
        match self {
            Self::LogitDifference { answer, wrong } => vec![answer, wrong],
            Self::Probability { answer } | Self::Loss { answer } => vec![answer],
        }
    }
}

impl Metric for Answer {
    fn value(&self, logits: &ArrayRef2<f64>) -> f64 {
        let last = logits.row(logits.nrows() - 1);
        let mut row = last.to_vec();
        match *self {
            Self::LogitDifference { answer, wrong } => row[answer as usize] - row[wrong as usize],
            Self::Probability { answer } => {
                softmax_in_place(&mut row);
                row[answer as usize]
            }
            Self::Loss { answer } => {
                log_softmax_in_place(&mut row);
                -row[answer as usize]
            }
        }
    }

    fn gradient(&self, logits: &ArrayRef2<f64>) -> Array2<f64> {
        let end = logits.nrows() - 1;
        let mut out = Array2::zeros(logits.dim());
        let mut probabilities = logits.row(end).to_vec();
        softmax_in_place(&mut probabilities);
        let mut row = out.row_mut(end);
        match *self {
            Self::LogitDifference { answer, wrong } => {
                row[answer as usize] += 1.0;
                row[wrong as usize] -= 1.0;
            }
            Self::Probability { answer } => {
                let p = probabilities[answer as usize];
                row.iter_mut().zip(&probabilities).for_each(|(x, q)| *x = -p * q);
                row[answer as usize] += p;
            }
            Self::Loss { answer } => {
                row.iter_mut().zip(&probabilities).for_each(|(x, q)| *x = *q);
                row[answer as usize] -= 1.0;
            }
        }
        out
    }

    fn check(&self, vocabulary: usize) -> Result<(), CircuitError> {
        match self.tokens().into_iter().find(|&id| id as usize >= vocabulary) {
            Some(id) => Err(CircuitError::Argument(format!(
                "the token {id} of the metric is not in the vocabulary of {vocabulary}; give the id of a token of this model"
            ))),
            None => Ok(()),
        }
    }
}
