use crate::float::Float;
use crate::members::choices::{DecoderRows, InputBias};
use crate::members::line::{Line, Pairs};
use crate::members::member::{Describe, Member};
use crate::members::relu::select_above;
use crate::members::rule::{Contribution, DenseRows, Elementwise, Entry, Row, Rule, Scratch};

/// The rescale-and-shift baseline: a finished ReLU dictionary whose magnitudes alone are trained again, without a penalty.
///
/// ```text
/// h = W_enc (x − b_dec)      f = 1[h + b_enc > 0] ⊙ ReLU(e^r ⊙ h + b_mag)      x̂ = W_decᵀ f + b_dec      L = ‖x − x̂‖²
/// trained: r and b_mag      ∂b_mag = ∂f      ∂r = ∂f ⊙ e^r ⊙ h      ∂f = 2 (W_dec e) on the active latents
/// ```
/// What is active, the directions and the decoder bias stay those of the ReLU dictionary: the baseline shows how much of a
/// gated dictionary's gain is the mere undoing of shrinkage. It is made by [`Sae::to_rescale_and_shift`](crate::Sae::to_rescale_and_shift); train it from
/// [`BiasStart::Given`](crate::BiasStart::Given) with the normalisation of inputs as it was folded.
///
/// # References
/// Rajamanoharan et al. (2024), "Improving Dictionary Learning with Gated Sparse Autoencoders", section 5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RescaleAndShift {
    /// The input of the encoder: x or x − b_dec.
    pub input_bias: InputBias,
}

impl<F: Float> Rule<F> for RescaleAndShift {
    fn dense(&self) -> Option<&dyn DenseRows<F>> {
        Some(self)
    }

    fn constants(&self, [b_gate, b_mag, r]: [F; 3]) -> [F; 3] {
        [b_gate, b_mag, r.exp()]
    }

    fn select(&self, row: &Row<'_, F>, scratch: &mut Scratch<F>, out: &mut Vec<Entry<F>>) {
        let [b_gate, b_mag, scale] = row.constants;
        select_above(row.products, b_gate, F::zero(), &mut scratch.latents, |latent, pre, _| {
            let code = (scale[latent] * pre + b_mag[latent]).max(F::zero());
            out.push(Entry { latent: latent as u32, pre, code, ..Entry::default() });
        });
    }

    #[inline]
    fn local(&self, _: [F; 3], entry: &mut Entry<F>, dot: F, _: F, _: F) {
        entry.d_code = if entry.code > F::zero() { dot + dot } else { F::zero() };
    }

    #[inline]
    fn contribution(&self, [_, _, scale]: [F; 3], entry: &Entry<F>) -> Contribution<F> {
        Contribution {
            encoder: F::zero(),
            magnitude: F::zero(),
            decoder: F::zero(),
            decoder_aux: F::zero(),
            per_latent: [F::zero(), entry.d_code, entry.d_code * scale * entry.pre],
        }
    }
}

impl<F: Float> Elementwise<F> for RescaleAndShift {
    #[inline(always)]
    fn activate(&self, [b_gate, b_mag, scale]: [F; 3], latent: usize, pre: F) -> (Entry<F>, bool) {
        let code = (scale * pre + b_mag).max(F::zero());
        Entry::of(latent, pre, code, pre + b_gate > F::zero())
    }
}

impl Describe for RescaleAndShift {
    const NAME: &'static str = "rescale_and_shift";

    fn member(&self) -> Member {
        Member {
            per_latent: &["b_gate", "b_mag", "r_mag"],
            decoder: DecoderRows::Free,
            trains_bias: false,
            ..Member::new(Self::NAME, self.input_bias)
        }
    }

    fn rule<F: Float>(&self) -> Option<&dyn Rule<F>> {
        Some(self)
    }

    fn set_input_bias(&mut self, input_bias: InputBias) {
        self.input_bias = input_bias;
    }

    fn write(&self, _: &mut Line) {}

    fn read(_: &Pairs<'_>, input_bias: InputBias) -> Result<Self, String> {
        Ok(Self { input_bias })
    }
}
