use crate::train::config::start_bias;
use crate::train::driver::{Run, State, advance, scaled};
use crate::train::model::AllMoments;
use crate::train::rows::IntoRows;
use crate::{Model, Progress, SaeError, TrainingConfig, Workspace};
use collimate_grad::Schedule;
use collimate_measure::{Fingerprint, OutOfRange};
use collimate_stream::RngStream;
use collimate_tensor::{Scalar, sum_of_squares};
use ndarray::{Array2, ArrayRef2, s};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Changes whenever the same configuration would train to other weights, so that no cache serves an old dictionary.
pub(crate) const TRAINER: &str = "collimate-sae trainer 2";

/// A training run in progress, of a dictionary or a transcoder.
///
/// Rows are scaled by the configured normalisation, the decoder bias starts where the configuration says, then each step
/// takes one batch. When all steps are done the scale is folded into the biases, so the finished dictionary takes unscaled
/// rows.
///
/// A [`Transcoder`](crate::Transcoder) is trained on rows `[x | y]`, each input followed by its output. One factor, computed from
/// the inputs, scales both, and the decoder bias starts at the mean or the median of the outputs. It cannot be resampled. A
/// transcoder of a space to itself, without a skip, trains like the dictionary.
///
/// # Determinism
/// The same dictionary, configuration and rows give the same bits, on any number of threads; so does a run that was
/// stopped, saved and continued on the same rows from their beginning.
///
/// # Examples
/// ```
/// use collimate_sae::{epochs, Gated, Sae, Size, Training, TrainingConfig, L1};
/// use collimate_stream::RngStream;
/// # use collimate_grad::WarmUp;
/// let mut stream = RngStream::new(1, 0);
/// let rows = ndarray::Array2::from_shape_fn((64, 4), |_| stream.normal() as f32);
/// let sae = Sae::<f32>::new(Gated::paper(), Size { d_model: 4, n_latents: 8 }, &mut stream)?;
/// let config = TrainingConfig { steps: 20, batch: 16, l1: L1::sum_over_dims(0.1), warm_up: WarmUp::None,
///     log_every: 10, ..TrainingConfig::default() };
/// let trained = Training::new(sae, config)?.run(epochs(&rows, 16, &mut stream), |_| ())?;
/// assert_eq!((trained.log.len(), trained.rows), (2, 320));
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
/// A transcoder, whose outputs are a shuffled copy of its inputs, three columns each:
/// ```
/// use collimate_grad::WarmUp;
/// use collimate_sae::{InputBias, Skip, TopK, Training, TrainingConfig, Transcoder, epochs};
/// use collimate_stream::RngStream;
/// let mut stream = RngStream::new(1, 0);
/// let x = ndarray::Array2::from_shape_fn((256, 3), |_| stream.normal() as f32);
/// let pairs = ndarray::concatenate![ndarray::Axis(1), x, x.select(ndarray::Axis(1), &[2, 0, 1])];
/// let top = TopK { input_bias: InputBias::NotSubtracted, ..TopK::new(3) };
/// let start = Transcoder::<f32>::new(top, 3, 3, 12, Skip::None, &mut stream)?;
/// let config = TrainingConfig { steps: 200, batch: 32, learning_rate: 1e-2, warm_up: WarmUp::None, ..Default::default() };
/// let trained = Training::new(start, config)?.run(epochs(&pairs, 32, &mut stream), |_| ())?;
/// assert!(trained.log.last().unwrap().explained_variance > 0.7);
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Training<M: Model> {
    pub(crate) config: TrainingConfig,
    pub(crate) model: M,
    pub(crate) moments: AllMoments<M::Precision>,
    pub(crate) state: State,
    pub(crate) origin: Fingerprint,
    schedule: Schedule,
    workspace: Workspace<M::Precision>,
    x: Array2<M::Precision>,
    /// The targets; no rows if the input is the target.
    y: Array2<M::Precision>,
    stop: Option<Arc<AtomicBool>>,
}

