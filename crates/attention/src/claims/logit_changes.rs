//! Claims about changes of the logits: ALiBi, forgetting gates, a cap.

use super::identities::{causal, one_head, own_with, rows};
use super::order::normal;
use super::scores::Scores;
use super::subjects::{AttendsWith, largest};
use crate::Offset;
use crate::algebra::{Distance, LogitChange, Parameter, Slopes, Variant, alibi_slopes};
use collimate_claims::{Claim, Exact, Meta, Subject, smaller};
use ndarray::{Array1, Array2, Axis, arr1, s};

const PRESS: &str = "Press et al. (2022), ALiBi";

/// Runs causal attention of this crate with ALiBi of this slope.
pub(super) fn own_alibi(q: &Array2<f64>, k: &Array2<f64>, v: &Array2<f64>, slope: &f64) -> Array2<f64> {
    let variant = causal().logit(LogitChange::Alibi(Slopes::Learned, Distance::Signed));
    own_with(&variant, [q, k, v], Parameter::Slopes, arr1(&[*slope]))
}

/// Runs causal attention of this crate with these changes of the logits in order, one of which adds a bias `[t, s]`.
fn with_bias(
    changes: impl IntoIterator<Item = LogitChange>,
    rows: [&Array2<f64>; 3],
    bias: &Array2<f64>,
) -> Array2<f64> {
    let variant = changes.into_iter().fold(causal(), Variant::logit);
    own_with(&variant, rows, Parameter::Bias, bias.clone().insert_axis(Axis(0)))
}

/// Runs causal attention of this crate with this bias `[t, s]`.
pub(super) fn own_biased(
    q: &Array2<f64>,
    k: &Array2<f64>,
    v: &Array2<f64>,
    bias: &Array2<f64>,
) -> Array2<f64> {
    with_bias([LogitChange::Bias], [q, k, v], bias)
}

/// Runs causal attention of this crate with logits capped at 1, to which this bias `[t, s]` is then added.
pub(super) fn own_cap_first(
    q: &Array2<f64>,
    k: &Array2<f64>,
    v: &Array2<f64>,
    bias: &Array2<f64>,
) -> Array2<f64> {
    with_bias([LogitChange::Softcap(1.0), LogitChange::Bias], [q, k, v], bias)
}

/// Runs causal attention of this crate with this bias `[t, s]`, and caps the sum of logit and bias at 1.
pub(super) fn own_bias_first(
    q: &Array2<f64>,
    k: &Array2<f64>,
    v: &Array2<f64>,
    bias: &Array2<f64>,
) -> Array2<f64> {
    with_bias([LogitChange::Bias, LogitChange::Softcap(1.0)], [q, k, v], bias)
}

/// Runs causal attention of this crate with these logarithms of forget gates `[s]`.
pub(super) fn own_forgetting(
    q: &Array2<f64>,
    k: &Array2<f64>,
    v: &Array2<f64>,
    gates: &Array1<f64>,
) -> Array2<f64> {
    let gates = gates.clone().insert_axis(Axis(0));
    own_with(&causal().logit(LogitChange::Forgetting), [q, k, v], Parameter::LogForget, gates)
}

/// Returns the slopes of this crate for a number of heads.
pub(super) fn own_slopes(heads: usize) -> Vec<f64> {
    alibi_slopes(Slopes::Geometric, heads).expect("they are not learned")
}

/// One head of this crate without a mask, with ALiBi of the slope for one head.
pub(super) struct WithAlibi(pub(super) Distance);

impl Scores for WithAlibi {
    fn scores(&self, q: &Array2<f64>, k: &Array2<f64>) -> Array2<f64> {
        let variant =
            Variant::scaled_dot_product(Offset::zero()).logit(LogitChange::Alibi(Slopes::Geometric, self.0));
        let (_, trace) = variant.forward(&one_head([q, k, k])).expect("the claim draws shapes that fit");
        trace.logits(0, 1).expect("there is one head and one change")
    }
}

/// Claims that ALiBi under a causal mask is a bias on the keys alone. `alibi` takes its slope, `biased` takes numbers `[t, s]` that
/// it adds to the scores. Both are causal.
pub fn alibi_is_key_bias(alibi: impl AttendsWith<f64>, biased: impl AttendsWith<Array2<f64>>) -> impl Claim {
    let meta = Meta::theorem(
        "attention/alibi-is-key-bias",
        Subject::Attention,
        "under a causal mask the penalty m(i − j) is the same as the bias m·j on the keys",
    )
    .code("B17")
    .source(PRESS);
    rows(meta, move |(q, k, v)| {
        let slope = 0.5 + q[[0, 0]].abs();
        let by_key = Array2::from_shape_fn((q.nrows(), k.nrows()), |(_, j)| slope * j as f64);
        let difference = alibi.attend_with(q, k, v, &slope) - biased.attend_with(q, k, v, &by_key);
        1e-10 * (1.0 + largest(v)) - largest(&difference)
    })
}

