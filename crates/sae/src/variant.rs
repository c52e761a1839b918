use crate::{Gated, GatedDecoder, JumpRelu, Relu, SaeError, Size, TopK};

/// Whether the encoder sees x or x − b_dec. Libraries disagree, so it is always stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InputBias {
    /// The encoder multiplies x − b_dec.
    Subtracted,
    /// The encoder multiplies x.
    NotSubtracted,
}

/// What an L1 penalty multiplies each code by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PenaltyWeight {
    /// By one; the decoder rows are held at length one.
    UnitNorm,
    /// By the norm of the latent's decoder row, which is free.
    DecoderNorm,
}

/// A member of the family.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Variant {
    /// ReLU codes under an L1 penalty.
    Relu(Relu),
    /// Separate paths for which latents are active and how active they are.
    Gated(Gated),
    /// The k largest pre-activations of a row.
    TopK(TopK),
    /// A threshold for each latent (encoding only).
    JumpRelu(JumpRelu),
}

impl Variant {
    /// The name of the architecture, as files write it.
    pub const fn name(&self) -> &'static str {
        match self {
            Variant::Relu(_) => "standard",
            Variant::Gated(_) => "gated",
            Variant::TopK(_) => "topk",
            Variant::JumpRelu(_) => "jumprelu",
        }
    }

    /// The vectors with one entry a latent, in the order of [`Weights::per_latent`](crate::Weights::per_latent).
    pub const fn per_latent_names(&self) -> &'static [&'static str] {
        match self {
            Variant::Relu(_) | Variant::TopK(_) => &["b_enc"],
            Variant::Gated(_) => &["b_gate", "b_mag", "r_mag"],
            Variant::JumpRelu(_) => &["b_enc", "threshold"],
        }
    }

    /// The name of a tensor by its number: 0 the encoder, 1 the decoder, 2 + j the vector j.
    pub(crate) fn tensor_name(&self, number: usize) -> &'static str {
        match number {
            0 => "w_enc",
            1 => "w_dec",
            j => self.per_latent_names().get(j - 2).copied().unwrap_or("a vector"),
        }
    }

    /// Whether the encoder sees x or x − b_dec.
    pub const fn input_bias(&self) -> InputBias {
        match self {
            Variant::Relu(v) => v.input_bias,
            Variant::Gated(v) => v.input_bias,
            Variant::TopK(v) => v.input_bias,
            Variant::JumpRelu(v) => v.input_bias,
        }
    }

    /// Whether training holds the decoder rows at length one.
    pub const fn unit_norm_decoder(&self) -> bool {
        match self {
            Variant::Relu(v) => matches!(v.penalty, PenaltyWeight::UnitNorm),
            Variant::Gated(v) => matches!(v.decoder, GatedDecoder::UnitNormFrozen),
            Variant::TopK(_) => true,
            Variant::JumpRelu(_) => false,
        }
    }

    /// Whether the penalty is weighted by the decoder norms.
    pub(crate) const fn norm_weighted(&self) -> bool {
        match self {
            Variant::Relu(v) => matches!(v.penalty, PenaltyWeight::DecoderNorm),
            Variant::Gated(v) => !matches!(v.decoder, GatedDecoder::UnitNormFrozen),
            _ => false,
        }
    }

    /// Whether the norms in the penalty send a gradient to the decoder.
    pub(crate) const fn penalty_trains_decoder(&self) -> bool {
        match self {
            Variant::Relu(v) => matches!(v.penalty, PenaltyWeight::DecoderNorm),
            Variant::Gated(v) => matches!(v.decoder, GatedDecoder::NormWeightedTrained),
            _ => false,
        }
    }

    /// Whether the auxiliary decode sends a gradient to the decoder bias.
    pub(crate) const fn aux_trains_bias(&self) -> bool {
        matches!(self, Variant::Gated(v) if matches!(v.decoder, GatedDecoder::NormWeightedTrained))
    }

    pub(crate) fn check(&self, size: Size) -> Result<(), SaeError> {
        let Size { d_model, n_latents } = size;
        if d_model == 0 {
            return Err(SaeError::OutOfRange { name: "d_model", expected: "at least 1", given: 0.0 });
        }
        if n_latents == 0 || u32::try_from(n_latents).is_err() {
            let given = n_latents as f64;
            return Err(SaeError::OutOfRange {
                name: "n_latents", expected: "between 1 and 2³² − 1", given
            });
        }
        if let Variant::TopK(TopK { k, aux, .. }) = *self {
            if k == 0 || k > n_latents {
                let given = k as f64;
                return Err(SaeError::OutOfRange { name: "k", expected: "between 1 and n_latents", given });
            }
            if let Some(aux) = aux {
                if aux.k == 0 {
                    return Err(SaeError::OutOfRange { name: "aux.k", expected: "at least 1", given: 0.0 });
                }
                if !(aux.alpha >= 0.0 && aux.alpha.is_finite()) {
                    let given = aux.alpha;
                    return Err(SaeError::OutOfRange {
                        name: "aux.alpha",
                        expected: "finite, at least 0",
                        given,
                    });
                }
            }
        }
        Ok(())
    }
}

macro_rules! into_variant {
    ($($member:ident),*) => {$(
        impl From<$member> for Variant {
            fn from(member: $member) -> Self {
                Variant::$member(member)
            }
        }
    )*};
}
into_variant!(Relu, Gated, TopK, JumpRelu);
