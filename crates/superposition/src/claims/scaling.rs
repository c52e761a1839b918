//! Claims about the loss over the number of hidden dimensions.

use super::decoding::log_slope;
use super::extremes::largest;
use crate::data::SparseFeatures;
use crate::ensemble::{ColumnLengths, Ensemble, EnsembleConfig};
use crate::error::SuperpositionError;
use crate::geometry::feature_norms;
use collimate_claims::{Claims, Context, Exact, Meta, Outcome, Study, Subject, Tier, Why};
use collimate_figures::{Chart, Figure, Series};
use collimate_grad::{Decay, ScheduleConfig, WarmUp};
use std::sync::Arc;

const LIU: &str = "Liu, Liu, Gore (2025), Superposition Yields Robust Neural Scaling";

/// The setting of a series of models over widths.
struct Sweep {
    on_probability: Vec<f64>,
    widths: &'static [usize],
    steps: u64,
    schedule: ScheduleConfig,
    batch: usize,
    lengths: ColumnLengths,
    /// The standard deviation of starting biases. `None` is the default start of the ensemble.
    start: Option<f64>,
}

/// The result of a sweep.
struct Swept {
    /// The width of each model and its loss over the last twelfth of the run.
    points: Vec<(f64, f64)>,
    /// The number of features longer than one half, for each model.
    represented: Vec<usize>,
}

impl Sweep {
    /// Returns the setting of the source: 1,000 features of frequencies `∝ i^(−exponent)`, one of them on in a sample on average.
    fn of_source(exponent: f64, lengths: ColumnLengths) -> Self {
        let share = |i: usize| ((i + 1) as f64).powf(-exponent);
        let whole: f64 = (0..1000).map(share).sum();
        Self {
            on_probability: (0..1000).map(|i| share(i) / whole).collect(),
            widths: &[10, 15, 25, 39, 63, 100],
            steps: 4000,
            schedule: ScheduleConfig {
                peak: 1e-2,
                total_steps: 4000,
                warm_up: WarmUp::Linear { steps: 400, from: 0.0 },
                decay: Decay::Cosine { to: 0.05 },
            },
            batch: 256,
            lengths,
            start: Some(0.5),
        }
    }

    fn run(&self, context: &mut Context) -> Result<Swept, SuperpositionError> {
        let n = self.on_probability.len();
        let mut swept = Swept { points: Vec::new(), represented: Vec::new() };
        for (done, &m) in self.widths.iter().enumerate() {
            context.progress(done as u64, self.widths.len() as u64, "widths");
            let config = EnsembleConfig {
                batch: self.batch,
                schedule: self.schedule,
                lengths: self.lengths,
                ..EnsembleConfig::new(n, m)
            };
            let stream = context.named_stream("models").child(m as u64);
            let source = Arc::new(SparseFeatures::new(self.on_probability.clone())?);
            let mut ensemble = Ensemble::new(config, &stream)?;
            match self.start {
                None => ensemble.add(source)?,
                Some(biases) => {
                    let (mut draw, weights) = (stream.child(u64::MAX), (1.0 / m as f64).sqrt());
                    let size = |i: usize| if i < m * n { weights } else { biases };
                    let start: Vec<f64> = (0..(m + 1) * n).map(|i| size(i) * draw.normal()).collect();
                    ensemble.add_from(source, &start)?
                }
            };
            let last = self.steps / 12;
            ensemble.run(self.steps - last)?;
            swept.points.push((m as f64, ensemble.run(last)?[0]));
            let norms = feature_norms(&ensemble.model(0).w);
            swept.represented.push(norms.iter().filter(|&&norm| norm > 0.5).count());
        }
        Ok(swept)
    }
}

impl Swept {
    fn note(&self) -> String {
        let each: Vec<String> = self
            .points
            .iter()
            .zip(&self.represented)
            .map(|((m, loss), count)| format!("{m} dimensions: loss {loss:.5}, {count} features represented"))
            .collect();
        each.join("; ")
    }
}

fn figure(caption: &str, series: &[(String, &Swept)]) -> Figure {
    let mut chart = Chart::new("Loss over width", caption).axes("hidden dimensions", "loss").log_x().log_y();
    for (name, swept) in series {
        chart = chart.with(Series::line(name.clone(), swept.points.iter().copied()));
    }
    chart.figure()
}

