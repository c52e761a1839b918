//! Claims about λ and m themselves.

use crate::{CrossingOracle, LearningCoefficient, NormalCrossing, Rational, deep_linear, reduced_rank};
use collimate_claims::{Claim, Exact, Meta, Subject};
use collimate_stream::RngStream;

/// The log t at which asymptotic statements are checked. It is so large that the next order is below the tolerance.
const LOG_T: f64 = 200.0;

/// The tolerance for the next orders at [`LOG_T`], for powers up to 4.
const TOLERANCE: f64 = 5e-3;

fn crossing(powers: &[usize], prior: &[usize]) -> Option<NormalCrossing> {
    let small = |x: &[usize]| x.iter().map(|&x| x as u32).collect();
    NormalCrossing::new(small(powers), small(prior)).ok()
}

fn numbers(n: usize, below: usize, stream: &mut RngStream) -> Vec<usize> {
    (0..n).map(|_| stream.below(below)).collect()
}

fn within(x: &[usize], low: usize, high: usize) -> bool {
    x.iter().all(|x| (low..=high).contains(x))
}

/// Returns the tolerance minus the distance of a tempered value at `log t` from `λ − (m − 1)/log t`.
fn asymptotic_margin(tempered: f64, expected: &LearningCoefficient) -> f64 {
    TOLERANCE - super::laplace::asymptotic_distance(tempered, expected, LOG_T)
}

pub(super) fn normal_crossing() -> impl Claim {
    let meta = Meta::theorem(
        "slt/normal-crossing-coefficient",
        Subject::Slt,
        "K = Π w_i^{2k_i} under a flat prior has λ = min 1/(2k_i), with the number of minimisers as multiplicity",
    )
    .code("L1")
    .source("Watanabe (2009), theorem 6.6")
    .protocol("exact (λ, m) against the tempered expectation by quadrature at log t = 200, to 5e-3");
    Exact::new(meta)
        .dims(&[("d", 1..=4)])
        .names(&["powers"])
        .input(|dims, stream| Some(numbers(dims[0], 4, stream).iter().map(|k| k + 1).collect::<Vec<usize>>()))
        .admits(|powers| within(powers, 1, 4))
        .margin(|powers| {
            let crossing = crossing(powers, &vec![0; powers.len()]).expect("positive powers");
            asymptotic_margin(
                CrossingOracle::new(&crossing).tempered_llc(LOG_T),
                &crossing.learning_coefficient(),
            )
        })
}

pub(super) fn vanishing_prior() -> impl Claim {
    let meta = Meta::theorem(
        "slt/vanishing-prior-coefficient",
        Subject::Slt,
        "under a prior Π |w_i|^{h_i}, λ = min (h_i + 1)/(2k_i), with the number of minimisers as multiplicity",
    )
    .code("L2")
    .source("Watanabe (2009), theorem 6.6")
    .protocol("exact (λ, m) against the tempered expectation by quadrature at log t = 200, to 5e-3");
    Exact::new(meta)
        .dims(&[("d", 1..=3)])
        .names(&["powers", "prior"])
        .input(|dims, stream| {
            let powers: Vec<usize> = numbers(dims[0], 4, stream).iter().map(|k| k + 1).collect();
            Some((powers, numbers(dims[0], 3, stream)))
        })
        .admits(|(powers, prior)| within(powers, 1, 4) && within(prior, 0, 2))
        .margin(|(powers, prior)| {
            let crossing = crossing(powers, prior).expect("positive powers");
            asymptotic_margin(
                CrossingOracle::new(&crossing).tempered_llc(LOG_T),
                &crossing.learning_coefficient(),
            )
        })
}

pub(super) fn any_prior() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/any-prior-keeps-lambda",
        Subject::Slt,
        "the learning coefficient does not depend on the prior",
    )
    .code("L3")
    .source("true only of priors that are positive at the singularity")
    .protocol("the tempered expectations under both priors by quadrature at log t = 200, to 1.5e-2");
    Exact::new(meta)
        .dims(&[("d", 1..=3)])
        .names(&["powers", "prior"])
        .input(|dims, stream| {
            let powers: Vec<usize> = numbers(dims[0], 3, stream).iter().map(|k| k + 1).collect();
            Some((powers, numbers(dims[0], 3, stream)))
        })
        .admits(|(powers, prior)| within(powers, 1, 3) && within(prior, 0, 3))
        .margin(|(powers, prior)| {
            let slope = |prior: &[usize]| {
                CrossingOracle::new(&crossing(powers, prior).expect("positive powers")).tempered_llc(LOG_T)
            };
            3.0 * TOLERANCE - (slope(&vec![0; powers.len()]) - slope(prior)).abs()
        })
}

