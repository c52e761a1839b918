//! Claims about the one-active-feature loss and its polygons.

use super::extremes::largest;
use super::quotients::gradient_error;
use crate::ensemble::train_instances;
use crate::exact::{
    CriticalPolygon, Descent, DescentConfig, OneActive, UnusedFeatures, cross_talk, descend, own_error,
    staircase_levels,
};
use crate::figures::with_levels;
use collimate_claims::{Claims, Exact, Meta, Outcome, Proportion, Study, Subject};
use collimate_figures::{Chart, Series};
use collimate_stream::RngStream;

const CHEN: &str =
    "Chen et al. (2023), Dynamical versus Bayesian Phase Transitions in a Toy Model of Superposition";

/// The published losses in two dimensions: `(features, corners, unused biases on, loss)`.
const LOSSES: [(usize, usize, usize, f64); 16] = [
    (6, 3, 0, 0.16667),
    (6, 3, 1, 0.15972),
    (6, 3, 2, 0.15278),
    (6, 3, 3, 0.14583),
    (6, 4, 0, 0.11111),
    (6, 4, 1, 0.10417),
    (6, 4, 2, 0.09722),
    (6, 5, 0, 0.06874),
    (6, 5, 1, 0.06180),
    (6, 6, 0, 0.04819),
    (5, 4, 0, 0.06667),
    (5, 4, 1, 0.05667),
    (5, 5, 0, 0.01583),
    (4, 4, 0, 0.0),
    (7, 7, 0, 0.083271),
    (8, 8, 0, 0.115546),
];

/// The published polygons: `(corners, norm, bias)`.
const SHAPES: [(usize, f64, f64); 6] = [
    (3, 1.0, 0.0),
    (4, 1.0, 0.0),
    (5, 1.17046, -0.28230),
    (6, 1.32053, -0.61814),
    (7, 1.44839, -0.96691),
    (8, 1.55045, -1.29119),
];

const fn theorem(id: &'static str, code: &'static str, statement: &'static str) -> Meta {
    Meta::theorem(id, Subject::Superposition, statement).code(code).source(CHEN)
}

/// Returns the claims of this file.
pub(super) fn claims() -> Claims {
    exact().extend(descents())
}

/// Integrates `f` over `[0, 1]`, cut at `kink`, by Simpson's rule on many panels. It is independent of the closed form.
fn simpson(f: impl Fn(f64) -> f64, kink: f64) -> f64 {
    const PANELS: usize = 16;
    let cut = if kink > 0.0 && kink < 1.0 { kink } else { 0.5 };
    let piece = |low: f64, high: f64| {
        let width = (high - low) / PANELS as f64;
        (0..PANELS)
            .map(|i| {
                let (a, b) = (low + i as f64 * width, low + (i + 1) as f64 * width);
                (b - a) / 6.0 * (f(a) + 4.0 * f(0.5 * (a + b)) + f(b))
            })
            .sum::<f64>()
    };
    piece(0.0, cut) + piece(cut, 1.0)
}

