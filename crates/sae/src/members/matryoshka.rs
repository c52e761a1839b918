use crate::float::Float;
use crate::members::batch_topk::BatchTopK;
use crate::members::choices::InputBias;
use crate::members::levels::Levels;
use crate::members::line::{Line, Pairs};
use crate::members::member::{Describe, Member};
use crate::members::rule::{Contribution, Entry, Row, Rule, Scratch};
use collimate_measure::{OutOfRange, ensure};

/// The Matryoshka dictionary: a BatchTopK dictionary whose first m₁, m₂, … latents must each reconstruct by themselves.
///
/// ```text
/// f as for BatchTopK      x̂_g = b_dec + Σ_{i<m_g} f_i d_i      e_g = x̂_g − x      m_1 < … < m_G = n
/// L = Σ_g w_g ‖e_g‖² + α·AuxK(e_G)
///
/// with S_g = Σ_{h≥g} w_h e_h (suffix sums: one residual a level, not G decodes), for a latent i of level g:
///   ∂f_i = 2 d_i·S_g        ∂d_i = 2 f_i S_g        ∂b_dec = 2 S_1 − W_encᵀ ∂f
/// ```
/// The weights are one each unless set: dictionary_learning divides by G twice, SAELens not at all.
///
/// # References
/// Bussmann et al. (2025), "Learning Multi-Level Features with Matryoshka Sparse Autoencoders".
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matryoshka {
    /// The selection of the latents.
    pub batch: BatchTopK,
    /// The prefixes that reconstruct by themselves.
    pub levels: Levels,
}

impl<F: Float> Rule<F> for Matryoshka {
    fn keep(&self, rows: usize) -> Option<usize> {
        Rule::<F>::keep(&self.batch, rows)
    }

    fn select(&self, row: &Row<'_, F>, scratch: &mut Scratch<F>, out: &mut Vec<Entry<F>>) {
        self.batch.select(row, scratch, out);
    }

    #[inline]
    fn local(&self, constants: [F; 3], entry: &mut Entry<F>, dot: F, dot_aux: F, penalty: F) {
        self.batch.local(constants, entry, dot, dot_aux, penalty);
    }

    #[inline]
    fn contribution(&self, constants: [F; 3], entry: &Entry<F>) -> Contribution<F> {
        self.batch.contribution(constants, entry)
    }
}

impl Describe for Matryoshka {
    const NAME: &'static str = "matryoshka_batchtopk";

    fn member(&self) -> Member {
        Member { name: Self::NAME, levels: Some(self.levels), ..self.batch.member() }
    }

    fn rule<F: Float>(&self) -> Option<&dyn Rule<F>> {
        Some(self)
    }

    fn check(&self, _: usize, n_latents: usize) -> Result<(), OutOfRange> {
        self.batch.check_k(n_latents)?;
        let last = self.levels.widths().last().map_or(0, |&width| width as usize);
        ensure(last == n_latents, "the last of the widths", "the number of latents", last as f64)
    }

    fn set_threshold(&mut self, threshold: Option<f64>) {
        self.batch.threshold = threshold;
    }

    fn set_input_bias(&mut self, input_bias: InputBias) {
        self.batch.input_bias = input_bias;
    }

    fn write(&self, line: &mut Line) {
        self.batch.write_fields(line);
        line.list("widths", self.levels.widths()).list("weights", self.levels.weights());
    }

    fn read(pairs: &Pairs<'_>, input_bias: InputBias) -> Result<Self, String> {
        let (widths, weights) = (pairs.list::<u32>("widths")?, pairs.list::<f64>("weights")?);
        let levels = Levels::new(&widths).and_then(|levels| levels.weighted(&weights));
        let batch = BatchTopK::read(pairs, input_bias)?;
        Ok(Self { batch, levels: levels.map_err(|e| e.to_string())? })
    }
}
