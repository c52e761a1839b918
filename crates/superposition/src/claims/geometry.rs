//! Claims about dimensionality, interference and coherence.

use super::extremes::{largest, smaller};
use crate::geometry;
use crate::geometry::Spectrum;
use crate::neurons::{rotated_code, turned_code};
use collimate_claims::{
    Claims, ConfidenceSequence, Exact, Mean, Meta, Method, Outcome, Study, Subject, Verdict, Why,
};
use collimate_stream::RngStream;
use ndarray::{Array2, ArrayRef1, ArrayRef2, Axis};

const TOY_MODELS: &str = "Elhage et al. (2022), The Geometry of Superposition";
const SCHERLIS: &str = "Scherlis et al. (2022), Polysemanticity and Capacity in Neural Networks";
const PROOF: &str = "textbook mathematics";

const fn theorem(id: &'static str, code: &'static str, statement: &'static str) -> Meta {
    Meta::theorem(id, Subject::Superposition, statement).code(code).source(PROOF)
}

const fn belief(id: &'static str, code: &'static str, statement: &'static str) -> Meta {
    Meta::counterexample(id, Subject::Superposition, statement).code(code).source(PROOF)
}

/// Returns the claims of this file.
pub(super) fn claims() -> Claims {
    Claims::new().extend(inequalities()).extend(identities()).extend(beliefs()).extend(random_directions())
}

/// Draws a random matrix of rank at most `rank` whose columns have very different lengths, some of them zero.
fn matrix(m: usize, rank: usize, n: usize, spread: f64, stream: &mut RngStream) -> Array2<f64> {
    let mut w = all_nonzero(m, rank, n, spread, stream);
    for mut column in w.axis_iter_mut(Axis(1)) {
        if stream.bernoulli(0.1) {
            column.fill(0.0);
        }
    }
    w
}

/// Draws a matrix like [`matrix`], without zero columns.
fn all_nonzero(m: usize, rank: usize, n: usize, spread: f64, stream: &mut RngStream) -> Array2<f64> {
    let mut draw = |rows, columns| Array2::from_shape_fn((rows, columns), |_| stream.normal());
    let (left, right) = (draw(m, rank.min(m)), draw(rank.min(m), n));
    let mut w = left.dot(&right);
    for mut column in w.axis_iter_mut(Axis(1)) {
        column *= (spread * stream.normal()).exp();
    }
    w
}

fn finite(w: &ArrayRef2<f64>) -> bool {
    w.iter().all(|x| x.is_finite())
}

/// Returns true if the lengths of all nonzero columns lie within a factor of each other. False for the zero matrix.
fn comparable_columns(w: &ArrayRef2<f64>, factor: f64) -> bool {
    let norms = geometry::feature_norms(w);
    let largest = norms.fold(0.0_f64, |m, x| m.max(*x));
    largest > 0.0 && largest < 1e100 && norms.iter().all(|&x| x == 0.0 || x > largest / factor)
}

/// Returns true if every singular value is clearly zero or clearly not, so that the rank is certain.
fn clear_rank(w: &ArrayRef2<f64>) -> bool {
    let singular = Spectrum::of(&w.t()).singular_values;
    let largest = singular.fold(0.0_f64, |m, x| m.max(*x));
    finite(w)
        && comparable_columns(w, 1e3)
        && singular.iter().all(|&s| s > 1e-6 * largest || s < 1e-13 * largest)
}

fn dimensionality(w: &ArrayRef2<f64>) -> ndarray::Array1<f64> {
    geometry::feature_dimensionality(w).expect("inputs are finite")
}

fn largest_difference(a: &ArrayRef1<f64>, b: &ArrayRef1<f64>) -> f64 {
    largest(a.iter().zip(b).map(|(a, b)| (a - b).abs()))
}

