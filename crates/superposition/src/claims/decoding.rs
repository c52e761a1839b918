//! Claims about the number of features that fit into a space, and about their decoding.

use super::extremes::largest;
use crate::geometry;
use crate::geometry::{guaranteed_sparsity, matching_pursuit};
use crate::neurons::rotated_code;
use collimate_claims::{
    Claims, ConfidenceSequence, Exact, Meta, Method, Outcome, Proportion, Study, Subject, Tier, Verdict, Why,
};
use collimate_figures::{Chart, Series};
use collimate_stream::RngStream;
use ndarray::{Array1, Array2, Axis};

const TROPP: &str = "Tropp (2004), Greed is Good";

/// Draws random directions of unit length.
fn directions(d: usize, n: usize, stream: &mut RngStream) -> Array2<f64> {
    let mut w = Array2::from_shape_fn((d, n), |_| stream.normal());
    for mut column in w.axis_iter_mut(Axis(1)) {
        let norm = column.dot(&column).sqrt();
        column /= norm;
    }
    w
}

/// Returns the axes of `m = 2^log` dimensions and the Walsh–Hadamard directions, after one random rotation. Their coherence is `1/√m`.
fn axes_and_waves(log: usize, stream: &mut RngStream) -> Option<Array2<f64>> {
    let m = 1usize << log;
    let sign = |a: usize, b: usize| if (a & b).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
    let both = Array2::from_shape_fn((m, 2 * m), |(k, i)| {
        if i < m { f64::from(u8::from(k == i)) } else { sign(k, i - m) / (m as f64).sqrt() }
    });
    Some(rotated_code(m, stream).ok()?.dot(&both))
}

/// Draws a code with `k` active features.
fn sparse_code(
    n: usize,
    k: usize,
    value: impl Fn(&mut RngStream) -> f64,
    stream: &mut RngStream,
) -> Array1<f64> {
    let mut x = Array1::zeros(n);
    for &i in stream.permutation(n).iter().take(k) {
        x[i] = value(stream);
    }
    x
}

/// Returns the largest error of the decoded code.
fn decoding_error(w: &Array2<f64>, x: &Array1<f64>) -> f64 {
    let active = x.iter().filter(|v| **v != 0.0).count();
    match matching_pursuit(w, &w.dot(x), active) {
        Ok(found) => largest((found - x).iter().map(|e| e.abs())),
        Err(_) => f64::NAN,
    }
}

