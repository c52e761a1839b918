use super::config::TrainingConfig;
use crate::error::{RunError, TrainingError};
use crate::network::{Model, shifted};
use crate::parameters::{ParameterName, Part};
use crate::precision::Precision;
use collimate_grad::{Adam, Optimiser, global_norm};
use collimate_tensor::Scalar;
use ndarray::{Array2, ArrayView2};

/// A model on its way from step to step.
///
/// ```text
/// g = mean over the targets of all batches of a step,   g ← g·min(1, clip/(‖g‖ + margin)),   w ← AdamW(w, g, rate(step))
/// ```
///
/// # Determinism
/// The same batches give the same bits on any number of threads, and so does a run that is continued from a checkpoint.
///
/// # References
/// Loshchilov and Hutter (2019), algorithm 2.
pub struct Training<F> {
    pub(super) model: Model<F>,
    pub(super) config: TrainingConfig,
    /// The optimiser of each parameter that is trained.
    pub(super) optimisers: Vec<Option<Adam<F>>>,
    pub(super) step: u64,
}

/// The numbers of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct StepReport {
    /// The number of the step, from 1.
    pub step: u64,
    /// The mean loss over the targets before the step, in nats.
    pub loss: f64,
    /// The norm of the gradient by the parameters that are trained, before it is clipped.
    pub gradient_norm: f64,
    /// The learning rate.
    pub rate: f64,
    /// The number of targets.
    pub targets: usize,
}

impl<F: Precision> Training<F> {
    /// Begins a run that trains all parameters.
    ///
    /// # Errors
    /// [`TrainingError`] for numbers of Adam that are out of range, or a model whose weights are kept as a file stores them;
    /// [`RunError::NotCausal`] for an encoder, whose positions read the
    /// tokens that they should predict.
    pub fn new(model: Model<F>, config: TrainingConfig) -> Result<Self, TrainingError> {
        Self::of_chosen(model, config, |_| true)
    }

