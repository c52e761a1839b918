//! Claims about the discrete product rule as a score.

use super::order::normal;
use super::subjects::largest;
use crate::product_rule::{Channels, Companion, CrossTerm, Published, all_pairs};
use collimate_claims::{Claim, Exact, Meta, Subject, larger, smaller};
use ndarray::{Array1, Array2, Array3, Axis, s};

const SOURCE: &str = "Lemariey and Campergue (2024)";

/// The discrete product rule of queries and keys as a score of steps, of one head.
///
/// # Examples
/// ```
/// use collimate_attention::claims::{StepScores, product_rule_leibniz, product_rule_zero_on_constants};
/// use collimate_attention::product_rule::{Channels, CrossTerm, all_pairs};
/// use collimate_claims::{Budget, examine};
/// use ndarray::{Array2, Array3, s};
///
/// /// The product rule of calculus, in which both factors are taken before the step.
/// struct Continuous;
///
/// impl StepScores for Continuous {
///     fn published(&self, q: &Array2<f64>, k: &Array2<f64>) -> Array2<f64> {
///         let step = |x: &Array2<f64>| &x.slice(s![1.., ..]) - &x.slice(s![..-1, ..]);
///         &q.slice(s![..-1, ..]) * &step(k) + step(q) * &k.slice(s![..-1, ..])
///     }
///     fn all_pairs(&self, of: Channels, cross: CrossTerm, q: &Array2<f64>, k: &Array2<f64>) -> Array3<f64> {
///         all_pairs(of, cross, q, k).unwrap()
///     }
/// }
///
/// assert!(examine(&product_rule_zero_on_constants(Continuous), &Budget::quick()).upheld());
/// let report = examine(&product_rule_leibniz(Continuous), &Budget::quick());
/// assert!(report.refuted()); // Δq ⊙ Δk is missing
/// assert_eq!(report.outcome.counterexample.unwrap().dims, [("positions", 2), ("width", 1)]);
/// ```
pub trait StepScores: Send + Sync + 'static {
    /// Returns the score of each step `[t − 1, d]`, q ⊙ Δk + Δq ⊙ k, from queries and keys `[t, d]`.
    fn published(&self, q: &Array2<f64>, k: &Array2<f64>) -> Array2<f64>;

    /// Returns the score of each step of queries `[t, d]` with each step of keys `[s, d]`: `[1, t − 1, s − 1]`, or
    /// `[d, t − 1, s − 1]` by dimension.
    fn all_pairs(
        &self,
        channels: Channels,
        cross: CrossTerm,
        q: &Array2<f64>,
        k: &Array2<f64>,
    ) -> Array3<f64>;
}

/// The product rule of this crate.
pub(super) struct Own;

impl StepScores for Own {
    fn published(&self, q: &Array2<f64>, k: &Array2<f64>) -> Array2<f64> {
        Published::new(q, k).expect("one shape").per_dimension
    }

    fn all_pairs(
        &self,
        channels: Channels,
        cross: CrossTerm,
        q: &Array2<f64>,
        k: &Array2<f64>,
    ) -> Array3<f64> {
        all_pairs(channels, cross, q, k).expect("one width")
    }
}

/// Returns the published softmax of this crate over the summed scores.
pub(super) fn own_weights(q: &Array2<f64>, k: &Array2<f64>) -> Array2<f64> {
    Published::new(q, k).expect("one shape").weights(Channels::Summed)
}

/// Returns the companion scores of this crate.
pub(super) fn own_companions(which: Companion, q: &Array2<f64>, k: &Array2<f64>) -> Array2<f64> {
    which.scores(q, k).expect("one width")
}

fn rows(
    meta: Meta,
    positions: std::ops::RangeInclusive<usize>,
    margin: impl Fn(&Array2<f64>, &Array2<f64>) -> f64 + Send + Sync + 'static,
) -> impl Claim {
    Exact::new(meta.source(SOURCE))
        .dims(&[("positions", positions), ("width", 1..=4)])
        .names(&["q", "k"])
        .input(|dims, stream| Some((normal(stream, dims[0], dims[1]), normal(stream, dims[0], dims[1]))))
        .admits(|(q, k)| q.iter().chain(k).all(|x: &f64| x.abs() <= 1e3))
        .margin(move |(q, k)| margin(q, k))
}

/// Returns a bound on the rounding error of a sum of products of these numbers.
fn rounding(q: &Array2<f64>, k: &Array2<f64>) -> f64 {
    1e-13 * (1.0 + largest(q) * largest(k)) * q.len() as f64
}

/// Claims that the published score is the difference of products.
pub fn product_rule_leibniz(scores: impl StepScores) -> impl Claim {
    let meta = Meta::theorem(
        "attention/product-rule-leibniz",
        Subject::Attention,
        "the published score of a step, q ⊙ Δk + Δq ⊙ k of the next position, is the change of q ⊙ k over the step",
    );
    rows(meta, 1..=8, move |q, k| {
        let product = q * k;
        let change = &product.slice(s![1.., ..]) - &product.slice(s![..-1, ..]);
        rounding(q, k) - largest(&(scores.published(q, k) - change))
    })
}

