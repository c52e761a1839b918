//! The changes of the pattern after the normaliser, and its product with the values.

use super::arguments::{row, row_mut};
use super::logits::{Mixing, mixing};
use super::score::Reads;
use super::setting::Setting;
use super::{Parameter, Parameters};
use collimate_tensor::{Scalar, axpy, dot};
use ndarray::{Array3, ArrayRef3};

/// One change of the pattern.
///
/// ```text
/// mix heads    P_h ← Σ_h' M_hh' P_h'  (+ P_h)
/// scale        P ← c P
/// ```
///
/// # References
/// Shazeer et al. (2020), "Talking-Heads Attention", section 4.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum PatternChange {
    /// Mixes the patterns of all heads: [`Parameter::MixPattern`].
    MixHeads(Mixing),
    /// Multiplies by a number.
    Scale(f64),
}

impl PatternChange {
    pub(crate) fn parameter(&self) -> Option<Parameter> {
        match self {
            Self::MixHeads(_) => Some(Parameter::MixPattern),
            Self::Scale(_) => None,
        }
    }

    pub(crate) fn forward<F: Scalar>(
        &self,
        at: &Setting<'_>,
        parameters: &Parameters<F>,
        p: &Array3<F>,
    ) -> Array3<F> {
        match *self {
            Self::MixHeads(mixing) => {
                mixing::forward(at, mixing, parameters.values(Parameter::MixPattern), p, F::zero())
            }
            Self::Scale(factor) => p.mapv(|p| p * F::from_f64(factor)),
        }
    }

    pub(crate) fn vjp<F: Scalar>(
        &self,
        at: &Setting<'_>,
        parameters: &Parameters<F>,
        p: &Array3<F>,
        d: Array3<F>,
        into: &mut Parameters<F>,
    ) -> Array3<F> {
        match *self {
            Self::MixHeads(mixing) => {
                let mix = parameters.values(Parameter::MixPattern);
                mixing::vjp(at, mixing, mix, p, &d, into.values_mut(Parameter::MixPattern))
            }
            Self::Scale(factor) => d.mapv(|d| d * F::from_f64(factor)),
        }
    }

    pub(crate) fn jvp<F: Scalar>(
        &self,
        at: &Setting<'_>,
        both: [&Parameters<F>; 2],
        p: &Array3<F>,
        dot: Array3<F>,
    ) -> Array3<F> {
        match *self {
            Self::MixHeads(mixing) => {
                mixing::jvp(at, mixing, both.map(|p| p.values(Parameter::MixPattern)), p, &dot)
            }
            Self::Scale(factor) => dot.mapv(|d| d * F::from_f64(factor)),
        }
    }
}

/// Adds `P v` to `out`, over the pairs that attend and no others.
pub(crate) fn apply<F: Scalar>(
    at: &Setting<'_>,
    reads: &Reads,
    p: &ArrayRef3<F>,
    v: &ArrayRef3<F>,
    out: &mut Array3<F>,
) {
    at.for_each(|h, i, keys| {
        for &j in keys {
            axpy(p[[h, i, j]], row(v, reads.value[h], j), row_mut(out, h, i));
        }
    });
}

/// Computes `dP = dO vᵀ` and `dv = Pᵀ dO`.
pub(crate) fn apply_vjp<F: Scalar>(
    at: &Setting<'_>,
    reads: &Reads,
    p: &ArrayRef3<F>,
    v: &ArrayRef3<F>,
    d_out: &ArrayRef3<F>,
) -> (Array3<F>, Array3<F>) {
    let mut d_v = Array3::zeros(v.dim());
    let d_p = at.slopes(|h, i, j| dot(row(d_out, h, i), row(v, reads.value[h], j)));
    at.for_each(|h, i, keys| {
        for &j in keys {
            axpy(p[[h, i, j]], row(d_out, h, i), row_mut(&mut d_v, reads.value[h], j));
        }
    });
    (d_p, d_v)
}
