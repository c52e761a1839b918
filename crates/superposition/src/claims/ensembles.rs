//! Claims about trained ensembles: representation, correlation, memorisation, computation.

use crate::data::{Dependence, FeatureSets, FiniteData, RowNorm, Signed, Source, SparseFeatures};
use crate::ensemble::{Ensemble, EnsembleConfig};
use crate::geometry::{feature_dimensionality, feature_norms};
use crate::models::{Activation, ToyModel, TwoLayer, TwoLayerConfig, TwoLayerTarget};
use collimate_claims::{
    Claims, Exact, Mean, Meta, Outcome, Proportion, Study, Subject, Tier, larger, smaller,
};
use collimate_figures::{Chart, Series};
use collimate_grad::{Decay, ScheduleConfig, WarmUp};
use collimate_stream::RngStream;
use ndarray::Array2;
use std::sync::Arc;

const TOY_MODELS: &str = "Elhage et al. (2022), Toy Models of Superposition";

/// Returns a run with 256 samples per step whose learning rate falls from `peak` along half a cosine.
fn settings(features: usize, hidden: usize, steps: u64, peak: f64) -> EnsembleConfig {
    EnsembleConfig {
        batch: 256,
        schedule: ScheduleConfig {
            peak,
            total_steps: steps,
            warm_up: WarmUp::None,
            decay: Decay::Cosine { to: 0.0 },
        },
        ..EnsembleConfig::new(features, hidden)
    }
}

/// Trains one model per source.
fn train(config: EnsembleConfig, sources: Vec<Arc<dyn Source>>, stream: &RngStream) -> Vec<ToyModel> {
    let steps = config.schedule.total_steps;
    let mut ensemble = Ensemble::new(config, stream).expect("a valid configuration");
    for source in sources {
        ensemble.add(source).expect("as many features as importances");
    }
    ensemble.run(steps).expect("finite gradients");
    ensemble.models()
}

fn uniform(features: usize, p: f64) -> Arc<dyn Source> {
    Arc::new(SparseFeatures::uniform(features, p).expect("a probability"))
}

fn frobenius(w: &Array2<f64>) -> f64 {
    w.iter().map(|x| x * x).sum()
}

/// Returns Kendall's rank correlation of a list with its own order. Ties count half.
fn order(values: &[f64]) -> f64 {
    let pairs = (0..values.len()).flat_map(|i| (0..i).map(move |j| (j, i)));
    let (mut sum, mut count) = (0.0, 0.0);
    for (i, j) in pairs {
        sum += if values[j] > values[i] { 1.0 } else { -f64::from(u8::from(values[j] < values[i])) };
        count += 1.0;
    }
    sum / count
}

/// Returns the cosine of the two features of each pair `(2k, 2k + 1)`.
fn pair_cosines(w: &Array2<f64>) -> Vec<f64> {
    let norms = feature_norms(w);
    (0..w.ncols() / 2)
        .map(|k| w.column(2 * k).dot(&w.column(2 * k + 1)) / (norms[2 * k] * norms[2 * k + 1]).max(1e-12))
        .collect()
}

/// Returns the claims of this file.
pub(super) fn claims() -> Claims {
    Claims::new().extend(representation()).extend(dependence()).extend(computation())
}