/// Claims that rows in front of a sequence do not change ALiBi's scores inside it, for each of several distances.
pub fn alibi_is_relative<S: Scores>(ways: impl IntoIterator<Item = S>) -> impl Claim {
    let ways: Vec<S> = ways.into_iter().collect();
    let meta = Meta::theorem(
        "attention/alibi-is-relative",
        Subject::Attention,
        "rows in front of a sequence do not change the logits inside it under ALiBi, for either distance",
    )
    .source(PRESS);
    Exact::new(meta)
        .dims(&[("tokens", 1..=4), ("in front", 0..=6), ("width", 1..=3)])
        .names(&["x", "first"])
        .input(|dims, stream| Some((normal(stream, dims[0] + dims[1], dims[2]), dims[1])))
        .admits(|(x, first)| *first < x.nrows() && x.iter().all(|v| v.abs() <= 30.0))
        .margin(move |(x, first)| {
            let short: Array2<f64> = x.slice(s![*first.., ..]).to_owned();
            let moved: Vec<f64> = ways
                .iter()
                .flat_map(|way| {
                    let (long, short) = (way.scores(x, x), way.scores(&short, &short));
                    let inside = long.slice(s![*first.., *first..]).to_owned();
                    // A masked pair is −∞ in both.
                    inside.into_iter().zip(short).map(|(a, b)| if a == b { 0.0 } else { a - b })
                })
                .collect();
            1e-10 * (1.0 + largest(x) * largest(x)) - largest(&moved)
        })
}

/// Claims that the slopes of ALiBi are a geometric sequence if the number of heads is a power of two. `slopes` returns the slopes
/// for a number of heads.
pub fn alibi_slopes_are_geometric(slopes: impl Fn(usize) -> Vec<f64> + Send + Sync + 'static) -> impl Claim {
    let meta = Meta::theorem(
        "attention/alibi-slopes-are-geometric",
        Subject::Attention,
        "for 2^n heads the slopes of ALiBi are the powers of 2^(−8/2^n), down to 2^−8; for any number they are different and at most 1",
    )
    .code("B18")
    .source("Press et al. (2022), ALiBi, section 3");
    Exact::new(meta)
        .dims(&[("heads", 1..=40)])
        .names(&["heads"])
        .input(|dims, _| Some(dims[0]))
        .admits(|heads| (1..=40).contains(heads))
        .margin(move |&heads| {
            let slopes = slopes(heads);
            if slopes.len() != heads {
                return -1.0;
            }
            if heads.is_power_of_two() {
                let ratio = (-8.0 / heads as f64).exp2();
                let off = slopes.iter().enumerate().map(|(h, m)| m - ratio.powi(h as i32 + 1));
                return 1e-12 - largest(&off.collect::<Vec<f64>>());
            }
            let mut sorted = slopes;
            sorted.sort_by(f64::total_cmp);
            sorted.windows(2).map(|pair| pair[1] - pair[0]).fold(1.0 - sorted[heads - 1], smaller) - 1e-9
        })
}

/// Claims that a forgetting gate that always keeps e^{−m} is ALiBi with slope m. `forgetting` takes the logarithms of its gates
/// `[s]`, `alibi` takes its slope. Both are causal.
pub fn constant_forgetting_is_alibi(
    forgetting: impl AttendsWith<Array1<f64>>,
    alibi: impl AttendsWith<f64>,
) -> impl Claim {
    let meta = Meta::theorem(
        "attention/constant-forgetting-is-alibi",
        Subject::Attention,
        "a forgetting gate that keeps the same share e^{−m} at every position is ALiBi with the slope m",
    )
    .source("Lin et al. (2025), Forgetting Transformer");
    rows(meta, move |(q, k, v)| {
        let slope = 0.1 + q[[0, 0]].abs();
        let gates = Array1::from_elem(k.nrows(), -slope);
        let difference = alibi.attend_with(q, k, v, &slope) - forgetting.attend_with(q, k, v, &gates);
        1e-10 * (1.0 + largest(v)) - largest(&difference)
    })
}

/// Claims the belief that the order of a softcap and a bias does not matter. Both functions take numbers `[t, s]` to add to the
/// logits. One caps before, the other caps afterwards.
pub fn softcap_order_is_irrelevant(
    cap_first: impl AttendsWith<Array2<f64>>,
    bias_first: impl AttendsWith<Array2<f64>>,
) -> impl Claim {
    let meta = Meta::counterexample(
        "attention/softcap-order-is-irrelevant",
        Subject::Attention,
        "capping the logits before a bias is added or afterwards gives the same output",
    );
    rows(meta, move |(q, k, v)| {
        let bias = Array2::from_shape_fn((q.nrows(), k.nrows()), |(_, j)| 3.0 * j as f64);
        1e-6 - largest(&(cap_first.attend_with(q, k, v, &bias) - bias_first.attend_with(q, k, v, &bias)))
    })
}
