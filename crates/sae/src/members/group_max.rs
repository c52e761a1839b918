use crate::float::Float;
use crate::members::choices::InputBias;
use crate::members::line::{Line, Pairs};
use crate::members::member::{Describe, Member};
use crate::members::rule::{Contribution, Entry, Row, Rule, Scratch};
use collimate_measure::{OutOfRange, ensure};

/// The group-max dictionary: the latents fall into k groups of n/k consecutive latents, and the largest positive
/// pre-activation of each group is kept.
///
/// ```text
/// f = z where z is the largest of its group and positive, z = W_enc (x − b_dec) + b_enc      x̂ = W_decᵀ f + b_dec
/// L = ‖x − x̂‖²      gradients as for TopK, on the kept latents
/// ```
/// Ties go to the smaller index. The decoder rows have length one.
///
/// # References
/// EleutherAI, sparsify: the activation `groupmax`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupMax {
    /// The number of groups, a divisor of the number of latents.
    pub k: usize,
    /// The input of the encoder: x or x − b_dec.
    pub input_bias: InputBias,
}

impl GroupMax {
    /// Returns the form with k groups.
    pub const fn new(k: usize) -> Self {
        Self { k, input_bias: InputBias::Subtracted }
    }
}

impl<F: Float> Rule<F> for GroupMax {
    fn select(&self, row: &Row<'_, F>, scratch: &mut Scratch<F>, out: &mut Vec<Entry<F>>) {
        let values = &mut scratch.values;
        values.clear();
        values.extend(row.products.iter().zip(row.constants[0]).map(|(&p, &b)| p + b));
        let width = values.len() / self.k;
        for (group, values) in values.chunks(width).enumerate() {
            let mut best = 0;
            for i in 1..values.len() {
                if values[i] > values[best] {
                    best = i;
                }
            }
            if values[best] > F::zero() {
                let latent = group * width + best;
                let (pre, code) = (row.products[latent], values[best]);
                out.push(Entry { latent: latent as u32, pre, code, ..Entry::default() });
            }
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

impl Describe for GroupMax {
    const NAME: &'static str = "groupmax";

    fn member(&self) -> Member {
        Member { compares: true, ..Member::new(Self::NAME, self.input_bias) }
    }

    fn rule<F: Float>(&self) -> Option<&dyn Rule<F>> {
        Some(self)
    }

    fn check(&self, _: usize, n_latents: usize) -> Result<(), OutOfRange> {
        let divides = self.k > 0 && n_latents.is_multiple_of(self.k);
        ensure(divides, "k", "a divisor of the number of latents", self.k as f64)
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
