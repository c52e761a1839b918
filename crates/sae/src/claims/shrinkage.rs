//! The effect of training: an L1 dictionary shrinks its reconstructions, a gated one does not.

use crate::{
    Gated, L1, Normalisation, Planted, Relu, Sae, Size, Training, TrainingConfig, Variant, epochs, evaluate,
};
use collimate_claims::{Claims, Meta, Proportion, Subject, Tier};
use collimate_grad::WarmUp;
use collimate_stream::RngStream;

const SHRINKAGE: Meta = Meta::empirical(
    "sae/gated-resolves-shrinkage-on-planted-data",
    Subject::Sae,
    "trained on planted data at a similar L0, an L1 dictionary has γ < 0.95 and a gated one |γ − 1| < 0.02",
    "each trial plants 18 directions in 12 dimensions (p = 0.08, no noise), trains both dictionaries (36 latents, 800 steps of \
     256 rows, λ = 0.3 and 0.8, Adam 3e-3) from the same start on the same rows, and measures γ on 2000 held-out rows; \
     success when both bounds hold and the two L0 differ by less than a factor of two; supported when the success rate \
     exceeds 0.5, refuted when it is below 0.9; errors 1e-4",
)
.code("A9")
.source("Rajamanoharan et al. (2024), section 4.2 and figure 4 (on language models; here on planted data)")
.tier(Tier::Standard);

pub(super) fn claims() -> Claims {
    Claims::new().with(Proportion::new(SHRINKAGE).hypotheses(0.5, 0.9).errors(1e-4, 1e-4).cap(200).trial(
        |stream| {
            trial(stream).is_ok_and(|[relu, gated]| {
                let similar = relu.1 < 2.0 * gated.1 && gated.1 < 2.0 * relu.1;
                relu.0 < 0.95 && (gated.0 - 1.0).abs() < 0.02 && similar
            })
        },
    ))
}

/// Computes γ and L0 of the L1 and of the gated dictionary.
fn trial(stream: &mut RngStream) -> Result<[(f64, f64); 2], crate::SaeError> {
    let planted = Planted::random(18, 12, 0.08, 0.0, stream);
    let (rows, held_out) = (planted.rows(10_000, stream), planted.rows(2000, stream));
    let (seed, size) = (stream.bits(), Size { d_model: 12, n_latents: 36 });
    let run = |variant: Variant, l1: f64| -> Result<(f64, f64), crate::SaeError> {
        let config = TrainingConfig {
            steps: 800,
            batch: 256,
            l1: L1::sum_over_dims(l1),
            learning_rate: 3e-3,
            warm_up: WarmUp::Linear { steps: 50, from: 0.0 },
            sparsity_warm_up: 200,
            normalisation: Normalisation::None,
            log_every: 800,
            ..TrainingConfig::default()
        };
        let sae = Sae::<f32>::new(variant, size, &mut RngStream::named(seed, "init"))?;
        let trained = Training::new(sae, config)?
            .run(epochs(&rows, 512, &mut RngStream::named(seed, "order")), |_| ())?;
        let sums = evaluate(trained.model.dictionary(), [held_out.view()])?.sums;
        Ok((sums.gamma(), sums.l0()))
    };
    Ok([run(Relu::unit_norm().into(), 0.3)?, run(Gated::paper().into(), 0.8)?])
}
