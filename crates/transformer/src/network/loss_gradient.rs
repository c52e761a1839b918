//! The mean loss of sequences and its gradient by parameters, a few sequences at a time.

use super::Model;
use super::gradients::Targets;
use crate::arrays::Matrix;
use crate::error::RunError;
use crate::ops::CrossEntropy;
use crate::pass::{Backward, Forward, Input, Setting};
use crate::precision::Precision;
use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;
use std::ops::Range;

/// The number of tokens of one pass. Its activations stay near the processor, and its products have enough rows.
const TOKENS: usize = 512;
/// The largest number of gradients that are summed side by side.
const SUMS: usize = 4;
/// The number of numbers that these gradients have at most together, if there is more than one.
const NUMBERS: usize = 1 << 26;

/// The mean loss of sequences, and its gradient.
pub(crate) struct LossGradient<F> {
    /// The mean loss over the targets, in nats.
    pub(crate) loss: f64,
    /// The gradient by each parameter that is wanted; an empty array for the others.
    pub(crate) by_parameter: Vec<Array2<F>>,
}

/// The losses of the targets of some sequences, and the sum of their gradients.
struct Part<F> {
    losses: Vec<f64>,
    by_parameter: Vec<Option<Matrix<F>>>,
}

/// Returns the inputs and targets of rows of t + 1 tokens: each of the first t tokens predicts the one behind it.
pub(crate) fn shifted(tokens: ArrayView2<'_, u32>) -> (Input, Targets) {
    let input = Input::new(tokens.slice(s![.., ..-1]).to_owned());
    (input, Targets::of(tokens.slice(s![.., 1..]).mapv(Some)))
}

impl<F: Precision> Model<F> {
    /// Computes the mean loss of rows `[n, t + 1]` of tokens and its gradient by the parameters that are marked in `wanted`.
    pub(crate) fn loss_gradient(
        &self,
        wanted: &[bool],
        rows: ArrayView2<'_, u32>,
    ) -> Result<LossGradient<F>, RunError> {
        self.loss_gradient_at(&self.parameters, wanted, rows)
    }

    /// Computes the mean loss of rows of tokens and its gradient, with other parameters.
    ///
    /// The sequences are divided into up to four groups, each of which sums its gradient in order, some sequences at a time; then the
    /// sums are added in order. The division depends on shapes only, so the threads do not change a bit.
    pub(super) fn loss_gradient_at(
        &self,
        parameters: &[Array2<F>],
        wanted: &[bool],
        rows: ArrayView2<'_, u32>,
    ) -> Result<LossGradient<F>, RunError> {
        let (n, count) = (rows.nrows(), rows.nrows() * rows.ncols().saturating_sub(1));
        if count == 0 {
            return Err(RunError::NoTargets);
        }
        let numbers: usize =
            parameters.iter().zip(wanted).filter(|(_, wanted)| **wanted).map(|(x, _)| x.len()).sum();
        let sums = (NUMBERS / numbers.max(1)).clamp(1, SUMS).min(n);
        let group = |index: usize| index * n / sums..(index + 1) * n / sums;
        let part = |index| self.group_gradient(parameters, wanted, rows, group(index), count);
        let parts: Vec<Result<Part<F>, RunError>> = (0..sums).into_par_iter().map(part).collect();
        let mut parts = parts.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter();
        let mut all = parts.next().expect("at least one group");
        for part in parts {
            all.losses.extend(part.losses);
            let sums = all.by_parameter.par_iter_mut().zip(part.by_parameter);
            sums.for_each(|(sum, more)| match (sum, more) {
                (Some(sum), Some(more)) => sum.add_scaled(more.view(), F::one()),
                (sum, more) => *sum = sum.take().or(more),
            });
        }
        let of = |((gradient, x), wanted): ((Option<Matrix<F>>, &Array2<F>), &bool)| {
            let none = || Array2::zeros(if *wanted { x.dim() } else { (0, 0) });
            gradient.map_or_else(none, |gradient| gradient.value)
        };
        Ok(LossGradient {
            loss: all.losses.iter().sum::<f64>() / count as f64,
            by_parameter: all.by_parameter.into_iter().zip(parameters).zip(wanted).map(of).collect(),
        })
    }

    /// Sums the gradients of some sequences, as a part of the mean over `count` targets.
    fn group_gradient(
        &self,
        parameters: &[Array2<F>],
        wanted: &[bool],
        rows: ArrayView2<'_, u32>,
        group: Range<usize>,
        count: usize,
    ) -> Result<Part<F>, RunError> {
        let slot = self.program.logits.ok_or(RunError::NoHead)?;
        let mut part = Part { losses: Vec::new(), by_parameter: wanted.iter().map(|_| None).collect() };
        let together = (TOKENS / (rows.ncols() - 1)).max(1);
        for rows in rows.slice(s![group, ..]).axis_chunks_iter(Axis(0), together) {
            let (input, targets) = shifted(rows);
            let weights = self.weights_of(parameters);
            let setting = Setting::new(&self.description, &self.program.layout, weights, None, &input, 0)?;
            let targets = self.check_targets(&input, &targets)?;
            let mut none = ();
            let values = self.program.forward(Forward::new(&setting, &mut none, true), 0..usize::MAX)?;
            let logits = values[slot].as_ref().expect("the pass computed the logits").view();
            let entropy = CrossEntropy::among(&targets, count);
            part.losses.extend(entropy.losses(logits));
            let d_logits = entropy.gradient(logits);
            let mut backward =
                Backward::new(&setting, values, wanted.to_vec(), []).adding_to(part.by_parameter);
            backward.add_gradient(slot, d_logits);
            part.by_parameter = self.program.backward(&mut backward)?;
        }
        Ok(part)
    }
}
