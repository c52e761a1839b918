use crate::Weights;
use crate::kernels::{self, AdamNumbers};
use collimate_tensor::Scalar;

/// The parameters of the Adam optimiser.
///
/// ```text
/// m ← β₁ m + (1 − β₁) g      v ← β₂ v + (1 − β₂) g²      w ← w − η · m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε)
/// ```
///
/// # References
/// Kingma and Ba (2015), algorithm 1.
#[derive(Clone, Copy, PartialEq)]
pub struct AdamParameters {
    /// The decay β₁ of the first moment. The Gated and JumpReLU papers use 0, the others 0.9.
    pub beta1: f64,
    /// The decay β₂ of the second moment.
    pub beta2: f64,
    /// The number ε that keeps the quotient finite.
    pub epsilon: f64,
}

impl AdamParameters {
    /// Returns β = (0.9, 0.999), ε = 1e-8.
    pub const fn standard() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }

    /// Returns β = (0, 0.999), ε = 1e-8: the setting of the Gated and JumpReLU papers.
    pub const fn without_momentum() -> Self {
        Self { beta1: 0.0, ..Self::standard() }
    }
}

impl std::fmt::Debug for AdamParameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { beta1, beta2, epsilon } = self;
        // The name is part of the fingerprint of a run, so that runs of older versions are recognised.
        f.debug_struct("Adam").field("beta1", beta1).field("beta2", beta2).field("epsilon", epsilon).finish()
    }
}

/// The moments of the optimiser and the number of updates made.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamMoments<F> {
    /// The first moments.
    pub first: Weights<F>,
    /// The second moments.
    pub second: Weights<F>,
    /// The number of updates that were made.
    pub updates: u64,
}

impl<F: Scalar> AdamMoments<F> {
    /// Returns the moments before the first update.
    pub fn zeros(weights: &Weights<F>) -> Self {
        Self { first: Weights::zeros_like(weights), second: Weights::zeros_like(weights), updates: 0 }
    }
}

/// One update with its bias corrections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Update<F> {
    numbers: AdamNumbers<F>,
}

impl<F: Scalar> Update<F> {
    /// Returns update number `t`, counted from one.
    pub(crate) fn new(adam: &AdamParameters, learning_rate: f64, t: u64) -> Self {
        let t = i32::try_from(t).unwrap_or(i32::MAX);
        let numbers = AdamNumbers {
            beta1: F::from_f64(adam.beta1),
            beta2: F::from_f64(adam.beta2),
            rate: F::from_f64(learning_rate / (1.0 - adam.beta1.powi(t))),
            correction: F::from_f64(1.0 / (1.0 - adam.beta2.powi(t)).sqrt()),
            epsilon: F::from_f64(adam.epsilon),
        };
        Self { numbers }
    }

    /// Updates a run of parameters.
    pub(crate) fn apply(&self, w: &mut [F], m: &mut [F], v: &mut [F], g: &[F]) {
        kernels::adam(&self.numbers, w, m, v, g);
    }
}
