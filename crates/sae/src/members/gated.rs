use crate::members::relu::select_above;
use crate::members::rule::{Contribution, Entry, Row, Rule, Scratch};
use crate::{Float, InputBias, JumpRelu, Sae, SaeError, Variant, Weights};
use collimate_tensor::{Scalar, dot};
use ndarray::Array1;

/// The gated dictionary: one path decides which latents are active, another how active they are.
///
/// ```text
/// h = W_gate (x − b_dec)       π = h + b_gate        z = e^r ⊙ h + b_mag        (tied: W_mag = e^r W_gate)
/// f = 1[π > 0] ⊙ ReLU(z)       x̂ = W_decᵀ f + b_dec
/// L = ‖x − x̂‖² + λ Σ_i ReLU(π_i) + ‖x − x̂_aux‖²      x̂_aux = sg(W_dec)ᵀ ReLU(π) + sg(b_dec)
///
/// gradients per row, with e = x̂ − x, ê = x̂_aux − x, g = 1[π > 0], a = g ⊙ 1[z > 0]:
///   ∂f = 2 (W_dec e) ⊙ a      ∂π = (λ + 2 W_dec ê) ⊙ g      ∂h = e^r ⊙ ∂f + ∂π
///   ∂W_gate,i = ∂h_i (x − b_dec)    ∂b_gate = ∂π    ∂b_mag = ∂f    ∂r = ∂f ⊙ e^r ⊙ h
///   ∂d_i = 2 f_i e                  ∂b_dec = 2 e − W_gateᵀ ∂h
/// ```
/// The penalty touches only the gate, so the magnitudes are free of the shrinkage that L1 causes. The auxiliary term
/// teaches the gate to reconstruct with a decoder it may not change; `b_dec` inside `x − b_dec` is not stopped.
///
/// # References
/// Rajamanoharan et al. (2024), "Improving Dictionary Learning with Gated Sparse Autoencoders", eq. 6–8, appendix G.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gated {
    /// How the penalty and the auxiliary decoder treat the decoder.
    pub decoder: GatedDecoder,
    /// How the magnitude path is tied to the gate.
    pub magnitude: Magnitude,
    /// Whether the encoder sees x or x − b_dec.
    pub input_bias: InputBias,
}

/// How the penalty and the auxiliary term of a gated dictionary treat the decoder.
///
/// With norm weights the decoder must be frozen in both terms or in neither: frozen in one only, the loss can be
/// lowered by growing the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GatedDecoder {
    /// The paper's: unit-norm decoder, plain penalty, decoder frozen in the auxiliary term.
    UnitNormFrozen,
    /// The paper's ablation: the same with the decoder trained by the auxiliary term too.
    UnitNormTrained,
    /// Penalty Σ ReLU(π_i)·sg(‖d_i‖), decoder frozen in the auxiliary term too, norms free.
    NormWeightedFrozen,
    /// Penalty Σ ReLU(π_i)‖d_i‖ and auxiliary term both train the decoder, norms free.
    NormWeightedTrained,
}

/// How the magnitude path of a gated dictionary is tied to its gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Magnitude {
    /// W_mag = e^r W_gate, one r a latent: the paper.
    Tied,
    /// W_mag = W_gate, r held at zero: an ablation.
    TiedWithoutRescaling,
    /// W_mag of its own: an ablation. Each row of `w_enc` is then the gate row followed by the magnitude row, `[n, 2d]`,
    /// and r stays zero.
    Untied,
}

impl Gated {
    /// The dictionary of the paper.
    pub const fn paper() -> Self {
        Self::with_decoder(GatedDecoder::UnitNormFrozen)
    }

    /// The tied dictionary with another treatment of the decoder.
    pub const fn with_decoder(decoder: GatedDecoder) -> Self {
        Self { decoder, magnitude: Magnitude::Tied, input_bias: InputBias::Subtracted }
    }
}

impl<F: Float> Rule<F> for Gated {
    // An untied magnitude path is computed where the gate is open, so only the sparse path knows it.
    const ELEMENTWISE: bool = true;

    fn second(&self) -> Option<F> {
        Some(F::one())
    }

    fn constants(&self, [b_gate, b_mag, r]: [F; 3]) -> [F; 3] {
        [b_gate, b_mag, r.exp()]
    }

    fn select(&self, row: &Row<'_, F>, scratch: &mut Scratch<F>, out: &mut Vec<Entry<F>>) {
        let [b_gate, b_mag, scale] = row.constants;
        let untied = self.magnitude == Magnitude::Untied;
        let d = row.input.len();
        select_above(row.products, b_gate, F::zero(), &mut scratch.latents, |latent, product, b_gate| {
            let mut new = entry(latent, product, b_gate, b_mag[latent], scale[latent]);
            if untied {
                let weights = &row.encoder[(2 * latent + 1) * d..(2 * latent + 2) * d];
                new.code = (dot(weights, row.input) + b_mag[latent]).max(F::zero());
            }
            out.push(new);
        });
    }