/// Claims that the scores along a path sum to the difference of its ends, published and in all pairs.
pub fn product_rule_telescopes(scores: impl StepScores) -> impl Claim {
    let meta = Meta::theorem(
        "attention/product-rule-telescopes",
        Subject::Attention,
        "the published scores of all steps add up to q ⊙ k at the last position less q ⊙ k at the first, and the all-pairs \
         scores with cross term along any diagonal to ⟨q, k⟩ at its end less ⟨q, k⟩ at its beginning",
    );
    rows(meta, 2..=8, move |q, k| {
        let last = q.nrows() - 1;
        let sum = scores.published(q, k).sum_axis(Axis(0));
        let ends = &q.row(last) * &k.row(last) - &q.row(0) * &k.row(0);
        let pairs = scores.all_pairs(Channels::Summed, CrossTerm::With, q, k);
        let mut off = largest(&(sum - ends));
        for shift in 0..last {
            let along: f64 = (0..last - shift).map(|i| pairs[[0, i + shift, i]]).sum();
            let ends = q.row(last).dot(&k.row(last - shift)) - q.row(shift).dot(&k.row(0));
            off = larger(off, (along - ends).abs());
        }
        rounding(q, k) - off
    })
}

/// Claims that a constant sequence has scores of zero.
pub fn product_rule_zero_on_constants(scores: impl StepScores) -> impl Claim {
    let meta = Meta::theorem(
        "attention/product-rule-zero-on-constants",
        Subject::Attention,
        "a sequence whose queries and keys do not change has only scores that are exactly zero, published and in all pairs, with \
         and without cross term",
    );
    rows(meta, 1..=6, move |q, k| {
        let still = |x: &Array2<f64>| Array2::from_shape_fn(x.dim(), |(_, c)| x[[0, c]]);
        let (q, k) = (still(q), still(k));
        let mut off = largest(&scores.published(&q, &k));
        for channels in [Channels::Summed, Channels::PerDimension] {
            for cross in [CrossTerm::Without, CrossTerm::With] {
                off = larger(off, largest(&scores.all_pairs(channels, cross, &q, &k)));
            }
        }
        -off
    })
}

/// Claims that all weights of the published softmax of the summed form are 1. `weights` of queries and keys `[t, d]` are `[t − 1, 1]`.
pub fn product_rule_published_weights(
    weights: impl Fn(&Array2<f64>, &Array2<f64>) -> Array2<f64> + Send + Sync + 'static,
) -> impl Claim {
    let meta = Meta::theorem(
        "attention/product-rule-published-weights",
        Subject::Attention,
        "the published softmax of the summed product rule gives every step the weight 1, for all queries and keys",
    );
    rows(meta, 1..=6, move |q, k| {
        let weights = weights(q, k);
        let fits = weights.dim() == (q.nrows() - 1, 1);
        if fits { -largest(&(weights - 1.0)) } else { -1.0 }
    })
}

/// Claims that the diagonal of the all-pairs form is the published score.
pub fn product_rule_diagonal(scores: impl StepScores) -> impl Claim {
    let meta = Meta::theorem(
        "attention/product-rule-diagonal",
        Subject::Attention,
        "the published score of a step is the all-pairs score with cross term of the step with itself; no other pair occurs in it",
    );
    rows(meta, 1..=6, move |q, k| {
        let published = scores.published(q, k);
        let pairs = scores.all_pairs(Channels::PerDimension, CrossTerm::With, q, k);
        let diagonal = Array2::from_shape_fn(published.dim(), |(i, c)| pairs[[c, i, i]]);
        rounding(q, k) - largest(&(published - diagonal))
    })
}

/// Claims the invariances of each companion score `[t, s]` of queries `[t, d]` and keys `[s, d]`.
pub fn companion_invariances(
    scores: impl Fn(Companion, &Array2<f64>, &Array2<f64>) -> Array2<f64> + Send + Sync + 'static,
) -> impl Claim {
    let meta = Meta::theorem(
        "attention/companion-invariances",
        Subject::Attention,
        "the negative L1 and L2 distances do not change when all queries and keys move by one vector, nor the cosine when queries \
         are stretched by a positive number",
    )
    .source(SOURCE);
    Exact::new(meta)
        .dims(&[("queries", 1..=4), ("keys", 1..=4), ("width", 1..=4)])
        .names(&["q", "k", "shift", "stretch"])
        .input(|dims, stream| {
            let (q, k) = (normal(stream, dims[0], dims[2]), normal(stream, dims[1], dims[2]));
            Some((
                q,
                k,
                Array1::from_shape_simple_fn(dims[2], || stream.normal()),
                stream.uniform_in(0.1, 10.0),
            ))
        })
        .admits(|(q, k, shift, stretch)| {
            q.iter().chain(k).chain(shift).all(|x: &f64| x.abs() <= 100.0) && (0.01..=100.0).contains(stretch)
        })
        .margin(move |(q, k, shift, stretch)| {
            let moved = |which| largest(&(scores(which, &(q + shift), &(k + shift)) - scores(which, q, k)));
            let distances = larger(moved(Companion::NegativeL1), moved(Companion::NegativeL2));
            let longer = scores(Companion::Cosine, &(q * *stretch), k) - scores(Companion::Cosine, q, k);
            smaller(1e-10 - distances, 1e-13 - largest(&longer))
        })
}
