use crate::{
    AbsTopK, AuxK, AuxScale, BatchTopK, Crosscoder, CrosscoderSparsity, DecoderRows, Gated, GatedDecoder,
    JumpRelu, JumpReluSparsity, Levels, Magnitude, MatchingPursuit, Matryoshka, PNorm, Ranking, Relu,
    RescaleAndShift, SaeError, Size, ThresholdParameter, TopK,
};

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
    /// ReLU codes under a power of the codes.
    PNorm(PNorm),
    /// Separate paths for which latents are active and how active they are.
    Gated(Gated),
    /// A finished ReLU dictionary whose magnitudes alone are trained.
    RescaleAndShift(RescaleAndShift),
    /// A threshold for each latent.
    JumpRelu(JumpRelu),
    /// The k largest pre-activations of a row.
    TopK(TopK),
    /// The k·B largest pre-activations of a batch.
    BatchTopK(BatchTopK),
    /// The same, with nested prefixes that reconstruct by themselves.
    Matryoshka(Matryoshka),
    /// The k pre-activations of a row that are largest in magnitude.
    AbsTopK(AbsTopK),
    /// Latents taken one after another from what is left of a row.
    MatchingPursuit(MatchingPursuit),
    /// One code for several layers.
    Crosscoder(Crosscoder),
}

