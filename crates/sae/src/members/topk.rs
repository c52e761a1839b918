use crate::float::Float;
use crate::members::aux_k::AuxK;
use crate::members::choices::{DecoderRows, InputBias, Ranking};
use crate::members::line::{Line, Pairs};
use crate::members::member::{Describe, Member, SecondDecode};
use crate::members::rule::{Contribution, Entry, Row, Rule, Scratch};
use collimate_measure::{OutOfRange, ensure};
use collimate_tensor::{Scalar, top_k};

/// The TopK dictionary: the k largest pre-activations of a row are kept, no penalty is needed.
///
/// ```text
/// f = ReLU(TopK_k(W_enc (x − b_dec) + b_enc))        x̂ = W_decᵀ f + b_dec        L = ‖x − x̂‖² + w‖x − x̂_mk‖² + α·AuxK
/// AuxK = mean‖ε − W_decᵀ z‖² / mean‖ε − ε̄‖²          ε = sg(x − x̂), z = the k_aux largest positive
///                                                     pre-activations among the dead latents
/// gradients per row, with e = x̂ − x, on the kept latents only:
///   ∂f = 2 W_dec e     ∂W_enc,i = ∂f_i (x − b_dec)     ∂b_enc,i = ∂f_i     ∂d_i = 2 f_i e
/// ```
/// At most k latents are active in a row: fewer when fewer than k pre-activations are positive. Ties go to the larger
/// value and then to the smaller index. The decoder rows have length one.
///
/// # References
/// Gao et al. (2024), "Scaling and evaluating sparse autoencoders", section 2 and appendix A.2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopK {
    /// The largest number of latents that a row uses.
    pub k: usize,
    /// The score that ranks the latents of a row.
    pub ranking: Ranking,
    /// The second reconstruction from more latents, so that the codes stay useful beyond k.
    pub multi: Option<MultiTopK>,
    /// The auxiliary loss that revives dead latents.
    pub aux: Option<AuxK>,
    /// The input of the encoder: x or x − b_dec.
    pub input_bias: InputBias,
}

/// The second reconstruction of a multi-TopK dictionary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MultiTopK {
    /// The number of latents that it uses, in multiples of k.
    pub factor: usize,
    /// The weight of its squared error.
    pub weight: f64,
}

impl MultiTopK {
    /// Returns the setting of the paper, L(k) + L(4k)/8.
    pub const fn paper() -> Self {
        Self { factor: 4, weight: 0.125 }
    }
}

impl TopK {
    /// Returns the form with k latents a row, without the auxiliary loss.
    pub const fn new(k: usize) -> Self {
        Self { k, ranking: Ranking::PreActivation, multi: None, aux: None, input_bias: InputBias::Subtracted }
    }

    /// Returns this form with the auxiliary loss at α = 1/32 and k_aux latents.
    #[must_use]
    pub const fn with_aux(self, k_aux: usize) -> Self {
        Self { aux: Some(AuxK::new(k_aux, 1.0 / 32.0)), ..self }
    }
}

impl<F: Float> Rule<F> for TopK {
    fn select(&self, row: &Row<'_, F>, scratch: &mut Scratch<F>, out: &mut Vec<Entry<F>>) {
        let Scratch { values, kept, first, best, ranks, .. } = scratch;
        let wide = self.multi.map_or(self.k, |multi| multi.factor.saturating_mul(self.k));
        match self.ranking {
            Ranking::PreActivation => F::largest(row.products, row.constants[0], wide, ranks, kept),
            Ranking::TimesDecoderNorm => {
                scores(self.ranking, row, values);
                top_k(values, wide, kept);
            }
        }
        // The k best latents of the second decode make the first.
        best.clear();
        if wide > self.k && kept.len() > self.k {
            first.clear();
            first.extend(kept.iter().map(|entry| entry.1));
            top_k(first, self.k, best);
        } else {
            best.extend((0..kept.len() as u32).map(|i| (i, F::zero())));
        }
        let mut best = best.iter().map(|entry| entry.0 as usize).peekable();
        for (position, &(latent, score)) in kept.iter().enumerate() {
            let first = best.next_if_eq(&position).is_some();
            if score > F::zero() {
                let value = row.products[latent as usize] + row.constants[0][latent as usize];
                let code = if first { value } else { F::zero() };
                let gate = if self.multi.is_some() { value } else { F::zero() };
                out.push(Entry { latent, pre: value, code, gate, ..Entry::default() });
            }
        }
    }

