//! Many toy models trained at once, each on data of its own, as fast as this machine allows.
//!
//! One instance never waits for another: it draws its data, computes its gradient and takes its step alone, in `f32`, and
//! the instances are spread over the threads. Models with up to four hidden dimensions (the ones whose features are
//! drawn as stars) run with samples side by side and their weights in registers; larger ones with features side by side
//! and tiles of samples that stay in the cache. Other trainable models run [`together`], as they are.

mod instance;
mod narrow;
mod together;
mod wide;

use crate::data::Source;
use crate::error::{SuperpositionError, require, require_finite, require_shape};
use crate::toy_model::{Activation, ToyModel};
use collimate_grad::{AdamConfig, Decay, Schedule, ScheduleConfig, WarmUp};
use collimate_stream::RngStream;
use instance::Instance;
use rayon::prelude::*;
use std::sync::Arc;

pub use together::together;

/// What becomes of the lengths of the features' directions, beside what the loss does to them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lengths {
    /// Nothing.
    Free,
    /// Every step also draws each column towards length one, which keeps all features represented: strong superposition.
    ///
    /// ```text
    /// w_i ← w_i − η · strength · w_i (1 − 1/‖w_i‖)      η the learning rate of the step
    /// ```
    ///
    /// # References
    /// Y. Liu, Z. Liu, J. Gore (2025), "Superposition Yields Robust Neural Scaling", which calls it negative weight decay.
    DrawnToOne {
        /// How strongly; at least 0.
        strength: f64,
    },
}

/// What all instances of a [`Fleet`] have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetConfig {
    /// Hidden dimensions `m`.
    pub hidden: usize,
    /// The output's activation.
    pub activation: Activation,
    /// The importance of each feature; as many as the sources have features.
    pub importance: Vec<f64>,
    /// Samples a step.
    pub batch: usize,
    /// The learning rate over the run.
    pub schedule: ScheduleConfig,
    /// The optimiser.
    pub adam: AdamConfig,
    /// Whether columns are drawn towards length one.
    pub lengths: Lengths,
}

impl FleetConfig {
    /// `features` equally important features in `hidden` dimensions: ReLU output, 1,024 samples a step, Adam at a constant
    /// 1e-3.
    pub fn new(features: usize, hidden: usize) -> Self {
        Self {
            hidden,
            activation: Activation::Relu,
            importance: vec![1.0; features],
            batch: 1024,
            schedule: ScheduleConfig {
                peak: 1e-3,
                total_steps: 10_000,
                warm_up: WarmUp::None,
                decay: Decay::None,
            },
            adam: AdamConfig::default(),
            lengths: Lengths::Free,
        }
    }
}

/// A number of toy models in training.
///
/// # Determinism
/// Instance `i` draws its start from `stream.child(2i)` and its data from `stream.child(2i + 1)`, and shares nothing with the
/// others: the same bits on any number of threads, at one [`CpuLevel`](collimate_tensor::CpuLevel). Data of independent
/// features come from sixteen xoshiro128++ generators whose states are drawn from that stream; all other data from the
/// stream itself.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::data::SparseFeatures;
/// use collimate_superposition::fleet::{Fleet, FleetConfig};
/// use std::sync::Arc;
/// let config = FleetConfig { batch: 64, ..FleetConfig::new(5, 2) };
/// let mut fleet = Fleet::new(config, &RngStream::new(1, 0))?;
/// for p in [1.0, 0.1] {
///     fleet.launch(Arc::new(SparseFeatures::uniform(5, p)?))?;
/// }
/// let losses = fleet.run(20)?;
/// assert!(losses[1] < losses[0]); // sparse features lose less: they are mostly zero
/// assert_eq!(fleet.model(1).w.dim(), (2, 5));
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
#[derive(Debug)]
pub struct Fleet {
    config: FleetConfig,
    schedule: Schedule,
    stream: RngStream,
    instances: Vec<Instance>,
}

impl Fleet {
    /// A fleet without instances.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for empty sizes, a learning rate, schedule, optimiser or strength out of range;
    /// [`SuperpositionError::NotFinite`] for importances that are NaN or infinite.
    pub fn new(config: FleetConfig, stream: &RngStream) -> Result<Self, SuperpositionError> {
        require(config.hidden > 0, "hidden", 0.0, "at least 1")?;
        require(config.batch > 0, "batch", 0.0, "at least 1")?;
        require(!config.importance.is_empty(), "importance.len()", 0.0, "at least 1")?;
        require_finite("importance", &config.importance)?;
        for &i in &config.importance {
            require(i >= 0.0, "importance", i, "at least 0")?;
        }
        if let Lengths::DrawnToOne { strength } = config.lengths {
            require(strength >= 0.0 && strength.is_finite(), "strength", strength, "at least 0 and finite")?;
        }
        let peak = config.schedule.peak;
        let schedule = Schedule::new(config.schedule).map_err(|_| SuperpositionError::OutOfRange {
            argument: "schedule, whose peak",
            given: peak,
            allowed: "positive and finite, with a warm-up and a decay that fit the number of steps",
        })?;
        Ok(Self { config, schedule, stream: stream.clone(), instances: Vec::new() })
    }

    /// Adds an instance that trains on this source, with Xavier-normal weights and zero bias; says its number.
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`] when the source has another number of features than there are importances;
    /// [`SuperpositionError::OutOfRange`] for an optimiser out of range.
    pub fn launch(&mut self, source: Arc<dyn Source>) -> Result<usize, SuperpositionError> {
        let number = self.instances.len();
        let (m, n) = (self.config.hidden, self.config.importance.len());
        let mut initial = self.stream.child(2 * number as u64);
        let scale = (2.0 / (m + n) as f64).sqrt();
        let mut start: Vec<f64> = (0..m * n).map(|_| scale * initial.normal()).collect();
        start.resize((m + 1) * n, 0.0);
        self.launch_from(source, &start)
    }

    /// Adds an instance that starts at these parameters: `W` (m × n, row-major), then `b` (n).
    ///
    /// # Errors
    /// As [`Fleet::launch`]; also when the parameters have another length or are not finite.
    pub fn launch_from(
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

    /// How many instances there are.
    pub fn len(&self) -> usize {
        self.instances.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// Takes `steps` steps with every instance; the mean loss of each over these steps.
    ///
    /// # Units and range
    /// Importance-weighted squared error of a sample, summed over features; before each step.
    ///
    /// # Errors
    /// [`SuperpositionError::Diverged`] when a loss, a gradient or a parameter stops being finite: that of the instance with the lowest
    /// number.
    pub fn run(&mut self, steps: u64) -> Result<Vec<f64>, SuperpositionError> {
        let schedule = &self.schedule;
        let all: Vec<Result<f64, SuperpositionError>> =
            self.instances.par_iter_mut().map(|instance| instance.run(steps, schedule)).collect();
        all.into_iter().collect()
    }

    /// The model of one instance as it stands.
    ///
    /// # Panics
    /// When there is no instance of this number.
    pub fn model(&self, number: usize) -> ToyModel {
        self.instances[number].model(self.config.activation)
    }

    /// All models as they stand.
    pub fn models(&self) -> Vec<ToyModel> {
        (0..self.len()).map(|i| self.model(i)).collect()
    }
}
