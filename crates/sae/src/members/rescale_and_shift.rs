use crate::members::relu::select_above;
use crate::members::rule::{Contribution, Entry, Row, Rule, Scratch};
use crate::{Float, InputBias, Sae, SaeError, Variant, Weights};
use collimate_tensor::Scalar;
use ndarray::Array1;

/// The rescale-and-shift baseline: a finished ReLU dictionary whose magnitudes alone are trained again, without a penalty.
///
/// ```text
/// h = W_enc (x − b_dec)      f = 1[h + b_enc > 0] ⊙ ReLU(e^r ⊙ h + b_mag)      x̂ = W_decᵀ f + b_dec      L = ‖x − x̂‖²
/// trained: r and b_mag      ∂b_mag = ∂f      ∂r = ∂f ⊙ e^r ⊙ h      ∂f = 2 (W_dec e) on the active latents
/// ```
/// What is active, the directions and the decoder bias stay those of the ReLU dictionary: the baseline shows how much of a
/// gated dictionary's gain is the mere undoing of shrinkage. It is made by [`Sae::to_rescale_and_shift`]; train it from
/// [`BiasStart::Given`](crate::BiasStart::Given) with the normalisation of inputs as it was folded.
///
/// # References
/// Rajamanoharan et al. (2024), "Improving Dictionary Learning with Gated Sparse Autoencoders", section 5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RescaleAndShift {
    /// Whether the encoder sees x or x − b_dec.
    pub input_bias: InputBias,
}

impl<F: Float> Rule<F> for RescaleAndShift {
    const ELEMENTWISE: bool = true;

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

    fn activate(&self, [b_gate, b_mag, scale]: [F; 3], latent: usize, pre: F) -> (Entry<F>, bool) {
        let code = (scale * pre + b_mag).max(F::zero());
        Entry::of(latent, pre, code, pre + b_gate > F::zero())
    }

    fn local(&self, _: [F; 3], entry: &mut Entry<F>, dot: F, _: F, _: F) {
        entry.d_code = if entry.code > F::zero() { dot + dot } else { F::zero() };
    }

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

impl<F: Scalar> Sae<F> {
    /// The rescale-and-shift baseline of a ReLU dictionary, before its training: it computes the same function.
    ///
    /// # Errors
    /// [`SaeError::Unsupported`] for a dictionary without plain ReLU codes.
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{Relu, Sae, Size};
    /// use collimate_stream::RngStream;
    /// let size = Size { d_model: 3, n_latents: 6 };
    /// let sae = Sae::<f64>::new(Relu::unit_norm(), size, &mut RngStream::new(1, 0))?;
    /// let x = ndarray::array![[0.3, -0.2, 0.9]];
    /// assert_eq!(sae.to_rescale_and_shift()?.encode(&x)?, sae.encode(&x)?);
    /// # Ok::<(), collimate_sae::SaeError>(())
    /// ```
    pub fn to_rescale_and_shift(&self) -> Result<Sae<F>, SaeError> {
        let input_bias = match self.variant() {
            Variant::Relu(relu) => relu.input_bias,
            Variant::PNorm(norm) => norm.input_bias,
            other => {
                let (operation, architecture) = ("rescale-and-shift", other.name());
                return Err(SaeError::Unsupported { operation, architecture });
            }
        };
        let Weights { w_enc, w_dec, b_dec, per_latent } = self.weights().clone();
        let b_enc = per_latent.into_iter().next().expect("a ReLU dictionary has one vector");
        let r = Array1::zeros(b_enc.len());
        let weights = Weights { w_enc, w_dec, b_dec, per_latent: vec![b_enc.clone(), b_enc, r] };
        Sae::from_weights(RescaleAndShift { input_bias }, weights)
    }
}
