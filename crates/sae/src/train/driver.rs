//! The state of a training run, and the loop that feeds runs with rows.

use crate::train::anneal::AnnealState;
use crate::train::rows::{Batches, IntoRows};
use crate::{Losses, PNorm, Path, Precision, Progress, Sae, SaeError, Settings, TrainingConfig, Variant};
use collimate_grad::Schedule;
use collimate_measure::ensure;
use ndarray::{Array2, ArrayRef2};

/// The state of a training run besides the weights and their moments.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    /// The number of steps that are done.
    pub(crate) step: u64,
    /// Rows taken from the source.
    pub(crate) rows: u64,
    /// The factor of the inputs, once it is known.
    pub(crate) input_scale: Option<f64>,
    /// Rows since each latent was last active.
    pub(crate) idle: Vec<u64>,
    /// The step of the last resampling.
    pub(crate) resampled: Option<u64>,
    /// The factor on λ that the L0 controller sets.
    pub(crate) steered: f64,
    /// The state of the annealing of the exponent.
    pub(crate) anneal: AnnealState,
    /// The exponent it began with.
    pub(crate) first_p: f64,
    pub(crate) log: Vec<Progress>,
}

/// The numbers of the next step, from the state and the schedules.
pub(crate) struct Plan {
    penalty: f64,
    pub(crate) learning_rate: f64,
    dead: Vec<u32>,
    /// The penalty of the batch at this exponent and at the next, if an annealing needs it.
    exponents: Option<[f64; 2]>,
}

impl Plan {
    pub(crate) fn settings(&self, config: &TrainingConfig) -> Settings<'_> {
        let Plan { penalty, ref dead, .. } = *self;
        Settings { penalty, dead, clip: config.gradient_clip, path: Path::Auto }
    }
}

impl State {
    /// Returns the state before the first step.
    ///
    /// # Errors
    /// [`SaeError::Unsupported`] for a member without the exponent that is to be annealed.
    pub(crate) fn new(
        variant: &Variant,
        n_latents: usize,
        config: &TrainingConfig,
    ) -> Result<Self, SaeError> {
        let first_p = match variant {
            Variant::PNorm(norm) => norm.p,
            other if config.p_anneal.is_some() => {
                let (operation, architecture) = ("annealing an exponent", other.name());
                return Err(SaeError::Unsupported { operation, architecture });
            }
            _ => 0.0,
        };
        let (idle, anneal) = (vec![0; n_latents], AnnealState::new());
        Ok(Self { idle, steered: 1.0, anneal, first_p, ..Self::default() })
    }

    /// Returns the latents that were inactive for long enough to count as dead.
    pub(crate) fn dead(&self, config: &TrainingConfig) -> Vec<u32> {
        let idle = self.idle.iter().enumerate();
        idle.filter(|(_, idle)| **idle >= config.dead_after_rows).map(|(i, _)| i as u32).collect()
    }

    /// Computes the numbers of the step on this batch.
    pub(crate) fn plan<F: Precision>(
        &self,
        config: &TrainingConfig,
        schedule: &Schedule,
        sae: &Sae<F>,
        batch: &ArrayRef2<F>,
    ) -> Result<Plan, SaeError> {
        let warm = config.penalty(self.step, sae.size().d_model);
        Ok(Plan {
            penalty: warm * self.steered * self.anneal.factor,
            learning_rate: schedule.rate(self.step) * self.rewarming(config),
            dead: self.dead(config),
            exponents: self.exponents(config, sae, batch)?,
        })
    }

    fn exponents<F: Precision>(
        &self,
        config: &TrainingConfig,
        sae: &Sae<F>,
        batch: &ArrayRef2<F>,
    ) -> Result<Option<[f64; 2]>, SaeError> {
        let (Some(anneal), Variant::PNorm(now)) = (config.p_anneal, *sae.variant()) else {
            return Ok(None);
        };
        let Some(p) = anneal.next_exponent(self.first_p, &self.anneal, self.step) else {
            return Ok(None);
        };
        let codes = sae.dictionary().encode(batch)?;
        let norms = sae.penalty_norms();
        let at = |p: f64| PNorm { p, ..now }.of_codes(&codes, &norms);
        Ok(Some([at(now.p), at(p)]))
    }

    /// Returns the factor of the learning rate after a resampling: from a tenth to one by a cosine.
    fn rewarming(&self, config: &TrainingConfig) -> f64 {
        let (Some(resampling), Some(event)) = (config.resampling, self.resampled) else {
            return 1.0;
        };
        let since = self.step - event;
        if since >= resampling.rewarm_steps {
            return 1.0;
        }
        let angle = std::f64::consts::PI * since as f64 / resampling.rewarm_steps as f64;
        0.1 + 0.9 * 0.5 * (1.0 - angle.cos())
    }

    /// Counts a step, and updates what follows the batches: λ, the threshold, the exponent.
    pub(crate) fn learn<F: Precision>(
        &mut self,
        config: &TrainingConfig,
        sae: &mut Sae<F>,
        plan: &Plan,
        losses: &Losses,
        (active, rows): (&[bool], usize),
    ) {
        let (step, rows) = (self.step, rows as u64);
        self.step += 1;
        self.rows += rows;
        if let (Some(target), true) = (config.target_l0, self.step >= config.sparsity_warm_up) {
            self.steered *= target.change(losses.l0);
        }
        let variant = sae.variant_mut();
        if variant.selects_over_the_batch() {
            let threshold = config.threshold.after(variant.threshold(), losses.smallest_kept);
            *variant = variant.with_threshold(threshold);
        }
        if let Some(anneal) = config.p_anneal
            && let Some(p) = anneal.observe(self.first_p, &mut self.anneal, step, plan.exponents)
            && let Variant::PNorm(norm) = variant
        {
            norm.p = p;
        }
        for (idle, &active) in self.idle.iter_mut().zip(active) {
            *idle = if active { 0 } else { *idle + rows };
        }
    }

