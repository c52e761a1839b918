use crate::InputBias;
use crate::rule::{Contribution, Entry, Rule, Scratch, Vectors};
use collimate_tensor::{Scalar, top_k};

/// The TopK dictionary: the k largest pre-activations of a row are kept, no penalty is needed.
///
/// ```text
/// f = ReLU(TopK_k(W_enc (x − b_dec) + b_enc))        x̂ = W_decᵀ f + b_dec        L = ‖x − x̂‖² + α·AuxK
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
    /// The auxiliary loss that revives dead latents.
    pub aux: Option<AuxK>,
    /// Whether the encoder sees x or x − b_dec.
    pub input_bias: InputBias,
}

/// The auxiliary loss of a [`TopK`] dictionary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AuxK {
    /// How many dead latents model the residual of a row; never more than there are dead ones.
    pub k: usize,
    /// The weight α of the auxiliary loss.
    pub alpha: f64,
}

impl TopK {
    /// k latents a row, without the auxiliary loss.
    pub const fn new(k: usize) -> Self {
        Self { k, aux: None, input_bias: InputBias::Subtracted }
    }

    /// The same with the auxiliary loss at α = 1/32 and k_aux latents.
    #[must_use]
    pub const fn with_aux(self, k_aux: usize) -> Self {
        Self { aux: Some(AuxK { k: k_aux, alpha: 1.0 / 32.0 }), ..self }
    }
}

impl<F: Scalar> Rule<F> for TopK {
    const TWO_DECODES: bool = false;
    const ELEMENTWISE: bool = false;

    fn select(
        &self,
        vectors: Vectors<'_, F>,
        products: &mut [F],
        scratch: &mut Scratch<F>,
        out: &mut Vec<Entry<F>>,
    ) {
        for (p, &b) in products.iter_mut().zip(vectors[0]) {
            *p += b;
        }
        with_kept(products, self.k, &mut scratch.kept, |latent, value| {
            if value > F::zero() {
                out.push(Entry { latent, pre: value, code: value, ..Entry::default() });
            }
        });
    }

    fn activate(&self, _: [F; 3], _: usize, _: F) -> Option<Entry<F>> {
        unreachable!("whether a latent is among the k largest is a property of its row")
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

/// The auxiliary entries of a row: the `k` largest positive pre-activations among the dead latents.
///
/// `pre` are the pre-activations with the bias, as [`Rule::select`] leaves them.
pub(crate) fn select_dead<F: Scalar>(
    pre: &[F],
    dead: &[u32],
    k: usize,
    scratch: &mut Scratch<F>,
    out: &mut Vec<Entry<F>>,
) {
    scratch.values.clear();
    scratch.values.extend(dead.iter().map(|&i| pre[i as usize]));
    with_kept(&scratch.values, k.min(dead.len()), &mut scratch.kept, |position, activation| {
        if activation > F::zero() {
            out.push(Entry {
                latent: dead[position as usize],
                pre: activation,
                code: activation,
                ..Entry::default()
            });
        }
    });
}

fn with_kept<F: Scalar>(values: &[F], k: usize, kept: &mut Vec<(u32, F)>, mut take: impl FnMut(u32, F)) {
    kept.clear();
    top_k(values, k, kept);
    kept.iter().for_each(|&(index, value)| take(index, value));
}
