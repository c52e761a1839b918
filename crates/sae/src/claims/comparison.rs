//! The dictionaries that the claims on planted data compare, trained once for all of them.

use crate::presets::Preset;
use crate::{
    BiasStart, L1, Normalisation, Planted, Sae, SaeError, Size, Sums, SweepPoint, Trained, Training,
    TrainingConfig, epochs, evaluate,
};
use collimate_claims::{Context, Why};
use collimate_grad::WarmUp;
use collimate_stream::RngStream;
use ndarray::Array2;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A kind of dictionary in the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Contender {
    /// A preset with 32 latents.
    Preset(Preset),
    /// ReLU-L1 with 48 latents: what a gated dictionary's further parameters could have bought.
    WideRelu,
    /// The rescale-and-shift baseline of the ReLU-L1 dictionary.
    RescaleAndShift,
}

/// The ReLU-L1 dictionary.
pub(super) const RELU: Contender = Contender::Preset(Preset::Relu);
/// The gated dictionary of the paper.
pub(super) const GATED: Contender = Contender::Preset(Preset::Gated);

/// The protocol of the comparison on planted data, for all its claims.
pub(super) const PROTOCOL: &str = "Each training seed plants 24 directions in 16 dimensions (p = 0.08, amounts in [½, 3/2], no noise; \
    8192 rows to train on, 2048 held out) and trains every member at five λ from the same start on the same rows: 32 latents \
    (48 for the wide ReLU-L1), 400 updates of 128 rows, Adam. The learning rate of each member is the one among 1e-3, 3e-3 and 1e-2 \
    with the lowest mean training loss over the last tenth, at the middle λ on a seed of its own; then it is fixed. Curves are \
    interpolated linearly in log L0 and compared over what both reach. 99 % Student interval over the seeds; the \
    median of the seeds stands beside it";

/// The difference of the lower tiers from the nightly tier.
pub(super) const BELOW_NIGHTLY: &str = "5 seeds instead of 24: it tells effects of more than about twice their spread over seeds, not \
    small ones, and nothing about language models";

/// Fixed before the first run, so that the L0 of the contenders overlap.
const LADDER: [f64; 5] = [0.08, 0.15, 0.3, 0.6, 1.2];
const GATED_LADDER: [f64; 5] = [0.2, 0.4, 0.8, 1.6, 3.2];
const RATES: [f64; 3] = [1e-3, 3e-3, 1e-2];
const STEPS: u64 = 400;

impl Contender {
    /// All contenders. Rescale-and-shift comes last, since it starts from the ReLU-L1 dictionary.
    pub(super) const ALL: [Contender; 7] = [
        RELU,
        Contender::WideRelu,
        GATED,
        Contender::Preset(Preset::GatedUnfrozen),
        Contender::Preset(Preset::GatedWithoutR),
        Contender::Preset(Preset::GatedUntied),
        Contender::RescaleAndShift,
    ];

    /// Returns the name for tables and figures.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Preset(preset) => preset.name(),
            Self::WideRelu => "ReLU-L1, 1.5 times as wide",
            Self::RescaleAndShift => "rescale-and-shift of ReLU-L1",
        }
    }

    fn preset(self) -> Preset {
        match self {
            Self::Preset(preset) => preset,
            Self::WideRelu | Self::RescaleAndShift => Preset::Relu,
        }
    }

    fn penalty(self, rung: usize) -> f64 {
        match self {
            RELU | Self::WideRelu => LADDER[rung],
            Self::RescaleAndShift => 0.0,
            Self::Preset(_) => GATED_LADDER[rung],
        }
    }

    fn latents(self) -> usize {
        if self == Self::WideRelu { 48 } else { 32 }
    }
}

/// The rows of one seed.
struct Rows {
    train: Array2<f32>,
    held_out: Array2<f32>,
    seed: u64,
}

impl Rows {
    fn draw(stream: &mut RngStream) -> Self {
        let planted = Planted::random(24, 16, 0.08, 0.0, stream);
        Self { train: planted.rows(8192, stream), held_out: planted.rows(2048, stream), seed: stream.bits() }
    }

    fn train(
        &self,
        start: Sae<f32>,
        contender: Contender,
        l1: f64,
        rate: f64,
    ) -> Result<Trained<Sae<f32>>, SaeError> {
        let config = TrainingConfig {
            steps: STEPS,
            batch: 128,
            l1: L1::sum_over_dims(l1),
            learning_rate: rate,
            warm_up: WarmUp::Linear { steps: 50, from: 0.0 },
            sparsity_warm_up: 100,
            normalisation: Normalisation::None,
            bias_start: if contender == Contender::RescaleAndShift {
                BiasStart::Given
            } else {
                BiasStart::Mean
            },
            log_every: 10,
            ..TrainingConfig::default()
        };
        let order = &mut RngStream::named(self.seed, "order");
        Training::new(start, config)?.run(epochs(&self.train, 512, order), |_| ())
    }

