//! The mean loss of sequences and its gradient by parameters, a few sequences at a time.

use super::Model;
use super::gradients::Targets;
use crate::arrays::Matrix;
use crate::error::RunError;
use crate::ops::CrossEntropy;
use crate::parameters::ParameterName;
use crate::pass::{Backward, Forward, Input, Keep, Setting};
use crate::precision::Precision;
use collimate_tensor::zeros;
use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

/// The number of tokens of one pass. Its activations stay near the processor, and its products have enough rows.
const TOKENS: usize = 512;
/// The largest number of gradients that are summed side by side.
const SUMS: usize = 4;
/// The number of numbers that these gradients have at most together, if there is more than one.
const NUMBERS: usize = 1 << 26;
/// The number of positions whose logits are held at once where activations are computed again.
const POSITIONS: usize = 128;

/// The way in which a backward pass gets the activations of the forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activations {
    /// All activations are kept.
    #[default]
    Kept,
    /// The residual stream before each layer is kept. Each layer is computed again before its backward pass, and the logits of 128
    /// positions are held at once. The forward pass of each layer runs twice; the memory is that of the residual streams and of one layer.
    Recomputed,
}

/// The mean loss of sequences, and its gradient by chosen parameters.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LossGradient<F> {
    /// The mean loss over the targets, in nats.
    pub loss: f64,
    /// The gradient by each parameter in the order of [`Model::parameters`]; an empty array for a parameter that was not chosen.
    pub by_parameter: Vec<Array2<F>>,
}

/// The losses of the targets of some sequences, and the sum of their gradients.
struct Part<F> {
    losses: Vec<f64>,
    by_parameter: Vec<Option<Matrix<F>>>,
}

/// The gradient that is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// True for each parameter by which the gradient is wanted.
    pub(crate) wanted: &'a [bool],
    pub(crate) activations: Activations,
}

/// Returns the inputs and targets of rows of t + 1 tokens: each of the first t tokens predicts the one behind it.
pub(crate) fn shifted(tokens: ArrayView2<'_, u32>) -> (Input, Targets) {
    let input = Input::new(tokens.slice(s![.., ..-1]).to_owned());
    (input, Targets::of(tokens.slice(s![.., 1..]).mapv(Some)))
}

impl<F: Precision> Model<F> {
    /// Computes the mean loss of rows `[n, t + 1]` of tokens and its gradient by the parameters that `choose` names. Each of the first t
    /// tokens of a row predicts the one behind it.
    ///
    /// The logits of all positions are not returned, so the memory can be bounded ([`Activations::Recomputed`]).
    ///
    /// # Errors
    /// The errors of [`Model::gradients`]; [`RunError::NotCausal`] for an encoder; [`RunError::Stored`] if weights are kept as their file stores them.
    ///
    /// # Determinism
    /// The sequences are divided into up to four groups, each of which sums its gradient in order, some sequences at a time; then the
    /// sums are added in order. The division depends on shapes only, so the bits are the same on any number of threads. The two ways of
    /// [`Activations`] differ in the order of the sums over the positions of the head.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::{Activations, Description, Input, Model, RngStream, Targets};
    /// let model = Model::<f64>::random(Description::small(), &RngStream::new(1, 0));
    /// let rows = ndarray::array![[7, 3, 9, 2], [1, 1, 2, 3]];
    /// let g = model.loss_gradient(rows.view(), |name| name.layer == Some(1), Activations::Recomputed)?;
    /// let (input, targets) = (Input::new(ndarray::array![[7, 3, 9], [1, 1, 2]]), ndarray::array![[3, 9, 2], [1, 2, 3]]);
    /// let whole = model.gradients(&input, &Targets::of(targets.mapv(Some)), &[], None)?;
    /// assert!((g.loss - whole.loss).abs() < 1e-14);
    /// for (index, (name, _)) in model.parameters().enumerate() {
    ///     let (a, b) = (&g.by_parameter[index], &whole.by_parameter[index]);
    ///     assert!(if name.layer == Some(1) { (a - b).iter().all(|x| x.abs() < 1e-14) } else { a.is_empty() });
    /// }
    /// # Ok::<(), collimate_transformer::RunError>(())
    /// ```
    pub fn loss_gradient(
        &self,
        rows: ArrayView2<'_, u32>,
        choose: impl Fn(ParameterName) -> bool,
        activations: Activations,
    ) -> Result<LossGradient<F>, RunError> {
        self.check_expanded("a gradient by weights")?;
        let wanted: Vec<bool> = self.parameters().map(|(name, _)| choose(name)).collect();
        self.loss_gradient_at(&self.parameters, Asked { wanted: &wanted, activations }, rows)
    }

