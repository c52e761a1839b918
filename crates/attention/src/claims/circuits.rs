//! Claims about circuits.

use super::order::normal;
use super::subjects::{largest, least};
use crate::circuits::{Composition, Factored, composition, ov_circuit, qk_circuit, rollout};
use crate::{Attention, Intervention, Scale};
use collimate_claims::{Claim, Exact, Meta, Subject, larger, smaller};
use ndarray::{Array2, Array3, Axis};

const SOURCE: &str = "Elhage et al. (2021)";
const KINDS: [Composition; 3] = [Composition::Query, Composition::Key, Composition::Value];

fn head(x: Array2<f64>) -> Array3<f64> {
    x.insert_axis(Axis(0))
}

/// The weights of one head of a residual stream of width m, for rows on the left.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadWeights {
    /// The weights `[m, d]`.
    pub w_q: Array2<f64>,
    /// The weights `[m, d]`.
    pub w_k: Array2<f64>,
    /// The weights `[m, d]`.
    pub w_v: Array2<f64>,
    /// The weights `[d, m]`.
    pub w_o: Array2<f64>,
}

/// One head of a residual stream.
///
/// # Examples
/// ```
/// use collimate_attention::claims::{HeadWeights, ResidualHead, circuits_are_the_head};
/// use collimate_claims::{Budget, examine};
/// use ndarray::Array2;
///
/// /// Plain products with keys and queries exchanged.
/// struct Swapped;
///
/// impl ResidualHead for Swapped {
///     fn scores(&self, w: &HeadWeights, x: &Array2<f64>) -> Array2<f64> {
///         x.dot(&w.w_k).dot(&x.dot(&w.w_q).t())
///     }
///     fn writes(&self, w: &HeadWeights, x: &Array2<f64>) -> Array2<f64> {
///         x.dot(&w.w_v).dot(&w.w_o)
///     }
/// }
///
/// let report = examine(&circuits_are_the_head(Swapped), &Budget::quick());
/// assert!(report.refuted()); // the circuits of a transposed head differ
/// ```
pub trait ResidualHead: Send + Sync + 'static {
    /// Returns the scores `[t, t]` of residual rows x `[t, m]` with each other, without scale, positions and mask.
    fn scores(&self, weights: &HeadWeights, x: &Array2<f64>) -> Array2<f64>;

    /// Returns the rows `[t, m]` that the head writes into the residual if every row attends to itself alone.
    fn writes(&self, weights: &HeadWeights, x: &Array2<f64>) -> Array2<f64>;
}

/// The head of this crate.
pub(super) struct Own;

impl ResidualHead for Own {
    fn scores(&self, w: &HeadWeights, x: &Array2<f64>) -> Array2<f64> {
        let plain = Attention::scaled_dot_product().scale(Scale::Fixed(1.0));
        super::scores::scores(plain, &x.dot(&w.w_q), &x.dot(&w.w_k))
    }

    fn writes(&self, w: &HeadWeights, x: &Array2<f64>) -> Array2<f64> {
        let (itself, v) = (head(Array2::eye(x.nrows())), head(x.dot(&w.w_v)));
        let replace = Intervention::Replace(itself.view());
        let alone = Attention::scaled_dot_product().intervene(&v, &v, &v, replace).expect("shapes fit");
        alone.index_axis_move(Axis(0), 0).dot(&w.w_o)
    }
}

/// Returns the composition score of this crate, or `None` for a circuit of zeros.
pub(super) fn own_score(kind: Composition, earlier: &Factored, later: &Factored) -> Option<f64> {
    composition(kind, earlier, later).ok().map(|score| score.value)
}

/// Returns the rollout of this crate.
pub(super) fn own_rollout(layers: &[Array3<f64>]) -> Array2<f64> {
    rollout(layers).expect("square layers")
}

