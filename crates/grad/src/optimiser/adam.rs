use super::step::{BLOCK, Optimiser, check_range, check_step, decay_rate, non_negative};
use crate::error::GradError;
use crate::kernels::{AdamStep, Precision, first_non_finite};
use collimate_measure::{ensure, same_length};
use collimate_tensor::Scalar;
use rayon::prelude::*;
use std::ops::Range;

/// The place of ε in Adam's denominator. The two differ most in the first steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpsilonPlacement {
    /// The denominator `√v̂ + ε` with the bias-corrected `v̂` (Kingma & Ba, algorithm 1; PyTorch, Optax).
    AfterCorrection,
    /// The denominator `√v + ε` with the uncorrected `v` (their section 2, "ε̂"; TensorFlow). It acts as a larger ε early in training.
    BeforeCorrection,
}

/// The form of weight decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightDecay {
    /// No weight decay.
    None,
    /// The update `g ← g + λw` before the moments: Adam with L2 regularisation. Parameters with large gradients decay less.
    L2(f64),
    /// The update `w ← (1 − ηλ)w`, separate from the step: AdamW.
    Decoupled(f64),
}

/// The effect of a reset on the bias correction of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetSteps {
    /// The step count of the parameter starts again at 0. Its next step is at most about the learning rate.
    Restart,
    /// The step count continues, as in libraries that only zero the moments. The next step is then
    /// `(1 − β₁)/√(1 − β₂)` times the rate: 3.2 times with the defaults, 32 times with β = (0, 0.999).
    Keep,
}

/// The configuration of [`Adam`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// The decay of the first moment.
    pub beta1: f64,
    /// The decay of the second moment.
    pub beta2: f64,
    /// The number ε added to the root of the second moment, in the unit of the gradient.
    pub epsilon: f64,
    /// The place of ε.
    pub epsilon_placement: EpsilonPlacement,
    /// The weight decay.
    pub weight_decay: WeightDecay,
    /// The effect of [`Optimiser::reset`] on the step count.
    pub reset_steps: ResetSteps,
}

impl Default for AdamConfig {
    /// Returns β = (0.9, 0.999), ε = 1e-8 after the correction, and no weight decay.
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

/// The state of [`Adam`], from which it continues to the same bits.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamState<F> {
    /// The running mean of the gradient.
    pub first: Vec<F>,
    /// The running mean of the squared gradient.
    pub second: Vec<F>,
    /// The step counts as segments `(end, steps)`: the parameters before `end` and after the previous `end` took `steps` steps.
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
/// `t` is 1 at the first step. Each parameter has its own `t`, so a parameter that [`Optimiser::reset`] has reset is
/// corrected like a new one (see [`ResetSteps`]).
///
/// # Determinism
/// Each parameter is computed separately, so the bits do not depend on the number of threads.
///
/// # Examples
/// ```
/// use collimate_grad::{Adam, AdamConfig, Optimiser};
/// let mut adam = Adam::<f64>::new(2, AdamConfig::default())?;
/// let mut w = [0.0, 0.0];
/// adam.step(1e-3, &[100.0, -0.01], &mut w)?;
/// // The first step is the learning rate against the sign of the gradient, for any size of the gradient.
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

impl<F: Precision> Adam<F> {
    /// Returns an optimiser of `n` parameters.
    ///
    /// # Errors
    /// [`GradError::OutOfRange`] unless both β lie in `[0, 1)`, ε is positive in `F` and the weight decay at least 0.
    pub fn new(n: usize, config: AdamConfig) -> Result<Self, GradError> {
        decay_rate("beta1", config.beta1)?;
        decay_rate("beta2", config.beta2)?;
        // ε prevents 0/0 where every gradient was 0, so it must not round to 0 in F.
        let positive = F::from_f64(config.epsilon) > F::zero() && config.epsilon.is_finite();
        ensure(positive, "epsilon", "positive in the type of the parameters", config.epsilon)?;
        if let WeightDecay::L2(lambda) | WeightDecay::Decoupled(lambda) = config.weight_decay {
            non_negative("weight_decay", lambda)?;
        }
        let zeros = vec![F::default(); n];
        Ok(Self { config, state: AdamState { first: zeros.clone(), second: zeros, ages: vec![(n, 0)] } })
    }

