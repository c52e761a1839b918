use super::{Optimiser, check_range, check_step, decay_rate, non_negative};
use crate::kernels::{SgdStep, dispatch};
use crate::{GradError, error::same_length};
use collimate_tensor::Scalar;
use std::ops::Range;

/// How past gradients carry on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Momentum {
    /// They do not.
    None,
    /// `u ← μu + g`, `w ← w − ηu` (Polyak; the rate multiplies the whole velocity).
    HeavyBall(f64),
    /// `u ← μu + g`, `w ← w − η(g + μu)` (Nesterov in the form of Sutskever et al.).
    Nesterov(f64),
}

/// The parts of [`Sgd`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdConfig {
    /// What past gradients do.
    pub momentum: Momentum,
    /// λ in `g ← g + λw`.
    pub l2: f64,
}

impl Default for SgdConfig {
    /// Plain gradient descent.
    fn default() -> Self {
        Self { momentum: Momentum::None, l2: 0.0 }
    }
}

/// What [`Sgd`] remembers: all that is needed to continue it bit for bit.
#[derive(Clone, Debug, PartialEq)]
pub struct SgdState<F> {
    /// The velocity of each parameter; empty without momentum.
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

impl<F: Scalar> Sgd<F> {
    /// An optimiser of `n` parameters.
    ///
    /// # Errors
    /// [`GradError::Config`] unless the momentum lies in `[0, 1)` and `l2 ≥ 0`.
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

    /// What it remembers.
    pub fn state(&self) -> &SgdState<F> {
        &self.state
    }

    /// Continues from a remembered state.
    ///
    /// # Errors
    /// [`GradError::Length`] when the state belongs to another number of parameters or another kind of momentum.
    pub fn restore(&mut self, state: SgdState<F>) -> Result<(), GradError> {
        same_length("state.velocity", self.state.velocity.len(), state.velocity.len())?;
        self.state = state;
        Ok(())
    }
}

impl<F: Scalar> Optimiser<F> for Sgd<F> {
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
        let velocity = self.state.velocity.as_mut_slice();
        if self.config.momentum == Momentum::None {
            dispatch!(F, loops => loops::descend(&step, gradient, w), [gradient], [w]);
        } else {
            dispatch!(F, loops => loops::sgd(&step, gradient, velocity, w), [gradient], [velocity, w]);
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