/// A finished dictionary or transcoder, and how it was trained.
#[derive(Clone, Debug)]
pub struct Trained<M> {
    /// The dictionary or the transcoder, for unscaled rows.
    pub model: M,
    /// The configuration.
    pub config: TrainingConfig,
    /// The factor of the inputs (and outputs) during training, folded into `model`.
    pub input_scale: f64,
    /// One entry every `log_every` steps and one for the last. For a transcoder `explained_variance` is that of the outputs, and
    /// in `losses` `input` refers to y without the skip's part, which the latents have to explain.
    pub log: Vec<Progress>,
    /// Rows seen.
    pub rows: u64,
    /// The latents that were dead at the end.
    pub dead: Vec<u32>,
    /// The fingerprint of the initial weights, the configuration and, if given, the data.
    pub origin: Fingerprint,
}

impl<M: Model> Training<M> {
    /// Returns a run that has not begun.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] for a value of the configuration outside its range, [`SaeError::Unsupported`] for resampling a
    /// transcoder (there is no published rule for the output direction of a dead latent) and for annealing an exponent that the
    /// member does not have.
    pub fn new(model: M, config: TrainingConfig) -> Result<Self, SaeError> {
        let schedule = config.schedule()?;
        M::allow(&config)?;
        let variant = model.sae().variant();
        let described = format!("{TRAINER}{} {config:?} {variant:?}", M::KIND);
        let origin = Fingerprint::of(described.as_bytes()).and(&model.identity().0.to_le_bytes());
        let (d_in, d_out) = widths(&model);
        Ok(Self {
            moments: model.no_moments(),
            state: State::new(variant, model.sae().size().n_latents, &config)?,
            workspace: Workspace::default(),
            x: Array2::zeros((config.batch, d_in)),
            y: Array2::zeros((if M::PAIRED { config.batch } else { 0 }, d_out)),
            stop: None,
            schedule,
            origin,
            config,
            model,
        })
    }

    /// Stops before the next step after `flag` is set, with [`SaeError::Interrupted`]: for Ctrl-C.
    ///
    /// After an interruption of [`Training::advance`] the run is complete: save a checkpoint, continue or finish it.
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{SaeError, Sae, Size, TopK, Training, TrainingConfig, epochs};
    /// use collimate_stream::RngStream;
    /// use std::sync::{Arc, atomic::AtomicBool};
    /// let sae = Sae::<f32>::new(TopK::new(1), Size { d_model: 3, n_latents: 6 }, &mut RngStream::new(1, 0))?;
    /// let flag = Arc::new(AtomicBool::new(true)); // a signal handler would set it
    /// let mut training = Training::new(sae, TrainingConfig { batch: 4, ..Default::default() })?.stop_on(flag);
    /// let rows = ndarray::Array2::<f32>::ones((8, 3));
    /// let stopped = training.advance(epochs(&rows, 4, &mut RngStream::new(2, 0)), 10, &mut |_| ());
    /// assert!(matches!(stopped, Err(SaeError::Interrupted { step: 0 })));
    /// # Ok::<(), SaeError>(())
    /// ```
    #[must_use]
    pub fn stop_on(mut self, flag: Arc<AtomicBool>) -> Self {
        self.stop = Some(flag);
        self
    }

    /// Names the rows that the run will see, so that [`Training::origin`] tells runs on different data apart.
    #[must_use]
    pub fn on_data(mut self, data: Fingerprint) -> Self {
        self.origin = self.origin.and(&data.0.to_le_bytes());
        self
    }

    /// Returns the fingerprint of everything that determines the result: start, configuration, and data if named.
    ///
    /// It is known before the first step, so it can serve as the key of a cache.
    pub fn origin(&self) -> Fingerprint {
        self.origin
    }

    /// Returns the model as it is between two steps: in the units of training, in which rows are scaled by
    /// [`Training::input_scale`].
    pub fn model(&self) -> &M {
        &self.model
    }

    /// Returns the factor of the inputs during training; `None` before the first row was seen.
    pub fn input_scale(&self) -> Option<f64> {
        self.state.input_scale
    }

    /// Returns the configuration.
    pub fn config(&self) -> &TrainingConfig {
        &self.config
    }

    /// Returns the number of steps that are done.
    pub fn step(&self) -> u64 {
        self.state.step
    }

    /// Returns the entries of the log so far, including those before a checkpoint.
    pub fn log(&self) -> &[Progress] {
        &self.state.log
    }