    fn activate(&self, [b_gate, b_mag, scale]: [F; 3], latent: usize, product: F) -> (Entry<F>, bool) {
        let on = product + b_gate > F::zero();
        let mut new = entry(latent, product, b_gate, b_mag, scale);
        new.code = if on { new.code } else { F::zero() };
        new.gate = if on { new.gate } else { F::zero() };
        (new, on)
    }

    fn amount(&self, entry: &Entry<F>, norm: F) -> (F, F) {
        (entry.gate * norm, F::one())
    }

    fn local(&self, _: [F; 3], entry: &mut Entry<F>, dot: F, dot_aux: F, penalty: F) {
        entry.d_code = if entry.code > F::zero() { dot + dot } else { F::zero() };
        entry.d_gate = penalty + dot_aux + dot_aux;
    }

    fn norm_pull(&self, _: [F; 3], entry: &Entry<F>, _: F, lambda: F) -> F {
        lambda * entry.gate
    }

    fn contribution(&self, [_, _, scale]: [F; 3], entry: &Entry<F>) -> Contribution<F> {
        let trained =
            matches!(self.decoder, GatedDecoder::NormWeightedTrained | GatedDecoder::UnitNormTrained);
        // Selections of values, not branches: the dense path runs this in vectors.
        let only_if = |wanted: bool, value: F| if wanted { value } else { F::zero() };
        let (rescales, untied) = (self.magnitude == Magnitude::Tied, self.magnitude == Magnitude::Untied);
        let tied = scale * entry.d_code;
        Contribution {
            encoder: only_if(!untied, tied) + entry.d_gate,
            magnitude: only_if(untied, entry.d_code),
            decoder: entry.code + entry.code,
            decoder_aux: if trained { entry.gate + entry.gate } else { F::zero() },
            per_latent: [entry.d_gate, entry.d_code, only_if(rescales, tied * entry.pre)],
        }
    }
}

fn entry<F: Scalar>(latent: usize, product: F, b_gate: F, b_mag: F, scale: F) -> Entry<F> {
    let code = (scale * product + b_mag).max(F::zero());
    Entry { latent: latent as u32, pre: product, code, gate: product + b_gate, ..Entry::default() }
}

impl<F: Scalar> Sae<F> {
    /// The JumpReLU dictionary that computes the same function as a gated one, or as one with a threshold for all latents.
    ///
    /// ```text
    /// W_enc = e^r W_gate      b_enc = b_mag      θ = max(0, b_mag − e^r b_gate)
    /// ```
    /// π > 0 is the same as z > b_mag − e^r b_gate. Where that threshold is negative the ReLU of the magnitude path
    /// decides instead: without the max(0, ·) the exported dictionary would emit negative codes. A BatchTopK or Matryoshka
    /// dictionary with a threshold t becomes θ_i = t, or t/‖d_i‖ where it ranks by norms.
    ///
    /// # Errors
    /// [`SaeError::Unsupported`] for another member, an untied gated one, or one that selects over the batch and has no
    /// threshold yet.
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{Gated, Sae, Size};
    /// use collimate_stream::RngStream;
    /// let gated = Sae::<f64>::new(Gated::paper(), Size { d_model: 3, n_latents: 6 }, &mut RngStream::new(1, 0)).unwrap();
    /// let x = ndarray::array![[0.3, -0.2, 0.9]];
    /// let jump = gated.to_jump_relu().unwrap();
    /// assert_eq!(gated.encode(&x).unwrap().to_dense(), jump.encode(&x).unwrap().to_dense());
    /// ```
    ///
    /// # References
    /// Rajamanoharan et al. (2024), section 3.2.1 and appendix E.
    pub fn to_jump_relu(&self) -> Result<Sae<F>, SaeError> {
        let input_bias = match self.variant() {
            Variant::Gated(gated) if gated.magnitude == Magnitude::Untied => {
                let (operation, architecture) = ("export to JumpReLU", "untied gated");
                return Err(SaeError::Unsupported { operation, architecture });
            }
            Variant::Gated(gated) => gated.input_bias,
            Variant::RescaleAndShift(baseline) => baseline.input_bias,
            _ => return self.threshold_to_jump_relu(),
        };
        let Weights { w_enc, w_dec, b_dec, per_latent } = self.weights();
        let [b_gate, b_mag, r] = [&per_latent[0], &per_latent[1], &per_latent[2]];
        let scale = r.mapv(|r| r.exp());
        let thresholds = Array1::from_shape_fn(scale.len(), |i| threshold(b_gate[i], b_mag[i], scale[i]));
        let mut encoder = w_enc.clone();
        for (mut row, &s) in encoder.rows_mut().into_iter().zip(&scale) {
            row.mapv_inplace(|w| s * w);
        }
        let weights = Weights {
            w_enc: encoder,
            w_dec: w_dec.clone(),
            b_dec: b_dec.clone(),
            per_latent: vec![b_mag.clone(), thresholds],
        };
        Sae::from_weights(JumpRelu::with_input_bias(input_bias), weights)
    }
}

/// θ = max(0, b_mag − e^r b_gate), given e^r.
fn threshold<F: Scalar>(b_gate: F, b_mag: F, scale: F) -> F {
    (b_mag - scale * b_gate).max(F::zero())
}