    #[inline]
    fn local(&self, _: [F; 3], entry: &mut Entry<F>, dot: F, dot_aux: F, _: F) {
        let first = if entry.code > F::zero() { dot + dot } else { F::zero() };
        entry.d_code = match self.multi {
            Some(multi) => first + F::from_f64(2.0 * multi.weight) * dot_aux,
            None => first,
        };
    }

    #[inline]
    fn contribution(&self, _: [F; 3], entry: &Entry<F>) -> Contribution<F> {
        let weight = self.multi.map_or(0.0, |multi| 2.0 * multi.weight);
        Contribution { decoder_aux: F::from_f64(weight) * entry.gate, ..Contribution::plain(entry) }
    }
}

/// Computes the scores that rank the latents of a row.
pub(crate) fn scores<F: Scalar>(ranking: Ranking, row: &Row<'_, F>, out: &mut Vec<F>) {
    out.clear();
    let pre = row.products.iter().zip(row.constants[0]).map(|(&p, &b)| p + b);
    match ranking {
        Ranking::PreActivation => out.extend(pre),
        Ranking::TimesDecoderNorm => out.extend(pre.zip(row.norms).map(|(pre, &norm)| pre * norm)),
    }
}

impl Ranking {
    /// Returns the treatment of the decoder rows in training: held at length one, or free.
    pub(crate) const fn decoder(self) -> DecoderRows {
        match self {
            Ranking::PreActivation => DecoderRows::UnitNorm,
            Ranking::TimesDecoderNorm => DecoderRows::Free,
        }
    }
}

/// Checks a number of latents that every row uses.
pub(crate) fn check_k(k: usize, n_latents: usize) -> Result<(), OutOfRange> {
    ensure(k > 0 && k <= n_latents, "k", "at least 1 and at most the number of latents", k as f64)
}

impl Describe for TopK {
    const NAME: &'static str = "topk";

    fn member(&self) -> Member {
        let second =
            |multi: MultiTopK| SecondDecode { weight: multi.weight, trains_decoder: true, further: true };
        Member {
            compares: true,
            decoder: self.ranking.decoder(),
            ranking: Some(self.ranking),
            aux: self.aux,
            second: self.multi.map(second),
            ..Member::new(Self::NAME, self.input_bias)
        }
    }

    fn rule<F: Float>(&self) -> Option<&dyn Rule<F>> {
        Some(self)
    }

    fn check(&self, _: usize, n_latents: usize) -> Result<(), OutOfRange> {
        check_k(self.k, n_latents)?;
        let Some(MultiTopK { factor, weight }) = self.multi else { return Ok(()) };
        ensure(factor > 0, "multi.factor", "at least 1", 0.0)?;
        ensure(weight >= 0.0 && weight.is_finite(), "multi.weight", "finite, at least 0", weight)
    }

    fn set_input_bias(&mut self, input_bias: InputBias) {
        self.input_bias = input_bias;
    }

    fn write(&self, line: &mut Line) {
        line.number("k", self.k).word("ranking", self.ranking);
        if let Some(multi) = self.multi {
            line.number("multi_factor", multi.factor).number("multi_weight", multi.weight);
        }
        line.aux(self.aux);
    }

    fn read(pairs: &Pairs<'_>, input_bias: InputBias) -> Result<Self, String> {
        let multi = match pairs.find("multi_factor") {
            None => None,
            Some(_) => Some(MultiTopK {
                factor: pairs.number("multi_factor")?,
                weight: pairs.number("multi_weight")?,
            }),
        };
        let ranking = pairs.word_or("ranking", Ranking::PreActivation)?;
        Ok(Self { k: pairs.number("k")?, ranking, multi, aux: pairs.aux()?, input_bias })
    }
}
