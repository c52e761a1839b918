//! An ensemble: its instances, their starts and their steps.

use super::config::{ColumnLengths, EnsembleConfig};
use super::instance::Instance;
use crate::data::Source;
use crate::error::{SuperpositionError, require_finite, require_shape};
use crate::models::ToyModel;
use collimate_grad::Schedule;
use collimate_measure::ensure;
use collimate_stream::RngStream;
use rayon::prelude::*;
use std::sync::Arc;

/// An ensemble of toy models in training.
///
/// # Determinism
/// Instance `i` draws its start from `stream.child(2i)` and its data from `stream.child(2i + 1)`, and shares nothing with the
/// others. The bits are equal on any number of threads, at one [`CpuLevel`](collimate_tensor::CpuLevel). Data of independent
/// features come from sixteen xoshiro128++ generators whose states are drawn from that stream. All other data come from the
/// stream itself.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::{Ensemble, EnsembleConfig, SparseFeatures};
/// use std::sync::Arc;
/// let config = EnsembleConfig { batch: 64, ..EnsembleConfig::new(5, 2) };
/// let mut ensemble = Ensemble::new(config, &RngStream::new(1, 0))?;
/// for p in [1.0, 0.1] {
///     ensemble.add(Arc::new(SparseFeatures::uniform(5, p)?))?;
/// }
/// let losses = ensemble.run(20)?;
/// assert!(losses[1] < losses[0]); // sparse features lose less: they are mostly zero
/// assert_eq!(ensemble.model(1).w.dim(), (2, 5));
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
#[derive(Debug)]
pub struct Ensemble {
    config: EnsembleConfig,
    schedule: Schedule,
    stream: RngStream,
    instances: Vec<Instance>,
}

impl Ensemble {
    /// Creates an ensemble without instances.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for empty sizes, a learning rate, schedule, optimiser or strength out of range;
    /// [`SuperpositionError::NotFinite`] for importances that are NaN or infinite.
    pub fn new(config: EnsembleConfig, stream: &RngStream) -> Result<Self, SuperpositionError> {
        ensure(config.hidden > 0, "hidden", "at least 1", 0.0)?;
        ensure(config.batch > 0, "batch", "at least 1", 0.0)?;
        ensure(!config.importance.is_empty(), "importance.len()", "at least 1", 0.0)?;
        require_finite("importance", &config.importance)?;
        for &i in &config.importance {
            ensure(i >= 0.0, "importance", "at least 0", i)?;
        }
        if let ColumnLengths::DrawnToOne { strength } = config.lengths {
            ensure(strength >= 0.0 && strength.is_finite(), "strength", "at least 0 and finite", strength)?;
        }
        let schedule = Schedule::new(config.schedule).map_err(SuperpositionError::configuration)?;
        Ok(Self { config, schedule, stream: stream.clone(), instances: Vec::new() })
    }

    /// Adds an instance trained on `source`, with Xavier-normal weights and zero bias, and returns its index.
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`] if the source has another number of features than there are importances;
    /// [`SuperpositionError::OutOfRange`] for an optimiser out of range.
    pub fn add(&mut self, source: Arc<dyn Source>) -> Result<usize, SuperpositionError> {
        let number = self.instances.len();
        let (m, n) = (self.config.hidden, self.config.importance.len());
        let mut initial = self.stream.child(2 * number as u64);
        let scale = (2.0 / (m + n) as f64).sqrt();
        let mut start: Vec<f64> = (0..m * n).map(|_| scale * initial.normal()).collect();
        start.resize((m + 1) * n, 0.0);
        self.add_from(source, &start)
    }

    /// Adds an instance that starts at these parameters: `W` (`[m, n]`, row-major), then `b` `[n]`.
    ///
    /// # Errors
    /// The errors of [`Ensemble::add`]; [`SuperpositionError::Shape`] and [`SuperpositionError::NotFinite`] for parameters of
    /// another length or that are not finite.
    pub fn add_from(
        &mut self,
        source: Arc<dyn Source>,
        parameters: &[f64],
    ) -> Result<usize, SuperpositionError> {
        let (m, n) = (self.config.hidden, self.config.importance.len());
        require_shape("source.features()", &[n], &[source.features()])?;
        require_shape("parameters", &[(m + 1) * n], &[parameters.len()])?;
        require_finite("parameters", parameters)?;
        let number = self.instances.len();
        let data = self.stream.child(2 * number as u64 + 1);
        self.instances.push(Instance::new(&self.config, source, parameters, data)?);
        Ok(number)
    }

    /// Returns the number of instances.
    pub fn len(&self) -> usize {
        self.instances.len()
    }

    /// Returns true if there are no instances.
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// Takes `steps` steps with every instance and returns the mean loss of each over these steps.
    ///
    /// # Units and range
    /// The importance-weighted squared error of a sample, summed over features and measured before each step.
    ///
    /// # Errors
    /// [`SuperpositionError::Diverged`] if a loss, a gradient or a parameter is not finite. The error is that of the first such
    /// instance by index.
    pub fn run(&mut self, steps: u64) -> Result<Vec<f64>, SuperpositionError> {
        let schedule = &self.schedule;
        let all: Vec<Result<f64, SuperpositionError>> =
            self.instances.par_iter_mut().map(|instance| instance.run(steps, schedule)).collect();
        all.into_iter().collect()
    }

    /// Returns the current model of one instance.
    ///
    /// # Panics
    /// Panics if there is no instance with this index.
    pub fn model(&self, index: usize) -> ToyModel {
        self.instances[index].model(self.config.activation)
    }

    /// Returns the current models of all instances.
    pub fn models(&self) -> Vec<ToyModel> {
        (0..self.len()).map(|i| self.model(i)).collect()
    }
}
