use super::dictionary::{
    fingerprint, log_of, log_tensor, matrix, number, tensor, tensors_of, text, weights_of, write,
};
use crate::train::anneal::AnnealState;
use crate::train::driver::{State, advance};
use crate::{
    AdamMoments, IntoRows, Model, Precision, Progress, SaeError, SkipMoments, Training, Variant, Weights,
};
use collimate_measure::Fingerprint;
use collimate_tensor::files::{FileArray, FileData, Safetensors};
use ndarray::Array2;
use std::path::Path;

const FORMAT: &str = "collimate training state 2";

/// Returns the weights with their moments, as tensors.
fn tensors_of_trained<F: Precision>(
    weights: &Weights<F>,
    moments: &AdamMoments<F>,
    variant: &Variant,
) -> Vec<(String, FileArray)> {
    let parts = [("", weights), ("first.", &moments.first), ("second.", &moments.second)];
    parts.into_iter().flat_map(|(prefix, part)| tensors_of(prefix, part, variant)).collect()
}

/// Adds the tensors of a checkpoint besides weights, and returns its metadata.
fn written<'a>(
    state: &State,
    variant: &Variant,
    (origin, updates): (Fingerprint, u64),
    tensors: &mut Vec<(String, FileArray)>,
) -> Result<Vec<(&'a str, String)>, SaeError> {
    let State { step, rows, input_scale, idle, resampled, steered, anneal, first_p: _, log } = state;
    let idle: Vec<i64> = idle.iter().map(|&rows| rows as i64).collect();
    tensors.push(("idle".into(), FileArray::new(vec![idle.len()], FileData::I64(idle))?));
    tensors.push(("log".into(), log_tensor(log)?));
    let recent: Vec<f64> = anneal.recent.iter().flatten().copied().collect();
    tensors.push(("recent".into(), FileArray::new(vec![recent.len()], FileData::F64(recent))?));
    let optional = |value: Option<String>| value.unwrap_or_else(|| "none".into());
    Ok(vec![
        ("format", FORMAT.into()),
        ("origin", origin.to_string()),
        ("step", step.to_string()),
        ("rows", rows.to_string()),
        ("updates", updates.to_string()),
        ("input_scale", optional(input_scale.map(|scale| format!("{scale:?}")))),
        ("resampled", optional(resampled.map(|step| step.to_string()))),
        ("variant", variant.to_string()),
        ("steered", format!("{steered:?}")),
        ("stage", anneal.stage.to_string()),
        ("factor", format!("{:?}", anneal.factor)),
    ])
}

/// An open checkpoint of one run.
struct Checkpoint<'a> {
    path: &'a Path,
    file: Safetensors,
    /// The member at the time of saving: a threshold or an exponent may have moved since the start.
    variant: Variant,
}

impl<'a> Checkpoint<'a> {
    fn open(path: &'a Path, run: Fingerprint, architecture: &str) -> Result<Self, SaeError> {
        let wrong = |reason: String| SaeError::File { path: path.to_owned(), reason };
        let file = Safetensors::open(path)?;
        let format = text(path, &file, "format")?;
        if format != FORMAT {
            return Err(wrong(format!("its format is '{format}', not '{FORMAT}'")));
        }
        let origin = fingerprint(path, &file, "origin")?;
        if origin != run {
            return Err(wrong(format!("it belongs to the run {origin}, not to {run}")));
        }
        let variant: Variant =
            text(path, &file, "variant")?.parse().map_err(|e| wrong(format!("variant: {e}")))?;
        if variant.name() != architecture {
            return Err(wrong(format!("it holds a {} dictionary", variant.name())));
        }
        Ok(Self { path, file, variant })
    }

    fn wrong(&self, reason: impl Into<String>) -> SaeError {
        SaeError::File { path: self.path.to_owned(), reason: reason.into() }
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Result<T, SaeError> {
        number(self.path, &self.file, key)
    }

    fn optional<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, SaeError> {
        let some = text(self.path, &self.file, key)? != "none";
        some.then(|| self.number(key)).transpose()
    }

    /// Reads weights or moments of the shapes that the run has.
    fn weights<F: Precision>(&self, prefix: &str, like: &Weights<F>) -> Result<Weights<F>, SaeError> {
        let weights = weights_of(prefix, self.path, &self.file, &self.variant)?;
        let weights = weights.checked(self.variant.per_latent_names(), like.w_enc.ncols())?;
        if weights.size() != like.size() {
            return Err(self.wrong("its tensors have another size than the dictionary"));
        }
        Ok(weights)
    }

    /// Reads the weights with their moments.
    fn trained<F: Precision>(&self, like: &Weights<F>) -> Result<(Weights<F>, AdamMoments<F>), SaeError> {
        let [first, second] = ["first.", "second."].map(|prefix| self.weights(prefix, like));
        let moments = AdamMoments { first: first?, second: second?, updates: self.number("updates")? };
        Ok((self.weights("", like)?, moments))
    }

    fn state(&self, n_latents: usize, first_p: f64) -> Result<State, SaeError> {
        let idle = self.file.read("idle")?.to_i64();
        let idle: Option<Vec<u64>> =
            idle.and_then(|idle| idle.iter().map(|&rows| u64::try_from(rows).ok()).collect());
        let idle = idle.filter(|idle| idle.len() == n_latents);
        let recent: Vec<f64> = self.file.read("recent")?.to_f64().into_iter().collect();
        Ok(State {
            step: self.number("step")?,
            rows: self.number("rows")?,
            input_scale: self.optional("input_scale")?,
            idle: idle.ok_or_else(|| self.wrong("'idle' does not hold one count a latent"))?,
            resampled: self.optional("resampled")?,
            steered: self.number("steered")?,
            anneal: AnnealState {
                stage: self.number("stage")?,
                recent: recent.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect(),
                factor: self.number("factor")?,
            },
            first_p,
            log: log_of(self.path, &self.file)?,
        })
    }
}

impl<M: Model> Training<M> {
    /// Writes everything that is needed to continue: weights, both moments (also of a skip), counters, log. All or nothing.
    ///
    /// # Errors
    /// [`SaeError::Format`] when the file cannot be written.
    pub fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<(), SaeError> {
        let (sae, (moments, of_skip)) = (self.model.sae(), &self.moments);
        let mut tensors = tensors_of_trained(sae.weights(), moments, sae.variant());
        if let (Some(skip), Some(of_skip)) = (self.model.linear_path(), of_skip) {
            for (name, matrix) in
                [("w_skip", skip), ("first.w_skip", &of_skip.first), ("second.w_skip", &of_skip.second)]
            {
                tensors.push((name.into(), tensor(matrix.shape(), matrix.iter())));
            }
        }
        let metadata = written(&self.state, sae.variant(), (self.origin, moments.updates), &mut tensors)?;
        write(path.as_ref(), tensors, &metadata)
    }