fn exact() -> Claims {
    let closed = theorem(
        "superposition/one-active-closed-form",
        "T3",
        "the closed form of the one-active-feature loss equals the integral that defines it",
    );
    let slopes = theorem(
        "superposition/one-active-gradient",
        "T2",
        "the exact gradient of the one-active-feature loss is the limit of its difference quotients",
    );
    let losses = theorem(
        "superposition/polygon-losses",
        "T4",
        "the losses of four to eight features in two dimensions at every regular polygon agree with the published tables to 1e-5",
    );
    let shapes = theorem(
        "superposition/polygon-shapes",
        "T4",
        "the critical polygons have the published norms and biases, to 1e-5",
    );
    let critical = theorem(
        "superposition/polygons-are-critical",
        "T5",
        "a regular polygon that is critical in its norm and bias is critical in all parameters",
    );
    Claims::new()
        .with(
            Exact::new(closed)
                .names(&["g", "b"])
                .input(|_, stream| Some((2.0 * stream.normal(), stream.normal())))
                .admits(|(g, b)| g.abs() <= 10.0 && b.abs() <= 10.0)
                .margin(|&(g, b)| {
                    let relu = |x: f64| (g * x + b).max(0.0);
                    let other = simpson(|x| relu(x).powi(2), -b / g);
                    let own = simpson(|x| (x - relu(x)).powi(2), -b / g);
                    let error =
                        largest([cross_talk(g, b).value - other, own_error(g, b).value - own].map(f64::abs));
                    1e-11 - error / (1.0 + other + own)
                }),
        )
        .with(
            Exact::new(slopes)
                .dims(&[("r", 1..=3), ("c", 1..=6)])
                .names(&["r", "c", "point"])
                .input(|d, stream| {
                    let parameters = (d[0] + 1) * d[1];
                    Some((d[0], d[1], (0..parameters).map(|_| stream.normal()).collect::<Vec<f64>>()))
                })
                .margin(|(r, c, point)| gradient_margin(*r, *c, point)),
        )
        .with(
            Exact::new(losses)
                .dims(&[("row", 0..=LOSSES.len() - 1)])
                .names(&["features", "corners", "on", "published"])
                .input(|d, _| Some(LOSSES[d[0]]))
                .margin(|&(features, corners, on, published)| {
                    let polygon = CriticalPolygon::new(corners).expect("three to eight corners");
                    let (model, point) = polygon
                        .parameters(features, UnusedFeatures { on })
                        .expect("no more corners than features");
                    1e-5 - (model.loss(&point).expect("finite") - published).abs()
                }),
        )
        .with(
            Exact::new(shapes)
                .dims(&[("row", 0..=SHAPES.len() - 1)])
                .names(&["corners", "norm", "bias"])
                .input(|d, _| Some(SHAPES[d[0]]))
                .margin(|&(corners, norm, bias)| match CriticalPolygon::new(corners) {
                    Ok(polygon) => 1e-5 - largest([polygon.norm - norm, polygon.bias - bias].map(f64::abs)),
                    Err(_) => f64::NAN,
                }),
        )
        .with(
            Exact::new(critical)
                .dims(&[("corners", 3..=8), ("spare", 0..=3)])
                .names(&["corners", "spare"])
                .input(|d, _| Some((d[0], d[1])))
                .margin(|&(corners, spare)| {
                    let Ok(polygon) = CriticalPolygon::new(corners) else { return f64::NAN };
                    let (model, point) =
                        polygon.parameters(corners + spare, UnusedFeatures { on: spare }).expect("it fits");
                    let mut gradient = vec![0.0; point.len()];
                    model.loss_and_gradient(&point, &mut gradient).expect("finite");
                    1e-11 - largest(gradient.iter().map(|g| g.abs()))
                }),
        )
}

fn gradient_margin(hidden: usize, features: usize, point: &[f64]) -> f64 {
    let Ok(model) = OneActive::new(hidden, features) else { return f64::NAN };
    let mut exact = vec![0.0; point.len()];
    match model.loss_and_gradient(point, &mut exact) {
        Ok(_) => 1e-6 - gradient_error(|x| model.loss(x).unwrap_or(f64::NAN), point, &exact),
        Err(_) => f64::NAN,
    }
}

/// Draws a random start for six features in two dimensions: normal weights and biases with these standard deviations.
fn start(weights: f64, biases: f64, stream: &mut RngStream) -> Vec<f64> {
    OneActive::new(2, 6).expect("two and six").draw(weights, biases, stream)
}

/// Draws the start of most training code: small weights, no bias.
fn small_start(stream: &mut RngStream) -> Vec<f64> {
    start(0.1, 0.0, stream)
}

fn endpoint(start: &[f64]) -> Descent {
    let model = OneActive::new(2, 6).expect("two and six");
    let config = DescentConfig { gradient_tolerance: 1e-9, max_steps: 5000 };
    descend(|x, g| model.value_and_gradient(x, g), start, &config).expect("the tolerance is positive")
}

/// Returns the losses of the polygons among six features, with the biases of unused features on or off.
fn ladder() -> Vec<f64> {
    staircase_levels(6).expect("three to eight features").into_iter().map(|level| level.loss).collect()
}

fn on_the_ladder(value: f64) -> bool {
    ladder().iter().any(|rung| (value - rung).abs() < 2e-5)
}

