use crate::members::rule::{Contribution, Entry, Row, Rule, Scratch};
use crate::{Float, InputBias};
use collimate_tensor::Scalar;

/// The JumpReLU dictionary: a latent counts only above its own threshold, and the thresholds are trained.
///
/// ```text
/// z = W_enc (x − b_dec) + b_enc        f = z ⊙ 1[z > θ],  θ ≥ 0        x̂ = W_decᵀ f + b_dec
/// L = ‖x − x̂‖² + λ P(z, θ) + pre-activation loss
///
/// pseudo-derivatives with K = 1[|z − θ| < ε/2] on both sides of the threshold, δ_i = 2 d_i·e + λ ∂P/∂f_i, H = 1[z > θ]:
///   ∂z = H δ (+ (K/ε)(θ δ + λ ∂P/∂H) where the estimator reaches the input)       ∂θ = −(K/ε)(θ δ + λ ∂P/∂H)
///   ∂W_enc,i = ∂z_i (x − b_dec)      ∂b_enc = ∂z      ∂d_i = 2 f_i e      ∂log θ = θ ∂θ
/// ```
/// The comparison is strict, and so is that of the window. The entries inside the window but below the threshold have
/// code zero and a gradient all the same: dictionary_learning loses them because it applies the step to f. The bandwidth
/// ε is in the units of the normalised inputs; 0.001 belongs to E‖x‖² = 1
/// ([`Normalisation::UnitMeanSquareNorm`](crate::Normalisation::UnitMeanSquareNorm)).
///
/// # References
/// Rajamanoharan et al. (2024), "Jumping Ahead", eq. 3 and appendix; Lieberum et al. (2024), "Gemma Scope", section 3.2;
/// Conerly et al. (Anthropic, January 2025) for the tanh penalty and the pre-activation loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JumpRelu {
    /// Whether the encoder sees x or x − b_dec.
    pub input_bias: InputBias,
    /// Whether training holds the decoder rows at length one.
    pub decoder: DecoderRows,
    /// What of a threshold is stored and trained.
    pub threshold: ThresholdParameter,
    /// The width ε of the window around the threshold.
    pub bandwidth: f64,
    /// The penalty P.
    pub sparsity: JumpReluSparsity,
    /// What the pseudo-derivative reaches.
    pub estimator: Estimator,
    /// On what the jump is applied.
    pub jump: JumpOn,
    /// A pull on latents below their thresholds.
    pub pre_activation: Option<PreActivationLoss>,
}

/// Whether training holds the decoder rows at length one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecoderRows {
    /// Projected gradients, and normalised after each update.
    UnitNorm,
    /// Free.
    Free,
}

/// What of a threshold is stored and trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ThresholdParameter {
    /// θ itself, kept from falling below zero.
    Raw,
    /// log θ.
    Log,
}

/// The penalty of a JumpReLU dictionary, row by row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum JumpReluSparsity {
    /// Σ H(z − θ), the number of active latents.
    Step,
    /// Σ tanh(scale · f ‖d‖); its gradient passes through f.
    Tanh {
        /// The factor c inside the tanh; 4 is usual.
        scale: f64,
    },
    /// (2/L0*)·(Σ H − L0*)² in each row: Gemma Scope 2 and SAELens.
    RowTarget {
        /// The target L0*.
        l0: f64,
    },
    /// (mean Σ H / L0* − 1)² over the batch: dictionary_learning.
    BatchTarget {
        /// The target L0*.
        l0: f64,
    },
}

/// What the pseudo-derivative of the jump reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Estimator {
    /// The thresholds only: the paper.
    Threshold,
    /// The thresholds and, with the opposite sign, the pre-activations: Anthropic.
    ThresholdAndInput,
}

/// On what the jump is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JumpOn {
    /// On z.
    PreActivation,
    /// On ReLU(z), as in the pseudo-code of the paper. The codes are the same; the gradient differs where θ < ε/2: then
    /// every inactive latent lies inside the window.
    Rectified,
}

/// The term coefficient · Σ ReLU(θ_i − z_i) ‖d_i‖, which brings latents that are off back towards their thresholds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PreActivationLoss {
    /// Its coefficient; 3e-6 in Anthropic's recipe.
    pub coefficient: f64,
    /// Which latents it pulls.
    pub over: PullOver,
}

/// Which latents a pre-activation loss pulls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PullOver {
    /// All: Anthropic. No latent is then without a gradient, and a step is dense.
    All,
    /// Those that count as dead: SAELens.
    Dead,
}

impl JumpRelu {
    /// The recipe of Gemma Scope: step penalty, ε = 0.001, unit-norm decoder, raw thresholds.
    pub const fn paper() -> Self {
        Self {
            input_bias: InputBias::Subtracted,
            decoder: DecoderRows::UnitNorm,
            threshold: ThresholdParameter::Raw,
            bandwidth: 0.001,
            sparsity: JumpReluSparsity::Step,
            estimator: Estimator::Threshold,
            jump: JumpOn::PreActivation,
            pre_activation: None,
        }
    }

    /// Anthropic's recipe of January 2025: tanh penalty, ε = 2 with E‖x‖ = √d, log thresholds, pre-activation loss.
    pub const fn tanh() -> Self {
        Self {
            input_bias: InputBias::NotSubtracted,
            decoder: DecoderRows::Free,
            threshold: ThresholdParameter::Log,
            bandwidth: 2.0,
            sparsity: JumpReluSparsity::Tanh { scale: 4.0 },
            estimator: Estimator::ThresholdAndInput,
            jump: JumpOn::PreActivation,
            pre_activation: Some(PreActivationLoss { coefficient: 3e-6, over: PullOver::All }),
        }
    }