/// Claims that a head is its two circuits. Run it on a head with your own layout of weights.
pub fn circuits_are_the_head(own: impl ResidualHead) -> impl Claim {
    let meta = Meta::theorem(
        "attention/circuits-are-the-head",
        Subject::Attention,
        "the scores of a head are x W_QK yᵀ, and what it writes when it attends to one row alone is that row times W_OV",
    )
    .source(SOURCE);
    Exact::new(meta)
        .dims(&[("tokens", 1..=4), ("residual", 1..=5), ("head", 1..=3)])
        .names(&["x", "w_q", "w_k", "w_v", "w_o"])
        .input(|dims, stream| {
            let [t, m, d] = [dims[0], dims[1], dims[2]];
            let mut w = |rows, columns| normal(stream, rows, columns);
            Some((w(t, m), w(m, d), w(m, d), w(m, d), w(d, m)))
        })
        .admits(|(x, a, b, c, d)| x.iter().chain(a).chain(b).chain(c).chain(d).all(|x: &f64| x.abs() <= 10.0))
        .margin(move |(x, w_q, w_k, w_v, w_o)| {
            let [a, b, c, d] = [w_q, w_k, w_v, w_o].map(Array2::clone);
            let weights = HeadWeights { w_q: a, w_k: b, w_v: c, w_o: d };
            let qk = qk_circuit(w_q, w_k).and_then(|circuit| circuit.dense()).expect("shapes fit");
            let ov = ov_circuit(w_v, w_o).and_then(|circuit| circuit.dense()).expect("shapes fit");
            let written = own.writes(&weights, x) - x.dot(&ov);
            let compared = own.scores(&weights, x) - x.dot(&qk).dot(&x.t());
            let size = 1.0 + (largest(x) * largest(w_q)).max(1.0) * (largest(x) * largest(w_k)).max(1.0);
            let size = size + (largest(x) * largest(w_v)).max(1.0) * (1.0 + largest(w_o));
            1e-12 * size - larger(largest(&compared), largest(&written))
        })
}

/// Claims that a change of basis inside a head changes neither its circuits nor the composition scores.
pub fn circuits_have_no_basis(
    score: impl Fn(Composition, &Factored, &Factored) -> Option<f64> + Send + Sync + 'static,
) -> impl Claim {
    let meta = Meta::theorem(
        "attention/circuits-have-no-basis",
        Subject::Attention,
        "stretching and reordering the dimensions of a head, in W_Q and the other way in W_K, changes neither its QK circuit nor \
         the composition scores",
    )
    .source(SOURCE);
    Exact::new(meta)
        .dims(&[("residual", 1..=5), ("head", 1..=3)])
        .names(&["w_q", "w_k", "stretch", "earlier"])
        .input(|dims, stream| {
            let [m, d] = [dims[0], dims[1]];
            let (q, k) = (normal(stream, m, d), normal(stream, m, d));
            let stretch = Array2::from_shape_simple_fn((1, d), || stream.uniform_in(0.2, 5.0));
            Some((q, k, stretch, normal(stream, m, m)))
        })
        .admits(|(q, k, stretch, earlier)| {
            q.iter().chain(k).chain(earlier).all(|x: &f64| x.abs() <= 10.0)
                && stretch.iter().all(|x| (0.1..=10.0).contains(x))
        })
        .margin(move |(w_q, w_k, stretch, earlier)| {
            let reversed: Vec<usize> = (0..w_q.ncols()).rev().collect();
            let circuit = qk_circuit(w_q, w_k).expect("one shape");
            let other = qk_circuit(
                &(w_q * stretch).select(Axis(1), &reversed),
                &(w_k / stretch).select(Axis(1), &reversed),
            )
            .expect("one shape");
            let dense = |circuit: &Factored| circuit.dense().expect("factors fit");
            let mut margin =
                1e-11 * (1.0 + largest(w_q) * largest(w_k)) - largest(&(dense(&circuit) - dense(&other)));
            let earlier = Factored::new(earlier, &Array2::eye(earlier.ncols())).expect("a square matrix");
            for kind in KINDS {
                // A circuit of zeros has no score.
                if let (Some(a), Some(b)) = (score(kind, &earlier, &circuit), score(kind, &earlier, &other)) {
                    margin = smaller(margin, 1e-7 - (a - b).abs());
                }
            }
            margin
        })
}