    /// Trains to the last step and calls `progress` every `log_every` steps.
    ///
    /// A run that was continued skips the rows it has already seen, so the source must be the same from its beginning.
    ///
    /// # Errors
    /// [`SaeError::Exhausted`] when the rows end before the steps do, [`SaeError::Diverged`] with the step and the tensor
    /// that is not finite, [`SaeError::NonFiniteInput`], [`SaeError::Interrupted`] (the run is then lost: use
    /// [`Training::advance`] to keep it), and the error of the source.
    pub fn run<I>(mut self, rows: I, mut progress: impl FnMut(&Progress)) -> Result<Trained<M>, SaeError>
    where
        I: IntoIterator<Item: IntoRows>,
    {
        let last = self.config.steps;
        self.advance(rows, last, &mut progress)?;
        self.finish()
    }

    /// Trains until `step` steps are done, like [`Training::run`], and stays open.
    ///
    /// # Errors
    /// As [`Training::run`].
    pub fn advance<I>(
        &mut self,
        rows: I,
        step: u64,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<(), SaeError>
    where
        I: IntoIterator<Item: IntoRows>,
    {
        let stop = step.min(self.config.steps);
        advance(std::slice::from_mut(self), rows, stop, &mut |_, now| progress(now), &mut |_| Ok(()))
    }

    /// Makes one step on a batch in normalised units.
    fn step_on(
        &mut self,
        x: &ArrayRef2<M::Precision>,
        y: &ArrayRef2<M::Precision>,
    ) -> Result<Option<Progress>, SaeError> {
        let Self { config, state, model, moments, workspace, .. } = self;
        let plan = state.plan(config, &self.schedule, model.sae(), x)?;
        let (settings, rate) = (plan.settings(config), (&config.adam, plan.learning_rate));
        let losses = model.update(moments, (x, y), &settings, rate, workspace)?;
        state.learn(config, model.sae_mut(), &plan, &losses, (workspace.active(), x.nrows()));
        if let Some(resampling) = config.resampling
            && state.step.is_multiple_of(resampling.every)
            && state.step <= resampling.until
        {
            self.resample(x, resampling.encoder_scale)?;
        }
        Ok(self.state.report(&self.config, &plan, losses, y))
    }

    /// Returns the latents that were inactive for at least `dead_after_rows` rows.
    pub fn dead(&self) -> Vec<u32> {
        self.state.dead(&self.config)
    }

    fn resample(&mut self, batch: &ArrayRef2<M::Precision>, encoder_scale: f64) -> Result<(), SaeError> {
        let dead = self.dead();
        if dead.is_empty() {
            return Ok(());
        }
        let losses: Vec<f64> = self
            .workspace
            .residuals()
            .rows()
            .into_iter()
            .map(|row| sum_of_squares(row.to_slice().expect("contiguous")).to_f64())
            .collect();
        // A child stream for each event: nothing about the generator has to be stored to continue a run.
        let mut stream = RngStream::named(self.config.seed, "sae.resample").child(self.state.step);
        let sae = self.model.sae_mut();
        sae.resample(&mut self.moments.0, &dead, batch, &losses, encoder_scale, &mut stream)?;
        dead.iter().for_each(|&latent| self.state.idle[latent as usize] = 0);
        self.state.resampled = Some(self.state.step);
        Ok(())
    }

    /// Folds the scale of the rows and closes the run.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] when the run has not seen a row yet.
    pub fn finish(self) -> Result<Trained<M>, SaeError> {
        let Some(input_scale) = self.state.input_scale else {
            return Err(OutOfRange { argument: "rows seen", allowed: "at least 1", given: 0.0 }.into());
        };
        let dead = self.dead();
        Ok(Trained {
            model: self.model.unscaled(input_scale)?,
            config: self.config,
            input_scale,
            log: self.state.log,
            rows: self.state.rows,
            dead,
            origin: self.origin,
        })
    }
}

/// Returns the widths of the input and of the target.
fn widths<M: Model>(model: &M) -> (usize, usize) {
    let sae = model.sae();
    (sae.input_width(), sae.size().d_model)
}

impl<M: Model> Run for Training<M> {
    fn config(&self) -> &TrainingConfig {
        &self.config
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn width(&self) -> usize {
        let (d_in, d_out) = widths(&self.model);
        if M::PAIRED { d_in + d_out } else { d_in }
    }

    fn interrupted(&self) -> bool {
        self.stop.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    fn calibrate(&mut self, sample: &ArrayRef2<f32>) -> Result<(), SaeError> {
        let d_in = widths(&self.model).0;
        let target = s![.., if M::PAIRED { d_in } else { 0 }..];
        let scale = self.config.normalisation.factor(&sample.slice(s![.., ..d_in]))?;
        if let Some(bias) = self.config.bias_start.of(&sample.slice(target)) {
            start_bias(self.model.sae_mut(), &bias, scale);
        }
        self.state.input_scale = Some(scale);
        Ok(())
    }

    fn train_on(&mut self, raw: &ArrayRef2<f32>) -> Result<Option<Progress>, SaeError> {
        let d_in = widths(&self.model).0;
        let (mut x, mut y) = (std::mem::take(&mut self.x), std::mem::take(&mut self.y));
        scaled(self.state.input_scale, &raw.slice(s![.., ..d_in]), &mut x);
        if M::PAIRED {
            scaled(self.state.input_scale, &raw.slice(s![.., d_in..]), &mut y);
        }
        let outcome = self.step_on(&x, if M::PAIRED { &y } else { &x });
        (self.x, self.y) = (x, y);
        outcome
    }
}

/// Trains several dictionaries, of any members, on one pass over the rows.
///
/// Each gets the same batches, and its result is the same, bit for bit, as if it had been trained alone. `progress` gets the
/// index of the run with each entry.
///
/// # Errors
/// As [`Training::advance`], for the first that fails; [`SaeError::OutOfRange`] if the runs are not at the same row or differ
/// in their batch size, calibration rows or width.
///
/// # Examples
/// ```
/// use collimate_sae::{Relu, Sae, Size, TopK, Training, TrainingConfig, epochs, train_together};
/// use collimate_stream::RngStream;
/// let size = Size { d_model: 3, n_latents: 6 };
/// let config = TrainingConfig { steps: 3, batch: 4, log_every: 1, ..Default::default() };
/// let mut stream = RngStream::new(1, 0);
/// let top = Training::new(Sae::<f32>::new(TopK::new(1), size, &mut stream)?, config.clone())?;
/// let relu = Training::new(Sae::<f32>::new(Relu::unit_norm(), size, &mut stream)?, config)?;
/// let rows = ndarray::Array2::from_shape_fn((8, 3), |_| stream.normal() as f32);
/// let mut heard = [0, 0];
/// let both = train_together(vec![top, relu], epochs(&rows, 4, &mut stream), |which, _| heard[which] += 1)?;
/// assert_eq!((both.len(), heard), (2, [3, 3]));
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
pub fn train_together<M: Model, I>(
    mut runs: Vec<Training<M>>,
    rows: I,
    mut progress: impl FnMut(usize, &Progress),
) -> Result<Vec<Trained<M>>, SaeError>
where
    I: IntoIterator<Item: IntoRows>,
{
    let steps = runs.iter().map(|run| run.config.steps).max().unwrap_or(0);
    advance_together(&mut runs, rows, steps, &mut progress)?;
    runs.into_iter().map(Training::finish).collect()
}

/// Advances several runs on one pass until `step` steps are done, like [`train_together`]; they stay open.
///
/// After an interruption all runs that have steps left are at the same step: save a checkpoint of each, or continue. Runs that
/// were loaded from such checkpoints continue together on the same rows from their beginning, bit for bit.
///
/// # Errors
/// As [`train_together`].
///
/// # Examples
/// ```
/// use collimate_sae::{Sae, Size, TopK, Training, TrainingConfig, advance_together, epochs};
/// use collimate_stream::RngStream;
/// let size = Size { d_model: 3, n_latents: 6 };
/// let config = TrainingConfig { steps: 3, batch: 4, ..Default::default() };
/// let mut stream = RngStream::new(1, 0);
/// let mut start = |k| Training::new(Sae::<f32>::new(TopK::new(k), size, &mut stream)?, config.clone());
/// let mut runs = [start(1)?, start(2)?];
/// let rows = ndarray::Array2::<f32>::eye(3);
/// advance_together(&mut runs, epochs(&rows, 4, &mut RngStream::new(2, 0)), 2, &mut |_, _| ())?;
/// assert_eq!((runs[0].step(), runs[1].step()), (2, 2));
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
pub fn advance_together<M: Model, I>(
    runs: &mut [Training<M>],
    rows: I,
    step: u64,
    progress: &mut dyn FnMut(usize, &Progress),
) -> Result<(), SaeError>
where
    I: IntoIterator<Item: IntoRows>,
{
    advance(runs, rows, step, progress, &mut |_| Ok(()))
}