fn representation() -> Claims {
    let linear = Meta::empirical(
        "superposition/linear-models-do-not-superpose",
        Subject::Superposition,
        "a trained linear model represents at most as many features as it has dimensions when their importances differ",
        "five features on 30 % of the time, importances 0.6^i, two dimensions; 6,000 steps of Adam at 3e-3 with a cosine, 256 \
         samples each; represented means a norm above 1/2. Supported above 0.9, refuted below 0.99, errors 1e-4",
    )
    .code("T13")
    .source(TOY_MODELS)
    .tier(Tier::Standard);
    let more = Meta::empirical(
        "superposition/sparsity-represents-more",
        Subject::Superposition,
        "the squared norm of the weights grows as features get sparser",
        "eight features in three dimensions at on-probabilities 1, 0.3, 0.1, 0.03; 1,000 steps of Adam at 3e-3 with a cosine; \
         Kendall's rank correlation of norm and order, bounds −1 to 1; supported above 0.5, refuted below 0.7, errors 1e-4",
    )
    .code("T18")
    .source(TOY_MODELS)
    .tier(Tier::Standard);
    let sticky = Meta::empirical(
        "superposition/dimensions-per-feature-stick-at-a-half",
        Subject::Superposition,
        "over a sweep of sparsities the dimensions per feature stay near 1/2 for longer than in a smooth fall",
        "400 features in 30 dimensions, 24 on-probabilities from 0.5 to 0.01 evenly in their logarithm, 10,000 steps of Adam at 1e-3, \
         1,024 samples each; upheld when models within 0.03 of 1/2 are at least twice as many as a constant speed in log D* over \
         the observed range would leave there",
    )
    .code("T19")
    .source(TOY_MODELS)
    .tier(Tier::Nightly);
    Claims::new()
        .with(Proportion::new(linear).hypotheses(0.9, 0.99).cap(1000).trial(|stream| {
            let mut config = settings(5, 2, 6000, 3e-3);
            config.activation = Activation::Linear;
            config.importance = (0..5).map(|i| 0.6_f64.powi(i)).collect();
            let model = train(config, vec![uniform(5, 0.3)], stream).remove(0);
            feature_norms(&model.w).iter().filter(|&&norm| norm > 0.5).count() <= 2
        }))
        .with(Mean::new(more).bounds(-1.0, 1.0).hypotheses(0.5, 0.7).cap(400).trial(|stream| {
            let sources = [1.0, 0.3, 0.1, 0.03].map(|p| uniform(8, p)).to_vec();
            let models = train(settings(8, 3, 1000, 3e-3), sources, stream);
            order(&models.iter().map(|model| frobenius(&model.w)).collect::<Vec<_>>())
        }))
        .with(Study::new(sticky).run(|context| {
            const MODELS: usize = 24;
            let on = |i: usize| 0.5 * 0.02_f64.powf(i as f64 / (MODELS - 1) as f64);
            let mut config = settings(400, 30, 10_000, 1e-3);
            config.batch = 1024;
            let sources = (0..MODELS).map(|i| uniform(400, on(i))).collect();
            let models = train(config, sources, &context.named_stream("models"));
            let share: Vec<f64> = models.iter().map(|model| 30.0 / frobenius(&model.w)).collect();
            let near = share.iter().filter(|d| (*d - 0.5).abs() <= 0.03).count() as f64;
            let (low, high) =
                share.iter().fold((f64::INFINITY, 0.0), |(low, high), &d| (smaller(low, d), larger(high, d)));
            let smooth = MODELS as f64 * (0.53_f64 / 0.47).ln() / (high / low).ln();
            let figure = Chart::new("Dimensions per feature over sparsity", "400 features in 30 dimensions.")
                .axes("one over the on-probability", "dimensions per feature")
                .log_x()
                .with(Series::line("", share.iter().enumerate().map(|(i, &d)| (1.0 / on(i), d))))
                .reference(0.5, "1/2")
                .figure();
            Outcome::of_margin(near - 2.0 * smooth)
                .trials(MODELS as u64)
                .note(format!("{near} models near 1/2, {smooth:.1} expected of a smooth fall"))
                .figure(figure)
        }))
}

