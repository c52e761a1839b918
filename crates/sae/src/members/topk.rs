use crate::members::rule::{Contribution, Entry, Row, Rule, Scratch};
use crate::{Float, InputBias};
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
    /// How many latents a row may use.
    pub k: usize,
    /// By what the latents of a row are ranked.
    pub ranking: Ranking,
    /// A second reconstruction from more latents, so that the codes stay useful beyond k.
    pub multi: Option<MultiTopK>,
    /// The auxiliary loss that revives dead latents.
    pub aux: Option<AuxK>,
    /// Whether the encoder sees x or x − b_dec.
    pub input_bias: InputBias,
}

/// By what latents are ranked when the largest are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ranking {
    /// By their pre-activations; the decoder rows are held at length one.
    PreActivation,
    /// By their pre-activations times the norms of their decoder rows, which are free. What is decoded is the
    /// pre-activation itself. (SAELens stores the product as the code and divides again when it decodes.)
    TimesDecoderNorm,
}

/// The second reconstruction of a multi-TopK dictionary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MultiTopK {
    /// How many times k latents it uses.
    pub factor: usize,
    /// The weight of its squared error.
    pub weight: f64,
}

/// The auxiliary loss of a dictionary that keeps the largest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AuxK {
    /// How many dead latents model the residual of a row; never more than there are dead ones.
    pub k: usize,
    /// The weight α of the auxiliary loss.
    pub alpha: f64,
    /// What its squared error is measured in.
    pub scale: AuxScale,
    /// Which dead latents take part.
    pub codes: AuxCodes,
}

/// What the squared error of the auxiliary loss is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuxScale {
    /// In the variance of the residual over the batch: dictionary_learning.
    ResidualVariance,
    /// As it is, times min(number of dead latents / k_aux, 1): SAELens, and sparsify (which divides both terms of its loss by
    /// the variance of the inputs).
    FewDead,
    /// The same for each level of a Matryoshka dictionary by itself: its dead latents model its own residual, k_aux of
    /// them in a row, and the losses add up. An option of SAELens; with one level it is [`AuxScale::FewDead`].
    FewDeadOfLevel,
}

impl AuxScale {
    /// The share of a group of so many dead latents, where each group has one.
    pub(crate) fn of_group(self, dead: f64, k: usize) -> f64 {
        if self == AuxScale::FewDeadOfLevel { (dead / k as f64).min(1.0) } else { 1.0 }
    }
}

/// Which dead latents take part in the auxiliary loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuxCodes {
    /// Those with positive pre-activations.
    Positive,
    /// The k_aux largest, whatever their sign: SAELens.
    Signed,
}

impl AuxK {
    /// Positive codes, measured in the variance of the residual.
    pub const fn new(k: usize, alpha: f64) -> Self {
        Self { k, alpha, scale: AuxScale::ResidualVariance, codes: AuxCodes::Positive }
    }
}

impl MultiTopK {
    /// L(k) + L(4k)/8, the setting of the paper.
    pub const fn paper() -> Self {
        Self { factor: 4, weight: 0.125 }
    }
}

impl TopK {
    /// k latents a row, without the auxiliary loss.
    pub const fn new(k: usize) -> Self {
        Self { k, ranking: Ranking::PreActivation, multi: None, aux: None, input_bias: InputBias::Subtracted }
    }

    /// The same with the auxiliary loss at α = 1/32 and k_aux latents.
    #[must_use]
    pub const fn with_aux(self, k_aux: usize) -> Self {
        Self { aux: Some(AuxK::new(k_aux, 1.0 / 32.0)), ..self }
    }
}

impl<F: Float> Rule<F> for TopK {
    const ELEMENTWISE: bool = false;

    fn second(&self) -> Option<F> {
        self.multi.map(|multi| F::from_f64(multi.weight))
    }

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
        // Of the latents of the second decode, the k best make the first.
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

    fn local(&self, _: [F; 3], entry: &mut Entry<F>, dot: F, dot_aux: F, _: F) {
        let first = if entry.code > F::zero() { dot + dot } else { F::zero() };
        entry.d_code = match self.multi {
            Some(multi) => first + F::from_f64(2.0 * multi.weight) * dot_aux,
            None => first,
        };
    }

    fn contribution(&self, _: [F; 3], entry: &Entry<F>) -> Contribution<F> {
        let weight = self.multi.map_or(0.0, |multi| 2.0 * multi.weight);
        Contribution { decoder_aux: F::from_f64(weight) * entry.gate, ..Contribution::plain(entry) }
    }
}

/// What the latents of a row are ranked by.
pub(crate) fn scores<F: Scalar>(ranking: Ranking, row: &Row<'_, F>, out: &mut Vec<F>) {
    out.clear();
    let pre = row.products.iter().zip(row.constants[0]).map(|(&p, &b)| p + b);
    match ranking {
        Ranking::PreActivation => out.extend(pre),
        Ranking::TimesDecoderNorm => out.extend(pre.zip(row.norms).map(|(pre, &norm)| pre * norm)),
    }
}

/// The auxiliary entries of a row: the best of the dead latents `dead`, whose pre-activations are `pre`.
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
