use crate::float::Float;
use crate::members::choices::{DecoderRows, InputBias, PreActivationLoss, PullOver};
use crate::members::line::{Line, Pairs, words};
use crate::members::member::{Describe, Member};
use crate::members::rule::{Contribution, DenseRows, Elementwise, Entry, Row, Rule, Scratch};
use collimate_measure::{OutOfRange, ensure};
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
/// Both comparisons, of the threshold and of the window, are strict. The entries inside the window but below the threshold have
/// code zero but a gradient: dictionary_learning loses them because it applies the step to f. The bandwidth
/// ε is in the units of the normalised inputs; 0.001 belongs to E‖x‖² = 1
/// ([`Normalisation::UnitMeanSquareNorm`](crate::Normalisation::UnitMeanSquareNorm)).
///
/// # References
/// Rajamanoharan et al. (2024), "Jumping Ahead", eq. 3 and appendix; Lieberum et al. (2024), "Gemma Scope", section 3.2;
/// Conerly et al. (Anthropic, January 2025) for the tanh penalty and the pre-activation loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JumpRelu {
    /// The input of the encoder: x or x − b_dec.
    pub input_bias: InputBias,
    /// The treatment of the decoder rows in training: held at length one, or free.
    pub decoder: DecoderRows,
    /// The parameter that is stored and trained: θ or log θ.
    pub threshold: ThresholdParameter,
    /// The width ε of the window around the threshold.
    pub bandwidth: f64,
    /// The penalty P.
    pub sparsity: JumpReluSparsity,
    /// The parameters that the pseudo-derivative reaches.
    pub estimator: Estimator,
    /// The argument of the jump.
    pub jump: JumpOn,
    /// The pull on latents below their thresholds.
    pub pre_activation: Option<PreActivationLoss>,
}

/// The number that is stored and trained for each threshold.
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

/// The parameters that the pseudo-derivative of the jump reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Estimator {
    /// The thresholds only: the paper.
    Threshold,
    /// The thresholds and, with the opposite sign, the pre-activations: Anthropic.
    ThresholdAndInput,
}

/// The argument of the jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JumpOn {
    /// The pre-activation z.
    PreActivation,
    /// ReLU(z), as in the pseudo-code of the paper. The codes are the same; the gradient differs where θ < ε/2: then
    /// every inactive latent lies inside the window.
    Rectified,
}

impl JumpRelu {
    /// Returns the recipe of Gemma Scope: step penalty, ε = 0.001, unit-norm decoder, raw thresholds.
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

    /// Returns Anthropic's recipe of January 2025: tanh penalty, ε = 2 with E‖x‖ = √d, log thresholds, pre-activation loss.
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

    /// Returns the paper's recipe with another input bias; dictionaries that are read from files have it.
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
    fn dense(&self) -> Option<&dyn DenseRows<F>> {
        Some(self)
    }

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
            let (entry, on) = self.activate(constants, latent, row.products[latent]);
            if on {
                out.push(entry);
            }
        }
    }

    #[inline]
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

    #[inline]
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

    #[inline]
    fn norm_pull(&self, [_, theta, pull]: [F; 3], entry: &Entry<F>, norm: F, lambda: F) -> F {
        let below = (theta - entry.gate).max(F::zero());
        let of_loss = if norm > F::zero() { pull / norm * below } else { F::zero() };
        match self.sparsity {
            JumpReluSparsity::Tanh { .. } => lambda * entry.slope * entry.code + of_loss,
            _ => of_loss,
        }
    }

    #[inline]
    fn extra(&self, [_, theta, pull]: [F; 3], entry: &Entry<F>) -> F {
        pull * (theta - entry.gate).max(F::zero())
    }

    #[inline]
    fn contribution(&self, [_, theta, _]: [F; 3], entry: &Entry<F>) -> Contribution<F> {
        let d_threshold = match self.threshold {
            ThresholdParameter::Raw => entry.d_gate,
            ThresholdParameter::Log => theta * entry.d_gate,
        };
        Contribution { per_latent: [entry.d_code, d_threshold, F::zero()], ..Contribution::plain(entry) }
    }
}

impl<F: Float> Elementwise<F> for JumpRelu {
    #[inline(always)]
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
}

