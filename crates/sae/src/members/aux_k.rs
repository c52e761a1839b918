//! AuxK: the auxiliary loss in which dead latents model the residual.

use crate::float::Float;
use crate::members::choices::Ranking;
use crate::members::rule::{Entry, Scratch};
use collimate_measure::{OutOfRange, ensure};
use collimate_tensor::top_k;

/// The auxiliary loss of a dictionary that keeps the largest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AuxK {
    /// The number of dead latents that model the residual of a row, at most the number of dead latents.
    pub k: usize,
    /// The weight α of the auxiliary loss.
    pub alpha: f64,
    /// The unit of its squared error.
    pub scale: AuxScale,
    /// The dead latents that take part.
    pub codes: AuxCodes,
}

/// The unit of the squared error of the auxiliary loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuxScale {
    /// The variance of the residual over the batch: dictionary_learning.
    ResidualVariance,
    /// None; the error is multiplied by min(number of dead latents / k_aux, 1): SAELens, and sparsify (which divides both
    /// terms of its loss by the variance of the inputs).
    FewDead,
    /// None; the error is multiplied as in [`AuxScale::FewDead`], for each level of a Matryoshka dictionary separately: the k_aux
    /// best dead latents of a level model the residual of that level, and the losses add up. An option of SAELens.
    FewDeadOfLevel,
}

impl AuxScale {
    /// Returns the factor on the loss of a group with `dead` dead latents, if each group has a factor of its own.
    pub(crate) fn of_group(self, dead: f64, k: usize) -> f64 {
        if self == AuxScale::FewDeadOfLevel { (dead / k as f64).min(1.0) } else { 1.0 }
    }
}

/// The dead latents that take part in the auxiliary loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuxCodes {
    /// The latents with positive pre-activations.
    Positive,
    /// The k_aux largest, whatever their sign: SAELens.
    Signed,
}

impl AuxK {
    /// Returns the loss with positive codes, measured in the variance of the residual.
    pub const fn new(k: usize, alpha: f64) -> Self {
        Self { k, alpha, scale: AuxScale::ResidualVariance, codes: AuxCodes::Positive }
    }

    pub(crate) fn check(&self) -> Result<(), OutOfRange> {
        ensure(self.k > 0, "aux.k", "at least 1", 0.0)?;
        ensure(self.alpha >= 0.0 && self.alpha.is_finite(), "aux.alpha", "finite, at least 0", self.alpha)
    }
}

/// Appends the auxiliary entries of a row: the best of the dead latents `dead`, whose pre-activations are `pre`.
pub(crate) fn select_dead<F: Float>(
    aux: &AuxK,
    ranking: Ranking,
    dead: &[u32],
    pre: &[F],
    norms: &[F],
    scratch: &mut Scratch<F>,
    out: &mut Vec<Entry<F>>,
) {
    let Scratch { values, kept, ranks, .. } = scratch;
    values.clear();
    let k = aux.k.min(dead.len());
    if ranking == Ranking::PreActivation && aux.codes == AuxCodes::Positive {
        values.resize(pre.len(), F::zero());
        F::largest(pre, values, k, ranks, kept);
    } else {
        let norm = |i: u32| if ranking == Ranking::TimesDecoderNorm { norms[i as usize] } else { F::one() };
        values.extend(dead.iter().zip(pre).map(|(&i, &pre)| pre * norm(i)));
        top_k(values, k, kept);
    }
    for &(position, score) in kept.iter() {
        if aux.codes == AuxCodes::Signed || score > F::zero() {
            let code = pre[position as usize];
            out.push(Entry { latent: dead[position as usize], pre: code, code, ..Entry::default() });
        }
    }
}