impl Variant {
    /// The name of the architecture, as files write it.
    pub const fn name(&self) -> &'static str {
        match self {
            Variant::Relu(_) => "standard",
            Variant::PNorm(_) => "p_norm",
            Variant::Gated(_) => "gated",
            Variant::RescaleAndShift(_) => "rescale_and_shift",
            Variant::JumpRelu(_) => "jumprelu",
            Variant::TopK(_) => "topk",
            Variant::BatchTopK(_) => "batchtopk",
            Variant::Matryoshka(_) => "matryoshka_batchtopk",
            Variant::AbsTopK(_) => "abs_topk",
            Variant::MatchingPursuit(_) => "matching_pursuit",
            Variant::Crosscoder(_) => "crosscoder",
        }
    }

    /// The vectors with one entry a latent, in the order of [`Weights::per_latent`](crate::Weights::per_latent).
    pub const fn per_latent_names(&self) -> &'static [&'static str] {
        match self {
            Variant::Gated(_) | Variant::RescaleAndShift(_) => &["b_gate", "b_mag", "r_mag"],
            Variant::JumpRelu(v) => match v.threshold {
                ThresholdParameter::Raw => &["b_enc", "threshold"],
                ThresholdParameter::Log => &["b_enc", "log_threshold"],
            },
            Variant::MatchingPursuit(_) => &[],
            _ => &["b_enc"],
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
            Variant::PNorm(v) => v.input_bias,
            Variant::Gated(v) => v.input_bias,
            Variant::RescaleAndShift(v) => v.input_bias,
            Variant::JumpRelu(v) => v.input_bias,
            Variant::TopK(v) => v.input_bias,
            Variant::BatchTopK(v) => v.input_bias,
            Variant::Matryoshka(v) => v.batch.input_bias,
            Variant::AbsTopK(v) => v.input_bias,
            Variant::MatchingPursuit(_) => InputBias::Subtracted,
            Variant::Crosscoder(_) => InputBias::NotSubtracted,
        }
    }

    /// Whether training holds the decoder rows at length one.
    pub const fn unit_norm_decoder(&self) -> bool {
        match self {
            Variant::Relu(v) => matches!(v.penalty, PenaltyWeight::UnitNorm),
            Variant::PNorm(v) => matches!(v.penalty, PenaltyWeight::UnitNorm),
            Variant::Gated(v) => {
                matches!(v.decoder, GatedDecoder::UnitNormFrozen | GatedDecoder::UnitNormTrained)
            }
            Variant::JumpRelu(v) => matches!(v.decoder, DecoderRows::UnitNorm),
            Variant::TopK(v) => matches!(v.ranking, Ranking::PreActivation),
            Variant::BatchTopK(v) => matches!(v.ranking, Ranking::PreActivation),
            Variant::Matryoshka(v) => matches!(v.batch.ranking, Ranking::PreActivation),
            Variant::AbsTopK(_) | Variant::MatchingPursuit(_) => true,
            Variant::RescaleAndShift(_) | Variant::Crosscoder(_) => false,
        }
    }

    /// Whether the penalty is weighted by the decoder norms.
    pub(crate) const fn norm_weighted(&self) -> bool {
        match self {
            Variant::Relu(v) => matches!(v.penalty, PenaltyWeight::DecoderNorm),
            Variant::PNorm(v) => matches!(v.penalty, PenaltyWeight::DecoderNorm),
            Variant::Gated(_) => !self.unit_norm_decoder(),
            Variant::JumpRelu(v) => matches!(v.sparsity, JumpReluSparsity::Tanh { .. }),
            Variant::Crosscoder(_) => true,
            _ => false,
        }
    }

    /// Whether a step wants the decoder norms at all.
    pub(crate) const fn wants_norms(&self) -> bool {
        match self {
            Variant::JumpRelu(v) => self.norm_weighted() || v.pre_activation.is_some(),
            _ => self.norm_weighted() || matches!(self.ranking(), Some(Ranking::TimesDecoderNorm)),
        }
    }

    /// By what latents are ranked, for members that keep the largest.
    pub(crate) const fn ranking(&self) -> Option<Ranking> {
        match self {
            Variant::TopK(v) => Some(v.ranking),
            Variant::BatchTopK(v) => Some(v.ranking),
            Variant::Matryoshka(v) => Some(v.batch.ranking),
            Variant::Crosscoder(v) => match v.sparsity {
                CrosscoderSparsity::BatchTopK { .. } => Some(Ranking::TimesDecoderNorm),
                CrosscoderSparsity::L1 => None,
            },
            _ => None,
        }
    }

    /// The auxiliary loss of members that keep the largest.
    pub(crate) const fn aux(&self) -> Option<AuxK> {
        match self {
            Variant::TopK(v) => v.aux,
            Variant::BatchTopK(v) => v.aux,
            Variant::Matryoshka(v) => v.batch.aux,
            Variant::Crosscoder(v) => match v.sparsity {
                CrosscoderSparsity::BatchTopK { aux, .. } => aux,
                CrosscoderSparsity::L1 => None,
            },
            _ => None,
        }
    }

    /// Where the latents end whose residuals dead ones revive by: at each level where that is chosen, else at the last.
    pub(crate) fn revival_ends(&self, n_latents: usize) -> Vec<u32> {
        let of_level = self.aux().is_some_and(|aux| aux.scale == AuxScale::FewDeadOfLevel);
        match self.levels() {
            Some(levels) if of_level => levels.widths().to_vec(),
            _ => vec![n_latents as u32],
        }
    }

    /// The threshold in place of a selection over the batch, for members that can have one.
    pub fn threshold(&self) -> Option<f64> {
        match self {
            Variant::BatchTopK(v) => v.threshold,
            Variant::Matryoshka(v) => v.batch.threshold,
            Variant::Crosscoder(v) => v.batch().and_then(|batch| batch.threshold),
            _ => None,
        }
    }

    /// The same member with another threshold; unchanged where there is no selection over the batch.
    #[must_use]
    pub fn with_threshold(mut self, value: Option<f64>) -> Self {
        match &mut self {
            Variant::BatchTopK(v) => v.threshold = value,
            Variant::Matryoshka(v) => v.batch.threshold = value,
            Variant::Crosscoder(v) => {
                if let CrosscoderSparsity::BatchTopK { threshold, .. } = &mut v.sparsity {
                    *threshold = value;
                }
            }
            _ => {}
        }
        self
    }

    /// The same member with an encoder that sees x − b_dec or x; unchanged where there is no choice (matching pursuit,
    /// crosscoder).
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{InputBias, TopK, Variant};
    /// let variant = Variant::from(TopK::new(8)).with_input_bias(InputBias::NotSubtracted);
    /// assert_eq!(variant.input_bias(), InputBias::NotSubtracted); // as a transcoder needs it
    /// ```
    #[must_use]
    pub fn with_input_bias(mut self, input_bias: InputBias) -> Self {
        match &mut self {
            Variant::Relu(v) => v.input_bias = input_bias,
            Variant::PNorm(v) => v.input_bias = input_bias,
            Variant::Gated(v) => v.input_bias = input_bias,
            Variant::RescaleAndShift(v) => v.input_bias = input_bias,
            Variant::JumpRelu(v) => v.input_bias = input_bias,
            Variant::TopK(v) => v.input_bias = input_bias,
            Variant::BatchTopK(v) => v.input_bias = input_bias,
            Variant::Matryoshka(v) => v.batch.input_bias = input_bias,
            Variant::AbsTopK(v) => v.input_bias = input_bias,
            Variant::MatchingPursuit(_) | Variant::Crosscoder(_) => {}
        }
        self
    }

    /// Whether training selects over the batch.
    pub fn selects_over_the_batch(&self) -> bool {
        match self {
            Variant::BatchTopK(_) | Variant::Matryoshka(_) => true,
            Variant::Crosscoder(v) => v.batch().is_some(),
            _ => false,
        }
    }

    /// The nested prefixes of a Matryoshka dictionary.
    pub fn levels(&self) -> Option<&Levels> {
        match self {
            Variant::Matryoshka(v) => Some(&v.levels),
            _ => None,
        }
    }

    /// Into how many parts a decoder row falls, whose norms are added up.
    pub(crate) const fn layers(&self) -> usize {
        match self {
            Variant::Crosscoder(v) => v.layers,
            _ => 1,
        }
    }

    /// Whether the encoder rows hold a second path behind the first.
    pub(crate) const fn untied(&self) -> bool {
        matches!(self, Variant::Gated(v) if matches!(v.magnitude, Magnitude::Untied))
    }

    /// Whether the norms of the decoder rows have a gradient through a penalty.
    pub(crate) const fn penalty_trains_decoder(&self) -> bool {
        match self {
            Variant::Relu(v) => matches!(v.penalty, PenaltyWeight::DecoderNorm),
            Variant::PNorm(v) => matches!(v.penalty, PenaltyWeight::DecoderNorm),
            Variant::Gated(v) => matches!(v.decoder, GatedDecoder::NormWeightedTrained),
            Variant::JumpRelu(v) => self.norm_weighted() || v.pre_activation.is_some(),
            Variant::Crosscoder(v) => matches!(v.sparsity, CrosscoderSparsity::L1),
            _ => false,
        }
    }

    /// Whether the second decode sends a gradient to the decoder and its bias.
    pub(crate) const fn aux_trains_decoder(&self) -> bool {
        match self {
            Variant::Gated(v) => {
                matches!(v.decoder, GatedDecoder::NormWeightedTrained | GatedDecoder::UnitNormTrained)
            }
            Variant::TopK(v) => v.multi.is_some(),
            _ => false,
        }
    }

    /// Whether the decoder bias is trained.
    pub(crate) const fn trains_bias(&self) -> bool {
        !matches!(self, Variant::RescaleAndShift(_))
    }

    /// The vector that must not fall below zero.
    pub(crate) const fn not_negative(&self) -> Option<usize> {
        match self {
            Variant::JumpRelu(v) if matches!(v.threshold, ThresholdParameter::Raw) => Some(1),
            _ => None,
        }
    }

    pub(crate) fn check(&self, size: Size) -> Result<(), SaeError> {
        let Size { d_model, n_latents } = size;
        let out = |name, expected, given| Err(SaeError::OutOfRange { name, expected, given });
        let positive = |value: f64| value > 0.0 && value.is_finite();
        if d_model == 0 {
            return out("d_model", "at least 1", 0.0);
        }
        if n_latents == 0 || u32::try_from(n_latents).is_err() {
            return out("n_latents", "between 1 and 2³² − 1", n_latents as f64);
        }
        let k = match self {
            Variant::TopK(v) => Some(v.k),
            Variant::AbsTopK(v) => Some(v.k),
            _ => None,
        };
        if let Some(k) = k
            && (k == 0 || k > n_latents)
        {
            return out("k", "between 1 and n_latents", k as f64);
        }
        let mean = match self {
            Variant::BatchTopK(v) => Some(v.k),
            Variant::Matryoshka(v) => Some(v.batch.k),
            Variant::Crosscoder(v) => v.batch().map(|batch| batch.k),
            _ => None,
        };
        if let Some(k) = mean
            && !(k > 0.0 && k <= n_latents as f64)
        {
            return out("k", "positive and at most n_latents", k);
        }
        if let Some(threshold) = self.threshold()
            && !(threshold >= 0.0 && threshold.is_finite())
        {
            return out("threshold", "finite, at least 0", threshold);
        }
        if let Some(aux) = self.aux() {
            if aux.k == 0 {
                return out("aux.k", "at least 1", 0.0);
            }
            if !(aux.alpha >= 0.0 && aux.alpha.is_finite()) {
                return out("aux.alpha", "finite, at least 0", aux.alpha);
            }
        }
        match *self {
            Variant::TopK(TopK { multi: Some(multi), .. }) => {
                if multi.factor == 0 {
                    return out("multi.factor", "at least 1", 0.0);
                }
                if !(multi.weight >= 0.0 && multi.weight.is_finite()) {
                    return out("multi.weight", "finite, at least 0", multi.weight);
                }
            }
            Variant::PNorm(v) if !positive(v.p) => return out("p", "positive and finite", v.p),
            Variant::MatchingPursuit(v) if v.k == 0 => return out("k", "at least 1", 0.0),
            Variant::Crosscoder(v) if v.layers == 0 || !d_model.is_multiple_of(v.layers) => {
                return out("layers", "a divisor of d_model", v.layers as f64);
            }
            Variant::Matryoshka(v) if v.levels.widths().last() != Some(&(n_latents as u32)) => {
                let last = v.levels.widths().last().map_or(0.0, |&width| f64::from(width));
                return out("the last of the widths", "the number of latents", last);
            }
            Variant::JumpRelu(v) => {
                if !positive(v.bandwidth) {
                    return out("bandwidth", "positive and finite", v.bandwidth);
                }
                let number = match v.sparsity {
                    JumpReluSparsity::Step => 1.0,
                    JumpReluSparsity::Tanh { scale } => scale,
                    JumpReluSparsity::RowTarget { l0 } | JumpReluSparsity::BatchTarget { l0 } => l0,
                };
                if !positive(number) {
                    return out("the number of the sparsity term", "positive and finite", number);
                }
                if let Some(pull) = v.pre_activation
                    && !(pull.coefficient >= 0.0 && pull.coefficient.is_finite())
                {
                    return out("pre_activation.coefficient", "finite, at least 0", pull.coefficient);
                }
            }
            _ => {}
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
into_variant!(
    Relu,
    PNorm,
    Gated,
    RescaleAndShift,
    JumpRelu,
    TopK,
    BatchTopK,
    Matryoshka,
    AbsTopK,
    MatchingPursuit,
    Crosscoder
);
