use crate::error::CircuitError;
use crate::parts::Unembed;
use collimate_tensor::{Scalar, softmax_in_place};
use collimate_transformer::Precision;
use ndarray::{Array2, ArrayView1, Axis};

/// The logits that a graph explains.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// The most likely tokens: as many as reach a probability together, but not more than a number.
    Likely {
        /// The largest number of tokens, at least 1; 10 is usual.
        at_most: usize,
        /// The probability, in (0, 1]; 0.95 is usual.
        mass: f64,
    },
    /// These tokens, weighted by their probabilities.
    Tokens(Vec<u32>),
    /// One logit minus another, with the weight 1.
    Difference {
        /// The token whose logit counts positively.
        answer: u32,
        /// The token whose logit is subtracted.
        wrong: u32,
    },
}

/// A target of a graph.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// The token, or that of the first logit of a difference.
    pub token: u32,
    /// The token whose logit is subtracted; none where the mean logit is.
    pub minus: Option<u32>,
    /// The weight: the probability of the token, or 1 for a difference.
    pub weight: f64,
}

impl Targets {
    /// Chooses the targets of the logits at the last position.
    pub(super) fn choose<F: Scalar>(&self, logits: ArrayView1<'_, F>) -> Result<Vec<Target>, CircuitError> {
        let mut p: Vec<f64> = logits.iter().map(|&x| Scalar::to_f64(x)).collect();
        softmax_in_place(&mut p);
        let known = |token: u32| match p.get(token as usize) {
            Some(&weight) => Ok(Target { token, minus: None, weight }),
            None => Err(CircuitError::Argument(format!(
                "the target {token} is not in the vocabulary of {}; give the id of a token of this model",
                p.len()
            ))),
        };
        match self {
            Self::Likely { at_most, mass } => {
                collimate_measure::ensure(*at_most > 0, "at_most", "at least 1", 0.0)?;
                collimate_measure::ensure(*mass > 0.0 && *mass <= 1.0, "mass", "in (0, 1]", *mass)?;
                let mut order: Vec<u32> = (0..p.len() as u32).collect();
                order.sort_by(|&a, &b| p[b as usize].total_cmp(&p[a as usize]).then(a.cmp(&b)));
                let mut sum = 0.0;
                let enough = order.iter().position(|&token| {
                    sum += p[token as usize];
                    sum >= *mass
                });
                let n = enough.map_or(order.len(), |last| last + 1).min(*at_most);
                order[..n].iter().map(|&token| known(token)).collect()
            }
            Self::Tokens(tokens) if tokens.is_empty() => {
                Err(CircuitError::Argument("there is no target; give at least one token".into()))
            }
            Self::Tokens(tokens) => tokens.iter().map(|&token| known(token)).collect(),
            Self::Difference { answer, wrong } => {
                known(*wrong)?;
                Ok(vec![Target { minus: Some(*wrong), weight: 1.0, ..known(*answer)? }])
            }
        }
    }
}

/// Returns the direction of each target at the output of the final norm, `[n, d]`: its row of the head minus the mean row, or minus the
/// other row.
pub(super) fn directions<F: Precision>(head: &Unembed<F>, targets: &[Target]) -> Array2<F> {
    let words = <F as Scalar>::from_f64(head.matrix.nrows() as f64);
    let mean = head.matrix.sum_axis(Axis(0)) / words;
    let mut out = Array2::zeros((targets.len(), head.matrix.ncols()));
    for (mut row, target) in out.rows_mut().into_iter().zip(targets) {
        row.assign(&head.matrix.row(target.token as usize));
        match target.minus {
            Some(minus) => row -= &head.matrix.row(minus as usize),
            None => row -= &mean,
        }
    }
    out
}