    /// Computes the mean loss of rows of tokens and its gradient by the parameters of a model that has others.
    pub(crate) fn loss_gradient_at(
        &self,
        parameters: &[Array2<F>],
        asked: Asked<'_>,
        rows: ArrayView2<'_, u32>,
    ) -> Result<LossGradient<F>, RunError> {
        let (n, count) = (rows.nrows(), rows.nrows() * rows.ncols().saturating_sub(1));
        if count == 0 {
            return Err(RunError::NoTargets);
        }
        self.program.logits.ok_or(RunError::NoHead)?;
        if !self.description.is_causal() {
            return Err(RunError::NotCausal);
        }
        let wanted = || parameters.iter().zip(asked.wanted);
        let numbers: usize = wanted().filter(|(_, wanted)| **wanted).map(|(x, _)| x.len()).sum();
        let sums = (NUMBERS / numbers.max(1)).clamp(1, SUMS).min(n);
        let part = |index: usize| {
            let group = rows.slice(s![index * n / sums..(index + 1) * n / sums, ..]);
            self.group_gradient(parameters, asked, group, count)
        };
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
        let of = |(gradient, (x, wanted)): (Option<Matrix<F>>, (&Array2<F>, &bool))| {
            let none = || Array2::zeros(if *wanted { x.dim() } else { (0, 0) });
            gradient.map_or_else(none, |gradient| gradient.value)
        };
        Ok(LossGradient {
            loss: all.losses.iter().sum::<f64>() / count as f64,
            by_parameter: all.by_parameter.into_iter().zip(wanted()).map(of).collect(),
        })
    }

    /// Sums the gradients of some sequences, as a part of the mean over `count` targets.
    fn group_gradient(
        &self,
        parameters: &[Array2<F>],
        asked: Asked<'_>,
        rows: ArrayView2<'_, u32>,
        count: usize,
    ) -> Result<Part<F>, RunError> {
        let mut part = Part { losses: Vec::new(), by_parameter: asked.wanted.iter().map(|_| None).collect() };
        let together = (TOKENS / (rows.ncols() - 1)).max(1);
        for rows in rows.axis_chunks_iter(Axis(0), together) {
            let (input, targets) = shifted(rows);
            let weights = self.weights_of(parameters);
            let setting = Setting::new(&self.description, &self.program.layout, weights, None, &input, 0)?;
            let targets = self.check_targets(&input, &targets)?;
            match asked.activations {
                Activations::Kept => self.add_kept(&setting, asked.wanted, &targets, count, &mut part)?,
                Activations::Recomputed => {
                    self.add_recomputed(&setting, asked.wanted, &targets, count, &mut part)?;
                }
            }
        }
        Ok(part)
    }

    /// Adds the losses and the gradient of a pass whose activations are all kept.
    fn add_kept(
        &self,
        setting: &Setting<'_, F>,
        wanted: &[bool],
        targets: &[Option<usize>],
        count: usize,
        part: &mut Part<F>,
    ) -> Result<(), RunError> {
        let slot = self.program.logits.ok_or(RunError::NoHead)?;
        let mut none = ();
        let forward = Forward::new(setting, &mut none, Keep::Everything);
        let values = self.program.forward(forward, 0..usize::MAX)?;
        let logits = values[slot].as_ref().expect("the pass computed the logits").view();
        let entropy = CrossEntropy::among(targets, count);
        part.losses.extend(entropy.losses(logits));
        let d_logits = entropy.gradient(logits);
        let before = std::mem::take(&mut part.by_parameter);
        let mut backward = Backward::new(setting, values, wanted.to_vec(), []).adding_to(before);
        backward.add_gradient(slot, d_logits);
        part.by_parameter = self.program.backward(&mut backward)?;
        Ok(())
    }

