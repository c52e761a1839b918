use crate::InputBias;
use crate::rule::{Contribution, Entry, Rule, Scratch, Vectors};
use collimate_tensor::Scalar;

/// The JumpReLU dictionary, for encoding: a latent counts only above its own threshold.
///
/// ```text
/// z = W_enc (x − b_dec) + b_enc        f = z ⊙ 1[z > θ],  θ ≥ 0        x̂ = W_decᵀ f + b_dec
/// ```
/// The comparison is strict. This member is what a gated dictionary is exported to
/// ([`Sae::to_jump_relu`](crate::Sae::to_jump_relu)); its gradient needs a pseudo-derivative and is refused by the trainer.
///
/// # References
/// Rajamanoharan et al. (2024), "Jumping Ahead", eq. 3.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JumpRelu {
    /// Whether the encoder sees x or x − b_dec.
    pub input_bias: InputBias,
}

impl<F: Scalar> Rule<F> for JumpRelu {
    const TWO_DECODES: bool = false;
    const ELEMENTWISE: bool = true;

    fn select(
        &self,
        [b_enc, threshold, _]: Vectors<'_, F>,
        products: &mut [F],
        _: &mut Scratch<F>,
        out: &mut Vec<Entry<F>>,
    ) {
        for (latent, ((&p, &b), &t)) in products.iter().zip(b_enc).zip(threshold).enumerate() {
            if p + b > t {
                out.push(Entry { latent: latent as u32, pre: p, code: p + b, ..Entry::default() });
            }
        }
    }

    fn activate(&self, [b_enc, threshold, _]: [F; 3], latent: usize, product: F) -> Option<Entry<F>> {
        let code = product + b_enc;
        (code > threshold).then(|| Entry { latent: latent as u32, pre: product, code, ..Entry::default() })
    }

    fn local(&self, entry: &mut Entry<F>, dot: F, _: F, _: F) {
        entry.d_code = dot + dot;
    }

    fn penalised(&self, _: &Entry<F>) -> F {
        F::zero()
    }

    fn contribution(&self, _: [F; 3], entry: &Entry<F>) -> Contribution<F> {
        let d = entry.d_code;
        Contribution {
            encoder: d,
            decoder: entry.code + entry.code,
            decoder_aux: F::zero(),
            per_latent: [d, F::zero(), F::zero()],
        }
    }
}
