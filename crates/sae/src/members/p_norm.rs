use crate::float::Float;
use crate::members::choices::{InputBias, PenaltyWeight};
use crate::members::line::{Line, Pairs, words};
use crate::members::member::{Describe, Member};
use crate::members::relu::select_above;
use crate::members::rule::{Contribution, DenseRows, Elementwise, Entry, Row, Rule, Scratch};
use collimate_measure::{OutOfRange, ensure};
use collimate_tensor::SparseRows;

/// The standard dictionary under a power of its codes instead of L1. A training run may lower p (p-annealing).
///
/// ```text
/// f = ReLU(W_enc (x − b_dec) + b_enc)       u_i = f_i ω_i,  ω = 1 or ‖d_i‖
/// L = ‖x − x̂‖² + λ P                        P = Σ_i u_i^p   or   (Σ_i u_i^p)^(1/p)
///
/// ∂P/∂u_i = p u_i^(p−1)   or   u_i^(p−1) (Σ u^p)^(1/p − 1)        on the active latents only
/// ```
/// For p < 1 the penalty is not convex: it hardly acts on large codes and pulls small codes to zero strongly. At p = 1 it
/// is that of [`Relu`](crate::Relu). [`PAnneal`](crate::PAnneal) is the schedule.
///
/// # References
/// Karvonen et al. (2024), "Measuring Progress in Dictionary Learning for Language Model Interpretability with Board Game
/// Models", section 4.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PNorm {
    /// The exponent p, positive.
    pub p: f64,
    /// The function of the powers that is the penalty.
    pub form: PNormForm,
    /// The factor on each code before the power.
    pub penalty: PenaltyWeight,
    /// The input of the encoder: x or x − b_dec.
    pub input_bias: InputBias,
}

/// The function of the powers of the codes that is the penalty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PNormForm {
    /// Σ u^p.
    PowerSum,
    /// (Σ u^p)^(1/p), taken row by row.
    Norm,
}

impl PNorm {
    /// Returns the form with the penalty Σ f^p and a unit-norm decoder.
    pub const fn power_sum(p: f64) -> Self {
        Self {
            p,
            form: PNormForm::PowerSum,
            penalty: PenaltyWeight::UnitNorm,
            input_bias: InputBias::Subtracted,
        }
    }

    /// Returns the mean penalty of some codes.
    pub(crate) fn of_codes<F: Float>(&self, codes: &SparseRows<F>, norms: &[F]) -> f64 {
        let rows = codes.rows().map(|(columns, values)| {
            let powers = columns
                .iter()
                .zip(values)
                .map(|(&i, &code)| self.amount(&Entry { code, ..Entry::default() }, norms[i as usize]).0);
            Rule::<F>::penalty(self, powers.sum(), F::zero()).0.to_f64()
        });
        rows.sum::<f64>() / codes.n_rows().max(1) as f64
    }
}

impl<F: Float> Rule<F> for PNorm {
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
        let (p, u) = (F::from_f64(self.p), entry.code * norm);
        if u <= F::zero() || u.is_nan() {
            return (F::zero(), F::zero());
        }
        let lower = u.powf(p - F::one());
        (lower * u, p * lower)
    }

    fn penalty(&self, row: F, _: F) -> (F, F) {
        match self.form {
            PNormForm::PowerSum => (row, F::one()),
            PNormForm::Norm if row > F::zero() => {
                let inverse = F::from_f64(1.0 / self.p);
                let lower = row.powf(inverse - F::one());
                (lower * row, inverse * lower)
            }
            PNormForm::Norm => (F::zero(), F::zero()),
        }
    }

    #[inline]
    fn local(&self, _: [F; 3], entry: &mut Entry<F>, dot: F, _: F, penalty: F) {
        entry.d_code = dot + dot + penalty * entry.slope;
    }

    #[inline]
    fn norm_pull(&self, _: [F; 3], entry: &Entry<F>, _: F, lambda: F) -> F {
        lambda * entry.slope * entry.code
    }

    #[inline]
    fn contribution(&self, _: [F; 3], entry: &Entry<F>) -> Contribution<F> {
        Contribution::plain(entry)
    }
}

impl<F: Float> Elementwise<F> for PNorm {
    #[inline(always)]
    fn activate(&self, vectors: [F; 3], latent: usize, product: F) -> (Entry<F>, bool) {
        let code = product + vectors[0];
        Entry::of(latent, product, code, code > F::zero())
    }
}

words! { PNormForm { PowerSum = "power_sum", Norm = "norm" } }

impl Describe for PNorm {
    const NAME: &'static str = "p_norm";

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

    fn check(&self, _: usize, _: usize) -> Result<(), OutOfRange> {
        ensure(self.p > 0.0 && self.p.is_finite(), "p", "positive and finite", self.p)
    }

    fn set_input_bias(&mut self, input_bias: InputBias) {
        self.input_bias = input_bias;
    }

    fn write(&self, line: &mut Line) {
        line.number("p", self.p).word("form", self.form).word("penalty", self.penalty);
    }

    fn read(pairs: &Pairs<'_>, input_bias: InputBias) -> Result<Self, String> {
        let (p, form, penalty) = (pairs.number("p")?, pairs.word("form")?, pairs.word("penalty")?);
        Ok(Self { p, form, penalty, input_bias })
    }
}
