//! What every training run knows of itself, and the loop that feeds runs with rows.

use crate::train::anneal::AnnealState;
use crate::train::rows::{Batches, IntoRows};
use crate::{Float, Losses, PNorm, Path, Progress, Sae, SaeError, Settings, TrainingConfig, Variant};
use collimate_grad::Schedule;
use ndarray::{Array2, ArrayRef2};

/// What a training run knows besides the weights and their moments.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    /// Steps done.
    pub(crate) step: u64,
    /// Rows taken from the source.
    pub(crate) rows: u64,
    /// The factor of the inputs, once it is known.
    pub(crate) input_scale: Option<f64>,
    /// Rows since each latent was last active.
    pub(crate) idle: Vec<u64>,
    /// The step of the last resampling.
    pub(crate) resampled: Option<u64>,
    /// What the controller of the number of active latents multiplies λ with.
    pub(crate) steered: f64,
    /// Where the annealing of the exponent stands.
    pub(crate) anneal: AnnealState,
    /// The exponent it began with.
    pub(crate) first_p: f64,
    pub(crate) log: Vec<Progress>,
}

/// What the next step takes from the state and the schedules.
pub(crate) struct Plan {
    penalty: f64,
    pub(crate) learning_rate: f64,
    dead: Vec<u32>,
    /// The penalty of the batch at this exponent and at the next, when an annealing wants to know.
    exponents: Option<[f64; 2]>,
}

impl Plan {
    pub(crate) fn settings(&self, config: &TrainingConfig) -> Settings<'_> {
        let Plan { penalty, ref dead, .. } = *self;
        Settings { penalty, dead, clip: config.gradient_clip, path: Path::Auto }
    }
}

impl State {
    /// Before the first step.
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

    /// The latents that were off for long enough to count as dead.
    pub(crate) fn dead(&self, config: &TrainingConfig) -> Vec<u32> {
        let idle = self.idle.iter().enumerate();
        idle.filter(|(_, idle)| **idle >= config.dead_after_rows).map(|(i, _)| i as u32).collect()
    }

    /// What the step on this batch takes.
    pub(crate) fn plan<F: Float>(
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

    fn exponents<F: Float>(
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
        let codes = sae.encode(batch)?;
        let norms = sae.penalty_norms();
        let at = |p: f64| PNorm { p, ..now }.of_codes(&codes, &norms);
        Ok(Some([at(now.p), at(p)]))
    }

    /// The factor of the learning rate after a resampling: from a tenth to one by a cosine.
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

    /// Counts a step on so many rows, and moves what follows the batches: λ, the threshold, the exponent.
    pub(crate) fn learn<F: Float>(
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

    /// The entry of the log for the step just counted, where one is due; `target` is what it had to reconstruct.
    pub(crate) fn report<F: Float>(
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
            gamma: losses.output_norm2 / losses.input_output,
            dead_fraction: self.dead(config).len() as f64 / self.idle.len() as f64,
        };
        self.log.push(now.clone());
        Some(now)
    }
}

/// Something that is trained on rows, one batch a step.
pub(crate) trait Run {
    fn config(&self) -> &TrainingConfig;
    fn state(&self) -> &State;
    /// The width of the rows of its source.
    fn width(&self) -> usize;
    /// Whether it was asked to stop.
    fn interrupted(&self) -> bool;
    /// Takes what it needs to know of the rows from a sample of them, once.
    fn calibrate(&mut self, sample: &ArrayRef2<f32>) -> Result<(), SaeError>;
    /// One step on a batch of rows as they come.
    fn train_on(&mut self, raw: &ArrayRef2<f32>) -> Result<Option<Progress>, SaeError>;
}

/// Advances some runs over the same rows until `stop` steps are done or each has done its own. `after` is called after
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
        if !same {
            let expected = "the same for all: width, batch, calibration rows, rows seen";
            return Err(SaeError::OutOfRange { name: "runs", expected, given: state.rows as f64 });
        }
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
pub(crate) fn scaled<F: Float>(scale: Option<f64>, rows: &ArrayRef2<f32>, to: &mut ArrayRef2<F>) {
    let scale = F::from_f64(scale.expect("a run is calibrated before its first step"));
    to.zip_mut_with(rows, |to, &v| *to = scale * F::from_f64(f64::from(v)));
}

/// Mean over rows of ‖x − x̄‖².
fn variance<F: Float>(x: &ArrayRef2<F>) -> f64 {
    let n = x.nrows() as f64;
    let mut mean = vec![0.0; x.ncols()];
    let mut norm2 = 0.0;
    for row in x.rows() {
        for (mean, &v) in mean.iter_mut().zip(row) {
            *mean += v.to_f64();
            norm2 += v.to_f64() * v.to_f64();
        }
    }
    norm2 / n - mean.iter().map(|m| (m / n).powi(2)).sum::<f64>()
}
