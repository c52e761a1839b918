use crate::parts::{HeadMap, Mask, Rotary};

/// The factor on the scores.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Scale {
    /// 1/√d, so that scores of independent unit-variance rows have unit variance.
    InverseSqrtDim,
    /// A number, for example 1 (T5) or a model's own constant.
    Fixed(f64),
}

impl Scale {
    /// Returns the number for rows of width `d`.
    pub fn value(&self, d: usize) -> f64 {
        match *self {
            Self::InverseSqrtDim => 1.0 / (d as f64).sqrt(),
            Self::Fixed(scale) => scale,
        }
    }
}

/// An attention variant: a composition of explicit choices.
///
/// ```text
/// Z = scale · rotate(q) rotate(k)ᵀ,   with a softcap Z ← c·tanh(Z/c),   P = softmax over the unmasked keys of Z,   out = P v
/// ```
///
/// # Shapes
/// `q [h, t, d]`, `k [g, s, d]` and `v [g, s, e]` give `out [h, t, e]`, or all with a batch axis `b` in front. Any strides are
/// allowed. The crate page defines the letters.
///
/// # Determinism
/// The bits are the same on any number of threads: each block of queries is one task that writes its own rows. The bits of the output
/// do not depend on the strides of q, k and v. The sign of a NaN is not part of this: it may differ between processors and between two computations of one attention.
///
/// # Examples
/// ```
/// use collimate_attention::{Attention, HeadMap, Mask, Offset};
/// use ndarray::Array3;
/// let attn = Attention::scaled_dot_product()
///     .heads(HeadMap::grouped_by_floor(4, 2))
///     .mask(Mask::causal(Offset::zero()));
/// let (q, k) = (Array3::<f64>::ones((4, 3, 2)), Array3::ones((2, 3, 2)));
/// let v = Array3::from_shape_fn((2, 3, 1), |(_, s, _)| s as f64);
/// let (out, saved) = attn.forward(&q, &k, &v)?;
/// assert!((out[[3, 2, 0]] - 1.0).abs() < 1e-15); // equal scores: the mean of 0, 1, 2
/// assert!((saved.pattern_row(3, 2)?[1] - 1.0 / 3.0).abs() < 1e-15);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Vaswani et al. (2017), "Attention Is All You Need", equation 1.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Attention {
    /// The factor on the scores.
    pub scale: Scale,
    /// The bound c of the scores, c·tanh(z/c), applied before the mask; or none.
    pub softcap: Option<f64>,
    /// The key head that a query head reads.
    pub heads: HeadMap,
    /// The rotary positions of q and k, or none.
    pub rotary: Option<Rotary>,
    /// The keys that a query attends to.
    pub mask: Mask,
}

impl Attention {
    /// Returns softmax(q kᵀ/√d) v with equal numbers of query heads and key heads, without positions and without a mask.
    pub fn scaled_dot_product() -> Self {
        Self {
            scale: Scale::InverseSqrtDim,
            softcap: None,
            heads: HeadMap::MultiHead,
            rotary: None,
            mask: Mask::None,
        }
    }

    /// Returns this attention with the factor `scale` on the scores.
    #[must_use]
    pub fn scale(self, scale: Scale) -> Self {
        Self { scale, ..self }
    }

    /// Returns this attention with scores bounded by `cap`: c·tanh(z/c), before the mask (Gemma 2).
    #[must_use]
    pub fn softcap(self, cap: f64) -> Self {
        Self { softcap: Some(cap), ..self }
    }

    /// Returns this attention with the head map `heads`.
    #[must_use]
    pub fn heads(self, heads: HeadMap) -> Self {
        Self { heads, ..self }
    }

    /// Returns this attention with rotary positions: key `j` has position j, query `i` has position `i` + the offset of the mask.
    #[must_use]
    pub fn rotary(self, rotary: Rotary) -> Self {
        Self { rotary: Some(rotary), ..self }
    }

    /// Returns this attention with the mask `mask`.
    #[must_use]
    pub fn mask(self, mask: Mask) -> Self {
        Self { mask, ..self }
    }
}
