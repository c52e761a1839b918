//! Claims about polysemantic neurons without superposition.

use super::extremes::{largest, smaller};
use crate::geometry::{feature_dimensionality, interference};
use crate::neurons::{
    ParityCode, circular_code, level_code, linear_r_squared, neuron_top_share, read_level, rotated_code,
    turned_code, variance_kept,
};
use collimate_claims::{Claims, Exact, Meta, Proportion, Subject};
use ndarray::{Array2, ArrayRef2};
use std::collections::HashSet;

const CHAN: &str = "L. Chan (2022), Superposition is not 'just' neuron polysemanticity";

const fn theorem(id: &'static str, code: &'static str, statement: &'static str) -> Meta {
    Meta::theorem(id, Subject::Superposition, statement).code(code).source(CHAN)
}

/// Returns the largest deviation of a code from one dimension per feature, by three measures.
fn superposition(w: &ArrayRef2<f64>) -> f64 {
    let share = feature_dimensionality(w).expect("finite").mapv(|d| (1.0 - d).abs());
    let disturbed = interference(w).expect("finite");
    // Encoding and decoding by the same directions returns every feature.
    let decoded = w.t().dot(w) - Array2::<f64>::eye(w.ncols());
    largest(share.into_iter().chain(disturbed).chain(decoded.mapv(f64::abs)))
}

/// Returns the claims of this file.
pub(super) fn claims() -> Claims {
    let rotated = theorem(
        "superposition/rotated-features-do-not-interfere",
        "P1",
        "n orthogonal features in n neurons have a dimension each, no interference and an exact linear readout, under any rotation against the neurons",
    );
    let mixed = Meta::empirical(
        "superposition/polysemantic-without-superposition",
        Subject::Superposition,
        "after a random rotation of sixteen orthogonal features in sixteen neurons no feature makes up 80 % of any neuron",
        "rotations uniform over all; supported above 0.5, refuted below 0.9, errors 1e-6",
    )
    .code("P1")
    .source(CHAN);
    let implies = Meta::counterexample(
        "superposition/polysemanticity-implies-superposition",
        Subject::Superposition,
        "when no feature makes up more than half of a neuron, some features interfere",
    )
    .code("P2")
    .source(CHAN);
    let levels = theorem(
        "superposition/levels-need-a-bend",
        "P3",
        "q exclusive features encoded as levels of one neuron are read exactly by a tent function and by no linear readout",
    );
    let direction = Meta::counterexample(
        "superposition/every-feature-is-a-direction",
        Subject::Superposition,
        "a feature with several exclusive values is represented by a single direction",
    )
    .code("P4")
    .source("Engels et al. (2024): weekdays and months lie on circles");
    let parity = theorem(
        "superposition/parities-hide-from-linear-probes",
        "P5",
        "a linear readout explains nothing of features that are parities of at least two neurons, yet their joint state decodes exactly",
    );
    Claims::new()
        .with(
            Exact::new(rotated)
                .dims(&[("n", 1..=12)])
                .input(|d, stream| rotated_code(d[0], stream).ok())
                .margin(|w| 1e-12 - superposition(w)),
        )
        .with(Proportion::new(mixed).hypotheses(0.5, 0.9).errors(1e-6, 1e-6).cap(2000).trial(|stream| {
            let w = rotated_code(16, stream).expect("sixteen neurons");
            superposition(&w) < 1e-12
                && neuron_top_share(&w).expect("finite").iter().all(|&share| share < 0.8)
        }))
        .with(
            Exact::new(implies)
                .dims(&[("n", 2..=8)])
                .names(&["n", "degrees"])
                .input(|d, stream| Some((d[0], 15.0 * stream.below(7) as f64)))
                .admits(|&(n, degrees)| n >= 2 && (0.0..=90.0).contains(&degrees))
                .margin(|&(n, degrees)| {
                    let Ok(w) = turned_code(n, degrees) else { return f64::NAN };
                    let Ok(shares) = neuron_top_share(&w) else { return f64::NAN };
                    let polysemantic = shares.iter().any(|&share| share <= 0.5 + 1e-12);
                    if polysemantic { superposition(&w) - 0.01 } else { 1.0 }
                }),
        )
        .with(Exact::new(levels).dims(&[("q", 3..=8)]).names(&["q"]).input(|d, _| Some(d[0])).margin(|&q| {
            let Ok(code) = level_code(q) else { return f64::NAN };
            let mut margin = f64::INFINITY;
            for feature in 0..q {
                let truth = code.features.column(feature);
                let read = |(&h, &x): (&f64, &f64)| (read_level(h, feature + 1) - x).abs();
                let error = largest(code.activations.iter().zip(&truth).map(read));
                let Ok(fit) = linear_r_squared(&code.activations, &truth) else { return f64::NAN };
                margin = smaller(margin, smaller(1e-12 - error, 0.99 - fit));
            }
            margin
        }))
        .with(
            Exact::new(direction)
                .dims(&[("values", 2..=12)])
                .names(&["values"])
                .input(|d, _| Some(d[0]))
                .margin(|&values| {
                    let Ok(code) = circular_code(values) else { return f64::NAN };
                    variance_kept(&code.activations, 1).map_or(f64::NAN, |kept| kept - 1.0 + 1e-9)
                }),
        )
        .with(
            Exact::new(parity)
                .dims(&[("k", 3..=7)])
                .names(&["k", "seed"])
                .input(|d, stream| Some((d[0], stream.below(1 << 20) as u64)))
                .margin(|&(k, seed)| {
                    let Ok(code) = ParityCode::random(k, &mut collimate_stream::RngStream::new(seed, 0))
                    else {
                        return f64::NAN;
                    };
                    let all = code.representation();
                    let fit = largest(
                        all.features
                            .columns()
                            .into_iter()
                            .map(|feature| linear_r_squared(&all.activations, &feature).unwrap_or(f64::NAN)),
                    );
                    let states: HashSet<u32> = all
                        .features
                        .rows()
                        .into_iter()
                        .map(|row| row.iter().fold(0, |s, &x| 2 * s + u32::from(x > 0.5)))
                        .collect();
                    if states.len() == 1 << k { 1e-12 - fit } else { -1.0 }
                }),
        )
}