/// Returns the claims of this file.
pub(super) fn claims() -> Claims {
    let room = Meta::empirical(
        "superposition/room-grows-exponentially",
        Subject::Superposition,
        "a number of random directions proportional to exp(ε²d/4) have pairwise cosines of at most ε, at least half of the time",
        "38 directions in 256 dimensions with ε = 1/4, where exp(ε²d/4) = 54.6 times √½; supported above 0.3, refuted below 0.5, \
         errors 1e-6",
    )
    .code("S16")
    .source("Johnson and Lindenstrauss (1984); a union bound");
    let recovers = Meta::theorem(
        "superposition/pursuit-recovers",
        Subject::Superposition,
        "orthogonal matching pursuit recovers every code with fewer active features than (1 + 1/μ)/2",
    )
    .code("S17")
    .source(TROPP);
    let beyond = Meta::counterexample(
        "superposition/pursuit-recovers-one-more",
        Subject::Superposition,
        "orthogonal matching pursuit also recovers codes with one active feature more than its guarantee covers",
    )
    .code("S18")
    .source(TROPP);
    let variance = Meta::theorem(
        "superposition/readout-interference",
        Subject::Superposition,
        "k − 1 other active random features disturb a linear readout with variance (k − 1)/m",
    )
    .code("S19")
    .source("Hänni et al. (2024); E (u·v)² = 1/m")
    .protocol(
        "four active features in eight dimensions; empirical-Bernstein interval at 1e-9, width below a tenth",
    );
    let dimensions = Meta::empirical(
        "superposition/linear-readout-needs-more-room",
        Subject::Superposition,
        "a linear readout of every k-sparse code needs dimensions that grow faster in k than the dimensions that matching pursuit needs for most codes",
        "256 random directions; a linear readout is exact when the k largest cosines of every feature sum below 1/2, matching \
         pursuit when it recovers 19 of 20 random codes; smallest of the sizes 2^(j/2) up to 2048; slopes against k = 1, 2, 3, 4 \
         on logarithmic axes, difference at least 0.3",
    )
    .code("S20")
    .source("Garg, Kleinberg, Peng (2026): k² against k, up to logarithms")
    .tier(Tier::Standard);
    Claims::new()
        .with(Proportion::new(room).hypotheses(0.3, 0.5).errors(1e-6, 1e-6).cap(2000).trial(|stream| {
            geometry::coherence(&directions(256, 38, stream)).is_ok_and(|mu| mu <= 0.25)
        }))
        .with(
            Exact::new(recovers)
                .dims(&[("log", 2..=5), ("fewer", 0..=2)])
                .names(&["w", "x"])
                .inputs([100, 200, 1000])
                .input(|d, stream| {
                    let w = axes_and_waves(d[0], stream)?;
                    let sure = guaranteed_sparsity(&w).ok()?;
                    let k = sure.checked_sub(d[1]).filter(|&k| k > 0)?;
                    let either = |s: &mut RngStream| if s.bernoulli(0.5) { 1.0 } else { -1.0 };
                    let x = sparse_code(w.ncols(), k, |s| (1.0 + s.uniform()) * either(s), stream);
                    Some((w, x))
                })
                .admits(|(w, x)| {
                    let unit = geometry::feature_norms(w).iter().all(|n| (n - 1.0).abs() < 1e-12);
                    let active = x.iter().filter(|v| **v != 0.0).count();
                    unit && w.ncols() == x.len()
                        && x.iter().all(|v| *v == 0.0 || (1e-3..1e3).contains(&v.abs()))
                        && guaranteed_sparsity(w).is_ok_and(|sure| active <= sure)
                })
                .margin(|(w, x)| 1e-8 - decoding_error(w, x)),
        )
        .with(
            Exact::new(beyond)
                .dims(&[("half", 1..=3)])
                .names(&["half", "seed"])
                .input(|d, stream| Some((d[0], stream.below(1 << 16) as u64)))
                .margin(|&(half, seed)| {
                    // All corners of a simplex sum to zero, so one half of them equals minus the other half.
                    let Ok(w) = geometry::simplex(2 * half + 1) else { return f64::NAN };
                    let Ok(sure) = guaranteed_sparsity(&w) else { return f64::NAN };
                    let x = sparse_code(w.ncols(), sure + 1, |_| 1.0, &mut RngStream::new(seed, 0));
                    1e-6 - decoding_error(&w, &x)
                }),
        )
        .with(Study::new(variance).run(|context| {
            const M: usize = 8;
            const OTHERS: usize = 3;
            let truth = OTHERS as f64 / M as f64;
            let base = context.named_stream("codes");
            // The sum of three cosines is at most 3, so its square divided by 9 lies in [0, 1].
            let scale = (OTHERS * OTHERS) as f64;
            let mut sequence = ConfidenceSequence::new(0.0, 1.0, 1e-9, Method::EmpiricalBernstein)
                .expect("constant bounds and error rate");
            for i in 0..400_000_u64 {
                let mut stream = base.child(i);
                let w = directions(M, OTHERS + 1, &mut stream);
                let readout = geometry::cosines(&w).row(0).sum() - 1.0;
                if sequence.push(readout * readout / scale).is_err() {
                    return Outcome::inconclusive(Why::Invalid("a squared readout left [0, 1]".to_owned()));
                }
                let interval = sequence.interval();
                let (low, high) = (scale * interval.low, scale * interval.high);
                let verdict = match (low <= truth && truth <= high, high - low) {
                    (false, _) => Verdict::Refuted,
                    (true, width) if width < 0.1 * truth => Verdict::Upheld,
                    _ => continue,
                };
                return Outcome::new(verdict).trials(i + 1).estimate(0.5 * (low + high));
            }
            Outcome::inconclusive(Why::Cap)
        }))
        .with(Study::new(dimensions).run(|context| {
            const N: usize = 256;
            let sizes: Vec<usize> = (4..=22).map(|j| 2.0_f64.powf(f64::from(j) / 2.0).round() as usize).collect();
            let base = context.named_stream("dictionaries");
            let (mut linear, mut greedy) = (Vec::new(), Vec::new());
            for k in 1..=4usize {
                let found = |sure: &dyn Fn(&Array2<f64>, &mut RngStream) -> bool| {
                    sizes.iter().copied().find(|&m| {
                        let mut stream = base.child((m * 8 + k) as u64);
                        let w = directions(m, N, &mut stream);
                        sure(&w, &mut stream)
                    })
                };
                let by_readout = found(&|w, _| {
                    let cosines = geometry::cosines(w);
                    cosines.rows().into_iter().enumerate().all(|(i, row)| {
                        let mut others: Vec<f64> =
                            row.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, c)| c.abs()).collect();
                        others.sort_by(|a, b| b.total_cmp(a));
                        others.iter().take(k).sum::<f64>() < 0.5
                    })
                });
                let by_pursuit = found(&|w, stream| {
                    (0..20).filter(|_| decoding_error(w, &sparse_code(N, k, |_| 1.0, stream)) < 1e-6).count() >= 19
                });
                let (Some(a), Some(b)) = (by_readout, by_pursuit) else {
                    return Outcome::inconclusive(Why::Cap);
                };
                linear.push((k as f64, a as f64));
                greedy.push((k as f64, b as f64));
            }
            let (steep, flat) = (log_slope(&linear), log_slope(&greedy));
            let figure = Chart::new(
                "Dimensions for 256 features of which k are active",
                "The smallest size at which every code is read linearly, and at which most codes are decoded.",
            )
            .axes("active features", "dimensions")
            .log_x()
            .log_y()
            .with(Series::line("linear readout", linear))
            .with(Series::line("matching pursuit", greedy))
            .figure();
            Outcome::of_margin(steep - flat - 0.3)
                .note(format!("slope {steep:.2} for the linear readout, {flat:.2} for matching pursuit"))
                .figure(figure)
        }))
}

/// Returns the least-squares slope on logarithmic axes.
pub(super) fn log_slope(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = logs.len() as f64;
    let (x, y) = logs.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x / count, b + y / count));
    let (over, under) =
        logs.iter().fold((0.0, 0.0), |(a, b), (u, v)| (a + (u - x) * (v - y), b + (u - x) * (u - x)));
    over / under
}
