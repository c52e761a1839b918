use crate::float::Float;
use crate::members::choices::InputBias;
use crate::members::line::{Line, Pairs};
use crate::members::member::{Describe, Member};
use crate::members::rule::{Contribution, Entry, Row, Rule, Scratch};
use crate::members::topk::check_k;
use collimate_measure::OutOfRange;
use collimate_tensor::top_k;

/// The AbsTopK dictionary: the k pre-activations of a row that are largest in magnitude are kept with their signs.
///
/// ```text
/// f = z on the k largest |z|, z = W_enc (x − b_dec) + b_enc      x̂ = W_decᵀ f + b_dec      L = ‖x − x̂‖²
/// gradients as for TopK, on the kept latents
/// ```
/// One latent can stand for a direction and its opposite. The number of active latents counts codes that are not zero,
/// negative ones included. The decoder rows have length one.
///
/// # References
/// Zhu et al. (2025), "AbsTopK: Rethinking Sparse Autoencoders For Bidirectional Features".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbsTopK {
    /// The number of latents that a row uses.
    pub k: usize,
    /// The input of the encoder: x or x − b_dec.
    pub input_bias: InputBias,
}

impl AbsTopK {
    /// Returns the form with k latents a row.
    pub const fn new(k: usize) -> Self {
        Self { k, input_bias: InputBias::Subtracted }
    }
}

impl<F: Float> Rule<F> for AbsTopK {
    fn select(&self, row: &Row<'_, F>, scratch: &mut Scratch<F>, out: &mut Vec<Entry<F>>) {
        let Scratch { values, kept, .. } = scratch;
        let bias = row.constants[0];
        values.clear();
        values.extend(row.products.iter().zip(bias).map(|(&p, &b)| (p + b).abs()));
        top_k(values, self.k, kept);
        for &(latent, _) in kept.iter().filter(|entry| entry.1 > F::zero()) {
            let pre = row.products[latent as usize];
            out.push(Entry { latent, pre, code: pre + bias[latent as usize], ..Entry::default() });
        }
    }

    #[inline]
    fn local(&self, _: [F; 3], entry: &mut Entry<F>, dot: F, _: F, _: F) {
        entry.d_code = dot + dot;
    }

    #[inline]
    fn contribution(&self, _: [F; 3], entry: &Entry<F>) -> Contribution<F> {
        Contribution::plain(entry)
    }
}

impl Describe for AbsTopK {
    const NAME: &'static str = "abs_topk";

    fn member(&self) -> Member {
        Member { compares: true, ..Member::new(Self::NAME, self.input_bias) }
    }

    fn rule<F: Float>(&self) -> Option<&dyn Rule<F>> {
        Some(self)
    }

    fn check(&self, _: usize, n_latents: usize) -> Result<(), OutOfRange> {
        check_k(self.k, n_latents)
    }

    fn set_input_bias(&mut self, input_bias: InputBias) {
        self.input_bias = input_bias;
    }

    fn write(&self, line: &mut Line) {
        line.number("k", self.k);
    }

    fn read(pairs: &Pairs<'_>, input_bias: InputBias) -> Result<Self, String> {
        Ok(Self { k: pairs.number("k")?, input_bias })
    }
}