    /// Returns the entry of the log for the step just counted, if one is due; `target` holds the rows that it had to reconstruct.
    pub(crate) fn report<F: Precision>(
        &mut self,
        config: &TrainingConfig,
        plan: &Plan,
        losses: Losses,
        target: &ArrayRef2<F>,
    ) -> Option<Progress> {
        if !self.step.is_multiple_of(config.log_every) && self.step != config.steps {
            return None;
        }
        let now = Progress {
            step: self.step,
            rows: self.rows,
            losses,
            penalty: plan.penalty,
            learning_rate: plan.learning_rate,
            explained_variance: 1.0 - losses.reconstruction / variance(target),
            gamma: if losses.input_output == 0.0 {
                f64::NAN
            } else {
                losses.output_norm2 / losses.input_output
            },
            dead_fraction: self.dead(config).len() as f64 / self.idle.len() as f64,
        };
        self.log.push(now.clone());
        Some(now)
    }
}

/// A run that is trained on rows, one batch a step.
pub(crate) trait Run {
    fn config(&self) -> &TrainingConfig;
    fn state(&self) -> &State;
    /// Returns the width of the rows of its source.
    fn width(&self) -> usize;
    /// Returns true if it was asked to stop.
    fn interrupted(&self) -> bool;
    /// Computes scale and start from a sample of the rows, once.
    fn calibrate(&mut self, sample: &ArrayRef2<f32>) -> Result<(), SaeError>;
    /// Makes one step on a batch of unscaled rows.
    fn train_on(&mut self, raw: &ArrayRef2<f32>) -> Result<Option<Progress>, SaeError>;
}

/// Advances runs over the same rows until `stop` steps are done or each has done its own. `after` is called after
/// every step.
pub(crate) fn advance<R: Run, I>(
    runs: &mut [R],
    rows: I,
    stop: u64,
    progress: &mut dyn FnMut(usize, &Progress),
    after: &mut dyn FnMut(&[R]) -> Result<(), SaeError>,
) -> Result<(), SaeError>
where
    I: IntoIterator<Item: IntoRows>,
{
    let done = |run: &R| run.state().step == run.config().steps;
    let Some(first) = runs.iter().find(|run| !done(run)) else { return Ok(()) };
    let (width, batch, seen) = (first.width(), first.config().batch, first.state().rows);
    let (calibration, mut step) = (first.config().calibration_rows, first.state().step);
    for run in runs.iter().filter(|run| !done(run)) {
        let (config, state) = (run.config(), run.state());
        let same = run.width() == width
            && config.batch == batch
            && config.calibration_rows == calibration
            && (state.rows, state.step) == (seen, step);
        let allowed = "equal for all: width, batch, calibration rows, rows seen";
        ensure(same, "runs", allowed, state.rows as f64)?;
    }
    let mut batches = Batches::new(rows.into_iter(), width);
    if runs.iter().any(|run| run.state().input_scale.is_none()) {
        let sample = batches.peek(calibration)?;
        crate::weights::finite("the first rows", &sample)?;
        for run in runs.iter_mut().filter(|run| run.state().input_scale.is_none()) {
            run.calibrate(&sample)?;
        }
    }
    batches.take(usize::try_from(seen).expect("rows fit memory addresses"), |_, _| ())?;
    let mut raw = Array2::<f32>::zeros((batch, width));
    while step < stop {
        if runs.iter().any(Run::interrupted) {
            return Err(SaeError::Interrupted { step });
        }
        let flat = raw.as_slice_mut().expect("standard layout");
        batches.take(batch, |row, values| flat[row * width..(row + 1) * width].copy_from_slice(values))?;
        for (which, run) in runs.iter_mut().enumerate().filter(|(_, run)| step < run.config().steps) {
            if let Some(now) = run.train_on(&raw)? {
                progress(which, &now);
            }
        }
        step += 1;
        after(runs)?;
    }
    Ok(())
}

/// Sets `to` to the rows times the scale of a run.
pub(crate) fn scaled<F: Precision>(scale: Option<f64>, rows: &ArrayRef2<f32>, to: &mut ArrayRef2<F>) {
    let scale = F::from_f64(scale.expect("a run is calibrated before its first step"));
    to.zip_mut_with(rows, |to, &v| *to = scale * F::from_f64(f64::from(v)));
}

/// Computes the mean over rows of ‖x − x̄‖²; NaN if the rows are equal up to the rounding of the sums, so that no share of it is
/// defined.
fn variance<F: Precision>(x: &ArrayRef2<F>) -> f64 {
    let n = x.nrows() as f64;
    let mut mean = vec![0.0; x.ncols()];
    let mut norm2 = 0.0;
    for row in x.rows() {
        for (mean, &v) in mean.iter_mut().zip(row) {
            *mean += v.to_f64();
            norm2 += v.to_f64() * v.to_f64();
        }
    }
    let variance = norm2 / n - mean.iter().map(|m| (m / n).powi(2)).sum::<f64>();
    if variance > 4.0 * f64::EPSILON * norm2 { variance } else { f64::NAN }
}
