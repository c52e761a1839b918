//! Claims about the softmax and its product with the values.

use super::order::normal;
use super::subjects::{Attends, largest, least};
use crate::{Attention, HeadMap, Partial, Scale};
use collimate_claims::{Claim, Exact, Meta, Subject, larger, smaller};
use ndarray::{Array1, Array2, Array3, Axis, s};

/// Claims that the pattern is a distribution over the keys, also for scores of size 10⁴.
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
            least(pattern.iter().chain(&off).copied())
        })
}

/// Claims that every number of the output lies between the smallest and the largest number of the values at its coordinate.
pub fn convex_hull(attention: impl Attends) -> impl Claim {
    let meta = Meta::theorem(
        "attention/convex-hull",
        Subject::Attention,
        "each coordinate of the output lies between the least and the greatest value of this coordinate",
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
            let mut margin = f64::INFINITY;
            for (row, values) in out.columns().into_iter().zip(v.columns()) {
                let low = values.iter().copied().fold(f64::INFINITY, f64::min);
                let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                for &x in row {
                    margin = smaller(margin, smaller(x - low, high - x) + 1e-12 * (1.0 + largest(v)));
                }
            }
            margin
        })
}

/// Claims that adding one vector to all keys changes nothing: it shifts a row of scores by a constant, which the softmax ignores.
pub fn common_key_shift(attention: impl Attends) -> impl Claim {
    let meta = Meta::theorem(
        "attention/common-key-shift",
        Subject::Attention,
        "adding one vector to all keys changes nothing, though it moves the scores by up to 10,000",
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
            // The scores lose digits to the shift: 10⁶ · 2⁻⁵² is 2 · 10⁻¹⁰.
            1e-7 - largest(&(after - before))
        })
}

/// Returns the weights that attention with scale 1 gives to keys with these scores.
pub(super) fn own_softmax(scores: &Array1<f64>) -> Array1<f64> {
    let attention = Attention::scaled_dot_product().scale(Scale::Fixed(1.0));
    let keys = scores.clone().insert_axis(Axis(1));
    attention.attend_to(&Array2::ones((1, 1)), &keys, &Array2::eye(scores.len())).row(0).to_owned()
}

/// Claims that the softmax moves by at most half as much as the scores.
pub fn softmax_half_lipschitz(
    softmax: impl Fn(&Array1<f64>) -> Array1<f64> + Send + Sync + 'static,
) -> impl Claim {
    let meta = Meta::theorem(
        "attention/softmax-half-lipschitz",
        Subject::Attention,
        "the Euclidean distance of two patterns is at most half the distance of their scores",
    )
    .code("B10")
    .source("Nair (2025)");
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
            let moved = norm((softmax(a) - softmax(b)).iter().map(|x| x * x).sum());
            0.5 * norm((a - b).iter().map(|x| x * x).sum()) + 1e-12 - moved
        })
}

/// Attention that returns the output and the log-sum-exp of the scores of each query.
pub trait AttendsWithSum: Send + Sync + 'static {
    /// Returns the output `[t, e]` for queries `[t, d]`, keys `[s, d]` and values `[s, e]`, and the log-sum-exps `[t]`, −∞ without a key.
    fn attend_with_sum(
        &self,
        q: &Array2<f64>,
        k: &Array2<f64>,
        v: &Array2<f64>,
    ) -> (Array2<f64>, Array1<f64>);
}

/// One head.
impl AttendsWithSum for Attention {
    fn attend_with_sum(
        &self,
        q: &Array2<f64>,
        k: &Array2<f64>,
        v: &Array2<f64>,
    ) -> (Array2<f64>, Array1<f64>) {
        let head = |x: &Array2<f64>| x.clone().insert_axis(Axis(0));
        let (out, saved) =
            self.forward(&head(q), &head(k), &head(v)).expect("the claim draws shapes that fit");
        (out.index_axis_move(Axis(0), 0), saved.log_sum_exp().row(0).to_owned())
    }
}

/// Claims that the results over two parts of the keys, each an output with its log-sum-exp, give the result over all keys.
pub fn split_keys_merge(attention: impl AttendsWithSum) -> impl Claim {
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
        .margin(move |(q, k, v, cut)| {
            let part = |from: usize, to: usize| {
                let rows = |x: &Array2<f64>| x.slice(s![from..to, ..]).to_owned();
                attention.attend_with_sum(q, &rows(k), &rows(v))
            };
            let (whole, total) = part(0, k.nrows());
            let ((low, lse_low), (high, lse_high)) = (part(0, *cut), part(*cut, k.nrows()));
            let mut worst: f64 = 0.0;
            for ((t, e), &expected) in whole.indexed_iter() {
                let (a, b) = ((lse_low[t] - total[t]).exp(), (lse_high[t] - total[t]).exp());
                let error = (a * low[[t, e]] + b * high[[t, e]] - expected).abs();
                // Exponentials of numbers near 10⁴ carry an error of 10⁴ · 2⁻⁵² relative to their size.
                worst = larger(worst, larger(error, (a + b - 1.0).abs()));
            }
            1e-9 * (1.0 + largest(v)) - worst
        })
}

