use crate::network::Activations;
use collimate_grad::{AdamConfig, Schedule, WeightDecay};
use collimate_measure::{OutOfRange, ensure};

/// The settings of a run of training.
///
/// # Examples
/// ```
/// use collimate_transformer::{Schedule, TrainingConfig};
/// let config = TrainingConfig::new(Schedule::constant(1e-3)?).weight_decay(0.1)?.clip(1.0)?;
/// assert_eq!(config.decay, 0.1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TrainingConfig {
    /// The learning rate at each step.
    pub schedule: Schedule,
    /// The numbers of Adam; its weight decay is [`TrainingConfig::decay`].
    pub adam: AdamConfig,
    /// The factor of the decoupled weight decay (AdamW), on matrices only: gains, biases and other vectors are not decayed. 0 by
    /// default.
    pub decay: f64,
    /// The largest norm of the gradient of all parameters; longer gradients are shortened to it. None by default.
    pub clip: Option<f64>,
    /// The number that is added to the norm before the gradient is divided by it. 0 by default; 1e-6 in PyTorch.
    pub clip_margin: f64,
    /// The way in which the backward pass gets the activations. All are kept by default.
    pub activations: Activations,
}

impl TrainingConfig {
    /// Returns Adam with β = (0.9, 0.999) and ε = 1e-8, without decay and without clipping.
    pub fn new(schedule: Schedule) -> Self {
        Self {
            schedule,
            adam: AdamConfig::default(),
            decay: 0.0,
            clip: None,
            clip_margin: 0.0,
            activations: Activations::Kept,
        }
    }

    /// Returns these settings with a decoupled weight decay of matrices.
    ///
    /// # Errors
    /// [`OutOfRange`] for a negative factor.
    pub fn weight_decay(self, decay: f64) -> Result<Self, OutOfRange> {
        ensure(decay >= 0.0 && decay.is_finite(), "the weight decay", "at least 0 and finite", decay)?;
        Ok(Self { decay, ..self })
    }

    /// Returns these settings with a largest norm of the gradient.
    ///
    /// # Errors
    /// [`OutOfRange`] for a norm that is not positive.
    pub fn clip(self, norm: f64) -> Result<Self, OutOfRange> {
        ensure(
            norm > 0.0 && norm.is_finite(),
            "the largest norm of the gradient",
            "positive and finite",
            norm,
        )?;
        Ok(Self { clip: Some(norm), ..self })
    }

    /// Returns these settings with another way of getting the activations.
    #[must_use]
    pub fn activations(self, activations: Activations) -> Self {
        Self { activations, ..self }
    }

    /// Returns the numbers of Adam for a parameter.
    pub(super) fn of(&self, is_matrix: bool) -> AdamConfig {
        let decays = is_matrix && self.decay > 0.0;
        let weight_decay = if decays { WeightDecay::Decoupled(self.decay) } else { WeightDecay::None };
        AdamConfig { weight_decay, ..self.adam }
    }
}
