use super::{BLOCK, Optimiser, check_range, check_step, decay_rate, non_negative};
use crate::kernels::{AdamStep, dispatch};
use crate::{GradError, error::same_length};
use collimate_tensor::Scalar;
use rayon::prelude::*;
use std::ops::Range;

/// Where ε enters Adam's denominator; the two differ most in the first steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpsilonPlacement {
    /// `√v̂ + ε` with the bias-corrected `v̂` (Kingma & Ba, algorithm 1; PyTorch, Optax).
    AfterCorrection,
    /// `√v + ε` with the raw `v` (their section 2, "ε̂"; TensorFlow): a larger ε early in training.
    BeforeCorrection,
}

/// How weights are drawn towards zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightDecay {
    /// Not at all.
    None,
    /// `g ← g + λw` before the moments (Adam with L2 regularisation; large gradients decay less).
    L2(f64),
    /// `w ← (1 − ηλ)w` beside the step (AdamW).
    Decoupled(f64),
}

/// Whether a reset parameter also starts its bias correction anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetSteps {
    /// The parameter counts its steps from 0 again: its next step is at most about the learning rate.
    Restart,
    /// The count goes on: what libraries do that only zero the moments. The next step is then
    /// `(1 − β₁)/√(1 − β₂)` times the rate: 3.2 times at the defaults, 32 times at `(0, 0.999)`.
    Keep,
}

/// The parts of [`Adam`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// The decay of the first moment.
    pub beta1: f64,
    /// The decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment; in the unit of the gradient.
    pub epsilon: f64,
    /// Where ε is added.
    pub epsilon_placement: EpsilonPlacement,
    /// The pull towards zero.
    pub weight_decay: WeightDecay,
    /// What [`Optimiser::reset`] does with the step count.
    pub reset_steps: ResetSteps,
}

impl Default for AdamConfig {
    /// `(0.9, 0.999)`, ε = 1e-8 after the correction, no weight decay.
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            epsilon_placement: EpsilonPlacement::AfterCorrection,
            weight_decay: WeightDecay::None,
            reset_steps: ResetSteps::Restart,
        }
    }
}

/// What [`Adam`] remembers: all that is needed to continue it bit for bit.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamState<F> {
    /// The running mean of the gradient.
    pub first: Vec<F>,
    /// The running mean of its square.
    pub second: Vec<F>,
    /// Steps taken, as `(end, steps)`: the parameters before `end` and after the previous `end` took `steps` steps.
    pub ages: Vec<(usize, u64)>,
}

/// Adam, and AdamW with [`WeightDecay::Decoupled`].
///
/// ```text
/// m ← β₁m + (1 − β₁)g        m̂ = m/(1 − β₁ᵗ)
/// v ← β₂v + (1 − β₂)g²       v̂ = v/(1 − β₂ᵗ)
/// w ← (1 − ηλ)w − η m̂/(√v̂ + ε)
/// ```
///
/// `t` is 1 at the first step. Each parameter has its own `t`, so a row that [`Optimiser::reset`] touched is
/// corrected as a new one (see [`ResetSteps`]).
///
/// # Determinism
/// Each parameter is computed alone: the same bits on any number of threads.
///
/// # Examples
/// ```
/// use collimate_grad::{Adam, AdamConfig, Optimiser};
/// let mut adam = Adam::<f64>::new(2, AdamConfig::default())?;
/// let mut w = [0.0, 0.0];
/// adam.step(1e-3, &[100.0, -0.01], &mut w)?;
/// // The first step is the learning rate against the sign, whatever the size of the gradient.
/// assert!((w[0] + 1e-3).abs() < 1e-8 && (w[1] - 1e-3).abs() < 1e-8);
/// # Ok::<(), collimate_grad::GradError>(())
/// ```
///
/// # References
/// Kingma & Ba (2015), algorithm 1; Loshchilov & Hutter (2019), algorithm 2, with the schedule multiplying the decay.
#[derive(Clone, Debug, PartialEq)]
pub struct Adam<F> {
    config: AdamConfig,
    state: AdamState<F>,
}

impl<F: Scalar> Adam<F> {
    /// An optimiser of `n` parameters.
    ///
    /// # Errors
    /// [`GradError::Config`] unless both β lie in `[0, 1)`, ε is positive in `F` and the weight decay at least 0.
    pub fn new(n: usize, config: AdamConfig) -> Result<Self, GradError> {
        decay_rate("beta1", config.beta1)?;
        decay_rate("beta2", config.beta2)?;
        // ε also keeps 0/0 away where a gradient has always been 0, so it must not round to 0 in F.
        if !(F::from_f64(config.epsilon) > F::zero() && config.epsilon.is_finite()) {
            let expected = "positive in the type of the parameters";
            return Err(GradError::Config { name: "epsilon", value: config.epsilon, expected });
        }
        if let WeightDecay::L2(lambda) | WeightDecay::Decoupled(lambda) = config.weight_decay {
            non_negative("weight_decay", lambda)?;
        }
        let zeros = vec![F::default(); n];
        Ok(Self { config, state: AdamState { first: zeros.clone(), second: zeros, ages: vec![(n, 0)] } })
    }

