use super::changes::Values;
use super::place::Sweep;
use super::sweep::each;
use crate::error::CircuitError;
use crate::metric::Metric;
use crate::runs::{copies, metrics};
use collimate_tensor::Scalar;
use collimate_transformer::{Capture, Model, Precision, RunError};
use ndarray::{ArrayD, Axis};

/// The values that replace an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ablation<'a> {
    /// Zeros.
    Zero,
    /// The mean over prompts of equal length, at each position and head apart. The prompt that is measured may not be among them.
    Mean(&'a [Vec<u32>]),
    /// The values of another prompt of equal length.
    Resample(&'a [u32]),
}

/// The metric of a run for each place that was ablated.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Ablated {
    /// The places.
    pub sweep: Sweep,
    /// The metric without ablation.
    pub base: f64,
    /// The metric of each ablated run, with the axes of the sweep.
    pub values: ArrayD<f64>,
}

/// Replaces one activation at a time by zeros, by means or by values of another prompt.
///
/// # Shapes
/// `batch` runs are computed together, at least 1. The result has the axes of the sweep.
///
/// # Errors
/// [`CircuitError::HeldOut`] if there is no prompt to average over, one has another length, or one is the measured prompt;
/// [`CircuitError::UnequalLengths`] for a resampled prompt of another length; the errors of [`crate::patch`].
///
/// # Examples
/// ```
/// use collimate_circuits::{Ablation, Answer, Axes, Sweep, ablate};
/// # use collimate_transformer::{Activation, AttentionDescription, Description, LayerDescription, MlpDescription, Model, Norm, RngStream};
/// # use collimate_transformer::Site;
/// # let mlp = MlpDescription::new(16, true, Activation::Silu);
/// # let layer = LayerDescription::new(AttentionDescription::new(2, 1, 4), mlp, Norm::root_mean_square(1e-5));
/// # let mut description = Description::new("toy", 11, 8, 32);
/// # description.layers = vec![layer; 2];
/// # let model = Model::<f64>::random(description, &RngStream::new(1, 0));
/// let answer = Answer::LogitDifference { answer: 1, wrong: 2 };
/// let heads = Sweep { site: Site::HeadOutput, axes: Axes::LayerHead };
/// let zero = ablate(&model, &[3, 5, 8], Ablation::Zero, heads, &answer, 4)?;
/// assert_eq!(zero.values.shape(), [2, 2]);
/// assert!(zero.values.iter().all(|value| (value - zero.base).abs() > 1e-6));
/// let same = ablate(&model, &[3, 5, 8], Ablation::Resample(&[3, 5, 8]), heads, &answer, 4)?;
/// assert!(same.values.iter().all(|value| (value - same.base).abs() < 1e-12));
/// # Ok::<(), collimate_circuits::CircuitError>(())
/// ```
pub fn ablate<F: Precision>(
    model: &Model<F>,
    ids: &[u32],
    ablation: Ablation<'_>,
    sweep: Sweep,
    metric: &dyn Metric,
    batch: usize,
) -> Result<Ablated, CircuitError> {
    let shape = sweep.shape(model, ids.len())?;
    let base = metrics(model, &copies(ids, 1), &mut (), metric)?[0];
    let source = match ablation {
        Ablation::Zero => None,
        Ablation::Resample(other) if other.len() != ids.len() => {
            return Err(CircuitError::UnequalLengths { clean: ids.to_vec(), corrupt: other.to_vec() });
        }
        Ablation::Resample(other) => Some(means(model, &[other], sweep, shape[0])?),
        Ablation::Mean(prompts) => {
            check_held_out(ids, prompts)?;
            let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
            Some(means(model, &prompts, sweep, shape[0])?)
        }
    };
    let values = each(model, ids, sweep, &shape, metric, batch, |place| {
        Ok(match &source {
            Some(by_layer) => Values::Of(&by_layer[place.point.layer]),
            None => Values::Zero,
        })
    })?;
    Ok(Ablated { sweep, base, values })
}

/// Checks the prompts to average over.
pub(crate) fn check_held_out(ids: &[u32], prompts: &[Vec<u32>]) -> Result<(), CircuitError> {
    let refuse = |reason: String| Err(CircuitError::HeldOut { reason });
    if prompts.is_empty() {
        return refuse("there is none; give at least one prompt of the same length".into());
    }
    if let Some(other) = prompts.iter().find(|other| other.len() != ids.len()) {
        let (given, expected) = (other.len(), ids.len());
        return refuse(format!(
            "{other:?} has {given} tokens, but the measured prompt has {expected}; cut or pad it"
        ));
    }
    if prompts.iter().any(|other| other == ids) {
        return refuse(
            "the measured prompt is among them; leave it out, or the mean contains the answer".into(),
        );
    }
    Ok(())
}

/// Computes the mean activation of each layer over some prompts, `[1, …]`.
fn means<F: Precision>(
    model: &Model<F>,
    prompts: &[&[u32]],
    sweep: Sweep,
    layers: usize,
) -> Result<Vec<ArrayD<F>>, CircuitError> {
    let mut sums: Vec<Option<ArrayD<f64>>> = vec![None; layers];
    for prompt in prompts {
        let mut capture = Capture::at((0..layers).map(|layer| sweep.site.of_layer(layer)));
        model.run(&copies(prompt, 1), &mut capture)?;
        for (layer, sum) in sums.iter_mut().enumerate() {
            let value = capture.get(sweep.site.of_layer(layer))?.mapv(|x| Scalar::to_f64(x));
            *sum = Some(match sum.take() {
                Some(sum) => sum + value,
                None => value,
            });
        }
    }
    let n = prompts.len() as f64;
    let mean = |sum: Option<ArrayD<f64>>| {
        let sum = sum.ok_or(RunError::EmptyInput)?;
        debug_assert_eq!(sum.len_of(Axis(0)), 1);
        Ok(sum.mapv(|x| <F as Scalar>::from_f64(x / n)))
    };
    sums.into_iter().map(mean).collect()
}