pub(super) fn disjoint_sum() -> impl Claim {
    let meta = Meta::theorem(
        "slt/disjoint-sum",
        Subject::Slt,
        "for a sum over disjoint variables λ adds and the multiplicity is m₁ + m₂ − 1",
    )
    .code("L4")
    .source("Watanabe (2009), remark 7.2")
    .protocol("the exact sum against Z₁Z₂ by quadrature at log t = 200, to 5e-3");
    Exact::new(meta)
        .dims(&[("d₁", 1..=3), ("d₂", 1..=3)])
        .names(&["powers₁", "powers₂"])
        .input(|dims, stream| {
            let mut powers = |d| numbers(d, 3, stream).iter().map(|k| k + 1).collect::<Vec<usize>>();
            Some((powers(dims[0]), powers(dims[1])))
        })
        .admits(|(a, b)| within(a, 1, 3) && within(b, 1, 3))
        .margin(|(a, b)| {
            let [a, b] = [a, b].map(|k| crossing(k, &vec![0; k.len()]).expect("positive powers"));
            // Z of the sum is the product of both Z, so the tempered values add up.
            let tempered = [&a, &b].map(|k| CrossingOracle::new(k).tempered_llc(LOG_T));
            asymptotic_margin(
                tempered[0] + tempered[1],
                &a.learning_coefficient().sum(&b.learning_coefficient()),
            )
        })
}

pub(super) fn at_most_half_the_parameters() -> impl Claim {
    let meta = Meta::theorem(
        "slt/lambda-at-most-half-the-parameters",
        Subject::Slt,
        "λ ≤ d/2 for deep linear networks, with equality and m = 1 for a single layer, and 1 ≤ m ≤ d",
    )
    .code("L5")
    .source("Watanabe (2009), theorem 7.2");
    Exact::new(meta)
        .dims(&[("layers", 1..=5)])
        .names(&["widths", "rank"])
        .input(|dims, stream| {
            let widths: Vec<usize> = numbers(dims[0] + 1, 12, stream).iter().map(|h| h + 1).collect();
            let rank = stream.below(widths.iter().min().expect("two widths") + 1);
            Some((widths, rank))
        })
        .admits(|(widths, rank)| within(widths, 1, 40) && widths.iter().all(|h| h >= rank))
        .margin(|(widths, rank)| {
            let found = deep_linear(widths, *rank).expect("the domain admits only these");
            let d: usize = widths.windows(2).map(|w| w[0] * w[1]).sum();
            let room = d as f64 / 2.0 - found.lambda_f64();
            let multiplicity =
                f64::from(found.multiplicity - 1).min(d as f64 - f64::from(found.multiplicity));
            let regular =
                if widths.len() == 2 && found != LearningCoefficient::regular(d as u32) { -1.0 } else { 0.0 };
            room.min(multiplicity).min(regular)
        })
}

pub(super) fn coordinates() -> impl Claim {
    let meta = Meta::theorem(
        "slt/coordinate-invariance",
        Subject::Slt,
        "λ and m, and the free energy at every n, are the same in coordinates w_i = u_i^{p_i} with p_i odd",
    )
    .code("L6")
    .source("the zeta function is an integral")
    .protocol("(λ, m) exactly; log Z at log t = 8 by quadrature to 1e-9");
    Exact::new(meta)
        .dims(&[("d", 1..=3)])
        .names(&["powers", "prior", "halves of p − 1"])
        .input(|dims, stream| {
            let powers: Vec<usize> = numbers(dims[0], 3, stream).iter().map(|k| k + 1).collect();
            Some((powers, numbers(dims[0], 3, stream), numbers(dims[0], 3, stream)))
        })
        .admits(|(k, h, p)| within(k, 1, 3) && within(h, 0, 2) && within(p, 0, 2))
        .margin(|(k, h, p)| {
            let here = crossing(k, h).expect("positive powers");
            let p: Vec<u32> = p.iter().map(|&p| 2 * p as u32 + 1).collect();
            let there = here.in_powers(&p).expect("odd exponents");
            if here.learning_coefficient() != there.learning_coefficient() {
                return -1.0;
            }
            let [a, b] = [here, there].map(|k| CrossingOracle::new(&k).log_partition(8.0));
            1e-9 - (a - b).abs()
        })
}