    /// The paper's recipe with another input bias; what a dictionary that is only read, not trained, is given.
    pub const fn with_input_bias(input_bias: InputBias) -> Self {
        Self { input_bias, ..Self::paper() }
    }

    fn jumped<F: Scalar>(&self, z: F) -> F {
        match self.jump {
            JumpOn::PreActivation => z,
            JumpOn::Rectified => z.max(F::zero()),
        }
    }
}

impl<F: Float> Rule<F> for JumpRelu {
    const ELEMENTWISE: bool = true;

    fn constants(&self, [b_enc, threshold, other]: [F; 3]) -> [F; 3] {
        match self.threshold {
            ThresholdParameter::Raw => [b_enc, threshold, other],
            ThresholdParameter::Log => [b_enc, threshold.exp(), other],
        }
    }

    fn select(&self, row: &Row<'_, F>, scratch: &mut Scratch<F>, out: &mut Vec<Entry<F>>) {
        let [b_enc, threshold, pull] = row.constants;
        let found = &mut scratch.latents;
        found.clear();
        if !pull.is_empty() || self.jump == JumpOn::Rectified {
            // Latents far below their thresholds may take part.
            found.extend(0..row.products.len() as u32);
        } else {
            let half = F::from_f64(0.5 * self.bandwidth);
            F::above_each(row.products, b_enc, threshold, half, found);
        }
        for latent in found.iter().map(|&latent| latent as usize) {
            let pull = pull.get(latent).copied().unwrap_or(F::zero());
            let constants = [b_enc[latent], threshold[latent], pull];
            let (entry, on) = Rule::<F>::activate(self, constants, latent, row.products[latent]);
            if on {
                out.push(entry);
            }
        }
    }

    fn activate(&self, [b_enc, theta, pull]: [F; 3], latent: usize, product: F) -> (Entry<F>, bool) {
        let z = product + b_enc;
        let half = F::from_f64(0.5 * self.bandwidth);
        let on = z > theta;
        let near = (self.jumped(z) - theta).abs() < half;
        let takes_part = on | near | (pull > F::zero());
        let new = Entry {
            latent: latent as u32,
            pre: product,
            code: if on { z } else { F::zero() },
            gate: if takes_part { z } else { F::zero() },
            ..Entry::default()
        };
        (new, takes_part)
    }

    fn amount(&self, entry: &Entry<F>, norm: F) -> (F, F) {
        match self.sparsity {
            JumpReluSparsity::Tanh { scale } => {
                let scale = F::from_f64(scale);
                let t = (scale * entry.code * norm).tanh();
                (t, scale * (F::one() - t * t))
            }
            _ if entry.code != F::zero() => (F::one(), F::one()),
            _ => (F::zero(), F::one()),
        }
    }

    fn penalty(&self, row: F, batch: F) -> (F, F) {
        match self.sparsity {
            JumpReluSparsity::Step | JumpReluSparsity::Tanh { .. } => (row, F::one()),
            JumpReluSparsity::RowTarget { l0 } => {
                let (off, factor) = (row - F::from_f64(l0), F::from_f64(2.0 / l0));
                (factor * off * off, (factor + factor) * off)
            }
            JumpReluSparsity::BatchTarget { l0 } => {
                let off = batch / F::from_f64(l0) - F::one();
                (off * off, F::from_f64(2.0 / l0) * off)
            }
        }
    }

    fn local(&self, [_, theta, pull]: [F; 3], entry: &mut Entry<F>, dot: F, _: F, penalty: F) {
        let z = entry.gate;
        let (mut delta, mut step) = (dot + dot, F::zero());
        match self.sparsity {
            JumpReluSparsity::Tanh { .. } => delta += penalty * entry.slope,
            _ => step = penalty * entry.slope,
        }
        let epsilon = F::from_f64(self.bandwidth);
        let near = (self.jumped(z) - theta).abs() < F::from_f64(0.5 * self.bandwidth);
        let jump = if near { (theta * delta + step) / epsilon } else { F::zero() };
        entry.d_code = if entry.code != F::zero() { delta } else { F::zero() };
        if self.estimator == Estimator::ThresholdAndInput && (self.jumped(z) != F::zero() || z == F::zero()) {
            entry.d_code += jump;
        }
        entry.d_gate = -jump;
        if z < theta {
            entry.d_code -= pull;
            entry.d_gate += pull;
        }
    }

    fn norm_pull(&self, [_, theta, pull]: [F; 3], entry: &Entry<F>, norm: F, lambda: F) -> F {
        let below = (theta - entry.gate).max(F::zero());
        let of_loss = if norm > F::zero() { pull / norm * below } else { F::zero() };
        match self.sparsity {
            JumpReluSparsity::Tanh { .. } => lambda * entry.slope * entry.code + of_loss,
            _ => of_loss,
        }
    }

    fn extra(&self, [_, theta, pull]: [F; 3], entry: &Entry<F>) -> F {
        pull * (theta - entry.gate).max(F::zero())
    }

    fn contribution(&self, [_, theta, _]: [F; 3], entry: &Entry<F>) -> Contribution<F> {
        let d_threshold = match self.threshold {
            ThresholdParameter::Raw => entry.d_gate,
            ThresholdParameter::Log => theta * entry.d_gate,
        };
        Contribution { per_latent: [entry.d_code, d_threshold, F::zero()], ..Contribution::plain(entry) }
    }
}