fn inequalities() -> Claims {
    let unit_interval = theorem(
        "superposition/dimensionality-in-unit-interval",
        "S1",
        "the dimensionality of a feature lies between 0 and 1, and is 0 for a feature without direction",
    )
    .source(TOY_MODELS);
    let sum = theorem(
        "superposition/dimensionality-sum",
        "S2",
        "the dimensionalities of all features sum to at most the rank of the weight matrix",
    )
    .source(SCHERLIS);
    let leverage = theorem(
        "superposition/dimensionality-below-leverage",
        "S3",
        "no feature has a larger dimensionality than its leverage score",
    );
    let at_least_one = theorem(
        "superposition/dimensionality-at-least-one",
        "S4",
        "the dimensionalities of all features sum to at least 1 unless all weights are zero",
    )
    .source(SCHERLIS);
    let welch = theorem(
        "superposition/welch-bound",
        "S11",
        "among n directions in d dimensions some pair has a cosine of at least √((n − d)/(d(n − 1)))",
    )
    .source("Welch (1974)");
    let potential = theorem(
        "superposition/frame-potential",
        "S12",
        "the squared cosines of n directions in d dimensions sum to at least n²/d",
    )
    .source("Benedetto and Fickus (2003)");
    let sizes = [("m", 1..=6), ("n", 1..=12)];
    let ranked = [("m", 1..=6), ("rank", 1..=6), ("n", 1..=12)];
    Claims::new()
        .with(
            Exact::new(unit_interval)
                .dims(&sizes)
                .input(|d, stream| Some(matrix(d[0], d[0], d[1], 3.0, stream)))
                // Without shares so small that they round to 0: the convention for zero columns does not apply to them.
                .admits(|w| finite(w) && (w.iter().all(|&x| x == 0.0) || comparable_columns(w, 1e100)))
                .margin(|w| {
                    let norms = geometry::feature_norms(w);
                    let slack = |(&d, &norm): (&f64, &f64)| {
                        if (norm == 0.0) != (d == 0.0) { -1.0 } else { d.min(1.0 - d) + 1e-12 }
                    };
                    dimensionality(w).iter().zip(&norms).map(slack).fold(f64::INFINITY, smaller)
                }),
        )
        .with(
            Exact::new(sum)
                .dims(&ranked)
                .input(|d, stream| Some(matrix(d[0], d[1], d[2], 1.0, stream)))
                .admits(|w| clear_rank(w))
                .margin(|w| geometry::rank(w).expect("finite") as f64 - dimensionality(w).sum() + 1e-9),
        )
        .with(
            Exact::new(leverage)
                .dims(&ranked)
                .input(|d, stream| Some(matrix(d[0], d[1], d[2], 1.0, stream)))
                .admits(|w| clear_rank(w))
                .margin(|w| {
                    let leverage = geometry::leverage_scores(w).expect("finite");
                    leverage
                        .iter()
                        .zip(&dimensionality(w))
                        .map(|(l, d)| l - d + 1e-9)
                        .fold(f64::INFINITY, smaller)
                }),
        )
        .with(
            Exact::new(at_least_one)
                .dims(&sizes)
                .input(|d, stream| Some(matrix(d[0], d[0], d[1], 3.0, stream)))
                .admits(|w| finite(w) && comparable_columns(w, 1e12))
                .margin(|w| dimensionality(w).sum() - 1.0 + 1e-11),
        )
        .with(
            Exact::new(welch)
                .dims(&[("d", 1..=6), ("excess", 1..=8)])
                .input(|d, stream| Some(all_nonzero(d[0], d[0], d[0] + d[1], 1.0, stream)))
                .admits(|w| finite(w) && all_directions(w))
                .margin(|w| {
                    let bound = geometry::welch_bound(w.ncols(), w.nrows()).expect("at least one dimension");
                    geometry::coherence(w).expect("finite") - bound + 1e-12
                }),
        )
        .with(
            Exact::new(potential)
                .dims(&sizes)
                .input(|d, stream| Some(all_nonzero(d[0], d[0], d[1], 1.0, stream)))
                .admits(|w| finite(w) && all_directions(w))
                .margin(|w| tightness(w) - 1.0 + 1e-10),
        )
}

fn all_directions(w: &ArrayRef2<f64>) -> bool {
    geometry::feature_norms(w).iter().all(|&x| x > 0.0 && x < 1e100)
}

/// Returns the frame potential divided by its lower bound `n²/d`.
fn tightness(w: &ArrayRef2<f64>) -> f64 {
    let n = w.ncols() as f64;
    geometry::frame_potential(w).expect("finite") * w.nrows() as f64 / (n * n)
}

/// Returns one of the ideal arrangements. All of them are tight frames of unit vectors.
fn ideal(shape: usize, size: usize) -> Option<Array2<f64>> {
    match shape {
        0 => geometry::regular_polygon(size + 2).ok(),
        1 if size <= 16 => geometry::simplex(size).ok(),
        2 if size <= 16 => geometry::orthoplex(size).ok(),
        3 => Some(geometry::cube()),
        4 => geometry::square_antiprism(geometry::tight_half_height()).ok(),
        _ => geometry::regular_polygon(3).ok(),
    }
}

