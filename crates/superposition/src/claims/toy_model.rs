//! Claims about trained toy models and the optimum of the linear model.

use crate::geometry::{feature_dimensionality, feature_norms};
use crate::models::{
    Activation, ToyLoss, ToyModel, ToyTrainingConfig, linear_expected_loss, linear_lowest_loss,
};
use collimate_claims::{Claim, Claims, Exact, Meta, Proportion, Study, Subject, Tier, larger};
use collimate_grad::{Batch, Objective, Scratch};
use collimate_stream::RngStream;
use ndarray::{Array1, Array2};

const TOY_MODELS: &str = "Elhage et al. (2022), Toy Models of Superposition";

/// Returns the claims of this file.
pub(super) fn claims() -> Claims {
    exact().extend(trained())
}

fn normals(m: usize, n: usize, stream: &mut RngStream) -> Array2<f64> {
    Array2::from_shape_fn((m, n), |_| stream.normal())
}

fn exact() -> Claims {
    let forward = Meta::theorem(
        "superposition/forward-matches-loops",
        Subject::Superposition,
        "the matrix form of the linear and the ReLU-output model equals the sums in its definition",
    )
    .code("T1")
    .source(TOY_MODELS);
    let gradient = Meta::theorem(
        "superposition/toy-gradient",
        Subject::Superposition,
        "away from kinks the gradient of the toy loss is the limit of its difference quotients",
    )
    .code("T2")
    .source("calculus");
    let bound = Meta::theorem(
        "superposition/linear-loss-bound",
        Subject::Superposition,
        "the loss of a linear model with m dimensions is at least the sum of the n − m smallest products of importance and variance",
    )
    .code("T12")
    .source(TOY_MODELS);
    let attained = Meta::theorem(
        "superposition/linear-optimum-drops-the-least",
        Subject::Superposition,
        "a linear model that keeps the m features of largest importance times variance attains the lowest loss",
    )
    .code("T12")
    .source(TOY_MODELS);
    let sizes = [("m", 1..=4), ("n", 1..=6)];
    Claims::new()
        .with(
            Exact::new(forward)
                .dims(&[("m", 1..=4), ("n", 1..=6), ("relu", 0..=1)])
                .names(&["w", "b", "x", "relu"])
                .input(|d, stream| {
                    let (w, b) = (normals(d[0], d[1], stream), normals(1, d[1], stream).row(0).to_owned());
                    Some((w, b, normals(2, d[1], stream), d[2] == 1))
                })
                .margin(|(w, b, x, relu)| {
                    let activation = if *relu { Activation::Relu } else { Activation::Linear };
                    let model = ToyModel { w: w.clone(), b: b.clone(), activation };
                    let Ok(out) = model.forward(x) else { return f64::NAN };
                    let mut worst = 0.0_f64;
                    for ((s, i), found) in out.indexed_iter() {
                        let mut z = b[i];
                        for k in 0..w.nrows() {
                            let hidden: f64 = (0..w.ncols()).map(|j| w[[k, j]] * x[[s, j]]).sum();
                            z += w[[k, i]] * hidden;
                        }
                        let expected = if *relu { z.max(0.0) } else { z };
                        worst = larger(worst, (found - expected).abs() / (1.0 + z.abs()));
                    }
                    1e-12 - worst
                }),
        )
        .with(
            Exact::new(gradient)
                .dims(&sizes)
                .names(&["w", "b", "x"])
                .input(|d, stream| {
                    let (w, b) = (normals(d[0], d[1], stream), normals(1, d[1], stream).row(0).to_owned());
                    let x = normals(2, d[1], stream);
                    let pre = x.dot(&w.t()).dot(&w) + &b;
                    // Differences are not valid across a kink.
                    pre.iter().all(|z| z.abs() > 1e-2).then_some((w, b, x))
                })
                .margin(|(w, b, x)| gradient_margin(w, b, x)),
        )
        .with(
            Exact::new(bound)
                .dims(&sizes)
                .names(&["w", "b", "importance", "variance"])
                .input(|d, stream| {
                    let (w, b) = (normals(d[0], d[1], stream), normals(1, d[1], stream).row(0).to_owned());
                    let mut positive = || Array1::from_shape_fn(d[1], |_| stream.normal().exp());
                    Some((w, b, positive(), positive()))
                })
                .admits(|(w, b, importance, variance)| {
                    let bounded = |x: &f64| x.abs() < 1e3;
                    w.iter().all(bounded)
                        && b.iter().all(bounded)
                        && importance.iter().chain(variance).all(|&x| (0.0..1e3).contains(&x))
                })
                .margin(|(w, b, importance, variance)| {
                    let (importance, variance) = (importance.to_vec(), variance.to_vec());
                    let mean = vec![0.5; importance.len()];
                    let loss = linear_expected_loss(w, b, &importance, &mean, &variance);
                    match (loss, linear_lowest_loss(w.nrows(), &importance, &variance)) {
                        (Ok(loss), Ok(lowest)) => (loss - lowest) / (1.0 + lowest) + 1e-12,
                        _ => f64::NAN,
                    }
                }),
        )
        .with(
            Exact::new(attained)
                .dims(&sizes)
                .names(&["m", "importance", "variance"])
                .input(|d, stream| {
                    let mut positive = || Array1::from_shape_fn(d[1], |_| stream.normal().exp());
                    Some((d[0], positive(), positive()))
                })
                .margin(|(m, importance, variance)| {
                    let n = importance.len();
                    let worth = importance * variance;
                    let mut order: Vec<usize> = (0..n).collect();
                    order.sort_by(|&i, &j| worth[j].total_cmp(&worth[i]));
                    let mut w = Array2::zeros((*m, n));
                    for (k, &i) in order.iter().take(*m).enumerate() {
                        w[[k, i]] = 1.0;
                    }
                    let (importance, variance, mean) = (importance.to_vec(), variance.to_vec(), vec![0.5; n]);
                    // A dropped feature is predicted by its mean. A kept feature needs no bias.
                    let b =
                        Array1::from_shape_fn(
                            n,
                            |i| if order[..(*m).min(n)].contains(&i) { 0.0 } else { 0.5 },
                        );
                    let loss = linear_expected_loss(&w, &b, &importance, &mean, &variance);
                    match (loss, linear_lowest_loss(*m, &importance, &variance)) {
                        (Ok(loss), Ok(lowest)) => 1e-12 * (1.0 + lowest) - (loss - lowest).abs(),
                        _ => f64::NAN,
                    }
                }),
        )
}