fn descents() -> Claims {
    let endpoints = Meta::empirical(
        "superposition/descent-ends-at-polygons",
        Subject::Superposition,
        "from a small start, six features in two dimensions end at the loss of a regular polygon",
        "BFGS on the exact loss from normal weights of 0.1 and no bias; a trial succeeds when the gradient is below \
         1e-9 and the loss within 2e-5 of a polygon's, from triangle to hexagon, spare biases on or off. Supported above \
         0.9, refuted below 0.99, errors 1e-4",
    )
    .code("T6")
    .source(CHEN);
    let scale = Meta::counterexample(
        "superposition/every-start-ends-at-polygons",
        Subject::Superposition,
        "descent ends at the loss of a regular polygon whatever the size of the start",
    )
    .code("T6")
    .source("seven losses are often listed as all endpoints")
    .protocol(
        "as from a small start, with normal weights of 1 and biases of 0.1; the belief is a rate of 0.9, refuted with error \
         1e-6 at 0.75 or less. Large starts lose features for good: their outputs are never on",
    );
    let hexagon = Meta::counterexample(
        "superposition/descent-finds-the-hexagon",
        Subject::Superposition,
        "descent from a random start finds the global minimum, the hexagon",
    )
    .code("T7")
    .source("a picture of one trained model suggests it")
    .protocol("the same starts; the printed one ends higher than the hexagon by more than 1e-3");
    let staircase = Meta::empirical(
        "superposition/hexagon-base-rate",
        Subject::Superposition,
        "fewer than half of all random starts end at the hexagon",
        "200 starts as for the endpoints (1,000 and 10,000 in the larger tiers); Clopper–Pearson interval at 99.9 %; \
         supported when it lies below 0.5, refuted when above",
    )
    .code("T7")
    .source(CHEN);
    Claims::new()
        .with(Proportion::new(endpoints).hypotheses(0.9, 0.99).cap(2000).trial(|stream| {
            let end = endpoint(&small_start(stream));
            end.converged && on_the_ladder(end.value)
        }))
        .with(Proportion::new(scale).hypotheses(0.75, 0.9).errors(1e-6, 1e-6).cap(2000).trial(|stream| {
            let end = endpoint(&start(1.0, 0.1, stream));
            end.converged && on_the_ladder(end.value)
        }))
        .with(Exact::new(hexagon).inputs([20, 20, 20]).names(&["start"]).input(|_, stream| Some(small_start(stream))).margin(
            |start| {
                let best = ladder().into_iter().fold(f64::INFINITY, f64::min);
                1e-3 - (endpoint(start).value - best)
            },
        ))
        .with(Study::new(staircase).run(|context| {
            let starts: u64 = context.by_tier([200, 1000, 10_000]);
            let base = context.named_stream("starts");
            let mut values = train_instances(starts as usize, &base, |_, stream| Ok(endpoint(&small_start(stream)).value))
                .expect("a descent from a valid start");
            values.sort_by(f64::total_cmp);
            let best = ladder().into_iter().fold(f64::INFINITY, f64::min);
            let found = values.iter().filter(|&&v| v < best + 2e-5).count() as u64;
            let Ok(interval) = collimate_measure::Interval::clopper_pearson(found, starts, 0.999) else {
                return Outcome::inconclusive(collimate_claims::Why::Cap);
            };
            let outcome = match (interval.high < 0.5, interval.low > 0.5) {
                (true, _) => Outcome::upheld(),
                (_, true) => Outcome::refuted(),
                _ => Outcome::inconclusive(collimate_claims::Why::Cap),
            };
            let curve = values.iter().enumerate().map(|(i, &v)| ((i + 1) as f64 / starts as f64, v));
            let chart = Chart::new(
                "Where descent ends: six features in two dimensions",
                "Loss at the end of each descent, sorted. Each step is a regular polygon; +1: with the bias of one unused feature on.",
            )
            .axes("share of random starts", "loss")
            .with(Series::line("", curve));
            let reached: Vec<(f64, String)> = staircase_levels(6)
                .expect("three to eight features")
                .into_iter()
                .filter(|level| values.iter().any(|value| (value - level.loss).abs() < 2e-5))
                .map(|level| (level.loss, level.name()))
                .collect();
            let named: Vec<(f64, &str)> = reached.iter().map(|(loss, name)| (*loss, name.as_str())).collect();
            let chart = with_levels(chart, &named, |loss| loss, values.iter().copied());
            outcome
                .trials(starts)
                .estimate(found as f64 / starts as f64)
                .interval(interval)
                .note(format!("{found} of {starts} starts reached the hexagon"))
                .figure(chart.figure())
        }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A point at which feature 3 has slope 0.0018 and bias −0.00034. The third derivative is about 1/slope².
    const NEAR_A_CORNER: [f64; 12] = [
        0.3716150338660024,
        -0.5973665926532118,
        0.5788480457701725,
        0.04273702778521292,
        -2.22732499649235,
        -0.8334435065847837,
        0.7984014815400503,
        0.5436363240688787,
        -0.2209839871464607,
        -0.0003364012154595391,
        0.00033295988826588757,
        -0.5379837992015264,
    ];

    #[test]
    fn a_point_near_a_corner_does_not_refute_its_gradient_and_a_wrong_gradient_does() {
        assert!(gradient_margin(1, 6, &NEAR_A_CORNER) > 0.0);
        let model = OneActive::new(1, 6).unwrap();
        let mut exact = [0.0; 12];
        model.loss_and_gradient(&NEAR_A_CORNER, &mut exact).unwrap();
        for i in 0..exact.len() {
            let mut wrong = exact;
            wrong[i] += 1e-5;
            assert!(gradient_error(|x| model.loss(x).unwrap(), &NEAR_A_CORNER, &wrong) > 1e-6, "{i}");
        }
    }
}
