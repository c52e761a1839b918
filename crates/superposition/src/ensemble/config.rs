//! The configuration that all instances of an ensemble share.

use crate::models::Activation;
use collimate_grad::{AdamConfig, Decay, ScheduleConfig, WarmUp};

/// A rule for the lengths of the features' directions, in addition to the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ColumnLengths {
    /// There is no rule.
    Free,
    /// Every step also pulls each column towards length one. This keeps all features represented (strong superposition).
    ///
    /// ```text
    /// w_i ← w_i − η · strength · w_i (1 − 1/‖w_i‖)      η the learning rate of the step
    /// ```
    ///
    /// # References
    /// Y. Liu, Z. Liu, J. Gore (2025), "Superposition Yields Robust Neural Scaling", which calls it negative weight decay.
    DrawnToOne {
        /// The strength of the pull; at least 0.
        strength: f64,
    },
}

/// The configuration that all instances of an [`Ensemble`](crate::Ensemble) share.
#[derive(Clone, Debug, PartialEq)]
pub struct EnsembleConfig {
    /// The number of hidden dimensions `m`.
    pub hidden: usize,
    /// The activation of the output.
    pub activation: Activation,
    /// The importance of each feature of the sources.
    pub importance: Vec<f64>,
    /// The number of samples per step.
    pub batch: usize,
    /// The learning rate over the run.
    pub schedule: ScheduleConfig,
    /// The parameters of the optimiser.
    pub adam: AdamConfig,
    /// The rule for the lengths of the columns.
    pub lengths: ColumnLengths,
}

impl EnsembleConfig {
    /// Returns `features` equally important features in `hidden` dimensions, with ReLU outputs, 1,024 samples per step and Adam
    /// at a constant rate of 1e-3.
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
            lengths: ColumnLengths::Free,
        }
    }
}