    /// The parts it was made from.
    pub fn config(&self) -> &AdamConfig {
        &self.config
    }

    /// What it remembers.
    pub fn state(&self) -> &AdamState<F> {
        &self.state
    }

    /// Continues from a remembered state.
    ///
    /// # Errors
    /// [`GradError::Length`] when the state belongs to another number of parameters or its ages do not cover them.
    pub fn restore(&mut self, state: AdamState<F>) -> Result<(), GradError> {
        let n = self.state.first.len();
        same_length("state.first", n, state.first.len())?;
        same_length("state.second", n, state.second.len())?;
        let mut start = 0;
        for &(end, _) in &state.ages {
            if end < start {
                return Err(GradError::Range { range: start..end, len: n });
            }
            start = end;
        }
        same_length("state.ages", n, start)?;
        self.state = state;
        Ok(())
    }

    /// The numbers of the `t`-th step of a parameter.
    fn numbers(&self, rate: f64, t: u64) -> AdamStep {
        let c = &self.config;
        let correction = |beta: f64| {
            // Beyond this the power is 0 in any case, and powi takes an i32.
            if t > 1 << 30 { 1.0 } else { 1.0 - beta.powi(t as i32) }
        };
        let (first, second) = (correction(c.beta1), correction(c.beta2));
        let (size, root) = match c.epsilon_placement {
            EpsilonPlacement::AfterCorrection => (rate / first, 1.0 / second.sqrt()),
            EpsilonPlacement::BeforeCorrection => (rate * second.sqrt() / first, 1.0),
        };
        let (l2, shrink) = match c.weight_decay {
            WeightDecay::None => (0.0, 1.0),
            WeightDecay::L2(lambda) => (lambda, 1.0),
            WeightDecay::Decoupled(lambda) => (0.0, 1.0 - rate * lambda),
        };
        AdamStep { beta1: c.beta1, beta2: c.beta2, l2, shrink, size, root, epsilon: c.epsilon }
    }
}

impl<F: Scalar> Optimiser<F> for Adam<F> {
    fn n_parameters(&self) -> usize {
        self.state.first.len()
    }

    fn step(&mut self, rate: f64, gradient: &[F], w: &mut [F]) -> Result<(), GradError> {
        check_step(self.n_parameters(), rate, gradient, w)?;
        let mut start = 0;
        for at in 0..self.state.ages.len() {
            let (end, age) = &mut self.state.ages[at];
            *age += 1;
            let (end, age) = (*end, *age);
            let numbers = self.numbers(rate, age);
            let (g, w) = (&gradient[start..end], &mut w[start..end]);
            let (m, v) = (&mut self.state.first[start..end], &mut self.state.second[start..end]);
            if end - start < 4 * BLOCK {
                block(&numbers, g, m, v, w);
            } else {
                w.par_chunks_mut(BLOCK)
                    .zip(g.par_chunks(BLOCK))
                    .zip(m.par_chunks_mut(BLOCK).zip(v.par_chunks_mut(BLOCK)))
                    .for_each(|((w, g), (m, v))| block(&numbers, g, m, v, w));
            }
            start = end;
        }
        Ok(())
    }

    fn reset(&mut self, range: Range<usize>) -> Result<(), GradError> {
        let range = check_range(range, self.n_parameters())?;
        self.state.first[range.clone()].fill(F::default());
        self.state.second[range.clone()].fill(F::default());
        if self.config.reset_steps == ResetSteps::Restart && !range.is_empty() {
            let mut ages: Vec<(usize, u64)> = Vec::with_capacity(self.state.ages.len() + 2);
            let mut start = 0;
            for &(end, age) in &self.state.ages {
                let parts = [
                    (start, end.min(range.start), age),
                    (start.max(range.start), end.min(range.end), 0),
                    (start.max(range.end), end, age),
                ];
                for (_, to, age) in parts.into_iter().filter(|(from, to, _)| from < to) {
                    // Neighbours of one age become one segment, so that resets do not pile up.
                    match ages.last_mut() {
                        Some(last) if last.1 == age => last.0 = to,
                        _ => ages.push((to, age)),
                    }
                }
                start = end;
            }
            self.state.ages = ages;
        }
        Ok(())
    }
}

/// One Adam step over a block.
fn block<F: Scalar>(numbers: &AdamStep, g: &[F], m: &mut [F], v: &mut [F], w: &mut [F]) {
    dispatch!(F, loops => loops::adam(numbers, g, m, v, w), [g], [m, v, w]);
}
