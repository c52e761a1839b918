//! The state of a run in a file: parameters, moments and the number of steps.

use super::training::Training;
use crate::error::{ModelFileError, TrainingError};
use crate::precision::Precision;
use collimate_grad::AdamState;
use collimate_measure::Fingerprint;
use collimate_tensor::Scalar;
use collimate_tensor::files::{FileArray, FileData, Safetensors, write_safetensors};
use ndarray::Array2;
use std::path::Path;

const FORMAT: &str = "collimate language model training 2";

impl<F: Precision> Training<F> {
    /// Returns the digest of everything that a continued run must share: the architecture, the settings and the chosen parameters.
    fn run(&self) -> String {
        let chosen: Vec<bool> = self.optimisers.iter().map(Option::is_some).collect();
        let text =
            format!("{:?} {:?} {chosen:?} {}", self.model.description(), self.config, <F as Scalar>::NAME);
        Fingerprint::of(text.as_bytes()).to_string()
    }

    /// Writes the state of the run. On an error the old file, if any, stays.
    ///
    /// # Errors
    /// [`TrainingError::File`] if the file cannot be written.
    pub fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<(), TrainingError> {
        let mut tensors = Vec::new();
        let parts = self.model.parameters().zip(&self.optimisers);
        for (index, ((_, weights), optimiser)) in parts.enumerate() {
            let shape = weights.shape().to_vec();
            let weights: Vec<F> = weights.iter().copied().collect();
            tensors.push((format!("weights.{index}"), array(shape.clone(), weights)?));
            let Some(optimiser) = optimiser else { continue };
            let AdamState { first, second, .. } = optimiser.state();
            tensors.push((format!("first.{index}"), array(shape.clone(), first.clone())?));
            tensors.push((format!("second.{index}"), array(shape, second.clone())?));
        }
        let tensors: Vec<(&str, FileArray)> =
            tensors.iter().map(|(name, x)| (name.as_str(), x.clone())).collect();
        let (run, step) = (self.run(), self.step.to_string());
        write_safetensors(path, &tensors, &[("format", FORMAT), ("run", &run), ("step", &step)])?;
        Ok(())
    }

    /// Continues from the state in a file. On an error nothing has changed.
    ///
    /// # Errors
    /// [`TrainingError::Checkpoint`] if the file holds another kind of data or another run; [`TrainingError::File`] if it cannot be read.
    pub fn load_checkpoint(&mut self, path: impl AsRef<Path>) -> Result<(), TrainingError> {
        let path = path.as_ref();
        let wrong = |what: String| TrainingError::Checkpoint { path: path.to_owned(), what };
        let file = Safetensors::open(path)?;
        let text = |key: &str| file.metadata().get(key).cloned().unwrap_or_default();
        if text("format") != FORMAT {
            return Err(wrong(format!("its format is '{}', not '{FORMAT}'", text("format"))));
        }
        if text("run") != self.run() {
            return Err(wrong("it belongs to a run with another model or other settings".into()));
        }
        let step: u64 =
            text("step").parse().map_err(|_| wrong("it does not say the number of steps".into()))?;
        let (mut weights, mut states) = (Vec::new(), Vec::new());
        for (index, ((_, old), optimiser)) in self.model.parameters().zip(&self.optimisers).enumerate() {
            let read = |part: &str| -> Result<Vec<F>, TrainingError> {
                let name = format!("{part}.{index}");
                let array = file.read(&name)?;
                let numbers: Vec<F> = array.to_f64().iter().map(|&x| <F as Scalar>::from_f64(x)).collect();
                if array.shape() != old.shape() || numbers.iter().any(|x| !x.is_finite()) {
                    return Err(wrong(format!("'{name}' has another shape, or numbers that are not finite")));
                }
                Ok(numbers)
            };
            let numbers = read("weights")?;
            weights.push(Array2::from_shape_vec(old.dim(), numbers).expect("the shape was compared"));
            states.push(match optimiser {
                Some(_) => Some(AdamState {
                    first: read("first")?,
                    second: read("second")?,
                    ages: vec![(old.len(), step)],
                }),
                None => None,
            });
        }
        let model = self.model.with_parameters(weights)?;
        for (optimiser, state) in self.optimisers.iter_mut().zip(states) {
            if let (Some(optimiser), Some(state)) = (optimiser, state) {
                optimiser.restore(state)?;
            }
        }
        (self.model, self.step) = (model, step);
        Ok(())
    }
}

/// Returns an array in the precision of its numbers.
fn array<F: Precision>(shape: Vec<usize>, numbers: Vec<F>) -> Result<FileArray, ModelFileError> {
    let data = if <F as Scalar>::NAME == "f64" {
        FileData::F64(numbers.into_iter().map(|x| Scalar::to_f64(x)).collect())
    } else {
        FileData::F32(numbers.into_iter().map(|x| Scalar::to_f64(x) as f32).collect())
    };
    Ok(FileArray::new(shape, data)?)
}
