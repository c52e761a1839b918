use crate::config::start_bias;
use crate::rows::IntoRows;
use crate::run::{Run, State, advance, scaled};
use crate::training::TRAINER;
use crate::{Float, Moments, Progress, SaeError, SkipMoments, TrainingConfig, Transcoder, Workspace};
use collimate_grad::Schedule;
use collimate_measure::Fingerprint;
use ndarray::{Array2, ArrayRef2, s};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A transcoder on its way, trained on rows `[x | y]`: each input with its output beside it.
///
/// Everything of the configuration but resampling holds as for [`Training`](crate::Training), with one factor for inputs
/// and outputs, taken from the inputs, and the decoder bias at the mean or the median of the outputs. A transcoder of a
/// space to itself, without a skip, trains as the dictionary does.
///
/// # Determinism
/// The same transcoder, configuration and rows give the same bits, on any number of threads; so does a run that was
/// stopped, saved and continued on the same rows from their beginning.
///
/// # Examples
/// ```
/// use collimate_grad::WarmUp;
/// use collimate_sae::{InputBias, Skip, TopK, TrainingConfig, Transcoder, TranscoderTraining, epochs};
/// use collimate_stream::Stream;
/// let mut stream = Stream::new(1, 0);
/// // y is a shuffled copy of x: three columns each.
/// let x = ndarray::Array2::from_shape_fn((256, 3), |_| stream.normal() as f32);
/// let pairs = ndarray::concatenate![ndarray::Axis(1), x, x.select(ndarray::Axis(1), &[2, 0, 1])];
/// let top = TopK { input_bias: InputBias::NotSubtracted, ..TopK::new(3) };
/// let start = Transcoder::<f32>::new(top, 3, 3, 12, Skip::None, &mut stream)?;
/// let config = TrainingConfig { steps: 200, batch: 32, learning_rate: 1e-2, warm_up: WarmUp::None, ..Default::default() };
/// let trained = TranscoderTraining::new(start, config)?.run(epochs(&pairs, 32, &mut stream), |_| ())?;
/// assert!(trained.log.last().unwrap().explained_variance > 0.7);
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TranscoderTraining<F: Float> {
    pub(crate) config: TrainingConfig,
    pub(crate) transcoder: Transcoder<F>,
    pub(crate) moments: (Moments<F>, Option<SkipMoments<F>>),
    pub(crate) state: State,
    pub(crate) origin: Fingerprint,
    schedule: Schedule,
    workspace: Workspace<F>,
    x: Array2<F>,
    y: Array2<F>,
    stop: Option<Arc<AtomicBool>>,
}

/// A finished transcoder and how it came about.
#[derive(Clone, Debug)]
pub struct TrainedTranscoder<F: Float> {
    /// The transcoder, for rows as they come.
    pub transcoder: Transcoder<F>,
    /// How it was trained.
    pub config: TrainingConfig,
    /// The factor of inputs and outputs during training, folded into `transcoder`.
    pub scale: f64,
    /// One entry every `log_every` steps and one for the last; `explained_variance` is that of the outputs, and in `losses`
    /// `input` stands for what the latents have to explain.
    pub log: Vec<Progress>,
    /// Rows seen.
    pub rows: u64,
    /// The latents that were dead at the end.
    pub dead: Vec<u32>,
    /// Of everything that made it: the start, the configuration and the data as far as they were named.
    pub origin: Fingerprint,
}

impl<F: Float> TranscoderTraining<F> {
    /// A run that has not begun.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] for a value of the configuration outside its range, [`SaeError::Unsupported`] for resampling
    /// (nobody has said which output direction a dead latent should get) or for annealing an exponent that is not there.
    pub fn new(transcoder: Transcoder<F>, config: TrainingConfig) -> Result<Self, SaeError> {
        let schedule = config.schedule()?;
        if config.resampling.is_some() {
            let (operation, architecture) = ("resampling", "transcoder");
            return Err(SaeError::Unsupported { operation, architecture });
        }
        let ((d_in, d_out), n) = (transcoder.widths(), transcoder.weights().w_dec.nrows());
        let described = format!("{TRAINER} transcoder {config:?} {:?}", transcoder.variant());
        let start = transcoder.fingerprint().0.to_le_bytes();
        Ok(Self {
            moments: transcoder.moments(),
            state: State::new(transcoder.variant(), n, &config)?,
            origin: Fingerprint::of(described.as_bytes()).and(&start),
            workspace: Workspace::default(),
            x: Array2::zeros((config.batch, d_in)),
            y: Array2::zeros((config.batch, d_out)),
            stop: None,
            schedule,
            config,
            transcoder,
        })
    }

