//! The presets: each has a name, a member of the family and a configuration that trains it.
//!
//! Commands, claims and studies train from this one list. A caller that needs another number changes it in the
//! [`Variant`] or the [`TrainingConfig`] that a [`Recipe`] returns.

use crate::{
    AbsTopK, BatchTopK, Crosscoder, CrosscoderSparsity, Gated, GatedDecoder, JumpRelu, L1, Levels, Magnitude,
    MatchingPursuit, Matryoshka, Normalisation, PAnneal, PNorm, Relu, Resampling, SaeError, TopK,
    TrainingConfig, Variant,
};
use collimate_grad::{Decay, WarmUp};
use collimate_measure::ensure;

/// A member of the family with the choices that comparisons usually make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Preset {
    /// ReLU with an L1 penalty and decoder rows of length one.
    Relu,
    /// ReLU with the penalty Σ fᵖ, where p falls from 1 to 0.2 in the middle of the run.
    PNorm,
    /// The gated dictionary of the paper.
    Gated,
    /// The gated dictionary whose auxiliary term also trains the decoder: an ablation.
    GatedUnfrozen,
    /// The gated dictionary with r held at zero: an ablation.
    GatedWithoutR,
    /// The gated dictionary with separate magnitude weights: an ablation.
    GatedUntied,
    /// JumpReLU with the step penalty of the paper.
    JumpRelu,
    /// JumpReLU with a tanh penalty and log thresholds.
    JumpReluTanh,
    /// TopK with AuxK.
    TopK,
    /// BatchTopK with AuxK.
    BatchTopK,
    /// BatchTopK with AuxK, whose first eighth, quarter and half of the latents also reconstruct by themselves.
    Matryoshka,
    /// The k pre-activations of largest magnitude, with their signs.
    AbsTopK,
    /// Matching pursuit.
    MatchingPursuit,
    /// The crosscoder with an L1 penalty.
    Crosscoder {
        /// The number of layers in a row.
        layers: usize,
    },
    /// The crosscoder that keeps the largest codes of a batch, with AuxK.
    CrosscoderBatchTopK {
        /// The number of layers in a row.
        layers: usize,
    },
}

impl Preset {
    /// The presets for rows of a single layer.
    pub const ALL: [Self; 13] = [
        Self::Relu,
        Self::PNorm,
        Self::Gated,
        Self::GatedUnfrozen,
        Self::GatedWithoutR,
        Self::GatedUntied,
        Self::JumpRelu,
        Self::JumpReluTanh,
        Self::TopK,
        Self::BatchTopK,
        Self::Matryoshka,
        Self::AbsTopK,
        Self::MatchingPursuit,
    ];

    /// Returns the name for tables and figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Relu => "ReLU-L1",
            Self::PNorm => "p-norm",
            Self::Gated => "Gated",
            Self::GatedUnfrozen => "Gated, auxiliary decoder trained",
            Self::GatedWithoutR => "Gated without r",
            Self::GatedUntied => "Gated, untied",
            Self::JumpRelu => "JumpReLU",
            Self::JumpReluTanh => "JumpReLU, tanh penalty",
            Self::TopK => "TopK",
            Self::BatchTopK => "BatchTopK",
            Self::Matryoshka => "Matryoshka",
            Self::AbsTopK => "AbsTopK",
            Self::MatchingPursuit => "matching pursuit",
            Self::Crosscoder { .. } => "crosscoder",
            Self::CrosscoderBatchTopK { .. } => "BatchTopK crosscoder",
        }
    }

    /// Returns true if the sparsity is a number of latents, and false if it is the coefficient λ of a penalty.
    pub const fn selects(self) -> bool {
        matches!(
            self,
            Self::TopK
                | Self::BatchTopK
                | Self::Matryoshka
                | Self::AbsTopK
                | Self::MatchingPursuit
                | Self::CrosscoderBatchTopK { .. }
        )
    }

    /// Returns the member for a dictionary of `n_latents` latents.
    ///
    /// `sparsity` is the number of active latents of a row if the preset [selects](Preset::selects). Otherwise it is
    /// not used, since λ belongs to the training configuration. AuxK uses an eighth of the latents.
    ///
    /// The presets that keep the same number of latents in every row need a whole number: [`Preset::TopK`], [`Preset::AbsTopK`] and
    /// [`Preset::MatchingPursuit`]. The others keep a mean number over a batch, which can be a fraction.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] for fewer than 8 latents of [`Preset::Matryoshka`], and for a sparsity that is no whole number where
    /// one is needed.
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{TopK, Variant, presets::Preset};
    /// assert_eq!(Preset::TopK.variant(32.0, 1024)?, Variant::from(TopK::new(32).with_aux(128)));
    /// assert!(Preset::TopK.variant(3.7, 1024).is_err() && Preset::BatchTopK.variant(3.7, 1024).is_ok());
    /// # Ok::<(), collimate_sae::SaeError>(())
    /// ```
    pub fn variant(self, sparsity: f64, n_latents: usize) -> Result<Variant, SaeError> {
        let k_aux = (n_latents / 8).max(1);
        let batch = BatchTopK::new(sparsity).with_aux(k_aux);
        let magnitude = |magnitude| Gated { magnitude, ..Gated::paper() };
        Ok(match self {
            Self::Relu => Relu::unit_norm().into(),
            Self::PNorm => PNorm::power_sum(1.0).into(),
            Self::Gated => Gated::paper().into(),
            Self::GatedUnfrozen => Gated::with_decoder(GatedDecoder::UnitNormTrained).into(),
            Self::GatedWithoutR => magnitude(Magnitude::TiedWithoutRescaling).into(),
            Self::GatedUntied => magnitude(Magnitude::Untied).into(),
            Self::JumpRelu => JumpRelu::paper().into(),
            Self::JumpReluTanh => JumpRelu::tanh().into(),
            Self::TopK => TopK::new(whole(sparsity)?).with_aux(k_aux).into(),
            Self::BatchTopK => batch.into(),
            Self::Matryoshka => {
                let widths = [8, 4, 2, 1].map(|part| (n_latents / part) as u32);
                Matryoshka { batch, levels: Levels::new(&widths)? }.into()
            }
            Self::AbsTopK => AbsTopK::new(whole(sparsity)?).into(),
            Self::MatchingPursuit => MatchingPursuit::new(whole(sparsity)?).into(),
            Self::Crosscoder { layers } => Crosscoder::l1(layers).into(),
            Self::CrosscoderBatchTopK { layers } => {
                let sparsity =
                    CrosscoderSparsity::BatchTopK { k: batch.k, aux: batch.aux, threshold: batch.threshold };
                Crosscoder { layers, sparsity }.into()
            }
        })
    }
}

