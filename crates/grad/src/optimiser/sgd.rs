use super::step::{Optimiser, check_range, check_step, decay_rate, non_negative};
use crate::error::GradError;
use crate::kernels::{Precision, SgdStep};
use collimate_measure::same_length;
use std::ops::Range;

/// The form of momentum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Momentum {
    /// No momentum.
    None,
    /// The update `u ← μu + g`, `w ← w − ηu` (Polyak). The rate multiplies the whole velocity.
    HeavyBall(f64),
    /// The update `u ← μu + g`, `w ← w − η(g + μu)` (Nesterov in the form of Sutskever et al.).
    Nesterov(f64),
}

/// The configuration of [`Sgd`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdConfig {
    /// The momentum.
    pub momentum: Momentum,
    /// The factor λ in `g ← g + λw`.
    pub l2: f64,
}

impl Default for SgdConfig {
    /// Returns plain gradient descent.
    fn default() -> Self {
        Self { momentum: Momentum::None, l2: 0.0 }
    }
}

/// The state of [`Sgd`], from which it continues to the same bits.
#[derive(Clone, Debug, PartialEq)]
pub struct SgdState<F> {
    /// The velocity of each parameter. Empty without momentum.
    pub velocity: Vec<F>,
}

/// Stochastic gradient descent, with or without momentum.
///
/// ```text
/// w ← w − η (g + λw)                     without momentum
/// ```
///
/// # Examples
/// ```
/// use collimate_grad::{Momentum, Optimiser, Sgd, SgdConfig};
/// let mut sgd = Sgd::<f64>::new(1, SgdConfig { momentum: Momentum::HeavyBall(0.5), l2: 0.0 })?;
/// let mut w = [1.0];
/// sgd.step(0.1, &[1.0], &mut w)?; // velocity 1
/// sgd.step(0.1, &[1.0], &mut w)?; // velocity 1.5
/// assert!((w[0] - 0.75).abs() < 1e-15);
/// # Ok::<(), collimate_grad::GradError>(())
/// ```
///
/// # References
/// Polyak (1964); Sutskever, Martens, Dahl, Hinton (2013), eq. 3–4.
#[derive(Clone, Debug, PartialEq)]
pub struct Sgd<F> {
    config: SgdConfig,
    n: usize,
    state: SgdState<F>,
}

impl<F: Precision> Sgd<F> {
    /// Returns an optimiser of `n` parameters.
    ///
    /// # Errors
    /// [`GradError::OutOfRange`] unless the momentum lies in `[0, 1)` and `l2 ≥ 0`.
    pub fn new(n: usize, config: SgdConfig) -> Result<Self, GradError> {
        non_negative("l2", config.l2)?;
        let velocity = match config.momentum {
            Momentum::None => Vec::new(),
            Momentum::HeavyBall(mu) | Momentum::Nesterov(mu) => {
                decay_rate("momentum", mu)?;
                vec![F::default(); n]
            }
        };
        Ok(Self { config, n, state: SgdState { velocity } })
    }

    /// Returns the state.
    pub fn state(&self) -> &SgdState<F> {
        &self.state
    }

    /// Replaces the state.
    ///
    /// # Errors
    /// [`GradError::Length`] if the state has another number of parameters or another kind of momentum.
    pub fn restore(&mut self, state: SgdState<F>) -> Result<(), GradError> {
        same_length("state.velocity", self.state.velocity.len(), state.velocity.len())?;
        self.state = state;
        Ok(())
    }
}

impl<F: Precision> Optimiser<F> for Sgd<F> {
    fn n_parameters(&self) -> usize {
        self.n
    }

    fn step(&mut self, rate: f64, gradient: &[F], w: &mut [F]) -> Result<(), GradError> {
        check_step(self.n, rate, gradient, w)?;
        let (momentum, nesterov) = match self.config.momentum {
            Momentum::None => (0.0, false),
            Momentum::HeavyBall(mu) => (mu, false),
            Momentum::Nesterov(mu) => (mu, true),
        };
        let step = SgdStep { rate, momentum, nesterov, l2: self.config.l2 };
        if self.config.momentum == Momentum::None {
            F::descend(&step, gradient, w);
        } else {
            F::momentum(&step, gradient, &mut self.state.velocity, w);
        }
        Ok(())
    }

    fn reset(&mut self, range: Range<usize>) -> Result<(), GradError> {
        let range = check_range(range, self.n)?;
        if !self.state.velocity.is_empty() {
            self.state.velocity[range].fill(F::default());
        }
        Ok(())
    }
}