fn identities() -> Claims {
    let invariance = theorem(
        "superposition/dimensionality-invariance",
        "S5",
        "dimensionalities do not change under rotation of the hidden space, reordering of features (up to the same \
         reordering), change of signs, or a common scale",
    );
    let capacity = theorem(
        "superposition/capacity-is-dimensionality",
        "S6",
        "the capacity of Scherlis et al. is the dimensionality of Elhage et al. (2022)",
    )
    .source(SCHERLIS);
    let polytopes = theorem(
        "superposition/ideal-polytopes-share-equally",
        "S7",
        "in a tight frame of n unit vectors in d dimensions each has a dimensionality of d/n: 2/k in a k-gon, \
         d/(d + 1) in a simplex, 1/2 in an orthoplex, 3/8 in a cube",
    )
    .source(TOY_MODELS);
    let tight = theorem(
        "superposition/ideal-polytopes-are-tight",
        "S12",
        "polygons, simplices, orthoplexes, the cube and one square antiprism attain the smallest frame potential",
    )
    .source("Benedetto and Fickus (2003)");
    Claims::new()
        .with(
            Exact::new(invariance)
                .dims(&[("m", 1..=5), ("n", 1..=8)])
                .names(&["w", "degrees", "scale", "order"])
                .input(|d, stream| {
                    let w = matrix(d[0], d[0], d[1], 1.0, stream);
                    Some((w, stream.uniform_in(0.0, 90.0), stream.normal().exp(), stream.below(1000)))
                })
                .admits(|(w, degrees, scale, _)| {
                    finite(w)
                        && comparable_columns(w, 1e3)
                        && degrees.is_finite()
                        && (1e-3..1e3).contains(scale)
                })
                .margin(|(w, degrees, scale, order)| {
                    let mut stream = RngStream::new(*order as u64, 0);
                    let order = stream.permutation(w.ncols());
                    let turn = turned_code(w.nrows(), *degrees).expect("a finite angle");
                    let mut other = turn.dot(&w.select(Axis(1), &order)) * *scale;
                    for mut column in other.axis_iter_mut(Axis(1)) {
                        column *= if stream.bernoulli(0.5) { -1.0 } else { 1.0 };
                    }
                    1e-10
                        - largest_difference(
                            &dimensionality(&other),
                            &dimensionality(w).select(Axis(0), &order),
                        )
                }),
        )
        .with(
            Exact::new(capacity)
                .dims(&[("m", 1..=6), ("n", 1..=12)])
                .input(|d, stream| Some(matrix(d[0], d[0], d[1], 3.0, stream)))
                .admits(|w| finite(w) && comparable_columns(w, 1e9))
                .margin(|w| {
                    1e-12 - largest_difference(&geometry::capacity(w).expect("finite"), &dimensionality(w))
                }),
        )
        .with(
            Exact::new(polytopes)
                .dims(&[("shape", 0..=4), ("size", 1..=48)])
                .input(|d, _| ideal(d[0], d[1]))
                .margin(|w| {
                    let share = w.nrows() as f64 / w.ncols() as f64;
                    1e-12 - largest(dimensionality(w).iter().map(|d| (d - share).abs()))
                }),
        )
        .with(
            Exact::new(tight)
                .dims(&[("shape", 0..=4), ("size", 1..=48)])
                .input(|d, _| ideal(d[0], d[1]))
                .margin(|w| 1e-10 - (tightness(w) - 1.0).abs()),
        )
}

fn beliefs() -> Claims {
    let antiprism = belief(
        "superposition/equal-edge-antiprism",
        "S8",
        "in a square antiprism with equal edges every feature has a dimensionality of 3/8",
    )
    .source("Elhage et al. (2022): the line at 3/8 is called the square antiprism; it belongs to the tight one, and \
             to the cube");
    let identifies = belief(
        "superposition/dimensionality-identifies-geometry",
        "S9",
        "two arrangements of unit vectors in which all features have the same dimensionality have the same angles",
    )
    .source(TOY_MODELS);
    let rescaling = belief(
        "superposition/rescaling-one-feature",
        "S10",
        "doubling the length of one feature leaves all dimensionalities as they are",
    );
    Claims::new()
        .with(
            Exact::new(antiprism)
                .input(|_, _| geometry::square_antiprism(geometry::equal_edge_half_height()).ok())
                .margin(|w| 1e-6 - largest(dimensionality(w).iter().map(|d| (d - 0.375).abs()))),
        )
        .with(
            Exact::new(identifies)
                .dims(&[("pair", 0..=1)])
                .names(&["one", "other"])
                .input(|d, _| match d[0] {
                    // Two right-angled pairs turned by 45° against each other, and a square.
                    0 => {
                        let pairs = ndarray::concatenate(
                            Axis(1),
                            &[turned_code(2, 0.0).ok()?.view(), turned_code(2, 45.0).ok()?.view()],
                        );
                        Some((geometry::orthoplex(2).ok()?, pairs.ok()?))
                    }
                    _ => Some((geometry::cube(), ideal(4, 1)?)),
                })
                .margin(|(one, other)| {
                    if largest_difference(&dimensionality(one), &dimensionality(other)) > 1e-12 {
                        return 1.0;
                    }
                    let angles = |w: &Array2<f64>| {
                        let mut all: Vec<f64> = geometry::cosines(w).into_iter().collect();
                        all.sort_by(f64::total_cmp);
                        ndarray::Array1::from(all)
                    };
                    1e-6 - largest_difference(&angles(one), &angles(other))
                }),
        )
        .with(
            Exact::new(rescaling)
                .dims(&[("m", 1..=4), ("n", 1..=6)])
                .input(|d, stream| Some(Array2::from_shape_fn((d[0], d[1]), |_| stream.normal())))
                .admits(|w| finite(w) && all_directions(w))
                .margin(|w| {
                    let mut scaled = w.clone();
                    scaled.column_mut(0).mapv_inplace(|x| 2.0 * x);
                    1e-6 - largest_difference(&dimensionality(w), &dimensionality(&scaled))
                }),
        )
}