/// Returns the number of latents of every row.
fn whole(sparsity: f64) -> Result<usize, SaeError> {
    let allowed =
        "a whole number of latents for this preset (the presets that select over a batch take fractions)";
    // A fraction, a negative number and NaN become another number on the way to an integer and back.
    ensure(sparsity as usize as f64 == sparsity, "the sparsity", allowed, sparsity)?;
    Ok(sparsity as usize)
}

/// A preset with the numbers of one training run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// The preset.
    pub preset: Preset,
    /// The number of active latents of a row if the preset selects; otherwise λ beside a loss that sums over dimensions.
    pub sparsity: f64,
    /// The number of latents.
    pub n_latents: usize,
    /// The number of updates.
    pub steps: u64,
    /// The number of rows in a batch.
    pub batch: usize,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// The seed of the start, of the order of the rows and of resampling.
    pub seed: u64,
}

impl Recipe {
    /// Returns the member.
    ///
    /// # Errors
    /// As [`Preset::variant`].
    pub fn variant(&self) -> Result<Variant, SaeError> {
        self.preset.variant(self.sparsity, self.n_latents)
    }

    /// Returns the configuration.
    ///
    /// The learning rate rises over the first twentieth of the run (not at all below 20 steps) and falls to zero over the last fifth. A penalty
    /// rises over the first fifth. Latents that were inactive for an eighth of the rows are dead. ReLU, p-norm and gated
    /// dictionaries are resampled after each quarter of the first half.
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::presets::{Preset, Recipe};
    /// let recipe = Recipe { preset: Preset::Gated, sparsity: 0.5, n_latents: 64, steps: 400, batch: 128,
    ///     learning_rate: 1e-3, seed: 0 };
    /// let config = recipe.config();
    /// assert_eq!((config.penalty(399, 16), config.resampling.unwrap().every), (0.5, 100));
    /// ```
    pub fn config(&self) -> TrainingConfig {
        let Self { preset, sparsity, steps, batch, learning_rate, seed, .. } = *self;
        let resampling = Resampling {
            every: (steps / 4).max(1),
            until: steps / 2,
            encoder_scale: 0.2,
            rewarm_steps: (steps / 20).max(1),
        };
        let resampled = matches!(
            preset,
            Preset::Relu
                | Preset::PNorm
                | Preset::Gated
                | Preset::GatedUnfrozen
                | Preset::GatedWithoutR
                | Preset::GatedUntied
        );
        let anneal = PAnneal {
            start: steps / 5,
            end: (steps / 5 * 4 + steps % 5 * 4 / 5).max(steps / 5 + 1),
            p_end: 0.2,
            stages: 10,
            queue: 10,
        };
        TrainingConfig {
            steps,
            batch,
            l1: L1::sum_over_dims(if preset.selects() { 0.0 } else { sparsity }),
            learning_rate,
            // Below 20 steps a twentieth of the run is no step.
            warm_up: if steps < 20 { WarmUp::None } else { WarmUp::Linear { steps: steps / 20, from: 0.0 } },
            decay: Decay::LinearOverLast { share: 0.2, to: 0.0 },
            sparsity_warm_up: steps / 5,
            dead_after_rows: (steps.saturating_mul(batch as u64) / 8).max(1),
            resampling: resampled.then_some(resampling),
            p_anneal: matches!(preset, Preset::PNorm).then_some(anneal),
            log_every: (steps / 100).max(1),
            seed,
            normalisation: match preset {
                // The bandwidth 0.001 belongs to this scale.
                Preset::JumpRelu => Normalisation::UnitMeanSquareNorm,
                _ => Normalisation::ExpectedNormSqrtDim,
            },
            ..TrainingConfig::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_that_need_a_whole_number_refuse_a_fraction() {
        for preset in Preset::ALL {
            let whole = matches!(preset, Preset::TopK | Preset::AbsTopK | Preset::MatchingPursuit);
            assert!(preset.variant(3.0, 64).is_ok(), "{preset:?}");
            for sparsity in [3.7, -1.0, f64::NAN, 1e300] {
                assert_eq!(preset.variant(sparsity, 64).is_err(), whole, "{preset:?} at {sparsity}");
            }
        }
        let error = Preset::TopK.variant(3.7, 64).unwrap_err().to_string();
        assert!(error.contains("whole number") && error.ends_with("but is 3.7"), "{error}");
    }
}