    /// Adds the losses and the gradient of a pass that computes each layer again.
    fn add_recomputed(
        &self,
        setting: &Setting<'_, F>,
        wanted: &[bool],
        targets: &[Option<usize>],
        count: usize,
        part: &mut Part<F>,
    ) -> Result<(), RunError> {
        let (segments, hidden) = (self.program.segments(), self.program.hidden);
        let mut kept = vec![false; setting.layout.slots.len()];
        segments.iter().flat_map(|segment| self.program.entering(segment)).for_each(|slot| kept[slot] = true);
        let mut none = ();
        let forward = Forward::new(setting, &mut none, Keep::Marked(&kept));
        let end = segments.last().map_or(0, |segment| segment.end);
        let mut values = self.program.forward(forward, 0..end)?;
        let rows = values[hidden].take().expect("the pass ends behind the final norm").value;
        let before = std::mem::take(&mut part.by_parameter);
        let mut by_parameter = Some(before);
        let mut d_hidden = zeros(rows.dim());
        let blocks = rows.axis_chunks_iter(Axis(0), POSITIONS).zip(targets.chunks(POSITIONS));
        for ((x, targets), mut to) in blocks.zip(d_hidden.axis_chunks_iter_mut(Axis(0), POSITIONS)) {
            let given = by_parameter.take().unwrap_or_default();
            let head = self.head_gradient(setting, wanted, x, CrossEntropy::among(targets, count), given)?;
            part.losses.extend(head.losses);
            to.assign(&head.by_hidden);
            by_parameter = Some(head.by_parameter);
        }
        let given = by_parameter.unwrap_or_default();
        let mut backward = Backward::new(setting, Vec::new(), wanted.to_vec(), []).adding_to(given);
        backward.add_gradient(hidden, Matrix::plain(d_hidden));
        self.program.backward_by_segments(&mut backward, &segments, values)?;
        part.by_parameter = backward.take_parameter_gradients();
        Ok(())
    }

    /// Computes the losses of some rows behind the final norm and the gradient by them, and adds that by the parameters of the head.
    fn head_gradient(
        &self,
        setting: &Setting<'_, F>,
        wanted: &[bool],
        rows: ArrayView2<'_, F>,
        entropy: CrossEntropy<'_>,
        by_parameter: Vec<Option<Matrix<F>>>,
    ) -> Result<HeadGradient<F>, RunError> {
        let slot = self.program.logits.ok_or(RunError::NoHead)?;
        let hidden = self.program.hidden;
        let head = self.program.writer_of(hidden) + 1..self.program.operations.len();
        // The head reads one row for each position, so any rows will do; their tokens are not read.
        let input = Input::new(Array2::zeros((rows.nrows(), 1)));
        let (layout, weights) = (setting.layout, setting.weights);
        let setting = Setting::new(&self.description, layout, weights, None, &input, 0)?;
        let mut none = ();
        let mut forward = Forward::new(&setting, &mut none, Keep::Everything);
        forward.provide(hidden, Matrix::plain(rows.to_owned()));
        let values = self.program.forward(forward, head.clone())?;
        let logits = values[slot].as_ref().expect("the pass computed the logits").view();
        let (losses, d_logits) = (entropy.losses(logits), entropy.gradient(logits));
        let mut backward = Backward::new(&setting, values, wanted.to_vec(), []).adding_to(by_parameter);
        backward.add_gradient(slot, d_logits);
        self.program.backward_over(&mut backward, head)?;
        let by_hidden = backward.take_gradient(hidden).expect("the head reads the rows").value;
        Ok(HeadGradient { losses, by_hidden, by_parameter: backward.take_parameter_gradients() })
    }
}

/// The losses and gradients of the head for some rows.
struct HeadGradient<F> {
    losses: Vec<f64>,
    by_hidden: Array2<F>,
    by_parameter: Vec<Option<Matrix<F>>>,
}
