//! Dictionaries of every member of a comparison, trained on planted data once for all claims that compare them.

use crate::{
    BiasStart, Gated, GatedDecoder, L1, Magnitude, Normalisation, Planted, Relu, Sae, SaeError, Size, Sums,
    SweepPoint, Trained, Training, TrainingConfig, Variant, epochs, evaluate,
};
use collimate_claims::{Context, Tier, Why};
use collimate_grad::WarmUp;
use collimate_stream::RngStream;
use ndarray::Array2;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Member {
    /// ReLU-L1.
    L1,
    /// The same, half as many latents again: what a gated dictionary's further parameters could have bought.
    WideL1,
    /// Gated, as in the paper.
    Gated,
    /// With the decoder trained by the auxiliary term too.
    Unfrozen,
    /// With r held at zero.
    WithoutR,
    /// With magnitude weights of its own.
    Untied,
    /// Of the ReLU-L1 dictionary.
    RescaleAndShift,
}

/// How the comparison on planted data is made; said once for all its claims.
pub(super) const PROTOCOL: &str = "Each training seed plants 24 directions in 16 dimensions (p = 0.08, amounts in [½, 3/2], no noise; \
    8192 rows to train on, 2048 held out) and trains every member at five λ from the same start on the same rows: 32 latents \
    (48 for the wide ReLU-L1), 400 updates of 128 rows, Adam. The learning rate of each member is the one among 1e-3, 3e-3 and 1e-2 \
    with the lowest mean training loss over the last tenth, at the middle λ on a seed of its own; then it is fixed. Curves are \
    interpolated linearly in log L0 and compared over what both reach. 99 % Student interval over the seeds; the \
    median of the seeds stands beside it";

/// What runs below the nightly tier.
pub(super) const BELOW_NIGHTLY: &str = "5 seeds instead of 24: it tells effects of more than about twice their spread over seeds, not \
    small ones, and nothing about language models";

/// Fixed before the first run, so that the L0 of the members overlap.
const LADDER: [f64; 5] = [0.08, 0.15, 0.3, 0.6, 1.2];
const GATED_LADDER: [f64; 5] = [0.2, 0.4, 0.8, 1.6, 3.2];
const RATES: [f64; 3] = [1e-3, 3e-3, 1e-2];
const STEPS: u64 = 400;

impl Member {
    pub(super) const ALL: [Member; 7] = [
        Member::L1,
        Member::WideL1,
        Member::Gated,
        Member::Unfrozen,
        Member::WithoutR,
        Member::Untied,
        Member::RescaleAndShift,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::L1 => "ReLU-L1",
            Self::WideL1 => "ReLU-L1, 1.5 times as wide",
            Self::Gated => "Gated",
            Self::Unfrozen => "Gated, auxiliary decoder trained",
            Self::WithoutR => "Gated without r",
            Self::Untied => "Gated, untied",
            Self::RescaleAndShift => "rescale-and-shift of ReLU-L1",
        }
    }

    fn variant(self) -> Variant {
        let magnitude = |magnitude| Gated { magnitude, ..Gated::paper() }.into();
        match self {
            Self::L1 | Self::WideL1 | Self::RescaleAndShift => Relu::unit_norm().into(),
            Self::Gated => Gated::paper().into(),
            Self::Unfrozen => Gated::with_decoder(GatedDecoder::UnitNormTrained).into(),
            Self::WithoutR => magnitude(Magnitude::TiedWithoutRescaling),
            Self::Untied => magnitude(Magnitude::Untied),
        }
    }

    fn penalty(self, rung: usize) -> f64 {
        match self {
            Self::L1 | Self::WideL1 => LADDER[rung],
            Self::RescaleAndShift => 0.0,
            _ => GATED_LADDER[rung],
        }
    }

    fn latents(self) -> usize {
        if self == Self::WideL1 { 48 } else { 32 }
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
        member: Member,
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
            bias_start: if member == Member::RescaleAndShift { BiasStart::Given } else { BiasStart::Mean },
            log_every: 10,
            ..TrainingConfig::default()
        };
        let order = &mut RngStream::named(self.seed, "order");
        Training::new(start, config)?.run(epochs(&self.train, 512, order), |_| ())
    }

    fn start(&self, member: Member) -> Result<Sae<f32>, SaeError> {
        let size = Size { d_model: 16, n_latents: member.latents() };
        Sae::new(member.variant(), size, &mut RngStream::named(self.seed, "init"))
    }
}

