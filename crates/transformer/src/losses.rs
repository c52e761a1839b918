use crate::forward::norm_rows;
use crate::{Decoder, TransformerError};
use collimate_measure::{Fingerprint, Measurement, Moments, Quantity, Unit};
use collimate_tensor::{exp_in_place, matmul_into};
use ndarray::{Array2, ArrayRef2, Axis, s};
use rayon::prelude::*;

/// Words of the vocabulary that are held at once, and positions one task takes.
const WORDS: usize = 4096;
const POSITIONS: usize = 16;

/// Cross-entropy on one run of tokens.
pub const CROSS_ENTROPY: Quantity = Quantity {
    name: "cross-entropy",
    definition: "mean over positions of −log p(next token | tokens so far)",
    unit: Unit::Nats,
};

/// What a decoder makes of each token of its input.
#[derive(Clone, Debug, PartialEq)]
pub struct Losses {
    /// log Σ exp(logits) at each position (t).
    pub log_sum_exp: Vec<f64>,
    /// −log p(token i + 1 | tokens 0..=i), in nats (t − 1).
    pub nll: Vec<f64>,
}

impl Losses {
    /// The mean of [`Losses::nll`]; NaN for a single token.
    pub fn mean_nll(&self) -> f64 {
        self.nll.iter().sum::<f64>() / self.nll.len() as f64
    }

    /// The cross-entropy with its standard error over positions (which are not independent, so it is a lower bound).
    ///
    /// # Errors
    /// [`TransformerError::Measure`] when there is only one token or a loss is not finite.
    pub fn cross_entropy(&self, object: Fingerprint) -> Result<Measurement, TransformerError> {
        let moments: Moments = self.nll.iter().copied().collect();
        Ok(Measurement::mean(&CROSS_ENTROPY, &moments, object)?)
    }
}

impl Decoder {
    /// The final norm.
    fn normed(&self, residual: &ArrayRef2<f32>) -> Array2<f32> {
        let mut normed = Array2::zeros(residual.raw_dim());
        norm_rows(residual, &self.weights.final_gain, self.config.norm_epsilon as f32, &mut normed);
        normed
    }

    /// The logits of every row of the final residual stream.
    pub(crate) fn unembed(&self, residual: &ArrayRef2<f32>) -> Result<Array2<f32>, TransformerError> {
        let mut logits = Array2::zeros((residual.nrows(), self.config.n_vocab));
        matmul_into(1.0, &self.normed(residual), &self.weights.head().t(), 0.0, &mut logits)?;
        Ok(logits)
    }

    /// One pass over the vocabulary in blocks: each position keeps its largest logit, the sum of exponentials by it, and
    /// the logit of its target.
    pub(crate) fn losses_of(
        &self,
        residual: &ArrayRef2<f32>,
        tokens: &[u32],
    ) -> Result<Losses, TransformerError> {
        let normed = self.normed(residual);
        let (t, n_vocab) = (residual.nrows(), self.config.n_vocab);
        let mut block = Array2::zeros((t, WORDS.min(n_vocab)));
        let mut running = vec![(f32::NEG_INFINITY, 0.0_f64, 0.0_f64); t];
        for start in (0..n_vocab).step_by(WORDS) {
            let end = n_vocab.min(start + WORDS);
            let mut logits = block.slice_mut(s![.., ..end - start]);
            let words = self.weights.head().slice(s![start..end, ..]);
            matmul_into(1.0, &normed, &words.t(), 0.0, &mut logits)?;
            let rows = logits.axis_chunks_iter_mut(Axis(0), POSITIONS);
            let tasks: Vec<_> = rows.zip(running.chunks_mut(POSITIONS)).enumerate().collect();
            tasks.into_par_iter().for_each(|(index, (mut rows, running))| {
                for (i, (mut row, (top, sum, target))) in rows.rows_mut().into_iter().zip(running).enumerate()
                {
                    let next = tokens.get(index * POSITIONS + i + 1).map_or(usize::MAX, |&id| id as usize);
                    if (start..end).contains(&next) {
                        *target = f64::from(row[next - start]);
                    }
                    let row = row.as_slice_mut().expect("rows of the block are contiguous");
                    let new_top = row.iter().fold(*top, |a, &b| a.max(b));
                    row.iter_mut().for_each(|x| *x -= new_top);
                    exp_in_place(row);
                    let old = if *sum > 0.0 { *sum * f64::from(*top - new_top).exp() } else { 0.0 };
                    *sum = old + sum_in_lanes(row);
                    *top = new_top;
                }
            });
        }
        let log_sum_exp: Vec<f64> = running.iter().map(|&(top, sum, _)| f64::from(top) + sum.ln()).collect();
        let nll = (0..t - 1).map(|i| log_sum_exp[i] - running[i].2).collect();
        Ok(Losses { log_sum_exp, nll })
    }
}

/// A sum in f64, in eight lanes.
fn sum_in_lanes(row: &[f32]) -> f64 {
    let (chunks, tail) = row.as_chunks::<8>();
    let mut lanes = [0.0_f64; 8];
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(x);
        }
    }
    lanes.iter().sum::<f64>() + tail.iter().map(|&x| f64::from(x)).sum::<f64>()
}
