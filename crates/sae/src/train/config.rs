use crate::{AdamParameters, PAnneal, Sae, SaeError, TargetL0, ThresholdEstimate, Weights};
use collimate_grad::{Decay, Schedule, ScheduleConfig, WarmUp};
use collimate_measure::{OutOfRange, ensure};
use collimate_tensor::Scalar;
use ndarray::{Array1, ArrayRef2};

/// The coefficient of an L1 penalty together with the loss it belongs to.
///
/// A λ has a meaning only together with the normalisation of the reconstruction loss. That is part of this type, so a λ from a
/// paper is converted by a call.
///
/// # Examples
/// ```
/// use collimate_sae::L1;
/// // ‖x − x̂‖²/d + λ‖f‖₁ has the minimiser of ‖x − x̂‖² + dλ‖f‖₁.
/// assert_eq!(L1::mean_over_dims(1e-3).penalty(512), L1::sum_over_dims(0.512).penalty(512));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct L1 {
    coefficient: f64,
    loss: LossConvention,
}

/// The reduction of a reconstruction loss over the dimensions of a row. Over rows it is always the mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossConvention {
    /// ‖x − x̂‖², the sum over dimensions: used here, by SAELens and by dictionary_learning.
    SumOverDims,
    /// ‖x − x̂‖²/d, the mean over dimensions: the tables of the Gated paper.
    MeanOverDims,
}

impl L1 {
    /// Returns λ for a loss that sums over dimensions.
    pub const fn sum_over_dims(coefficient: f64) -> Self {
        Self { coefficient, loss: LossConvention::SumOverDims }
    }

    /// Returns λ for a loss that averages over dimensions.
    pub const fn mean_over_dims(coefficient: f64) -> Self {
        Self { coefficient, loss: LossConvention::MeanOverDims }
    }

    /// Returns the coefficient for the loss that is minimised here, which sums over the `d_model` dimensions.
    pub fn penalty(&self, d_model: usize) -> f64 {
        match self.loss {
            LossConvention::SumOverDims => self.coefficient,
            LossConvention::MeanOverDims => self.coefficient * d_model as f64,
        }
    }
}

/// The scaling of inputs during training. The factor is stored and folded into the finished dictionary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Normalisation {
    /// No scaling.
    None,
    /// E‖x‖ = √d: the convention of Anthropic and of SAELens.
    ExpectedNormSqrtDim,
    /// E‖x‖² = 1: the convention of the JumpReLU paper and of Gemma Scope.
    UnitMeanSquareNorm,
    /// By a given factor.
    Fixed(f64),
}

impl Normalisation {
    /// Computes the factor for inputs like the rows of `sample`.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] when the factor is not positive and finite (for example for rows of zeros).
    pub fn factor(&self, sample: &ArrayRef2<f32>) -> Result<f64, SaeError> {
        let norms2 =
            sample.rows().into_iter().map(|row| row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>());
        let n = sample.nrows() as f64;
        let factor = match *self {
            Normalisation::None => 1.0,
            Normalisation::ExpectedNormSqrtDim => {
                (sample.ncols() as f64).sqrt() / (norms2.map(f64::sqrt).sum::<f64>() / n)
            }
            Normalisation::UnitMeanSquareNorm => 1.0 / (norms2.sum::<f64>() / n).sqrt(),
            Normalisation::Fixed(factor) => factor,
        };
        if !(factor > 0.0 && factor.is_finite()) {
            let expected = "positive and finite";
            return Err(
                OutOfRange { argument: "the scale of the inputs", allowed: expected, given: factor }.into()
            );
        }
        Ok(factor)
    }
}

/// The start of the decoder bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BiasStart {
    /// The bias of the given dictionary.
    Given,
    /// The mean of the first rows.
    Mean,
    /// The geometric median of the first rows, which outliers do not move.
    GeometricMedian,
}

impl BiasStart {
    /// Computes the start for inputs like the rows of `sample`; `None` to keep the given bias.
    pub fn of(&self, sample: &ArrayRef2<f32>) -> Option<Array1<f64>> {
        let sample = sample.map(|&v| f64::from(v));
        let mean = sample.mean_axis(ndarray::Axis(0))?;
        match self {
            BiasStart::Given => None,
            BiasStart::Mean => Some(mean),
            BiasStart::GeometricMedian => Some(geometric_median(&sample, mean)),
        }
    }
}