/// Returns the claims of this file.
pub(super) fn claims() -> Claims {
    let width = Meta::empirical(
        "superposition/loss-falls-as-one-over-width",
        Subject::Superposition,
        "in strong superposition, where every feature keeps a direction of length near one, the loss falls as one over the number of dimensions, for any frequencies",
        "1,000 features of frequencies ∝ 1/i and ∝ 1/i², one on in a sample on average, in 10, 15, 25, 39, 63, 100 dimensions; columns drawn towards length one; \
         4,000 steps of Adam at 1e-2 after a warm-up of 400, falling along a cosine to a twentieth, 256 samples each (the source: 20,000 steps of \
         2,048). The slope of the loss over the last twelfth, on logarithmic axes, lies between −1.2 and −0.8 for both",
    )
    .code("T22")
    .source(LIU)
    .tier(Tier::Nightly);
    let few = Meta::counterexample(
        "superposition/one-over-width-without-strong-superposition",
        Subject::Superposition,
        "the loss of a model of sparse features falls as one over the number of dimensions, also if the features are not many more than the dimensions and their lengths are free",
    )
    .code("T22")
    .source("the law is for strong superposition and n ≫ m, and here neither holds: lengths are free, and the squared overlaps fall as (n − m)/(m(n − 1))")
    .protocol(
        "200 equally frequent features on 1 % of the time in 8, 12, 16, 24, 32, 48, 64 dimensions; 6,000 steps of Adam at 3e-3 with a cosine, \
         512 samples each; the belief is a slope between −1.2 and −0.8",
    )
    .tier(Tier::Nightly);
    let exponent = Meta::counterexample(
        "superposition/weak-scaling-forgets-the-data",
        Subject::Superposition,
        "if only the most frequent features are represented, the rate at which the loss falls with the width does not depend on their frequencies",
    )
    .code("T23")
    .source("Liu, Liu, Gore (2025): the slope is then inherited from the frequencies");
    Claims::new()
        .with(Study::new(width).run(|context| {
            let mut swept = Vec::new();
            for exponent in [1.0, 2.0] {
                match Sweep::of_source(exponent, ColumnLengths::DrawnToOne { strength: 1.0 }).run(context) {
                    Ok(one) => swept.push((exponent, one)),
                    Err(error) => return Outcome::inconclusive(Why::Invalid(error.to_string())),
                }
            }
            let slope = |(_, swept): &(f64, Swept)| log_slope(&swept.points);
            let off = largest(swept.iter().map(|one| (slope(one) + 1.0).abs()));
            let lines: Vec<(String, &Swept)> =
                swept.iter().map(|(e, swept)| (format!("frequencies ∝ 1/i^{e}"), swept)).collect();
            let caption = "1,000 features whose directions are drawn towards length one.";
            let outcome =
                Outcome::of_margin(0.2 - off).estimate(slope(&swept[0])).figure(figure(caption, &lines));
            swept.iter().fold(outcome, |outcome, one| {
                outcome.note(format!("exponent {}: slope {:.3}; {}", one.0, slope(one), one.1.note()))
            })
        }))
        .with(Study::new(few).run(|context| {
            let sweep = Sweep {
                on_probability: vec![0.01; 200],
                widths: &[8, 12, 16, 24, 32, 48, 64],
                steps: 6000,
                schedule: ScheduleConfig {
                    peak: 3e-3,
                    total_steps: 6000,
                    warm_up: WarmUp::None,
                    decay: Decay::Cosine { to: 0.0 },
                },
                batch: 512,
                lengths: ColumnLengths::Free,
                start: None,
            };
            match sweep.run(context) {
                Ok(swept) => {
                    let slope = log_slope(&swept.points);
                    let outcome =
                        Outcome::of_margin(0.2 - (slope + 1.0).abs()).estimate(slope).note(swept.note());
                    let outcome = outcome
                        .figure(figure("200 features, each on 1 % of the time.", &[(String::new(), &swept)]));
                    let found = format!("a slope of {slope:.3}");
                    if (slope + 1.0).abs() > 0.2 { outcome.counterexample(found) } else { outcome }
                }
                Err(error) => Outcome::inconclusive(Why::Invalid(error.to_string())),
            }
        }))
        .with(
            Exact::new(exponent)
                .names(&["one", "other"])
                .input(|_, stream| Some((stream.uniform_in(0.1, 1.0), stream.uniform_in(0.1, 1.0))))
                .admits(|&(one, other)| (0.1..=1.0).contains(&one) && (0.1..=1.0).contains(&other))
                .margin(|&(one, other)| {
                    let slope = |alpha: f64| {
                        let source =
                            SparseFeatures::zipf(1000, 1.0 + alpha, 1.0, 0.0).expect("a finite exponent");
                        let left = |m: usize| source.on_probability()[m..].iter().sum::<f64>() / 3.0;
                        (left(100) / left(10)).ln() / 10.0_f64.ln()
                    };
                    0.05 - (slope(one) - slope(other)).abs()
                }),
        )
}