/// Draws random directions as normal vectors. A cosine does not depend on their lengths.
fn directions(d: usize, n: usize, stream: &mut RngStream) -> Array2<f64> {
    Array2::from_shape_fn((d, n), |_| stream.normal())
}

fn random_directions() -> Claims {
    let squared = theorem(
        "superposition/random-interference",
        "S13",
        "the squared cosine of two random directions in m dimensions has mean 1/m (checked at m = 8)",
    )
    .source("Liu, Liu and Gore (2025), Superposition Yields Robust Neural Scaling")
    .protocol(
        "Two-sided betting confidence sequence at 1e-9 on independent pairs. Upheld when the interval is narrower than \
         a tenth of 1/8 and holds 1/8, Refuted when it leaves 1/8 out.",
    );
    let coherence = Meta::empirical(
        "superposition/random-best-match-bound",
        Subject::Superposition,
        "the best of 512 random directions in 64 dimensions matches a random direction with a mean cosine below \
         √(2 ln n/d) = 0.4415",
        "independent draws, bounds −1 to 1; supported below 0.4415, refuted above 0.40",
    )
    .code("S14")
    .source("extreme values of normal variables");
    let floor = belief(
        "superposition/random-matches-look-good",
        "S15",
        "a mean max cosine similarity above 0.3 at d = 64 with 512 true features shows that features were recovered",
    )
    .source("common practice in sparse-autoencoder reports")
    .protocol(
        "mean max cosine of eight random directions against 512 others, bounds −1 to 1; the belief is that its mean \
         is at most 0.30, refuted with error 1e-6 when it is 0.35 or more",
    );
    Claims::new()
        .with(Study::new(squared).run(|context| {
            const M: usize = 8;
            let truth = 1.0 / M as f64;
            let base = context.named_stream("pairs");
            let mut sequence = ConfidenceSequence::new(0.0, 1.0, 1e-9, Method::EmpiricalBernstein)
                .expect("constant bounds and error rate");
            for i in 0..200_000_u64 {
                let mut stream = base.child(i);
                // A row of a random rotation against a fixed direction: only the angle counts.
                let rotation = rotated_code(M, &mut stream).expect("eight dimensions");
                if sequence.push(rotation[[0, 0]].powi(2)).is_err() {
                    return Outcome::inconclusive(Why::Invalid("a squared cosine left [0, 1]".to_owned()));
                }
                let interval = sequence.interval();
                let verdict =
                    match (interval.low <= truth && truth <= interval.high, interval.high - interval.low) {
                        (false, _) => Verdict::Refuted,
                        (true, width) if width < 0.1 * truth => Verdict::Upheld,
                        _ => continue,
                    };
                return Outcome::new(verdict).trials(i + 1).interval(interval);
            }
            Outcome::inconclusive(Why::Cap)
        }))
        .with(Mean::new(coherence).bounds(-1.0, 1.0).hypotheses(0.4415, 0.40).cap(20_000).trial(|stream| {
            let (one, others) = (directions(64, 1, stream), directions(64, 512, stream));
            geometry::mean_max_cosine(&one, &others).expect("finite directions")
        }))
        .with(Mean::new(floor).bounds(-1.0, 1.0).hypotheses(0.35, 0.30).errors(1e-6, 1e-6).cap(20_000).trial(
            |stream| {
                let (learned, truth) = (directions(64, 8, stream), directions(64, 512, stream));
                geometry::mean_max_cosine(&learned, &truth).expect("finite directions")
            },
        ))
}
