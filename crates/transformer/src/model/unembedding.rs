use super::decoder::Decoder;
use super::forward::norm_rows;
use crate::error::{NonFinite, RunError, check_finite};
use crate::losses::Losses;
use collimate_tensor::{exp_in_place, matmul_into};
use ndarray::{Array2, ArrayRef2, Axis, s};
use rayon::prelude::*;

/// The number of words of the vocabulary that are held at once, and the number of positions of one task.
const WORDS: usize = 4096;
const POSITIONS: usize = 16;

/// The place of logits that have overflowed, for the error.
const OVERFLOW: &str = "logits computed from finite numbers that are too large";

impl Decoder {
    /// Applies the final norm.
    fn normed(&self, residual: &ArrayRef2<f32>) -> Array2<f32> {
        let mut normed = Array2::zeros(residual.raw_dim());
        norm_rows(residual, &self.weights.final_gain, self.config.norm_epsilon as f32, &mut normed);
        normed
    }

    /// Computes the logits of every row of the final residual stream.
    pub(super) fn unembed(&self, residual: &ArrayRef2<f32>) -> Result<Array2<f32>, RunError> {
        let mut logits = Array2::zeros((residual.nrows(), self.config.n_vocab));
        matmul_into(1.0, &self.normed(residual), &self.weights.head().t(), 0.0, &mut logits)?;
        check_finite(|| OVERFLOW.into(), logits.iter())?;
        Ok(logits)
    }

    /// Computes the losses in one pass over the vocabulary, block by block. Each position keeps its largest logit, the sum of
    /// exponentials relative to it, and the logit of its target.
    pub(super) fn losses_of(&self, residual: &ArrayRef2<f32>, tokens: &[u32]) -> Result<Losses, RunError> {
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
        // The largest logit is subtracted first: beside a common part of 10²⁰ even an f64 has no digits left for a logarithm.
        let nll: Vec<f64> =
            running[..t - 1].iter().map(|&(top, sum, target)| f64::from(top) - target + sum.ln()).collect();
        let finite = |i: &usize| log_sum_exp[*i].is_finite() && nll.get(*i).is_none_or(|nll| nll.is_finite());
        if let Some(first) = (0..t).find(|i| !finite(i)) {
            let count = (first..t).filter(|i| !finite(i)).count();
            return Err(NonFinite { place: format!("the losses of {OVERFLOW}"), count, first }.into());
        }
        Ok(Losses { log_sum_exp, nll })
    }
}

/// Sums a row in f64, in eight lanes.
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
