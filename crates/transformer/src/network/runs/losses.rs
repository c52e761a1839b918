//! The losses of a run, without all logits at once.

use super::run::Run;
use crate::error::{NonFinite, RunError};
use crate::hooks::Hooks;
use crate::losses::Losses;
use crate::network::Model;
use crate::precision::Precision;
use crate::site::Site;
use collimate_tensor::{Scalar, exp_in_place};
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

/// The number of positions whose logits are held at once.
const POSITIONS: usize = 128;

impl<F: Precision> Model<F> {
    /// Computes the negative log-likelihood of each token given the tokens before it, without holding all logits at once. Returns one
    /// entry for each sequence; sequences with padding are refused.
    ///
    /// # Errors
    /// The errors of [`Model::logits`]; [`RunError::Padding`] if the batch has a mask: give each sequence by itself, or use
    /// [`Model::mean_loss`].
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::{Description, Model, RngStream, Run};
    /// let model = Model::<f32>::random(Description::small(), &RngStream::new(1, 0));
    /// let run = Run::of(&[7, 3, 9]);
    /// let (logits, losses) = (model.logits(&run, &mut ())?, model.losses(&run, &mut ())?);
    /// let sum: f64 = logits.iter().take(61).map(|&x| f64::from(x).exp()).sum();
    /// assert!((losses[0].log_sum_exp[0] - sum.ln()).abs() < 1e-5);
    /// # Ok::<(), collimate_transformer::TransformerError>(())
    /// ```
    pub fn losses<'a>(
        &self,
        run: impl Into<Run<'a, F>>,
        hooks: &mut dyn Hooks<F>,
    ) -> Result<Vec<Losses>, RunError> {
        let run = run.into();
        let input = run.input();
        if input.mask().is_some() {
            return Err(RunError::Padding);
        }
        let logits_are_shown = hooks.wants(Site::Logits.of_layer(0));
        let rows_of = |row: usize| input.ids().row(row).to_vec();
        if logits_are_shown {
            let logits = self.logits(&run, hooks)?;
            let of = |(row, x): (usize, ArrayView2<'_, F>)| {
                losses(&rows_of(row), [x.to_owned()].into_iter().map(Ok))
            };
            return logits.outer_iter().enumerate().map(of).collect();
        }
        let hidden = self.before_head(&run, hooks)?;
        let of = |(row, x): (usize, ArrayView2<'_, F>)| {
            losses(&rows_of(row), x.axis_chunks_iter(Axis(0), POSITIONS).map(|rows| self.unembed(rows)))
        };
        hidden.outer_iter().enumerate().map(of).collect()
    }
}

/// Computes the losses of one sequence from blocks of rows of logits, in order.
fn losses<F: Precision>(
    tokens: &[u32],
    blocks: impl Iterator<Item = Result<Array2<F>, RunError>>,
) -> Result<Losses, RunError> {
    let (mut log_sum_exp, mut nll) = (Vec::new(), Vec::new());
    for block in blocks {
        let (block, start) = (block?, log_sum_exp.len());
        let rows: Vec<_> = block.rows().into_iter().enumerate().collect();
        let found: Vec<(f64, Option<f64>)> = rows
            .into_par_iter()
            .map(|(i, row)| {
                let (top, log_sum) = log_sum_exp_of(row);
                // The largest logit is subtracted first: beside a common part of 10²⁰ even an f64 has no digits left for a logarithm.
                let loss = |&next: &u32| top - Scalar::to_f64(row[next as usize]) + log_sum;
                (top + log_sum, tokens.get(start + i + 1).map(loss))
            })
            .collect();
        log_sum_exp.extend(found.iter().map(|(sum, _)| *sum));
        nll.extend(found.iter().filter_map(|(_, loss)| *loss));
    }
    let finite =
        |i: &usize| log_sum_exp[*i].is_finite() && nll.get(*i).is_none_or(|nll: &f64| nll.is_finite());
    if let Some(first) = (0..log_sum_exp.len()).find(|i| !finite(i)) {
        let count = (first..log_sum_exp.len()).filter(|i| !finite(i)).count();
        let place = "the losses of logits computed from finite numbers that are too large".into();
        return Err(NonFinite { place, count, first }.into());
    }
    Ok(Losses { log_sum_exp, nll })
}

/// Returns the largest number x of a row, and log Σ exp(row − x) summed in f64.
fn log_sum_exp_of<F: Precision>(row: ArrayView1<'_, F>) -> (f64, f64) {
    let top = row.iter().fold(F::neg_infinity(), |a, &b| if b > a { b } else { a });
    let mut shifted: Vec<F> = row.iter().map(|&x| x - top).collect();
    exp_in_place(&mut shifted);
    let (chunks, tail) = shifted.as_chunks::<8>();
    let mut lanes = [0.0_f64; 8];
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += Scalar::to_f64(x);
        }
    }
    let sum = lanes.iter().sum::<f64>() + tail.iter().map(|&x| Scalar::to_f64(x)).sum::<f64>();
    (Scalar::to_f64(top), sum.ln())
}
