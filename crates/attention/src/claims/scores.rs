//! Claims about the size of the scores.

use crate::Attention;
use collimate_claims::{Claim, Exact, Mean, Meta, Subject};
use ndarray::{Array1, Array2, Axis};

/// A map from queries `[t, d]` and keys `[s, d]` to scores.
pub trait Scores: Send + Sync + 'static {
    /// Returns the scores `[t, s]`, with their scale and without a softmax.
    fn scores(&self, q: &Array2<f64>, k: &Array2<f64>) -> Array2<f64>;
}

/// One head.
impl Scores for Attention {
    fn scores(&self, q: &Array2<f64>, k: &Array2<f64>) -> Array2<f64> {
        scores(*self, q, k)
    }
}

/// Returns the scores of one head `[t, s]` of this crate.
pub(super) fn scores(attention: Attention, q: &Array2<f64>, k: &Array2<f64>) -> Array2<f64> {
    let head = |x: &Array2<f64>| x.clone().insert_axis(Axis(0));
    let (_, saved) =
        attention.forward(&head(q), &head(k), &head(k)).expect("the claim draws shapes that fit");
    saved.scores(0).expect("there is one head")
}

/// Claims that over all sign vectors q the mean square of the score is exactly |k|²/d.
pub fn score_second_moment(attention: impl Scores) -> impl Claim {
    let meta = Meta::theorem(
        "attention/score-second-moment",
        Subject::Attention,
        "over all sign vectors q, the mean square of the score q·k/√d is |k|²/d",
    )
    .code("B1")
    .source("Vaswani et al. (2017), footnote 4");
    Exact::new(meta)
        .dims(&[("width", 1..=8)])
        .names(&["k"])
        .input(|dims, stream| Some(Array1::from_shape_simple_fn(dims[0], || stream.normal())))
        .admits(|k| k.iter().all(|x| x.abs() <= 100.0))
        .margin(move |k: &Array1<f64>| {
            let (mean, expected) = (mean_square(&attention, k), k.pow2().sum() / k.len() as f64);
            1e-12 * (1.0 + expected) - (mean - expected).abs()
        })
}

/// Computes the mean square of the scores of a key over all sign vectors as queries.
pub(super) fn mean_square(attention: &impl Scores, k: &Array1<f64>) -> f64 {
    let signs = |(row, bit): (usize, usize)| if row >> bit & 1 == 1 { 1.0 } else { -1.0 };
    let q = Array2::from_shape_fn((1 << k.len(), k.len()), signs);
    let z = attention.scores(&q, &k.clone().insert_axis(Axis(0)));
    z.pow2().sum() / z.len() as f64
}

/// Claims that scores of independent unit-variance entries have unit variance, in a trial.
pub fn unit_score_variance(attention: impl Scores) -> impl Claim {
    let meta = Meta::theorem(
        "attention/unit-score-variance",
        Subject::Attention,
        "with 1/√d the scores of independent rows with unit-variance entries have variance at most 1",
    )
    .code("B1")
    .source("Vaswani et al. (2017), footnote 4")
    .protocol("8 × 8 scores of rows of 16 random signs a trial; supported below 1.1, refuted above 1");
    Mean::new(meta).bounds(0.0, 16.0).at_most(1.0, 0.1).trial(move |stream| {
        let mut signs =
            || Array2::from_shape_simple_fn((8, 16), || if stream.bernoulli(0.5) { 1.0 } else { -1.0 });
        let z = attention.scores(&signs(), &signs());
        z.pow2().sum() / z.len() as f64
    })
}

/// Claims the belief that 1/√d keeps scores small for all q and k. For q = k the score is √d.
pub fn correlated_scores_stay_small(attention: impl Scores) -> impl Claim {
    let meta = Meta::counterexample(
        "attention/correlated-scores-stay-small",
        Subject::Attention,
        "with 1/√d the score of any two rows of ±1 is at most 1",
    )
    .code("B2");
    Exact::new(meta)
        .dims(&[("width", 1..=8)])
        .names(&["q", "k"])
        .input(|dims, stream| {
            let mut sign = || if stream.bernoulli(0.5) { 1.0 } else { -1.0 };
            let q = Array1::from_shape_simple_fn(dims[0], &mut sign);
            let agree =
                Array1::from_shape_simple_fn(dims[0], &mut sign).mapv(|s| if s > 0.0 { 1.0 } else { s });
            Some((q.clone(), q * agree))
        })
        .admits(|(q, k)| q.iter().chain(k).all(|x: &f64| x.abs() == 1.0))
        .margin(move |(q, k)| {
            let row = |x: &Array1<f64>| x.clone().insert_axis(Axis(0));
            1.0 + 1e-12 - attention.scores(&row(q), &row(k))[[0, 0]]
        })
}