/// Computes the point with the smallest sum of distances to the rows (Weiszfeld 1937, 100 iterations at most).
fn geometric_median(rows: &ArrayRef2<f64>, start: Array1<f64>) -> Array1<f64> {
    let mut point = start;
    for _ in 0..100 {
        let mut weighted = Array1::zeros(point.len());
        let mut total = 0.0;
        for row in rows.rows() {
            let distance = row.iter().zip(&point).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            let weight = 1.0 / distance.max(1e-12);
            weighted.scaled_add(weight, &row);
            total += weight;
        }
        weighted /= total;
        let moved = weighted.iter().zip(&point).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        let size = weighted.iter().map(|v| v * v).sum::<f64>().sqrt();
        point = weighted;
        if moved <= 1e-9 * (1.0 + size) {
            break;
        }
    }
    point
}

/// The resampling of dead latents, for dictionaries with a penalty.
///
/// # References
/// Bricken et al. (2023), appendix on neuron resampling; the re-warming after Rajamanoharan et al. (2024), appendix D.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resampling {
    /// The number of steps between resamplings.
    pub every: u64,
    /// No more after this step, so that what was resampled has time to train.
    pub until: u64,
    /// The encoder norm of a resampled latent over the mean norm of the living.
    pub encoder_scale: f64,
    /// The number of steps after each resampling in which the learning rate rises by a cosine from a tenth to the whole.
    pub rewarm_steps: u64,
}

/// The configuration of a training run.
///
/// # Examples
/// ```
/// use collimate_sae::{L1, TrainingConfig};
/// let config = TrainingConfig { l1: L1::sum_over_dims(0.4), steps: 500, ..TrainingConfig::default() };
/// assert_eq!(config.batch, 2048);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingConfig {
    /// The number of updates.
    pub steps: u64,
    /// The number of rows in a batch.
    pub batch: usize,
    /// The sparsity penalty, in the units of the normalised inputs; a TopK dictionary has none.
    pub l1: L1,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// The rise of the learning rate.
    pub warm_up: WarmUp,
    /// The fall of the learning rate.
    pub decay: Decay,
    /// The number of steps in which the penalty rises linearly from zero.
    pub sparsity_warm_up: u64,
    /// The optimiser.
    pub adam: AdamParameters,
    /// The largest norm of the gradient.
    pub gradient_clip: Option<f64>,
    /// The scale of the inputs.
    pub normalisation: Normalisation,
    /// The start of the decoder bias.
    pub bias_start: BiasStart,
    /// The number of first rows that the scale and the start are computed from.
    pub calibration_rows: usize,
    /// The number of rows without activity after which a latent counts as dead; a run of fewer rows has no dead latents.
    pub dead_after_rows: u64,
    /// The resampling of dead latents; the AuxK of a TopK dictionary is set in its variant.
    pub resampling: Option<Resampling>,
    /// The rule by which the threshold of a member that selects over the batch follows the batches.
    pub threshold: ThresholdEstimate,
    /// The annealing of the exponent of a [`PNorm`](crate::PNorm) penalty.
    pub p_anneal: Option<PAnneal>,
    /// The number of active latents that λ is steered to.
    pub target_l0: Option<TargetL0>,
    /// The number of steps between two entries of the log.
    pub log_every: u64,
    /// The seed of what training itself draws (resampling).
    pub seed: u64,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            steps: 10_000,
            batch: 2048,
            l1: L1::sum_over_dims(0.0),
            learning_rate: 3e-4,
            warm_up: WarmUp::Linear { steps: 1000, from: 0.0 },
            decay: Decay::None,
            sparsity_warm_up: 2000,
            adam: AdamParameters::standard(),
            gradient_clip: None,
            normalisation: Normalisation::ExpectedNormSqrtDim,
            bias_start: BiasStart::Mean,
            calibration_rows: 8192,
            dead_after_rows: 1_000_000,
            resampling: None,
            threshold: ThresholdEstimate::FirstThenDecay { decay: 0.999 },
            p_anneal: None,
            target_l0: None,
            log_every: 100,
            seed: 0,
        }
    }
}