pub(super) fn two_papers() -> impl Claim {
    let meta = Meta::theorem(
        "slt/two-papers-on-reduced-rank",
        Subject::Slt,
        "the four cases of Aoyagi and Watanabe (2005) are Aoyagi's (2024) formula for deep linear networks at two layers",
    )
    .code("L10")
    .source("Aoyagi & Watanabe (2005), main theorem; Aoyagi (2024), theorem 1");
    Exact::new(meta)
        .dims(&[("inputs", 1..=20), ("hidden", 1..=20), ("outputs", 1..=20)])
        .names(&["inputs", "hidden", "outputs", "rank"])
        .input(|dims, stream| {
            let smallest = dims.iter().min().expect("three widths");
            Some((dims[0], dims[1], dims[2], stream.below(smallest + 1)))
        })
        .admits(|&(m, h, n, r)| within(&[m, h, n], 1, 60) && r <= m.min(h).min(n))
        .margin(|&(m, h, n, r)| {
            let cases = reduced_rank(m, h, n, r).expect("the domain admits only these");
            let formula = deep_linear(&[m, h, n], r).expect("the domain admits only these");
            if cases == formula { 0.0 } else { -1.0 }
        })
}

/// Returns the largest change of λ over all exchanges of two widths.
fn reordering(widths: &[usize], rank: usize) -> Rational {
    let lambda = |w: &[usize]| deep_linear(w, rank).expect("the domain admits only these").lambda;
    let here = lambda(widths);
    let mut worst = Rational::new(0, 1);
    let mut order = widths.to_vec();
    for i in 0..widths.len() {
        for j in i + 1..widths.len() {
            order.swap(i, j);
            let difference = lambda(&order) - here;
            worst = worst.max(difference).max(-difference);
            order.swap(i, j);
        }
    }
    worst
}

fn network() -> impl Fn(&[usize], &mut RngStream) -> Option<Vec<usize>> {
    |dims, stream| Some(numbers(dims[0] + 1, 8, stream).iter().map(|h| h + 1).collect())
}

pub(super) fn width_order_at_rank_zero() -> impl Claim {
    let meta = Meta::theorem(
        "slt/width-order-at-rank-zero",
        Subject::Slt,
        "at true rank 0, λ of a deep linear network does not change when two widths change places",
    )
    .code("L11")
    .source("Lehalleur & Rimányi (2024)");
    Exact::new(meta)
        .dims(&[("layers", 1..=5)])
        .names(&["widths"])
        .input(network())
        .admits(|widths| widths.len() >= 2 && within(widths, 1, 20))
        .margin(|widths| -to_f64(reordering(widths, 0)))
}

/// Returns the increase of λ if a layer wider than all others is put between the first two.
fn widening(widths: &[usize], rank: usize) -> Rational {
    let lambda = |w: &[usize]| deep_linear(w, rank).expect("the domain admits only these").lambda;
    let mut wider = widths.to_vec();
    wider.insert(1, widths.iter().max().expect("two widths") + 1);
    lambda(&wider) - lambda(widths)
}

fn to_f64(x: Rational) -> f64 {
    *x.numer() as f64 / *x.denom() as f64
}

fn network_and_rank(dims: &[usize], stream: &mut RngStream) -> Option<(Vec<usize>, usize)> {
    let widths = network()(dims, stream)?;
    let rank = stream.below(widths.iter().min()? + 1);
    Some((widths, rank))
}

fn is_network((widths, rank): &(Vec<usize>, usize)) -> bool {
    widths.len() >= 2 && within(widths, 1, 20) && widths.iter().all(|h| h >= rank)
}

pub(super) fn wider_layer_does_not_raise() -> impl Claim {
    let meta = Meta::theorem(
        "slt/wider-layer-does-not-raise-lambda",
        Subject::Slt,
        "one more layer, wider than all others, does not raise λ of a deep linear network: depth alone is not complexity",
    )
    .code("L11")
    .source("ours: where the two new factors have full rank their product is a submersion, and λ is a minimum");
    Exact::new(meta)
        .dims(&[("layers", 1..=5)])
        .names(&["widths", "rank"])
        .input(network_and_rank)
        .admits(is_network)
        .margin(|(widths, rank)| -to_f64(widening(widths, *rank)))
}

pub(super) fn wider_layer_keeps_lambda() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/wider-layer-keeps-lambda",
        Subject::Slt,
        "one more layer, wider than all others, does not lower λ of a deep linear network: it restricts nothing",
    )
    .code("L11")
    .source("the zero set of a longer product has singular points of smaller codimension");
    Exact::new(meta)
        .dims(&[("layers", 1..=4)])
        .names(&["widths", "rank"])
        .input(network_and_rank)
        .admits(is_network)
        .margin(|(widths, rank)| to_f64(widening(widths, *rank)))
}

pub(super) fn width_order_at_any_rank() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/width-order-at-any-rank",
        Subject::Slt,
        "λ of a deep linear network never depends on the order of its widths",
    )
    .code("L11")
    .source("true at rank 0 only; the outer widths count for themselves at higher ranks");
    Exact::new(meta)
        .dims(&[("layers", 1..=4)])
        .names(&["widths", "rank"])
        .input(network_and_rank)
        .admits(is_network)
        .margin(|(widths, rank)| -to_f64(reordering(widths, *rank)))
}
