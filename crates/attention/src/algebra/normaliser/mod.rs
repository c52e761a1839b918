//! The maps from a row of logits to a row of the pattern.
//!
//! Every function works on the logits of the keys that a query attends to, and on nothing else: masked keys are
//! left out before. All these maps have a symmetric Jacobian, so one function carries gradients back and directions on.

mod entmax;
mod order;
mod sigmoid;
mod signed;
mod softmax;
mod sparsemax;
mod top_k;

pub(crate) use sigmoid::sigmoid;
pub(crate) use signed::sign;
pub use top_k::Ties;

use super::arguments::Parameter;
use collimate_tensor::Scalar;

/// The bias in front of the sigmoid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SigmoidBias {
    /// −log s for s keys, including masked keys: the start that keeps the row sums near the row sums of the softmax, 1.
    MinusLogKeys,
    /// A fixed number.
    Fixed(f64),
    /// A learned number for each head: [`Parameter::SigmoidBias`].
    Learned,
}

/// The map from the logits of a query to its weights.
///
/// ```text
/// softmax           pⱼ = e^{zⱼ} / Σ e^{z}                       plus one: 1 in the denominator;  sink: e^{s_h}
/// sigmoid           pⱼ = σ(zⱼ + b)
/// sparsemax         pⱼ = max(zⱼ − τ, 0),       Σ p = 1
/// 1.5-entmax        pⱼ = max(zⱼ/2 − τ, 0)²,    Σ p = 1
/// top-k             softmax over the k largest logits
/// signed softmax    pⱼ = sign(zⱼ) · softmax(|z|)ⱼ
/// ```
///
/// Sparsemax, entmax and top-k have kinks where a key enters or leaves the support, signed softmax where a logit is 0. The
/// derivatives there are the derivatives on the current support.
///
/// # References
/// Miller (2023), "Attention Is Off By One"; Ramapuram et al. (2024), "Theory, Analysis, and Best Practices for
/// Sigmoid Self-Attention"; Martins and Astudillo (2016), equation 2; Peters et al. (2019), section 3; Lv et al. (2024), "More Expressive
/// Attention with Negative Weights".
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Normaliser {
    /// The exponentials divided by their sum.
    Softmax,
    /// The softmax with 1 added to the denominator: a query may attend to no key.
    SoftmaxPlusOne,
    /// The softmax with a learned logit for each head, which joins the denominator and is then dropped: [`Parameter::Sink`].
    LearnedSink,
    /// The sigmoid of each logit.
    Sigmoid(SigmoidBias),
    /// The point of the simplex that is nearest to the logits.
    Sparsemax,
    /// The member of the entmax family between softmax and sparsemax.
    Entmax15,
    /// The softmax over the largest logits.
    TopK {
        /// The number of logits that are kept, at least 1.
        k: usize,
        /// The rule for equal logits at the last place.
        ties: Ties,
    },
    /// The softmax of the absolute values, with the signs of the logits: weights may be negative.
    SignedSoftmax,
}

impl Normaliser {
    /// Returns the learned number of a head that joins its rows, if there is one.
    pub(crate) fn parameter(&self) -> Option<Parameter> {
        match self {
            Self::LearnedSink => Some(Parameter::Sink),
            Self::Sigmoid(SigmoidBias::Learned) => Some(Parameter::SigmoidBias),
            _ => None,
        }
    }

    /// Returns the number that joins a row: the logit of the sink, or the bias of the sigmoid.
    pub(crate) fn extra<F: Scalar>(&self, keys: usize, learned: Option<F>) -> F {
        match self {
            Self::SoftmaxPlusOne => F::zero(),
            Self::Sigmoid(SigmoidBias::MinusLogKeys) => F::from_f64(-(keys.max(1) as f64).ln()),
            Self::Sigmoid(SigmoidBias::Fixed(bias)) => F::from_f64(*bias),
            _ => learned.unwrap_or(F::neg_infinity()),
        }
    }

    /// Returns true if a row with this extra number may give no key any weight.
    pub(crate) fn allows_no_weight<F: Scalar>(&self, extra: F) -> bool {
        match self {
            Self::Sigmoid(_) => true,
            Self::Softmax | Self::SoftmaxPlusOne | Self::LearnedSink => extra > F::neg_infinity(),
            _ => false,
        }
    }

    /// Turns logits into weights, in place. A NaN makes the whole row NaN. A logit of +∞ does so too, except under the sigmoid.
    pub(crate) fn forward<F: Scalar>(&self, z: &mut [F], extra: F) {
        if z.iter().any(|z| z.is_nan()) {
            return z.fill(F::nan());
        }
        match self {
            Self::Softmax | Self::SoftmaxPlusOne | Self::LearnedSink => softmax::forward(z, extra),
            Self::Sigmoid(_) => sigmoid::forward(z, extra),
            // An infinite largest logit has no distance from the others. A row of only −∞ gives no key any weight.
            Self::Sparsemax | Self::Entmax15 if order::largest(z).is_infinite() => {
                let only_masked = order::largest(z) == F::neg_infinity();
                z.fill(if only_masked { F::zero() } else { F::nan() });
            }
            Self::Sparsemax => sparsemax::forward(z),
            Self::Entmax15 => entmax::forward(z),
            Self::TopK { k, ties } => top_k::forward(*k, *ties, z),
            Self::SignedSoftmax => signed::forward(z),
        }
    }

    /// Turns the gradient by the weights into the gradient by the logits, in place, and returns the gradient by the extra number.
    pub(crate) fn vjp<F: Scalar>(&self, z: &[F], p: &[F], d: &mut [F], extra: F) -> F {
        match self {
            Self::Softmax | Self::SoftmaxPlusOne | Self::LearnedSink => softmax::vjp(z, p, d, extra),
            Self::Sigmoid(_) => sigmoid::vjp(p, d),
            Self::Sparsemax => sparsemax::vjp(p, d),
            Self::Entmax15 => entmax::vjp(p, d),
            // Keys outside the support have p = 0, so the softmax gives them no gradient.
            Self::TopK { .. } => softmax::vjp(z, p, d, F::neg_infinity()),
            Self::SignedSoftmax => signed::vjp(z, p, d),
        }
    }

    /// Turns a direction of the logits and of the extra number into the direction of the weights, in place.
    pub(crate) fn jvp<F: Scalar>(&self, z: &[F], p: &[F], d: &mut [F], extra: F, extra_dot: F) {
        if matches!(self, Self::Sigmoid(SigmoidBias::Learned)) {
            // The bias moves all logits equally.
            d.iter_mut().for_each(|d| *d += extra_dot);
        }
        self.vjp(z, p, d, extra);
        if matches!(self, Self::LearnedSink) {
            let taken = softmax::sink_share(z, extra) * extra_dot;
            d.iter_mut().zip(p).for_each(|(d, &p)| *d -= p * taken);
        }
    }
}