/// An output `[t, e]` over some of the keys, with its log-sum-exps `[t]`.
type Part = (Array2<f64>, Array1<f64>);

/// Joins two parts by [`Partial`].
pub(super) fn own_merge(one: &Part, other: &Part) -> Part {
    let partial = |(out, sums): &Part| {
        Partial::from_parts(out.clone().insert_axis(Axis(0)), sums.clone().insert_axis(Axis(0)))
            .expect("a sum for each row")
    };
    let joined = partial(one).merge(&partial(other)).expect("parts of one shape");
    (joined.out().index_axis(Axis(0), 0).to_owned(), joined.log_sum_exp().row(0).to_owned())
}

/// Claims that joining parts of the keys has the laws of a commutative monoid, so that they may be joined in any order.
pub fn split_keys_monoid(merge: impl Fn(&Part, &Part) -> Part + Send + Sync + 'static) -> impl Claim {
    let meta = Meta::theorem(
        "attention/split-keys-monoid",
        Subject::Attention,
        "joining outputs over parts of the keys by their log-sum-exps is associative and commutative, and the part without keys \
         (zeros, −∞) changes no bit",
    )
    .code("B12")
    .source("Milakov and Gimelshein (2018), section 3.1");
    Exact::new(meta)
        .dims(&[("queries", 1..=3), ("value width", 1..=3)])
        .names(&["first", "second", "third", "sums"])
        .input(|dims, stream| {
            let mut out = || normal(stream, dims[0], dims[1]);
            let (a, b, c) = (out(), out(), out());
            Some((a, b, c, normal(stream, 3, dims[0]) * 10f64.powf(stream.uniform_in(0.0, 3.0))))
        })
        .admits(|(a, b, c, sums)| {
            a.iter().chain(b).chain(c).all(|x: &f64| x.abs() <= 100.0) && sums.iter().all(|x| x.abs() <= 1e4)
        })
        .margin(move |(a, b, c, sums)| {
            let [a, b, c] = [(a, 0), (b, 1), (c, 2)].map(|(x, part)| (x.clone(), sums.row(part).to_owned()));
            let off = |(x, at): Part, (y, here): Part| larger(largest(&(x - y)), largest(&(at - here)));
            let size = 1.0 + largest(sums) + largest(a.0.iter().chain(&b.0).chain(&c.0));
            let associative = off(merge(&merge(&a, &b), &c), merge(&a, &merge(&b, &c)));
            let commutative = off(merge(&a, &b), merge(&b, &a));
            let none = (Array2::zeros(a.0.dim()), Array1::from_elem(a.1.len(), f64::NEG_INFINITY));
            let kept = merge(&a, &none) == a && merge(&none, &a) == a;
            if kept { 1e-12 * size - largest(&[associative, commutative]) } else { -1.0 }
        })
}

/// Attention of several heads. The number of query heads is a multiple of the number of key heads.
pub trait AttendsByHead: Send + Sync + 'static {
    /// Returns the output `[h, t, e]` for queries `[h, t, d]`, keys `[g, s, d]` and values `[g, s, e]`.
    fn attend_heads(&self, q: &Array3<f64>, k: &Array3<f64>, v: &Array3<f64>) -> Array3<f64>;
}

/// The attention of this crate with the head map for the given numbers of heads.
pub(super) struct Grouped(pub(super) fn(usize, usize) -> HeadMap);

impl AttendsByHead for Grouped {
    fn attend_heads(&self, q: &Array3<f64>, k: &Array3<f64>, v: &Array3<f64>) -> Array3<f64> {
        let (h, g) = (q.dim().0, k.dim().0);
        let map = if h == g { HeadMap::multi_head() } else { (self.0)(h, g) };
        Attention::scaled_dot_product().heads(map).forward(q, k, v).expect("shapes fit").0
    }
}

/// Claims that grouped-query attention is multi-head attention with repeated key and value heads.
pub fn grouped_is_repeated(attention: impl AttendsByHead) -> impl Claim {
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
            let grouped = attention.attend_heads(q, k, v);
            let full =
                attention.attend_heads(q, &k.select(Axis(0), &repeated), &v.select(Axis(0), &repeated));
            if grouped == full { 0.0 } else { -largest(&(grouped - full)) }
        })
}