/// The dictionaries of all seeds, as their sums on held-out rows, one a λ.
pub(super) struct Fleet {
    pub(super) rates: BTreeMap<Member, f64>,
    pub(super) seeds: Vec<BTreeMap<Member, Vec<Sums>>>,
}

/// The curve of L0 and explained variance of one member and seed.
pub(super) fn curve(sums: &[Sums]) -> Vec<SweepPoint> {
    sums.iter().map(|sums| SweepPoint { l0: sums.l0(), value: sums.explained_variance() }).collect()
}

/// The fleet of this tier and seed, trained by whoever asks first.
pub(super) fn fleet(context: &Context) -> Result<Arc<Fleet>, Why> {
    static MADE: Mutex<BTreeMap<(Tier, u64), Arc<Fleet>>> = Mutex::new(BTreeMap::new());
    let key = (context.tier(), context.budget().seed);
    // Held while it trains, so that a second claim waits instead of training the same.
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(fleet) = made.get(&key) {
        return Ok(fleet.clone());
    }
    let failed = |error: SaeError| Why::Other(error.to_string());
    let base = RngStream::named(key.1, "planted comparison");
    let rates = learning_rates(context, &Rows::draw(&mut base.child(0))).map_err(failed)?;
    let seeds = context.by_tier([5, 5, 24]);
    // The seeds do not depend on the claim that asks, so the claim's own streams are not used.
    let trained = context.map("seeds", seeds, |i, _| of_seed(&rates, &Rows::draw(&mut base.child(1 + i))));
    if context.interrupted() {
        return Err(Why::Interrupted);
    }
    let seeds = trained.into_iter().collect::<Result<_, _>>().map_err(failed)?;
    let fleet = Arc::new(Fleet { rates, seeds });
    made.insert(key, fleet.clone());
    Ok(fleet)
}

/// The learning rate of each member by its loss on training rows, at the middle λ.
fn learning_rates(context: &Context, rows: &Rows) -> Result<BTreeMap<Member, f64>, SaeError> {
    let middle = LADDER.len() / 2;
    let mut rates = BTreeMap::new();
    // Rescale-and-shift comes last and starts from the ReLU-L1 dictionary at its own rate.
    for member in Member::ALL {
        let start = if member == Member::RescaleAndShift {
            let l1 = rows.train(rows.start(Member::L1)?, Member::L1, LADDER[middle], rates[&Member::L1])?;
            l1.model.to_rescale_and_shift()?
        } else {
            rows.start(member)?
        };
        let losses = context.map("rates", RATES.len() as u64, |i, _| {
            let rate = RATES[i as usize];
            let trained = rows.train(start.clone(), member, member.penalty(middle), rate);
            // A rate that diverges is not chosen.
            trained.map_or(f64::INFINITY, |trained| {
                let last = &trained.log[trained.log.len() - trained.log.len() / 10..];
                last.iter().map(|entry| entry.losses.total).sum::<f64>() / last.len() as f64
            })
        });
        let best = (0..losses.len()).min_by(|&i, &j| losses[i].total_cmp(&losses[j]));
        rates.insert(member, RATES[best.unwrap_or(0)]);
    }
    Ok(rates)
}

fn of_seed(rates: &BTreeMap<Member, f64>, rows: &Rows) -> Result<BTreeMap<Member, Vec<Sums>>, SaeError> {
    let mut out: BTreeMap<Member, Vec<Sums>> = BTreeMap::new();
    let mut push = |member: Member, sae: &Sae<f32>| -> Result<(), SaeError> {
        out.entry(member).or_default().push(evaluate(sae, [rows.held_out.view()])?.sums);
        Ok(())
    };
    for rung in 0..LADDER.len() {
        for member in Member::ALL.into_iter().filter(|member| *member != Member::RescaleAndShift) {
            let trained = rows.train(rows.start(member)?, member, member.penalty(rung), rates[&member])?;
            push(member, &trained.model)?;
            if member == Member::L1 {
                let baseline = Member::RescaleAndShift;
                let start = trained.model.to_rescale_and_shift()?;
                push(baseline, &rows.train(start, baseline, 0.0, rates[&baseline])?.model)?;
            }
        }
    }
    Ok(out)
}