words! {
    ThresholdParameter { Raw = "raw", Log = "log" }
    Estimator { Threshold = "threshold", ThresholdAndInput = "threshold_and_input" }
    JumpOn { PreActivation = "pre_activation", Rectified = "rectified" }
}

impl Describe for JumpRelu {
    const NAME: &'static str = "jumprelu";

    fn member(&self) -> Member {
        let raw = self.threshold == ThresholdParameter::Raw;
        let tanh = matches!(self.sparsity, JumpReluSparsity::Tanh { .. });
        let theta: f64 = if tanh { 0.1 } else { 0.001 };
        Member {
            per_latent: if raw { &["b_enc", "threshold"] } else { &["b_enc", "log_threshold"] },
            decoder: self.decoder,
            penalised: true,
            norm_weighted: tanh,
            trains_norms: tanh || self.pre_activation.is_some(),
            pre_activation: self.pre_activation,
            not_negative: raw.then_some(1),
            start: Some(if raw { theta } else { theta.ln() }),
            ..Member::new(Self::NAME, self.input_bias)
        }
    }

    fn rule<F: Float>(&self) -> Option<&dyn Rule<F>> {
        Some(self)
    }

    fn check(&self, _: usize, _: usize) -> Result<(), OutOfRange> {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        ensure(positive(self.bandwidth), "bandwidth", "positive and finite", self.bandwidth)?;
        let number = match self.sparsity {
            JumpReluSparsity::Step => 1.0,
            JumpReluSparsity::Tanh { scale } => scale,
            JumpReluSparsity::RowTarget { l0 } | JumpReluSparsity::BatchTarget { l0 } => l0,
        };
        ensure(positive(number), "the number of the sparsity term", "positive and finite", number)?;
        let pull = self.pre_activation.map_or(0.0, |pull| pull.coefficient);
        ensure(pull >= 0.0 && pull.is_finite(), "pre_activation.coefficient", "finite, at least 0", pull)
    }

    fn set_input_bias(&mut self, input_bias: InputBias) {
        self.input_bias = input_bias;
    }

    fn write(&self, line: &mut Line) {
        line.word("decoder", self.decoder).word("threshold", self.threshold);
        line.number("bandwidth", self.bandwidth).word("estimator", self.estimator).word("jump", self.jump);
        match self.sparsity {
            JumpReluSparsity::Step => line.text("sparsity", "step"),
            JumpReluSparsity::Tanh { scale } => line.text("sparsity", "tanh").number("scale", scale),
            JumpReluSparsity::RowTarget { l0 } => line.text("sparsity", "row_target").number("l0", l0),
            JumpReluSparsity::BatchTarget { l0 } => line.text("sparsity", "batch_target").number("l0", l0),
        };
        if let Some(pull) = self.pre_activation {
            line.number("pull", pull.coefficient).word("pull_over", pull.over);
        }
    }

    fn read(pairs: &Pairs<'_>, input_bias: InputBias) -> Result<Self, String> {
        let plain = Self::with_input_bias(input_bias);
        let sparsity = match pairs.find("sparsity") {
            None | Some("step") => JumpReluSparsity::Step,
            Some("tanh") => JumpReluSparsity::Tanh { scale: pairs.number("scale")? },
            Some("row_target") => JumpReluSparsity::RowTarget { l0: pairs.number("l0")? },
            Some("batch_target") => JumpReluSparsity::BatchTarget { l0: pairs.number("l0")? },
            Some(other) => return Err(format!("sparsity: '{other}' is unknown")),
        };
        let pre_activation = match pairs.optional("pull")? {
            None => None,
            Some(coefficient) => Some(PreActivationLoss { coefficient, over: pairs.word("pull_over")? }),
        };
        Ok(Self {
            input_bias,
            decoder: pairs.word_or("decoder", plain.decoder)?,
            threshold: pairs.word_or("threshold", plain.threshold)?,
            bandwidth: pairs.optional("bandwidth")?.unwrap_or(plain.bandwidth),
            sparsity,
            estimator: pairs.word_or("estimator", plain.estimator)?,
            jump: pairs.word_or("jump", plain.jump)?,
            pre_activation,
        })
    }
}