fn heads(
    meta: Meta,
    score: impl Fn(Composition, &Factored, &Factored) -> Option<f64> + Send + Sync + 'static,
    margin: fn(f64) -> f64,
) -> impl Claim {
    Exact::new(meta.source(SOURCE))
        .dims(&[("residual", 1..=16), ("head", 1..=4)])
        .names(&["left", "right", "later left", "later right"])
        .input(|dims, stream| {
            let [m, d] = [dims[0], dims[1]];
            let mut w = |rows, columns| normal(stream, rows, columns);
            Some((w(m, d), w(d, m), w(m, d), w(d, m)))
        })
        .admits(|(a, b, c, d)| {
            // Numbers whose squares underflow have no norm.
            let fits =
                |x: &Array2<f64>| x.iter().all(|x| x.abs() <= 100.0) && x.iter().any(|x| x.abs() >= 1e-3);
            // The norm of a product that nearly cancels has few correct digits.
            let cancels = |left: &Array2<f64>, right: &Array2<f64>| {
                let size = |x: &Array2<f64>| x.iter().map(|x| x * x).sum::<f64>().sqrt();
                size(&left.dot(right)) < 1e-3 * size(left) * size(right)
            };
            [a, b, c, d].into_iter().all(fits) && !cancels(a, b) && !cancels(c, d)
        })
        .margin(move |(a, b, c, d)| {
            let (earlier, later) = (Factored::new(a, b).expect("fits"), Factored::new(c, d).expect("fits"));
            let scores = KINDS.map(|kind| score(kind, &earlier, &later).map(margin));
            // Orthogonal factors make a circuit of zeros, which has no score.
            least(scores.into_iter().flatten())
        })
}

/// Claims that composition scores are at most 1: norms of products are at most products of norms.
pub fn composition_is_a_share(
    score: impl Fn(Composition, &Factored, &Factored) -> Option<f64> + Send + Sync + 'static,
) -> impl Claim {
    let meta = Meta::theorem(
        "attention/composition-is-a-share",
        Subject::Attention,
        "composition scores lie between 0 and 1",
    );
    heads(meta, score, |score| smaller(score, 1.0 + 1e-7 - score))
}

/// Claims the belief that unrelated heads have no composition.
pub fn random_heads_do_not_compose(
    score: impl Fn(Composition, &Factored, &Factored) -> Option<f64> + Send + Sync + 'static,
) -> impl Claim {
    let meta = Meta::counterexample(
        "attention/random-heads-do-not-compose",
        Subject::Attention,
        "heads with independent normal weights in a residual of width up to 16 have composition scores below 0.05",
    );
    heads(meta, score, |score| 0.05 - score)
}

/// Claims that rollout is a distribution over the input positions.
pub fn rollout_is_stochastic(
    rollout: impl Fn(&[Array3<f64>]) -> Array2<f64> + Send + Sync + 'static,
) -> impl Claim {
    let meta = Meta::theorem(
        "attention/rollout-is-stochastic",
        Subject::Attention,
        "the rows of an attention rollout are not negative and sum to 1, for any patterns without negative entries",
    )
    .source("Abnar and Zuidema (2020)");
    Exact::new(meta)
        .dims(&[("tokens", 1..=5)])
        .names(&["first", "second"])
        .input(|dims, stream| {
            let mut layer =
                || Array2::from_shape_simple_fn((dims[0], dims[0]), || stream.uniform_in(0.0, 2.0));
            Some((layer(), layer()))
        })
        .admits(|(a, b)| a.iter().chain(b).all(|x: &f64| (0.0..=100.0).contains(x)))
        .margin(move |(a, b)| {
            let rollout = rollout(&[head(a.clone()), head(b.clone())]);
            let off = largest(&(rollout.sum_axis(Axis(1)) - 1.0));
            smaller(1e-12 - off, least(rollout.iter().copied()))
        })
}