    /// Returns the configuration.
    pub fn config(&self) -> &AdamConfig {
        &self.config
    }

    /// Returns the state.
    pub fn state(&self) -> &AdamState<F> {
        &self.state
    }

    /// Replaces the state.
    ///
    /// # Errors
    /// [`GradError::Length`] if the state has another number of parameters, or its ages do not cover them. [`GradError::Range`] if the
    /// segments of the ages are not in ascending order. [`GradError::NonFinite`] if a moment is NaN or infinite, since it would
    /// never become finite again.
    pub fn restore(&mut self, state: AdamState<F>) -> Result<(), GradError> {
        let n = self.state.first.len();
        same_length("state.first", n, state.first.len())?;
        same_length("state.second", n, state.second.len())?;
        for (argument, moments) in [("state.first", &state.first), ("state.second", &state.second)] {
            if let Some((index, value)) = first_non_finite(moments) {
                return Err(GradError::NonFinite { argument, index, value });
            }
        }
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

    /// Returns an error for a gradient whose square is infinite in `F`: the second moment would stay infinite, and the parameter would
    /// never move again.
    fn check_squares(&self, gradient: &[F], w: &[F]) -> Result<(), GradError> {
        // A margin of two for the rounding of a running mean of squares.
        let largest = (F::max_value() / F::from_f64(2.0)).sqrt();
        let error = |index: usize, value: F| {
            let (value, largest) = (Scalar::to_f64(value), Scalar::to_f64(largest));
            Err(GradError::TooLarge { argument: "gradient", index, value, largest, kind: F::NAME })
        };
        if let WeightDecay::L2(lambda) = self.config.weight_decay {
            let decay = F::from_f64(lambda);
            let whole = gradient.iter().zip(w).map(|(&g, &w)| g + decay * w);
            let large = |value: &F| value.abs() > largest;
            return match whole.enumerate().find(|(_, value)| large(value)) {
                Some((index, value)) => error(index, value),
                None => Ok(()),
            };
        }
        if F::all_within(gradient, largest) {
            return Ok(());
        }
        match gradient.iter().position(|g| g.abs() > largest) {
            Some(index) => error(index, gradient[index]),
            None => Ok(()),
        }
    }

    /// Returns the numbers of the `t`-th step of a parameter.
    fn numbers(&self, rate: f64, t: u64) -> AdamStep {
        let c = &self.config;
        let correction = |beta: f64| {
            // For larger t the power is 0, and powi takes an i32.
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

impl<F: Precision> Optimiser<F> for Adam<F> {
    fn n_parameters(&self) -> usize {
        self.state.first.len()
    }

    fn step(&mut self, rate: f64, gradient: &[F], w: &mut [F]) -> Result<(), GradError> {
        check_step(self.n_parameters(), rate, gradient, w)?;
        self.check_squares(gradient, w)?;
        let mut start = 0;
        for at in 0..self.state.ages.len() {
            let (end, age) = &mut self.state.ages[at];
            *age += 1;
            let (end, age) = (*end, *age);
            let numbers = self.numbers(rate, age);
            let (g, w) = (&gradient[start..end], &mut w[start..end]);
            let (m, v) = (&mut self.state.first[start..end], &mut self.state.second[start..end]);
            if end - start < 4 * BLOCK {
                F::adam(&numbers, g, m, v, w);
            } else {
                w.par_chunks_mut(BLOCK)
                    .zip(g.par_chunks(BLOCK))
                    .zip(m.par_chunks_mut(BLOCK).zip(v.par_chunks_mut(BLOCK)))
                    .for_each(|((w, g), (m, v))| F::adam(&numbers, g, m, v, w));
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
                    // Neighbours of one age become one segment, so that resets do not accumulate segments.
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
