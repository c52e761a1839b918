use crate::float::Float;
use crate::members::aux_k::AuxK;
use crate::members::batch_topk::BatchTopK;
use crate::members::choices::{DecoderRows, InputBias, Ranking};
use crate::members::line::{Line, Pairs};
use crate::members::member::{Describe, Member};
use crate::members::relu::select_above;
use crate::members::rule::{Contribution, Entry, Row, Rule, Scratch};
use collimate_measure::{OutOfRange, ensure};

/// The crosscoder: one code for several layers, or for the same layer of several models, each with its own encoder and
/// decoder.
///
/// ```text
/// f = ReLU(Σ_l W_enc^l x^l + b_enc)       x̂^l = W_dec^lᵀ f + b_dec^l       ω_i = Σ_l ‖d_i^l‖
/// L = Σ_l ‖x^l − x̂^l‖² + λ Σ_i f_i ω_i                                     (L1)
/// L = Σ_l ‖x^l − x̂^l‖² + α·AuxK, the ⌊k·B⌋ largest f_i ω_i of the batch kept  (BatchTopK; f_i itself is decoded)
/// ```
/// A row is the concatenation of the layers, `d_model` = layers · d, and so are the rows of both matrices: with one
/// layer it is the dictionary with norm weights. `b_dec` is not subtracted from the input; the decoder is free.
///
/// # References
/// Lindsey et al. (Anthropic, October 2024), "Sparse Crosscoders for Cross-Layer Features and Model Diffing"; Minder et
/// al. (2025) for the BatchTopK form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crosscoder {
    /// The number of layers that a row concatenates.
    pub layers: usize,
    /// The penalty or selection that keeps the codes sparse.
    pub sparsity: CrosscoderSparsity,
}

/// The penalty or selection that keeps the codes of a crosscoder sparse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CrosscoderSparsity {
    /// The penalty λ Σ f_i Σ_l ‖d_i^l‖.
    L1,
    /// The selection of the largest f_i Σ_l ‖d_i^l‖ of a batch.
    BatchTopK {
        /// The mean number of latents of a row.
        k: f64,
        /// The auxiliary loss that revives dead latents.
        aux: Option<AuxK>,
        /// The threshold on f_i Σ_l ‖d_i^l‖ that encodes rows one by one.
        threshold: Option<f64>,
    },
}

impl Crosscoder {
    /// Returns the form with the L1 penalty.
    pub const fn l1(layers: usize) -> Self {
        Self { layers, sparsity: CrosscoderSparsity::L1 }
    }

    /// Returns the form with k latents a row on average, without the auxiliary loss.
    pub const fn batch_topk(layers: usize, k: f64) -> Self {
        Self { layers, sparsity: CrosscoderSparsity::BatchTopK { k, aux: None, threshold: None } }
    }

    /// Returns the selection of the BatchTopK form.
    pub(crate) fn batch(&self) -> Option<BatchTopK> {
        match self.sparsity {
            CrosscoderSparsity::L1 => None,
            CrosscoderSparsity::BatchTopK { k, aux, threshold } => Some(BatchTopK {
                k,
                aux,
                threshold,
                ranking: Ranking::TimesDecoderNorm,
                input_bias: InputBias::NotSubtracted,
            }),
        }
    }
}

impl<F: Float> Rule<F> for Crosscoder {
    // The L1 form has no dense path: its start is short, and the sparse path serves both forms.

    fn keep(&self, rows: usize) -> Option<usize> {
        self.batch().and_then(|batch| Rule::<F>::keep(&batch, rows))
    }

    fn select(&self, row: &Row<'_, F>, scratch: &mut Scratch<F>, out: &mut Vec<Entry<F>>) {
        match self.batch() {
            Some(batch) => batch.select(row, scratch, out),
            None => {
                let (bias, found) = (row.constants[0], &mut scratch.latents);
                select_above(row.products, bias, F::zero(), found, |latent, pre, bias| {
                    out.push(Entry { latent: latent as u32, pre, code: pre + bias, ..Entry::default() });
                });
            }
        }
    }

    #[inline]
    fn amount(&self, entry: &Entry<F>, norm: F) -> (F, F) {
        match self.sparsity {
            CrosscoderSparsity::L1 => (entry.code * norm, F::one()),
            CrosscoderSparsity::BatchTopK { .. } => (F::zero(), F::zero()),
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

impl Describe for Crosscoder {
    const NAME: &'static str = "crosscoder";

    fn member(&self) -> Member {
        let batch = self.batch();
        Member {
            decoder: DecoderRows::Free,
            penalised: batch.is_none(),
            norm_weighted: true,
            compares: batch.is_some(),
            trains_norms: batch.is_none(),
            ranking: batch.map(|batch| batch.ranking),
            aux: batch.and_then(|batch| batch.aux),
            selects_over_batch: batch.is_some(),
            threshold: batch.and_then(|batch| batch.threshold),
            layers: self.layers,
            between_spaces: false,
            ..Member::new(Self::NAME, InputBias::NotSubtracted)
        }
    }

    fn rule<F: Float>(&self) -> Option<&dyn Rule<F>> {
        Some(self)
    }

    fn check(&self, d_model: usize, n_latents: usize) -> Result<(), OutOfRange> {
        self.batch().map_or(Ok(()), |batch| batch.check_k(n_latents))?;
        let divides = self.layers > 0 && d_model.is_multiple_of(self.layers);
        ensure(divides, "layers", "a divisor of d_model", self.layers as f64)
    }

    fn set_threshold(&mut self, value: Option<f64>) {
        if let CrosscoderSparsity::BatchTopK { threshold, .. } = &mut self.sparsity {
            *threshold = value;
        }
    }

    fn write(&self, line: &mut Line) {
        line.number("layers", self.layers);
        if let CrosscoderSparsity::BatchTopK { k, aux, threshold } = self.sparsity {
            line.number("k", k).optional("threshold", threshold).aux(aux);
        }
    }

    fn read(pairs: &Pairs<'_>, _: InputBias) -> Result<Self, String> {
        let sparsity = match pairs.optional("k")? {
            None => CrosscoderSparsity::L1,
            Some(k) => {
                let (aux, threshold) = (pairs.aux()?, pairs.optional("threshold")?);
                CrosscoderSparsity::BatchTopK { k, aux, threshold }
            }
        };
        Ok(Self { layers: pairs.number("layers")?, sparsity })
    }
}
