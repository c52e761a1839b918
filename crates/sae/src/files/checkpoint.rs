use super::dictionary::{fingerprint, log_of, log_tensor, number, tensors_of, text, weights_of, write};
use crate::training::State;
use crate::{Float, Sae, SaeError, Training};
use collimate_tensor::files::{FileArray, FileData, Safetensors};
use std::path::Path;

const FORMAT: &str = "collimate training state 1";

impl<F: Float> Training<F> {
    /// Writes everything that is needed to go on: weights, both moments, counters, log. All or nothing.
    ///
    /// # Errors
    /// [`SaeError::Format`] when the file cannot be written.
    pub fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<(), SaeError> {
        let variant = self.sae.variant();
        let mut tensors = tensors_of("", self.sae.weights(), variant);
        tensors.extend(tensors_of("first.", &self.moments.first, variant));
        tensors.extend(tensors_of("second.", &self.moments.second, variant));
        let State { step, rows, input_scale, idle, resampled, log } = &self.state;
        let idle: Vec<i64> = idle.iter().map(|&rows| rows as i64).collect();
        tensors.push(("idle".into(), FileArray::new(vec![idle.len()], FileData::I64(idle))?));
        tensors.push(("log".into(), log_tensor(log)?));
        let optional = |value: Option<String>| value.unwrap_or_else(|| "none".into());
        let metadata = [
            ("format", FORMAT.into()),
            ("origin", self.origin.to_string()),
            ("step", step.to_string()),
            ("rows", rows.to_string()),
            ("updates", self.moments.updates.to_string()),
            ("input_scale", optional(input_scale.map(|scale| format!("{scale:?}")))),
            ("resampled", optional(resampled.map(|step| step.to_string()))),
        ];
        write(path.as_ref(), tensors, &metadata)
    }

    /// Goes back to where a checkpoint was written.
    ///
    /// The run must be the same: equal [`Training::origin`]. Continue with [`Training::run`] on the same rows from their
    /// beginning; the result equals that of a run that was never stopped, bit for bit.
    ///
    /// # Errors
    /// [`SaeError::File`] for the checkpoint of another run or a file that is no checkpoint, [`SaeError::Format`] for a
    /// file that is not sound.
    pub fn load_checkpoint(&mut self, path: impl AsRef<Path>) -> Result<(), SaeError> {
        let path = path.as_ref();
        let wrong = |reason: String| SaeError::File { path: path.to_owned(), reason };
        let file = Safetensors::open(path)?;
        let format = text(path, &file, "format")?;
        if format != FORMAT {
            return Err(wrong(format!("its format is '{format}', not '{FORMAT}'")));
        }
        let origin = fingerprint(path, &file, "origin")?;
        if origin != self.origin {
            return Err(wrong(format!("it belongs to the run {origin}, not to {}", self.origin)));
        }
        let variant = *self.sae.variant();
        let read = |prefix: &str| -> Result<_, SaeError> {
            Ok(Sae::from_weights(variant, weights_of(prefix, path, &file, &variant)?)?.into_weights())
        };
        let (weights, first, second) = (read("")?, read("first.")?, read("second.")?);
        let size = self.sae.size();
        if weights.size() != size || first.size() != size || second.size() != size {
            return Err(wrong("its tensors have another size than the dictionary".into()));
        }
        let idle = file.read("idle")?.to_i64();
        let idle: Option<Vec<u64>> =
            idle.and_then(|idle| idle.iter().map(|&rows| u64::try_from(rows).ok()).collect());
        let idle = idle.filter(|idle| idle.len() == size.n_latents);
        let optional =
            |key: &'static str| Ok::<_, SaeError>((text(path, &file, key)? != "none").then_some(key));
        let input_scale = optional("input_scale")?.map(|key| number(path, &file, key)).transpose()?;
        let resampled = optional("resampled")?.map(|key| number(path, &file, key)).transpose()?;
        let state = State {
            step: number(path, &file, "step")?,
            rows: number(path, &file, "rows")?,
            input_scale,
            idle: idle.ok_or_else(|| wrong("'idle' does not hold one count a latent".into()))?,
            resampled,
            log: log_of(path, &file)?,
        };
        // Nothing of this run changes before everything was read.
        self.sae = Sae::from_weights(variant, weights)?;
        self.moments.first = first;
        self.moments.second = second;
        self.moments.updates = number(path, &file, "updates")?;
        self.state = state;
        Ok(())
    }
}
