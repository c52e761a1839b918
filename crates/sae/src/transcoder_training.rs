use crate::rows::{Batches, IntoRows};
use crate::training::variance;
use crate::{BiasStart, Float, Path, Progress, SaeError, Settings, TrainingConfig, Transcoder, Workspace};
use ndarray::{Array2, s};

/// A finished transcoder and how it came about.
#[derive(Clone, Debug)]
pub struct TrainedTranscoder<F: Float> {
    /// The transcoder, for rows as they come.
    pub transcoder: Transcoder<F>,
    /// The factor of inputs and outputs during training, folded into `transcoder`.
    pub scale: f64,
    /// One entry every `log_every` steps and one for the last; `explained_variance` is that of the outputs, and in `losses`
    /// `input` stands for what the latents have to explain.
    pub log: Vec<Progress>,
    /// The latents that were dead at the end.
    pub dead: Vec<u32>,
}

impl<F: Float> Transcoder<F> {
    /// Trains to the last step on rows `[x | y]`: each input with its output beside it.
    ///
    /// Everything of the configuration holds as for [`Training`](crate::Training), with one factor for inputs and outputs, taken
    /// from the inputs, and the decoder bias at the mean or the median of the outputs. A transcoder of a space to itself,
    /// without a skip, trains as the dictionary does. There are no checkpoints: an interrupted run begins anew.
    ///
    /// # Errors
    /// As [`Training::run`](crate::Training::run); [`SaeError::Unsupported`] for resampling, for an annealed exponent and for a
    /// steered λ.
    ///
    /// # Determinism
    /// The same bits on any number of threads.
    ///
    /// # Examples
    /// ```
    /// use collimate_grad::WarmUp;
    /// use collimate_sae::{epochs, InputBias, Skip, TopK, TrainingConfig, Transcoder};
    /// use collimate_stream::Stream;
    /// let mut stream = Stream::new(1, 0);
    /// // y is a shuffled copy of x: three columns each.
    /// let x = ndarray::Array2::from_shape_fn((256, 3), |_| stream.normal() as f32);
    /// let pairs = ndarray::concatenate![ndarray::Axis(1), x, x.select(ndarray::Axis(1), &[2, 0, 1])];
    /// let top = TopK { input_bias: InputBias::NotSubtracted, ..TopK::new(3) };
    /// let start = Transcoder::<f32>::new(top, 3, 3, 12, Skip::None, &mut stream)?;
    /// let config = TrainingConfig { steps: 200, batch: 32, learning_rate: 1e-2, warm_up: WarmUp::None, ..Default::default() };
    /// let trained = start.train(&config, epochs(&pairs, 32, &mut stream), |_| ())?;
    /// assert!(trained.log.last().unwrap().explained_variance > 0.7);
    /// # Ok::<(), collimate_sae::SaeError>(())
    /// ```
    pub fn train<I>(
        mut self,
        config: &TrainingConfig,
        rows: I,
        mut progress: impl FnMut(&Progress),
    ) -> Result<TrainedTranscoder<F>, SaeError>
    where
        I: IntoIterator<Item: IntoRows>,
    {
        let schedule = config.schedule()?;
        for (asked, operation) in [
            (config.resampling.is_some(), "resampling"),
            (config.p_anneal.is_some(), "annealing an exponent"),
            (config.target_l0.is_some(), "steering λ"),
        ] {
            if asked {
                return Err(SaeError::Unsupported { operation, architecture: "transcoder" });
            }
        }
        let ((d_in, d_out), n) = (self.widths(), self.weights().w_dec.nrows());
        let mut batches = Batches::new(rows.into_iter(), d_in + d_out);
        let sample = batches.peek(config.calibration_rows)?;
        crate::weights::finite("the first rows", &sample)?;
        let scale = config.normalisation.factor(&sample.slice(s![.., ..d_in]))?;
        if config.bias_start != BiasStart::Given
            && let Some(bias) = config.bias_start.of(&sample.slice(s![.., d_in..]))
        {
            self.set_decoder_bias(&bias.mapv(|b| F::from_f64(scale * b)));
        }
        let (mut moments, mut workspace) = (self.moments(), Workspace::default());
        let (mut x, mut y) =
            (Array2::<F>::zeros((config.batch, d_in)), Array2::<F>::zeros((config.batch, d_out)));
        let (mut idle, mut log) = (vec![0_u64; n], Vec::new());
        let dead_of = |idle: &[u64]| -> Vec<u32> {
            let dead = idle.iter().enumerate().filter(|(_, idle)| **idle >= config.dead_after_rows);
            dead.map(|(i, _)| i as u32).collect()
        };
        for step in 0..config.steps {
            batches.take(config.batch, |row, values| {
                let scaled = |v: &f32| F::from_f64(scale) * F::from_f64(f64::from(*v));
                x.row_mut(row).iter_mut().zip(&values[..d_in]).for_each(|(to, v)| *to = scaled(v));
                y.row_mut(row).iter_mut().zip(&values[d_in..]).for_each(|(to, v)| *to = scaled(v));
            })?;
            let penalty = config.penalty(step, d_out);
            let dead = dead_of(&idle);
            let settings = Settings { penalty, dead: &dead, clip: config.gradient_clip, path: Path::Auto };
            let learning_rate = schedule.rate(step);
            let losses =
                self.step(&mut moments, &x, &y, &settings, &config.adam, learning_rate, &mut workspace)?;
            if self.variant().selects_over_the_batch() {
                let threshold = config.threshold.after(self.variant().threshold(), losses.smallest_kept);
                self.set_threshold(threshold);
            }
            for (idle, &active) in idle.iter_mut().zip(workspace.active()) {
                *idle = if active { 0 } else { *idle + config.batch as u64 };
            }
            let done = step + 1;
            if done.is_multiple_of(config.log_every) || done == config.steps {
                let now = Progress {
                    step: done,
                    rows: done * config.batch as u64,
                    losses,
                    penalty,
                    learning_rate,
                    explained_variance: 1.0 - losses.reconstruction / variance(&y),
                    gamma: losses.output_norm2 / losses.input_output,
                    dead_fraction: dead_of(&idle).len() as f64 / n as f64,
                };
                progress(&now);
                log.push(now);
            }
        }
        Ok(TrainedTranscoder { transcoder: self.with_scale(scale)?, scale, log, dead: dead_of(&idle) })
    }
}