    /// Begins a run that trains the parameters that `choose` names. The others stay as they are, and the norm of the gradient does not
    /// count them.
    ///
    /// # Errors
    /// The errors of [`Training::new`]; [`TrainingError::NothingChosen`] if no parameter is chosen.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::{Activation, AttentionDescription, Description, LayerDescription, MlpDescription, Model, Norm};
    /// use collimate_transformer::{RngStream, Schedule, Training, TrainingConfig};
    /// let mlp = MlpDescription::new(16, true, Activation::Silu);
    /// let layer = LayerDescription::new(AttentionDescription::new(2, 1, 4), mlp, Norm::root_mean_square(1e-5));
    /// let mut description = Description::new("toy", 11, 8, 32);
    /// description.layers = vec![layer; 2];
    /// let model = Model::<f64>::random(description, &RngStream::new(1, 0));
    /// let before: Vec<_> = model.parameters().map(|(_, x)| x.to_owned()).collect();
    /// let config = TrainingConfig::new(Schedule::constant(0.01)?);
    /// let mut training = Training::of_chosen(model, config, |name| name.layer == Some(1))?;
    /// training.step(&[ndarray::array![[1, 2, 3, 4]].view()])?;
    /// for ((name, now), before) in training.model().parameters().zip(&before) {
    ///     assert_eq!(now != before, name.layer == Some(1));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of_chosen(
        model: Model<F>,
        config: TrainingConfig,
        choose: impl Fn(ParameterName) -> bool,
    ) -> Result<Self, TrainingError> {
        model.check_expanded("training")?;
        if !model.description().is_causal() {
            return Err(RunError::NotCausal.into());
        }
        let make = |(name, x): (ParameterName, &ndarray::ArrayRef2<F>)| {
            choose(name).then(|| Adam::new(x.len(), config.of(is_matrix(name)))).transpose()
        };
        let optimisers: Vec<Option<_>> = model.parameters().map(make).collect::<Result<_, _>>()?;
        if optimisers.iter().all(Option::is_none) {
            return Err(TrainingError::NothingChosen);
        }
        Ok(Self { model, config, optimisers, step: 0 })
    }

    /// Returns the model as it is now.
    pub fn model(&self) -> &Model<F> {
        &self.model
    }

    /// Returns the number of steps that were taken.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// Ends the run and returns the model.
    pub fn finish(self) -> Model<F> {
        self.model
    }

    /// Takes one step on rows of tokens `[b, t + 1]`, several of them when gradients are accumulated.
    ///
    /// # Errors
    /// [`TrainingError`] if a batch does not fit the model, or a loss or a gradient is not finite; then nothing has changed.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::{Activation, AttentionDescription, Description, LayerDescription, MlpDescription, Model, Norm};
    /// use collimate_transformer::{RngStream, Schedule, Training, TrainingConfig};
    /// let mlp = MlpDescription::new(16, true, Activation::Silu);
    /// let layer = LayerDescription::new(AttentionDescription::new(2, 1, 4), mlp, Norm::root_mean_square(1e-5));
    /// let mut description = Description::new("toy", 11, 8, 32);
    /// description.layers = vec![layer];
    /// let model = Model::<f64>::random(description, &RngStream::new(1, 0));
    /// let mut training = Training::new(model, TrainingConfig::new(Schedule::constant(0.01)?))?;
    /// let batch = ndarray::array![[1, 2, 3, 4], [2, 3, 4, 5]];
    /// let first = training.step(&[batch.view()])?.loss;
    /// for _ in 0..50 {
    ///     training.step(&[batch.view()])?;
    /// }
    /// assert!(training.step(&[batch.view()])?.loss < 0.1 * first);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn step(&mut self, batches: &[ArrayView2<'_, u32>]) -> Result<StepReport, TrainingError> {
        let count = |batch: &ArrayView2<'_, u32>| batch.nrows() * batch.ncols().saturating_sub(1);
        let targets: usize = batches.iter().map(count).sum();
        let names = self.model.parameters().zip(&self.optimisers);
        let chosen: Vec<_> =
            names.filter(|(_, optimiser)| optimiser.is_some()).map(|((name, _), _)| name).collect();
        let (mut loss, mut gradients) = (0.0, Vec::<Array2<F>>::new());
        for batch in batches.iter().filter(|batch| count(batch) > 0) {
            let choose = |name| chosen.contains(&name);
            let g = self.model.loss_gradient(*batch, choose, self.config.activations)?;
            let share = count(batch) as f64 / targets as f64;
            loss += share * g.loss;
            let scale = <F as Scalar>::from_f64(share);
            if gradients.is_empty() {
                gradients = g.by_parameter;
                if share != 1.0 {
                    gradients.iter_mut().for_each(|x| x.mapv_inplace(|x| x * scale));
                }
            } else {
                gradients.iter_mut().zip(&g.by_parameter).for_each(|(sum, x)| sum.scaled_add(scale, x));
            }
        }
        if gradients.is_empty() {
            return Err(TrainingError::NoTargets);
        }
        let slices: Vec<&[F]> = gradients.iter().map(|x| x.as_slice().expect("standard layout")).collect();
        let norm = global_norm(&slices);
        // Adam squares the gradient, and refuses what overflows: nothing may change before all of it is known to be fine.
        let largest = Scalar::to_f64(F::max_value()).sqrt() / 2.0;
        let number = self.step + 1;
        if !loss.is_finite() || norm.is_nan() || norm >= largest {
            return Err(TrainingError::NonFinite { step: number, loss, norm });
        }
        let divisor = norm + self.config.clip_margin;
        if let Some(clip) = self.config.clip.filter(|&clip| divisor > clip) {
            let factor = <F as Scalar>::from_f64(clip / divisor);
            gradients.iter_mut().for_each(|x| x.mapv_inplace(|x| x * factor));
        }
        let rate = self.config.schedule.rate(self.step);
        let optimisers = self.optimisers.iter_mut().zip(self.model.parameters_mut());
        for ((optimiser, parameter), gradient) in optimisers.zip(&gradients) {
            let Some(optimiser) = optimiser else { continue };
            let gradient = gradient.as_slice().expect("standard layout");
            optimiser.step(rate, gradient, parameter.as_slice_mut().expect("standard layout"))?;
        }
        self.step = number;
        Ok(StepReport { step: number, loss, gradient_norm: norm, rate, targets })
    }

    /// Computes the mean loss over the targets of rows of tokens `[b, t + 1]`, in nats, without a step.
    ///
    /// # Errors
    /// [`TrainingError`] if a batch does not fit the model or has no target.
    pub fn loss(&self, batches: &[ArrayView2<'_, u32>]) -> Result<f64, TrainingError> {
        self.model.loss_of_rows(batches)
    }
}

/// Returns true for parameters that decay.
fn is_matrix(name: ParameterName) -> bool {
    let vector = matches!(
        name.part,
        Part::Sinks | Part::LambdaQuery1 | Part::LambdaKey1 | Part::LambdaQuery2 | Part::LambdaKey2
    );
    !(vector || name.part.is_gain() || name.part.is_bias())
}

impl<F: Precision> Model<F> {
    /// Computes the mean loss over the targets of rows of tokens `[b, t + 1]`, in nats: each token predicts the one behind it.
    ///
    /// # Errors
    /// [`TrainingError`] if a batch does not fit the model or there is no target.
    pub fn loss_of_rows(&self, batches: &[ArrayView2<'_, u32>]) -> Result<f64, TrainingError> {
        let (mut sum, mut targets) = (0.0, 0);
        for batch in batches.iter().filter(|batch| batch.ncols() > 1 && batch.nrows() > 0) {
            let (input, wanted) = shifted(*batch);
            let count = batch.nrows() * (batch.ncols() - 1);
            sum += count as f64 * self.mean_loss(&input, &wanted, &mut ())?;
            targets += count;
        }
        if targets == 0 { Err(TrainingError::NoTargets) } else { Ok(sum / targets as f64) }
    }
}