    fn start(&self, contender: Contender) -> Result<Sae<f32>, SaeError> {
        let size = Size { d_model: 16, n_latents: contender.latents() };
        let variant = contender.preset().variant(0.0, size.n_latents)?;
        Sae::new(variant, size, &mut RngStream::named(self.seed, "init"))
    }
}

/// The dictionaries of all seeds, as their sums on held-out rows, one a λ.
pub(super) struct Comparison {
    pub(super) rates: BTreeMap<Contender, f64>,
    pub(super) seeds: Vec<BTreeMap<Contender, Vec<Sums>>>,
}

/// Returns the curve of L0 and explained variance of one contender and seed.
pub(super) fn curve(sums: &[Sums]) -> Vec<SweepPoint> {
    sums.iter().map(|sums| SweepPoint { l0: sums.l0(), value: sums.explained_variance() }).collect()
}

/// Returns the dictionaries of this run, trained on first use.
pub(super) fn comparison(context: &Context) -> Result<Arc<Comparison>, Why> {
    context.once("planted comparison", || {
        let failed = |error: SaeError| Why::Other(error.to_string());
        let base = RngStream::named(context.budget().seed, "planted comparison");
        let rates = learning_rates(context, &Rows::draw(&mut base.child(0))).map_err(failed)?;
        let seeds = context.by_tier([5, 5, 24]);
        // The seeds do not depend on the claim that runs first, so the claim's own streams are not used.
        let trained =
            context.map("seeds", seeds, |i, _| of_seed(&rates, &Rows::draw(&mut base.child(1 + i))));
        if context.interrupted() {
            return Err(Why::Interrupted);
        }
        let seeds = trained.into_iter().collect::<Result<_, _>>().map_err(failed)?;
        Ok(Comparison { rates, seeds })
    })
}

/// Chooses the learning rate of each contender by its loss on training rows, at the middle λ.
fn learning_rates(context: &Context, rows: &Rows) -> Result<BTreeMap<Contender, f64>, SaeError> {
    let middle = LADDER.len() / 2;
    let mut rates = BTreeMap::new();
    // Rescale-and-shift comes last and starts from the ReLU-L1 dictionary at its own rate.
    for contender in Contender::ALL {
        let start = if contender == Contender::RescaleAndShift {
            let l1 = rows.train(rows.start(RELU)?, RELU, LADDER[middle], rates[&RELU])?;
            l1.model.to_rescale_and_shift()?
        } else {
            rows.start(contender)?
        };
        let losses = context.map("rates", RATES.len() as u64, |i, _| {
            let rate = RATES[i as usize];
            let trained = rows.train(start.clone(), contender, contender.penalty(middle), rate);
            // A rate that diverges is not chosen.
            trained.map_or(f64::INFINITY, |trained| {
                let last = &trained.log[trained.log.len() - trained.log.len() / 10..];
                last.iter().map(|entry| entry.losses.total).sum::<f64>() / last.len() as f64
            })
        });
        let best = (0..losses.len()).min_by(|&i, &j| losses[i].total_cmp(&losses[j]));
        rates.insert(contender, RATES[best.unwrap_or(0)]);
    }
    Ok(rates)
}

fn of_seed(
    rates: &BTreeMap<Contender, f64>,
    rows: &Rows,
) -> Result<BTreeMap<Contender, Vec<Sums>>, SaeError> {
    let mut out: BTreeMap<Contender, Vec<Sums>> = BTreeMap::new();
    let mut push = |contender: Contender, sae: &Sae<f32>| -> Result<(), SaeError> {
        out.entry(contender).or_default().push(evaluate(sae.dictionary(), [rows.held_out.view()])?.sums);
        Ok(())
    };
    for rung in 0..LADDER.len() {
        for contender in
            Contender::ALL.into_iter().filter(|contender| *contender != Contender::RescaleAndShift)
        {
            let trained =
                rows.train(rows.start(contender)?, contender, contender.penalty(rung), rates[&contender])?;
            push(contender, &trained.model)?;
            if contender == RELU {
                let baseline = Contender::RescaleAndShift;
                let start = trained.model.to_rescale_and_shift()?;
                push(baseline, &rows.train(start, baseline, 0.0, rates[&baseline])?.model)?;
            }
        }
    }
    Ok(out)
}
