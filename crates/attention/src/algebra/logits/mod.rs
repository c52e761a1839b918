//! The changes of the logits between the scores and the normaliser, one after another.

mod alibi;
mod buckets;
mod forgetting;
pub(crate) mod mixing;
mod selective;
pub(crate) mod simple;

pub use alibi::{Distance, Slopes, alibi_slopes};
pub use buckets::{Buckets, Direction};
pub(crate) use forgetting::{check_positions, first_remembered};
pub use mixing::Mixing;

use super::arguments::{Parameter, Parameters};
use super::setting::Setting;
use collimate_tensor::Scalar;
use ndarray::Array3;

/// A change of the logits. The order of changes is part of the variant: a softcap before a bias differs from a softcap after it.
///
/// ```text
/// softcap        z ← c · tanh(z / c)
/// bias           z ← z + b                               b = −∞ masks the pair, at any place of the bias in the order
/// temperature    z ← τ_h · z
/// alibi          z ← z − m_h · (distance of i and j)
/// buckets        z ← z + b[bucket(j − i), h]
/// forgetting     z ← z + Σ log f over the positions after j, up to i    log f = −∞ masks the pairs across it, at any place in the order
/// selective      z_ij ← z_ij − Σ_{i' < i} relu(z⁰_i'j)         z⁰ the logits of one head; j ≠ 0, j ≠ i'
/// mix heads      z_h ← Σ_h' M_hh' z_h'  (+ z_h)
/// ```
///
/// # References
/// Gemma 2 (2024), section 2; Press et al. (2022), "Train Short, Test Long"; Raffel et al. (2020), "T5"; Lin et al. (2025),
/// "Forgetting Transformer", equation 5; Leviathan et al. (2024), "Selective Attention", section 3; Shazeer et al. (2020), "Talking-Heads
/// Attention".
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum LogitChange {
    /// Bounds the absolute value of a logit.
    Softcap(f64),
    /// Adds [`Parameter::Bias`].
    Bias,
    /// Multiplies by [`Parameter::Temperature`].
    Temperature,
    /// Subtracts a penalty that grows with the distance.
    Alibi(Slopes, Distance),
    /// Adds a learned number for each bucket of distances: [`Parameter::Buckets`].
    Buckets(Buckets),
    /// Adds the log gates of the positions between query and key: [`Parameter::LogForget`].
    Forgetting,
    /// Lowers logits of keys that earlier queries have deselected.
    Selective {
        /// The head whose logits select.
        head: usize,
    },
    /// Mixes the logits of all heads: [`Parameter::MixLogits`].
    MixHeads(Mixing),
}

impl LogitChange {
    /// Returns the learned array that the change reads.
    pub(crate) fn parameter(&self) -> Option<Parameter> {
        match self {
            Self::Bias => Some(Parameter::Bias),
            Self::Temperature => Some(Parameter::Temperature),
            Self::Alibi(Slopes::Learned, _) => Some(Parameter::Slopes),
            Self::Buckets(_) => Some(Parameter::Buckets),
            Self::Forgetting => Some(Parameter::LogForget),
            Self::MixHeads(_) => Some(Parameter::MixLogits),
            Self::Softcap(_) | Self::Alibi(..) | Self::Selective { .. } => None,
        }
    }

    /// Computes the logits after the change.
    pub(crate) fn forward<F: Scalar>(
        &self,
        at: &Setting<'_>,
        parameters: &Parameters<F>,
        z: &Array3<F>,
    ) -> Array3<F> {
        match self {
            Self::Softcap(cap) => simple::softcap(at, *cap, z),
            Self::Bias => simple::bias(at, parameters, z),
            Self::Temperature => simple::temperature(at, parameters, z),
            Self::Alibi(slopes, distance) => alibi::forward(at, *slopes, *distance, parameters, z),
            Self::Buckets(buckets) => buckets::forward(at, buckets, parameters, z),
            Self::Forgetting => forgetting::forward(at, parameters, z),
            Self::Selective { head } => selective::forward(at, *head, z),
            Self::MixHeads(mixing) => {
                mixing::forward(at, *mixing, parameters.values(Parameter::MixLogits), z, F::neg_infinity())
            }
        }
    }

    /// Turns the gradient by the logits after the change into the gradient by the logits before it, and adds the gradients by the
    /// parameters.
    pub(crate) fn vjp<F: Scalar>(
        &self,
        at: &Setting<'_>,
        parameters: &Parameters<F>,
        z: &Array3<F>,
        d: Array3<F>,
        into: &mut Parameters<F>,
    ) -> Array3<F> {
        match self {
            Self::Softcap(cap) => simple::softcap_slope(at, *cap, z, &d),
            Self::Bias => {
                simple::bias_vjp(at, &d, into);
                d
            }
            Self::Temperature => simple::temperature_vjp(at, parameters, z, &d, into),
            Self::Alibi(slopes, distance) => {
                alibi::vjp(at, *slopes, *distance, &d, into);
                d
            }
            Self::Buckets(buckets) => {
                buckets::vjp(at, buckets, &d, into);
                d
            }
            Self::Forgetting => {
                forgetting::vjp(at, &d, into);
                d
            }
            Self::Selective { head } => selective::vjp(at, *head, z, d),
            Self::MixHeads(mixing) => {
                let mix = parameters.values(Parameter::MixLogits);
                mixing::vjp(at, *mixing, mix, z, &d, into.values_mut(Parameter::MixLogits))
            }
        }
    }

    /// Turns a direction of the logits before the change and of the parameters into the direction of the logits after it.
    pub(crate) fn jvp<F: Scalar>(
        &self,
        at: &Setting<'_>,
        parameters: &Parameters<F>,
        direction: &Parameters<F>,
        z: &Array3<F>,
        dot: Array3<F>,
    ) -> Array3<F> {
        match self {
            Self::Softcap(cap) => simple::softcap_slope(at, *cap, z, &dot),
            Self::Bias => simple::bias_jvp(at, parameters, direction, &dot),
            Self::Temperature => simple::temperature_jvp(at, parameters, direction, z, &dot),
            Self::Alibi(Slopes::Learned, distance) => {
                alibi::forward(at, Slopes::Learned, *distance, direction, &dot)
            }
            Self::Alibi(..) => dot,
            Self::Buckets(buckets) => buckets::forward(at, buckets, direction, &dot),
            Self::Forgetting => forgetting::jvp(at, direction, &dot),
            Self::Selective { head } => selective::jvp(at, *head, z, &dot),
            Self::MixHeads(mixing) => mixing::jvp(
                at,
                *mixing,
                [parameters, direction].map(|p| p.values(Parameter::MixLogits)),
                z,
                &dot,
            ),
        }
    }
}
