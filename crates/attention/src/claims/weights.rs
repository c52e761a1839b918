//! The softmax and what it does to the values.

use super::order::normal;
use super::{Attends, largest};
use crate::{Attention, HeadMap, Scale};
use collimate_claims::{Claim, Exact, Meta, Subject};
use ndarray::{Array1, Array2, Array3, Axis, s};

/// The pattern is a distribution over the keys, also for scores of size 10⁴.
pub fn pattern_is_stochastic(attention: impl Attends) -> impl Claim {
    let meta = Meta::theorem(
        "attention/pattern-is-stochastic",
        Subject::Attention,
        "the weights of a query are not negative and sum to 1, also for scores of size 10,000",
    )
    .code("B3");
    Exact::new(meta)
        .dims(&[("queries", 1..=4), ("keys", 1..=6), ("width", 1..=4)])
        .names(&["q", "k"])
        .input(|dims, stream| {
            let size = [1.0, 10.0, 100.0][stream.below(3)];
            let q = normal(stream, dims[0], dims[2]) * size;
            Some((q, normal(stream, dims[1], dims[2]) * size))
        })
        .admits(|(q, k)| q.iter().chain(k).all(|x: &f64| x.abs() <= 1e3))
        .margin(move |(q, k)| {
            // With the unit vectors as values, the output is the pattern.
            let pattern = attention.attend_to(q, k, &Array2::eye(k.nrows()));
            let off = pattern.sum_axis(Axis(1)).mapv(|sum| 1e-12 - (sum - 1.0).abs());
            pattern.iter().chain(&off).fold(f64::INFINITY, |least, &x| if x >= least { least } else { x })
        })
}

/// Every number of the output lies between the smallest and the largest such number of the values.
pub fn convex_hull(attention: impl Attends) -> impl Claim {
    let meta = Meta::theorem(
        "attention/convex-hull",
        Subject::Attention,
        "each coordinate of the output lies between the least and the greatest of the values there",
    )
    .code("B3");
    Exact::new(meta)
        .dims(&[("queries", 1..=4), ("keys", 1..=6), ("width", 1..=4), ("value width", 1..=3)])
        .names(&["q", "k", "v"])
        .input(|dims, stream| {
            let q = normal(stream, dims[0], dims[2]);
            let k = normal(stream, dims[1], dims[2]);
            Some((q, k, normal(stream, dims[1], dims[3])))
        })
        .admits(|(q, k, v)| q.iter().chain(k).chain(v).all(|x: &f64| x.abs() <= 100.0))
        .margin(move |(q, k, v)| {
            let out = attention.attend_to(q, k, v);
            let mut least = f64::INFINITY;
            for (row, values) in out.columns().into_iter().zip(v.columns()) {
                let low = values.iter().copied().fold(f64::INFINITY, f64::min);
                let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                for &x in row {
                    let inside = (x - low).min(high - x) + 1e-12 * (1.0 + largest(v));
                    least = if inside >= least { least } else { inside };
                    if x.is_nan() {
                        return x;
                    }
                }
            }
            least
        })
}

/// Adding one vector to all keys shifts a row of scores by a constant, which the softmax does not see.
pub fn common_key_shift(attention: impl Attends) -> impl Claim {
    let meta = Meta::theorem(
        "attention/common-key-shift",
        Subject::Attention,
        "adding the same vector to all keys changes nothing, though it moves the scores by up to 10,000",
    )
    .code("B4");
    Exact::new(meta)
        .dims(&[("queries", 1..=3), ("keys", 1..=6), ("width", 1..=4)])
        .names(&["q", "k", "v", "shift"])
        .input(|dims, stream| {
            let q = normal(stream, dims[0], dims[2]);
            let (k, v) = (normal(stream, dims[1], dims[2]), normal(stream, dims[1], 2));
            let size = 10f64.powf(stream.uniform_in(0.0, 4.0));
            Some((q, k, v, Array1::from_shape_simple_fn(dims[2], || size * stream.normal())))
        })
        .admits(|(q, k, v, shift)| {
            q.iter().chain(k).chain(v).all(|x: &f64| x.abs() <= 10.0) && largest(shift) <= 5e4
        })
        .margin(move |(q, k, v, shift)| {
            let (before, after) = (attention.attend_to(q, k, v), attention.attend_to(q, &(k + shift), v));
            // The scores lose the digits that the shift takes: 10⁶ · 2⁻⁵² is 2 · 10⁻¹⁰.
            1e-7 - largest(&(after - before))
        })
}

