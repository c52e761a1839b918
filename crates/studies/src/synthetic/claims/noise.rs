//! Two dictionaries agree where there are features, and only by chance where there are none.

use super::recovery::small_world;
use crate::error::StudyError;
use crate::synthetic::rows::SyntheticRows;
use crate::synthetic::training::SyntheticTraining;
use collimate_claims::{Claims, Context, Meta, Outcome, Study, Subject, Tier};
use collimate_sae::presets::Preset;
use collimate_sae::{BiasStart, Matching};
use ndarray::Array2;

const NOISE: Meta = Meta::empirical(
    "sae/noise-has-no-features",
    Subject::Sae,
    "Dictionaries trained from two seeds on isotropic noise agree as much as random directions do, within 0.1 in MCC. On a small world of the same \
     size they agree more, by at least 0.2.",
    "30,000 rows of 32 independent normal numbers, and the small world of sae/members-recover-a-small-world. ReLU-L1 at λ = 0.5 has 64 latents and 1,500 \
     updates of 256 rows. The MCC of the two decoders is compared with the MCC of one decoder and random directions.",
)
.code("A23")
.source("the control that recovery needs; Heap et al. (2025) for random transformers")
.tier(Tier::Standard);

pub(super) fn claims() -> Claims {
    Claims::new().with(Study::new(NOISE).run(|context| StudyError::into_outcome(noise(context))))
}

/// Computes the MCC between the dictionaries of two seeds, and the MCC with random directions.
fn agreement(context: &Context, synthetic: &SyntheticRows) -> Result<[f64; 2], StudyError> {
    let mut seeds = context.named_stream("two seeds");
    let mut decoder = || -> Result<Array2<f64>, StudyError> {
        let recipe = SyntheticTraining {
            preset: Preset::Relu,
            n_latents: 64,
            sparsity: 0.5,
            steps: 1500,
            bias_start: BiasStart::Mean,
            seed: seeds.bits(),
        };
        Ok(recipe.train(synthetic)?.model.weights().w_dec.mapv(f64::from))
    };
    let (one, other) = (decoder()?, decoder()?);
    let matching = Matching::new(&one, &other).with_null(seeds.bits());
    let mcc = matching.iter().find(|m| m.measured.quantity.name == "MCC").expect("a matching has an MCC");
    Ok([mcc.measured.value, mcc.null.value])
}

fn noise(context: &mut Context) -> Result<Outcome, StudyError> {
    let mut stream = context.named_stream("noise");
    let rows = Array2::from_shape_simple_fn((30_000, 32), || stream.normal() as f32);
    let synthetic = SyntheticRows {
        directions: SyntheticRows::orthogonal(32, 32),
        held_out: rows.clone(),
        truth: Array2::zeros((0, 32)),
        rows,
    };
    let [on_noise, chance] = agreement(context, &synthetic)?;
    let [on_world, chance_there] = agreement(context, &small_world(context)?)?;
    let margin = (0.1 - (on_noise - chance).abs()).min(on_world - chance_there - 0.2);
    Ok(Outcome::of_margin(margin)
        .note(format!("noise: MCC {on_noise:.3} (chance {chance:.3})"))
        .note(format!("world: MCC {on_world:.3} (chance {chance_there:.3})")))
}