fn dependence() -> Claims {
    let opposite = Meta::empirical(
        "superposition/exclusive-features-are-opposite",
        Subject::Superposition,
        "the directions of two features that exclude each other form an obtuse angle",
        "two exclusive pairs in two dimensions, each pair on 20 % of the time; 3,000 steps of Adam at 3e-3 with a cosine; both cosines \
         below 0. Supported above 0.5, refuted below 0.9, errors 1e-4",
    )
    .code("T20")
    .source(TOY_MODELS)
    .tier(Tier::Standard);
    let orthogonal = Meta::empirical(
        "superposition/correlated-features-are-orthogonal",
        Subject::Superposition,
        "the directions of two features that are always on together form a right angle",
        "two correlated pairs in two dimensions, each on 5 % of the time; as for exclusive pairs; both cosines within 0.3 of 0. \
         Supported above 0.5, refuted below 0.9, errors 1e-4",
    )
    .code("T20")
    .source(TOY_MODELS)
    .tier(Tier::Standard);
    let noise = Meta::counterexample(
        "superposition/interference-always-hurts",
        Subject::Superposition,
        "the loss of a linear model does not increase if the interference between its features is removed",
    )
    .code("T21")
    .source("Prieto et al. (2026): with correlated features interference is constructive");
    let points = Meta::empirical(
        "superposition/few-points-hide-features",
        Subject::Superposition,
        "a model with two dimensions gives its best features larger shares when it is trained on many points than on five",
        "60 features on 5 % of the time, 5 and 2,000 points of unit length; 4,000 steps of Adam at 3e-3 with a cosine, 32 samples each; the \
         five largest dimensionalities of features sum to more with many points. Supported above 0.5, refuted below 0.9, errors 1e-4",
    )
    .code("T26")
    .source("Henighan et al. (2023), Superposition, Memorization, and Double Descent")
    .tier(Tier::Standard);
    let pairs = |together, p| -> Arc<dyn Source> {
        Arc::new(FeatureSets::new(2, 2, p, together).expect("two pairs"))
    };
    Claims::new()
        .with(Proportion::new(opposite).hypotheses(0.5, 0.9).cap(400).trial(move |stream| {
            let model =
                train(settings(4, 2, 3000, 3e-3), vec![pairs(Dependence::Exclusive, 0.2)], stream).remove(0);
            pair_cosines(&model.w).iter().all(|&c| c < 0.0)
        }))
        .with(Proportion::new(orthogonal).hypotheses(0.5, 0.9).cap(400).trial(move |stream| {
            let model = train(settings(4, 2, 3000, 3e-3), vec![pairs(Dependence::Correlated, 0.05)], stream)
                .remove(0);
            pair_cosines(&model.w).iter().all(|&c| c.abs() < 0.3)
        }))
        .with(
            Exact::new(noise)
                .dims(&[("samples", 1..=64)])
                .names(&["samples", "degrees"])
                .input(|d, stream| Some((d[0], 15.0 * (1 + stream.below(5)) as f64)))
                .margin(|&(samples, degrees)| {
                    let Ok(source) = FeatureSets::new(1, 2, 1.0, Dependence::Correlated) else {
                        return f64::NAN;
                    };
                    let x = source.rows(samples, &mut RngStream::new(1, 0));
                    let (sin, cos) = f64::to_radians(degrees).sin_cos();
                    let loss = |across: f64| {
                        let error = |row: ndarray::ArrayView1<f64>| {
                            let first = cos * cos * row[0] + across * row[1] - row[0];
                            let second = sin * sin * row[1] + across * row[0] - row[1];
                            first * first + second * second
                        };
                        x.rows().into_iter().map(error).sum::<f64>() / samples as f64
                    };
                    loss(sin * cos) - loss(0.0)
                }),
        )
        .with(Proportion::new(points).hypotheses(0.5, 0.9).cap(400).trial(|stream| {
            let features = SparseFeatures::uniform(60, 0.05).expect("a probability");
            let best = |points: usize| {
                let data =
                    FiniteData::draw(&features, points, RowNorm::Unit, &mut stream.child(7)).expect("points");
                let mut config = settings(60, 2, 4000, 3e-3);
                config.batch = 32;
                let model = train(config, vec![Arc::new(data)], stream).remove(0);
                let mut shares = feature_dimensionality(&model.w).expect("finite").to_vec();
                shares.sort_by(|a, b| b.total_cmp(a));
                shares[..5].iter().sum::<f64>()
            };
            best(2000) > best(5)
        }))
}

fn computation() -> Claims {
    let absolute = Meta::theorem(
        "superposition/absolute-value-needs-two-neurons",
        Subject::Superposition,
        "two ReLU neurons per feature compute absolute values without error",
    )
    .code("T25")
    .source(TOY_MODELS);
    let naive = Meta::counterexample(
        "superposition/compression-beats-the-naive-loss",
        Subject::Superposition,
        "with clean labels a network that computes more ReLUs than it has neurons has a lower loss than a network that ignores some of them",
    )
    .code("T24")
    .source("Braun et al. (2025) saw less than the naive loss; Bhagat et al. (2026) trace it to a noisy term in the labels")
    .protocol(
        "40 features on 1 % of the time, uniform on [−1, 1], 20 neurons; 2,000 steps of Adam at 1e-2 with a cosine, 256 samples each; the \
         loss on 5,000 fresh samples is below 0.98 times that of ignoring 20 features and predicting their means. The belief is a rate of \
         0.9, refuted with error 1e-6 at 0.3 or less",
    )
    .tier(Tier::Standard);
    Claims::new()
        .with(
            Exact::new(absolute)
                .dims(&[("n", 1..=8)])
                .names(&["x"])
                .input(|d, stream| Some(Array2::from_shape_fn((1, d[0]), |_| stream.normal())))
                .admits(|x| x.iter().all(|v| v.abs() < 1e100))
                .margin(|x| match TwoLayer::absolute_value(x.ncols()).loss(x, &TwoLayerTarget::Absolute) {
                    Ok(loss) => -loss,
                    Err(_) => f64::NAN,
                }),
        )
        .with(Proportion::new(naive).hypotheses(0.3, 0.9).errors(1e-6, 1e-6).cap(60).trial(|stream| {
            let source = Signed(SparseFeatures::uniform(40, 0.01).expect("a probability"));
            let config = TwoLayerConfig::compressed(40, 20, None);
            let model = config.train(&source, 256, 2000, 1e-2, stream).expect("a valid configuration");
            let x = source.rows(5000, &mut stream.child(5));
            let target = TwoLayerTarget::Relu { mixing: None };
            let labels = target.of(&x);
            let ignored: f64 = (0..20).map(|i| labels.column(i).var(0.0)).sum();
            model.loss(&x, &target).is_ok_and(|loss| loss < 0.98 * ignored)
        }))
}