    /// Trains until `step` steps are done, like [`Training::advance`], and saves a checkpoint after every `every` steps.
    ///
    /// A process that is killed loses at most `every` steps: load the checkpoint and call this again on the same rows.
    ///
    /// # Errors
    /// As [`Training::advance`] and [`Training::save_checkpoint`].
    pub fn advance_saving<I>(
        &mut self,
        rows: I,
        step: u64,
        path: impl AsRef<Path>,
        every: u64,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<(), SaeError>
    where
        I: IntoIterator<Item: IntoRows>,
    {
        self.advance_watched(rows, step, path, every, progress, &mut |_| Ok(()))
    }

    /// Trains like [`Training::advance_saving`], and calls `watch` after every step, for example to measure the model on held-out
    /// rows.
    ///
    /// # Errors
    /// As [`Training::advance_saving`], and the error of `watch`, which ends the training.
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{RngStream, Sae, Size, TopK, Training, TrainingConfig, epochs};
    /// let sae = Sae::<f32>::new(TopK::new(1), Size { d_model: 3, n_latents: 6 }, &mut RngStream::new(1, 0))?;
    /// let mut training = Training::new(sae, TrainingConfig { steps: 4, batch: 4, ..Default::default() })?;
    /// let rows = ndarray::Array2::<f32>::eye(3);
    /// let rows = epochs(&rows, 4, &mut RngStream::new(2, 0));
    /// let path = std::env::temp_dir().join(format!("collimate-doc-watched-{}", std::process::id()));
    /// let mut seen = Vec::new();
    /// let mut watch = |run: &Training<Sae<f32>>| { seen.push(run.step()); Ok(()) };
    /// training.advance_watched(rows, 4, &path, 100, &mut |_| (), &mut watch)?;
    /// assert_eq!(seen, [1, 2, 3, 4]);
    /// # Ok::<(), collimate_sae::SaeError>(())
    /// ```
    pub fn advance_watched<I>(
        &mut self,
        rows: I,
        step: u64,
        path: impl AsRef<Path>,
        every: u64,
        progress: &mut dyn FnMut(&Progress),
        watch: &mut dyn FnMut(&Self) -> Result<(), SaeError>,
    ) -> Result<(), SaeError>
    where
        I: IntoIterator<Item: IntoRows>,
    {
        let stop = step.min(self.config.steps);
        let mut after = |runs: &[Self]| {
            let Some(run) = runs.first() else { return Ok(()) };
            watch(run)?;
            if run.step().is_multiple_of(every.max(1)) { run.save_checkpoint(path.as_ref()) } else { Ok(()) }
        };
        advance(std::slice::from_mut(self), rows, stop, &mut |_, now| progress(now), &mut after)
    }

    /// Restores the state in which a checkpoint was written.
    ///
    /// The run must be the same: equal [`Training::origin`]. Continue with [`Training::run`] on the same rows from their
    /// beginning; the result equals that of a run that was never stopped, bit for bit.
    ///
    /// # Errors
    /// [`SaeError::File`] for the checkpoint of another run or a file that is no checkpoint, [`SaeError::Format`] for a
    /// file that is not sound.
    pub fn load_checkpoint(&mut self, path: impl AsRef<Path>) -> Result<(), SaeError> {
        let (path, sae) = (path.as_ref(), self.model.sae());
        let saved = Checkpoint::open(path, self.origin, sae.variant().name())?;
        let (weights, moments) = saved.trained(sae.weights())?;
        let shape = self.model.linear_path().map(|skip| skip.dim());
        let of_skip = |name: &str| -> Result<Option<Array2<M::Precision>>, SaeError> {
            let Some(shape) = shape else { return Ok(None) };
            let matrix = matrix::<M::Precision>(path, &saved.file, name)?;
            if matrix.dim() != shape {
                return Err(saved.wrong(format!("'{name}' has another shape than the skip")));
            }
            Ok(Some(matrix))
        };
        let skip = of_skip("w_skip")?;
        let moments_of_skip = of_skip("first.w_skip")?.zip(of_skip("second.w_skip")?);
        let state = saved.state(self.state.idle.len(), self.state.first_p)?;
        // The run is changed only after everything was read.
        self.model = M::from_parts(saved.variant, weights, skip)?;
        self.moments = (moments, moments_of_skip.map(|(first, second)| SkipMoments { first, second }));
        self.state = state;
        Ok(())
    }
}
