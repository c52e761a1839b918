use crate::float::Float;
use crate::members::choices::{DecoderRows, InputBias};
use crate::members::line::{Line, Pairs, words};
use crate::members::member::{Describe, Member, SecondDecode};
use crate::members::relu::select_above;
use crate::members::rule::{Contribution, DenseRows, Elementwise, Entry, Row, Rule, Scratch};
use collimate_tensor::{Scalar, dot};

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
    /// The treatment of the decoder by the penalty and the auxiliary term.
    pub decoder: GatedDecoder,
    /// The relation of the magnitude path to the gate.
    pub magnitude: Magnitude,
    /// The input of the encoder: x or x − b_dec.
    pub input_bias: InputBias,
}

/// The treatment of the decoder by the penalty and the auxiliary term of a gated dictionary.
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

/// The relation of the magnitude path of a gated dictionary to its gate.
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
    /// Returns the dictionary of the paper.
    pub const fn paper() -> Self {
        Self::with_decoder(GatedDecoder::UnitNormFrozen)
    }

    /// Returns the tied dictionary with another treatment of the decoder.
    pub const fn with_decoder(decoder: GatedDecoder) -> Self {
        Self { decoder, magnitude: Magnitude::Tied, input_bias: InputBias::Subtracted }
    }
}

impl Gated {
    /// Returns true if the auxiliary term trains the decoder.
    #[inline]
    fn trains_decoder(&self) -> bool {
        matches!(self.decoder, GatedDecoder::NormWeightedTrained | GatedDecoder::UnitNormTrained)
    }
}

impl<F: Float> Rule<F> for Gated {
    // An untied magnitude path is computed only where the gate is open, so such a dictionary never takes the dense path.
    fn dense(&self) -> Option<&dyn DenseRows<F>> {
        Some(self)
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

    #[inline]
    fn amount(&self, entry: &Entry<F>, norm: F) -> (F, F) {
        (entry.gate * norm, F::one())
    }

    #[inline]
    fn local(&self, _: [F; 3], entry: &mut Entry<F>, dot: F, dot_aux: F, penalty: F) {
        entry.d_code = if entry.code > F::zero() { dot + dot } else { F::zero() };
        entry.d_gate = penalty + dot_aux + dot_aux;
    }

    #[inline]
    fn norm_pull(&self, _: [F; 3], entry: &Entry<F>, _: F, lambda: F) -> F {
        lambda * entry.gate
    }

    #[inline]
    fn contribution(&self, [_, _, scale]: [F; 3], entry: &Entry<F>) -> Contribution<F> {
        let trained = self.trains_decoder();
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

impl<F: Float> Elementwise<F> for Gated {
    #[inline(always)]
    fn activate(&self, [b_gate, b_mag, scale]: [F; 3], latent: usize, product: F) -> (Entry<F>, bool) {
        let on = product + b_gate > F::zero();
        let mut new = entry(latent, product, b_gate, b_mag, scale);
        new.code = if on { new.code } else { F::zero() };
        new.gate = if on { new.gate } else { F::zero() };
        (new, on)
    }
}

words! {
    GatedDecoder {
        UnitNormFrozen = "unit_norm_frozen", UnitNormTrained = "unit_norm_trained",
        NormWeightedFrozen = "norm_weighted_frozen", NormWeightedTrained = "norm_weighted_trained"
    }
    Magnitude { Tied = "tied", TiedWithoutRescaling = "tied_without_rescaling", Untied = "untied" }
}

impl Describe for Gated {
    const NAME: &'static str = "gated";

    fn member(&self) -> Member {
        let unit = matches!(self.decoder, GatedDecoder::UnitNormFrozen | GatedDecoder::UnitNormTrained);
        let trains_decoder = self.trains_decoder();
        Member {
            per_latent: &["b_gate", "b_mag", "r_mag"],
            decoder: if unit { DecoderRows::UnitNorm } else { DecoderRows::Free },
            penalised: true,
            norm_weighted: !unit,
            trains_norms: self.decoder == GatedDecoder::NormWeightedTrained,
            untied: self.magnitude == Magnitude::Untied,
            second: Some(SecondDecode { weight: 1.0, trains_decoder, further: false }),
            ..Member::new(Self::NAME, self.input_bias)
        }
    }

    fn rule<F: Float>(&self) -> Option<&dyn Rule<F>> {
        Some(self)
    }

    fn set_input_bias(&mut self, input_bias: InputBias) {
        self.input_bias = input_bias;
    }

    fn write(&self, line: &mut Line) {
        line.word("decoder", self.decoder).word("magnitude", self.magnitude);
    }

    fn read(pairs: &Pairs<'_>, input_bias: InputBias) -> Result<Self, String> {
        let magnitude = pairs.word_or("magnitude", Magnitude::Tied)?;
        Ok(Self { decoder: pairs.word("decoder")?, magnitude, input_bias })
    }
}