fn gradient_margin(w: &Array2<f64>, b: &Array1<f64>, x: &Array2<f64>) -> f64 {
    const STEP: f64 = 1e-6;
    let Ok(loss) = ToyLoss::new(w.nrows(), Activation::Relu, vec![1.0; w.ncols()], x.clone()) else {
        return f64::NAN;
    };
    let point: Vec<f64> = w.iter().chain(b).copied().collect();
    let mut scratch = Scratch::new();
    let mut exact = vec![0.0; point.len()];
    let value = loss.loss_and_gradient_into(&point, Batch::All, &mut scratch, &mut exact);
    let mut moved = point.clone();
    let mut worst = 0.0_f64;
    for i in 0..point.len() {
        moved[i] = point[i] + STEP;
        let above = loss.loss(&moved, Batch::All, &mut scratch);
        moved[i] = point[i] - STEP;
        let below = loss.loss(&moved, Batch::All, &mut scratch);
        moved[i] = point[i];
        worst = larger(worst, ((above - below) / (2.0 * STEP) - exact[i]).abs());
    }
    1e-6 * (1.0 + value) - worst
}

fn train(on_probability: f64, stream: &mut RngStream) -> ToyModel {
    let config = ToyTrainingConfig { on_probability, ..ToyTrainingConfig::default() };
    config.train(stream).expect("a valid configuration")
}

fn is_pentagon(model: &ToyModel) -> bool {
    feature_dimensionality(&model.w).is_ok_and(|d| d.iter().all(|d| (d - 0.4).abs() < 0.03))
}

fn trained() -> Claims {
    let pentagon = Meta::empirical(
        "superposition/sparse-pentagon",
        Subject::Superposition,
        "five equally important features that are on 2 % of the time end as a pentagon in two dimensions",
        "3,000 steps of Adam at 3e-3 with a cosine, 256 fresh samples each, Xavier-normal start; a pentagon has all \
         dimensionalities within 0.03 of 2/5. Supported above 0.5, refuted below 0.9, errors 1e-6",
    )
    .code("T15")
    .source(TOY_MODELS)
    .tier(Tier::Standard);
    let always = Meta::counterexample(
        "superposition/pentagon-at-moderate-sparsity",
        Subject::Superposition,
        "five equally important features that are on 10 % of the time nearly always end as a pentagon",
    )
    .code("T16")
    .source("a picture of one trained model suggests it")
    .protocol("as for the sparse pentagon; nearly always means 0.97, refuted with error 1e-6 at a rate of 0.8 or less")
    .tier(Tier::Standard);
    let exactly = Meta::counterexample(
        "superposition/dense-features-fill-the-dimensions",
        Subject::Superposition,
        "five equally important features that are always on end with exactly two represented in two dimensions",
    )
    .code("T14")
    .source("the dense limit is described as principal components; equal importances leave it free to mix")
    .protocol("as above with on-probability 1; represented means a norm above 1/2; refuted with error 1e-6 below 0.9")
    .tier(Tier::Standard);
    let space = Meta::empirical(
        "superposition/training-uses-all-space",
        Subject::Superposition,
        "trained features in two dimensions have dimensionalities that sum to two",
        "as for the sparse pentagon, with an on-probability drawn log-uniformly from 0.02 to 1; the sum is at least 1.99. \
         Supported above 0.5, refuted below 0.9, errors 1e-6",
    )
    .code("T17")
    .source(TOY_MODELS)
    .tier(Tier::Standard);
    Claims::new()
        .with(Study::new(pentagon).run(move |context| {
            let rate = Proportion::new(pentagon)
                .hypotheses(0.5, 0.9)
                .errors(1e-6, 1e-6)
                .cap(400)
                .trial(|stream| is_pentagon(&train(0.02, stream)));
            let model = train(0.02, &mut context.named_stream("figure"));
            rate.run(context).figure(crate::figures::star(&model.w))
        }))
        .with(
            Proportion::new(always)
                .hypotheses(0.8, 0.97)
                .errors(1e-6, 1e-6)
                .cap(400)
                .trial(|stream| is_pentagon(&train(0.1, stream))),
        )
        .with(Proportion::new(exactly).hypotheses(0.6, 0.9).errors(1e-6, 1e-6).cap(400).trial(|stream| {
            feature_norms(&train(1.0, stream).w).iter().filter(|&&norm| norm > 0.5).count() == 2
        }))
        .with(Proportion::new(space).hypotheses(0.5, 0.9).errors(1e-6, 1e-6).cap(400).trial(|stream| {
            let on_probability = 0.02_f64.powf(stream.uniform());
            feature_dimensionality(&train(on_probability, stream).w).is_ok_and(|d| d.sum() >= 1.99)
        }))
}