impl TrainingConfig {
    pub(crate) fn schedule(&self) -> Result<Schedule, SaeError> {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        ensure(self.steps > 0, "steps", "at least 1", 0.0)?;
        ensure(self.batch > 0, "batch", "at least 1", 0.0)?;
        ensure(self.log_every > 0, "log_every", "at least 1", 0.0)?;
        ensure(self.calibration_rows > 0, "calibration_rows", "at least 1", 0.0)?;
        ensure(positive(self.learning_rate), "learning_rate", "positive and finite", self.learning_rate)?;
        let penalty = self.l1.penalty(1);
        ensure(penalty >= 0.0 && penalty.is_finite(), "l1", "finite, at least 0", penalty)?;
        let AdamParameters { beta1, beta2, epsilon } = self.adam;
        ensure((0.0..1.0).contains(&beta1), "adam.beta1", "in [0, 1)", beta1)?;
        ensure((0.0..1.0).contains(&beta2), "adam.beta2", "in [0, 1)", beta2)?;
        ensure(positive(epsilon), "adam.epsilon", "positive and finite", epsilon)?;
        if let Some(clip) = self.gradient_clip {
            ensure(positive(clip), "gradient_clip", "positive and finite", clip)?;
        }
        let every = self.resampling.map_or(1, |resampling| resampling.every);
        ensure(every > 0, "resampling.every", "at least 1", 0.0)?;
        let (ThresholdEstimate::FirstThenDecay { decay: share }
        | ThresholdEstimate::FromZero { rate: share }) = self.threshold;
        ensure((0.0..=1.0).contains(&share), "threshold", "a share in [0, 1]", share)?;
        self.p_anneal.map_or(Ok(()), |anneal| anneal.check())?;
        self.target_l0.map_or(Ok(()), |target| target.check())?;
        Ok(Schedule::new(self.schedule_config())?)
    }

    fn schedule_config(&self) -> ScheduleConfig {
        ScheduleConfig {
            peak: self.learning_rate,
            total_steps: self.steps,
            warm_up: self.warm_up,
            decay: self.decay,
        }
    }

    /// Returns λ at a step: the penalty times its warm-up.
    pub fn penalty(&self, step: u64, d_model: usize) -> f64 {
        let share = match self.sparsity_warm_up {
            0 => 1.0,
            steps => ((step + 1) as f64 / steps as f64).min(1.0),
        };
        share * self.l1.penalty(d_model)
    }
}

/// Sets the decoder bias of a dictionary.
pub(crate) fn start_bias<F: Scalar>(sae: &mut Sae<F>, bias: &Array1<f64>, scale: f64) {
    let weights: &mut Weights<F> = sae.weights_mut();
    weights.b_dec = bias.mapv(|b| F::from_f64(scale * b));
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn an_outlier_moves_the_mean_but_not_the_geometric_median() {
        let rows = array![[0.0f32, 1.0], [0.0, -1.0], [1.0, 0.0], [-1.0, 0.0], [1000.0, 0.0]];
        let mean = BiasStart::Mean.of(&rows).unwrap();
        let median = BiasStart::GeometricMedian.of(&rows).unwrap();
        assert_eq!(mean[0], 200.0);
        assert!(median[0].abs() < 1.0 && median[1].abs() < 1e-6, "{median}");
        assert!(BiasStart::Given.of(&rows).is_none());
    }

    #[test]
    fn the_factors_do_what_their_names_say() {
        let rows = array![[3.0f32, 4.0], [0.0, 1.0]];
        let factor = Normalisation::ExpectedNormSqrtDim.factor(&rows).unwrap();
        assert!((factor * 3.0 - 2f64.sqrt()).abs() < 1e-12); // the mean norm is 3
        let factor = Normalisation::UnitMeanSquareNorm.factor(&rows).unwrap();
        assert!((factor * factor * 13.0 - 1.0).abs() < 1e-12);
        assert!(Normalisation::UnitMeanSquareNorm.factor(&array![[0.0f32, 0.0]]).is_err());
    }
}