/// The softmax moves by at most half as much as the scores.
pub(super) fn half_lipschitz() -> impl Claim {
    let meta = Meta::theorem(
        "attention/softmax-half-lipschitz",
        Subject::Attention,
        "the Euclidean distance of two patterns is at most half the distance of their scores",
    )
    .code("B10")
    .source("Nair (2025)");
    let weights = |scores: &Array1<f64>| {
        let attention = Attention::scaled_dot_product().scale(Scale::Fixed(1.0));
        let keys = scores.clone().insert_axis(Axis(1));
        attention.attend_to(&Array2::ones((1, 1)), &keys, &Array2::eye(scores.len()))
    };
    Exact::new(meta)
        .dims(&[("keys", 2..=6)])
        .names(&["scores", "others"])
        .input(|dims, stream| {
            let scores = Array1::from_shape_simple_fn(dims[0], || stream.normal());
            let step = Array1::from_shape_simple_fn(dims[0], || stream.normal());
            Some((scores.clone(), scores + step * stream.uniform()))
        })
        .admits(|(a, b)| a.iter().chain(b).all(|x: &f64| x.abs() <= 1e3))
        .margin(move |(a, b)| {
            let norm = |x: f64| x.sqrt();
            let moved = norm((weights(a) - weights(b)).iter().map(|x| x * x).sum());
            0.5 * norm((a - b).iter().map(|x| x * x).sum()) + 1e-12 - moved
        })
}

/// Two parts of the keys, each with its output and log-sum-exp, are enough to get the whole.
pub(super) fn split_keys_merge() -> impl Claim {
    let meta = Meta::theorem(
        "attention/split-keys-merge",
        Subject::Attention,
        "outputs over two parts of the keys, weighted by the exponentials of their log-sum-exps, are the whole",
    )
    .code("B12")
    .source("Dao et al. (2022), FlashAttention");
    Exact::new(meta)
        .dims(&[("queries", 1..=3), ("keys", 1..=8), ("width", 1..=4)])
        .names(&["q", "k", "v", "cut"])
        .input(|dims, stream| {
            let size = [1.0, 10.0][stream.below(2)];
            let q = normal(stream, dims[0], dims[2]) * size;
            let (k, v) = (normal(stream, dims[1], dims[2]) * size, normal(stream, dims[1], 2));
            Some((q, k, v, stream.below(dims[1] + 1)))
        })
        .admits(|(q, k, v, cut)| {
            *cut <= k.nrows() && q.iter().chain(k).chain(v).all(|x: &f64| x.abs() <= 100.0)
        })
        .margin(|(q, k, v, cut)| {
            let part = |from: usize, to: usize| {
                let head = |x: &Array2<f64>| x.slice(s![from..to, ..]).to_owned().insert_axis(Axis(0));
                let q = q.clone().insert_axis(Axis(0));
                let (out, saved) =
                    Attention::scaled_dot_product().forward(&q, &head(k), &head(v)).expect("shapes fit");
                (out, saved.log_sum_exp().row(0).to_owned())
            };
            let (whole, total) = part(0, k.nrows());
            let ((low, lse_low), (high, lse_high)) = (part(0, *cut), part(*cut, k.nrows()));
            let mut worst: f64 = 0.0;
            for ((_, t, e), &expected) in whole.indexed_iter() {
                let (a, b) = ((lse_low[t] - total[t]).exp(), (lse_high[t] - total[t]).exp());
                let error = (a * low[[0, t, e]] + b * high[[0, t, e]] - expected).abs();
                // Exponentials of numbers near 10⁴ carry an error of 10⁴ · 2⁻⁵² relative to their size.
                worst = worst.max(if error.is_nan() { f64::INFINITY } else { error });
                worst = worst.max((a + b - 1.0).abs());
            }
            1e-9 * (1.0 + largest(v)) - worst
        })
}

/// Grouped-query attention is multi-head attention whose key and value heads are repeated.
pub(super) fn grouped_is_repeated(map: fn(usize, usize) -> HeadMap) -> impl Claim {
    let meta = Meta::theorem(
        "attention/grouped-is-repeated",
        Subject::Attention,
        "grouped heads give the bits of multi-head attention with each key head repeated for its neighbours",
    )
    .code("B19")
    .source("Ainslie et al. (2023), GQA");
    Exact::new(meta)
        .dims(&[("key heads", 1..=3), ("group", 1..=3), ("tokens", 1..=4), ("width", 1..=3)])
        .names(&["q", "k", "v"])
        .input(|dims, stream| {
            let mut rows =
                |heads| Array3::from_shape_simple_fn((heads, dims[2], dims[3]), || stream.normal());
            Some((rows(dims[0] * dims[1]), rows(dims[0]), rows(dims[0])))
        })
        .admits_all()
        .margin(move |(q, k, v)| {
            let (heads, key_heads) = (q.dim().0, k.dim().0);
            let repeated: Vec<usize> =
                (0..key_heads).flat_map(|g| std::iter::repeat_n(g, heads / key_heads)).collect();
            let grouped = Attention::scaled_dot_product().heads(map(heads, key_heads)).forward(q, k, v);
            let (k, v) = (k.select(Axis(0), &repeated), v.select(Axis(0), &repeated));
            let full = Attention::scaled_dot_product().forward(q, &k, &v);
            let (grouped, full) = (grouped.expect("shapes fit").0, full.expect("shapes fit").0);
            if grouped == full { 0.0 } else { -largest(&(grouped - full)) }
        })
}