    /// Stops before the next step once `flag` is set, with [`SaeError::Interrupted`]: for Ctrl-C.
    ///
    /// After [`TranscoderTraining::advance`] was interrupted the run is whole: save a checkpoint, go on or finish it.
    #[must_use]
    pub fn stop_on(mut self, flag: Arc<AtomicBool>) -> Self {
        self.stop = Some(flag);
        self
    }

    /// Names the rows that the run will see, so that [`TranscoderTraining::origin`] tells runs on different data apart.
    #[must_use]
    pub fn on_data(mut self, data: Fingerprint) -> Self {
        self.origin = self.origin.and(&data.0.to_le_bytes());
        self
    }

    /// The fingerprint of everything that makes the result: start, configuration, and data if named.
    pub fn origin(&self) -> Fingerprint {
        self.origin
    }

    /// How it is trained.
    pub fn config(&self) -> &TrainingConfig {
        &self.config
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.state.step
    }

    /// The latents that were off for at least `dead_after_rows` rows.
    pub fn dead(&self) -> Vec<u32> {
        self.state.dead(&self.config)
    }

    /// Trains to the last step, telling `progress` every `log_every` steps.
    ///
    /// A run that was continued skips the rows it has already seen, so the source must be the same from its beginning.
    ///
    /// # Errors
    /// As [`Training::run`](crate::Training::run).
    pub fn run<I>(
        mut self,
        rows: I,
        mut progress: impl FnMut(&Progress),
    ) -> Result<TrainedTranscoder<F>, SaeError>
    where
        I: IntoIterator<Item: IntoRows>,
    {
        let last = self.config.steps;
        self.advance(rows, last, &mut progress)?;
        self.finish()
    }

    /// Trains until `step` steps are done, as [`TranscoderTraining::run`] does, and stays open.
    ///
    /// # Errors
    /// As [`TranscoderTraining::run`].
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

    /// Folds the scale of the rows and closes the run.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] when the run has not seen a row yet.
    pub fn finish(self) -> Result<TrainedTranscoder<F>, SaeError> {
        let Some(scale) = self.state.input_scale else {
            return Err(SaeError::OutOfRange { name: "rows seen", expected: "at least 1", given: 0.0 });
        };
        let dead = self.dead();
        Ok(TrainedTranscoder {
            transcoder: self.transcoder.with_scale(scale)?,
            config: self.config,
            scale,
            log: self.state.log,
            rows: self.state.rows,
            dead,
            origin: self.origin,
        })
    }

    /// One step on inputs and outputs in normalised units.
    fn step_on(&mut self, x: &ArrayRef2<F>, y: &ArrayRef2<F>) -> Result<Option<Progress>, SaeError> {
        let Self { config, state, transcoder, moments, workspace, .. } = self;
        let plan = state.plan(config, &self.schedule, transcoder.sae(), x)?;
        let (settings, adam) = (plan.settings(config), config.adam);
        let losses = transcoder.step(moments, x, y, &settings, &adam, plan.learning_rate, workspace)?;
        state.learn(config, transcoder.sae_mut(), &plan, &losses, (workspace.active(), x.nrows()));
        Ok(state.report(config, &plan, losses, y))
    }
}

impl<F: Float> Run for TranscoderTraining<F> {
    fn config(&self) -> &TrainingConfig {
        &self.config
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn width(&self) -> usize {
        let (d_in, d_out) = self.transcoder.widths();
        d_in + d_out
    }

    fn interrupted(&self) -> bool {
        self.stop.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    fn calibrate(&mut self, sample: &ArrayRef2<f32>) -> Result<(), SaeError> {
        let d_in = self.transcoder.widths().0;
        let scale = self.config.normalisation.factor(&sample.slice(s![.., ..d_in]))?;
        if let Some(bias) = self.config.bias_start.of(&sample.slice(s![.., d_in..])) {
            start_bias(self.transcoder.sae_mut(), &bias, scale);
        }
        self.state.input_scale = Some(scale);
        Ok(())
    }

    fn train_on(&mut self, raw: &ArrayRef2<f32>) -> Result<Option<Progress>, SaeError> {
        let d_in = self.transcoder.widths().0;
        let (mut x, mut y) = (std::mem::take(&mut self.x), std::mem::take(&mut self.y));
        scaled(self.state.input_scale, &raw.slice(s![.., ..d_in]), &mut x);
        scaled(self.state.input_scale, &raw.slice(s![.., d_in..]), &mut y);
        let outcome = self.step_on(&x, &y);
        (self.x, self.y) = (x, y);
        outcome
    }
}
