//! Hedging: a dictionary with too few latents mixes a feature with the features that are correlated with it.

use crate::error::StudyError;
use crate::synthetic::rows::SyntheticRows;
use crate::synthetic::training::SyntheticTraining;
use collimate_claims::{Claims, Meta, Proportion, Subject, Tier};
use collimate_sae::BiasStart;
use collimate_sae::presets::Preset;
use collimate_stream::RngStream;
use collimate_superposition::LowRank;
use ndarray::{Array2, array};

const HEDGES: Meta = Meta::empirical(
    "sae/narrow-dictionaries-hedge",
    Subject::Sae,
    "A dictionary with one latent for two features mixes the second feature into the first, with the sign of their correlation. It does not where the \
     features are independent.",
    "Two orthogonal features in 8 dimensions, the first three times as large, are on 30 % of the time each, under a Gaussian copula with correlation 0.64, \
     −0.64 or 0. One latent is trained: ReLU-L1 at λ = 0.05, 800 updates of 256 rows of 8,000, from the first of six starts that ends along the first \
     direction. A trial succeeds when the cosine of its decoder row with the second direction is above 0.04, below −0.04 and within 0.03 of 0. The bounds were \
     chosen on other seeds. Supported above a rate of 0.5, refuted below 0.9, errors 1e-3.",
)
.source("Chanin, Dulka, Garriga-Alonso (2025), Feature Hedging: Correlated Features Break Narrow Sparse Autoencoders")
.tier(Tier::Standard);

/// The number of starts that are tried until the latent points along the first feature.
const STARTS: u64 = 6;

pub(super) fn claims() -> Claims {
    Claims::new().with(Proportion::new(HEDGES).hypotheses(0.5, 0.9).errors(1e-3, 1e-3).cap(200).trial(
        |stream| {
            // Training that fails says nothing about hedging, so it must not count as a trial without success.
            let [with, against, free] =
                [0.8, -0.8, 0.0].map(|loading| mixed(stream, loading).expect("these sizes can be trained"));
            with > 0.04 && against < -0.04 && free.abs() < 0.03
        },
    ))
}

/// Computes the cosine of the single latent with the second feature.
fn mixed(stream: &mut RngStream, loading: f64) -> Result<f64, StudyError> {
    let seed = stream.bits();
    let source = LowRank::new(vec![0.3, 0.3], array![[0.8], [loading]])?;
    let mut directions: Array2<f64> = SyntheticRows::orthogonal(2, 8);
    directions.row_mut(0).mapv_inplace(|x| 3.0 * x);
    let synthetic = SyntheticRows::of(&source, directions, 8000, 10, &RngStream::named(seed, "hedging"))?;
    for start in 0..STARTS {
        let seed = seed.wrapping_add(start);
        let bias_start = BiasStart::Given;
        let recipe = SyntheticTraining {
            preset: Preset::Relu,
            n_latents: 1,
            sparsity: 0.05,
            steps: 800,
            bias_start,
            seed,
        };
        let sae = recipe.train(&synthetic)?.model;
        let row = sae.weights().w_dec.row(0).mapv(f64::from);
        // From some starts the latent finds the absence of a feature; such a start does not count.
        if row[0] > 0.5 {
            return Ok(row[1] / row.dot(&row).sqrt());
        }
    }
    Ok(f64::NAN)
}
