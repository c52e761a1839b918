use crate::float::Float;
use crate::members::choices::{DecoderRows, InputBias, PenaltyWeight};
use crate::members::line::{Line, Pairs};
use crate::members::member::{Describe, Member};
use crate::members::rule::{Contribution, DenseRows, Elementwise, Entry, Row, Rule, Scratch};

/// The standard dictionary: ReLU codes under an L1 penalty.
///
/// ```text
/// f = ReLU(W_enc (x − b_dec) + b_enc)          x̂ = W_decᵀ f + b_dec
/// L = ‖x − x̂‖² + λ Σ_i f_i ω_i                 ω_i = 1 (unit-norm decoder) or ‖d_i‖
///
/// gradients per row, with e = x̂ − x, on the active latents only:
///   ∂f = 2 W_dec e + λ ω        ∂W_enc,i = ∂f_i (x − b_dec)      ∂b_enc,i = ∂f_i
///   ∂d_i = 2 f_i e (+ λ f_i d_i/‖d_i‖ in the weighted form)      ∂b_dec = 2 e − W_encᵀ ∂f
/// ```
/// With ω = 1 the penalty can be lowered without end by growing the decoder, so the decoder rows are held at length
/// one: the component of their gradient along the row is removed and they are normalised after each update. With
/// ω = ‖d‖ the loss does not see such a rescaling and the decoder is free.
///
/// # References
/// Bricken et al. (2023), "Towards Monosemanticity"; Anthropic (April 2024 update) for the weighted form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Relu {
    /// The factor on each code in the penalty.
    pub penalty: PenaltyWeight,
    /// The input of the encoder: x or x − b_dec.
    pub input_bias: InputBias,
}

impl Relu {
    /// Returns the form with L1 on the codes and a unit-norm decoder; b_dec is subtracted from the input.
    pub const fn unit_norm() -> Self {
        Self { penalty: PenaltyWeight::UnitNorm, input_bias: InputBias::Subtracted }
    }

    /// Returns the form with L1 weighted by the decoder norms and a free decoder; the encoder sees x.
    pub const fn norm_weighted() -> Self {
        Self { penalty: PenaltyWeight::DecoderNorm, input_bias: InputBias::NotSubtracted }
    }
}

impl<F: Float> Rule<F> for Relu {
    fn dense(&self) -> Option<&dyn DenseRows<F>> {
        Some(self)
    }

    fn select(&self, row: &Row<'_, F>, scratch: &mut Scratch<F>, out: &mut Vec<Entry<F>>) {
        let (bias, found) = (row.constants[0], &mut scratch.latents);
        select_above(row.products, bias, F::zero(), found, |latent, product, bias| {
            out.push(Entry { latent: latent as u32, pre: product, code: product + bias, ..Entry::default() });
        });
    }

    #[inline]
    fn amount(&self, entry: &Entry<F>, norm: F) -> (F, F) {
        (entry.code * norm, F::one())
    }

    #[inline]
    fn local(&self, _: [F; 3], entry: &mut Entry<F>, dot: F, _: F, penalty: F) {
        entry.d_code = dot + dot + penalty;
    }

    #[inline]
    fn norm_pull(&self, _: [F; 3], entry: &Entry<F>, _: F, lambda: F) -> F {
        lambda * entry.code
    }

    #[inline]
    fn contribution(&self, _: [F; 3], entry: &Entry<F>) -> Contribution<F> {
        Contribution::plain(entry)
    }
}

impl<F: Float> Elementwise<F> for Relu {
    #[inline(always)]
    fn activate(&self, vectors: [F; 3], latent: usize, product: F) -> (Entry<F>, bool) {
        let code = product + vectors[0];
        Entry::of(latent, product, code, code > F::zero())
    }
}

impl PenaltyWeight {
    /// Returns the treatment of the decoder rows in training: held at length one, or free.
    pub(crate) const fn decoder(self) -> DecoderRows {
        match self {
            PenaltyWeight::UnitNorm => DecoderRows::UnitNorm,
            PenaltyWeight::DecoderNorm => DecoderRows::Free,
        }
    }
}

impl Describe for Relu {
    const NAME: &'static str = "standard";

    fn member(&self) -> Member {
        let weighted = self.penalty == PenaltyWeight::DecoderNorm;
        Member {
            decoder: self.penalty.decoder(),
            penalised: true,
            norm_weighted: weighted,
            trains_norms: weighted,
            ..Member::new(Self::NAME, self.input_bias)
        }
    }

    fn rule<F: Float>(&self) -> Option<&dyn Rule<F>> {
        Some(self)
    }

    fn set_input_bias(&mut self, input_bias: InputBias) {
        self.input_bias = input_bias;
    }

    fn write(&self, line: &mut Line) {
        line.word("penalty", self.penalty);
    }

    fn read(pairs: &Pairs<'_>, input_bias: InputBias) -> Result<Self, String> {
        Ok(Self { penalty: pairs.word("penalty")?, input_bias })
    }
}

/// Calls `take` for each latent with product + bias above a bound, in ascending order.
pub(crate) fn select_above<F: Float>(
    products: &[F],
    bias: &[F],
    bound: F,
    found: &mut Vec<u32>,
    mut take: impl FnMut(usize, F, F),
) {
    found.clear();
    F::above(products, bias, bound, found);
    for &latent in found.iter() {
        take(latent as usize, products[latent as usize], bias[latent as usize]);
    }
}
