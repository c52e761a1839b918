//! Claims that two compositions are equal.

use super::order::normal;
use super::subjects::{Attends, AttendsWith, largest, least};
use super::weights::{AttendsByHead, AttendsWithSum};
use crate::algebra::{Arguments, MaskRule, Normaliser, Parameter, Variant, Window};
use crate::{Attention, HeadMap, Offset, Scale};
use collimate_claims::{Claim, Exact, Meta, Subject, smaller};
use ndarray::{Array, Array1, Array2, Array3, Axis, Dimension, arr1, s};

fn meta(id: &'static str, sentence: &'static str) -> Meta {
    Meta::theorem(id, Subject::Attention, sentence)
}

pub(super) fn causal() -> Variant {
    Variant::scaled_dot_product(Offset::zero()).mask(MaskRule::Causal)
}

type Rows = (Array2<f64>, Array2<f64>, Array2<f64>);

/// Makes a claim about q, k and v of one head with equal numbers of queries and keys.
pub(super) fn rows(meta: Meta, margin: impl Fn(&Rows) -> f64 + Send + Sync + 'static) -> impl Claim {
    Exact::new(meta)
        .dims(&[("tokens", 1..=6), ("width", 1..=3)])
        .names(&["q", "k", "v"])
        .input(|dims, stream| {
            let mut rows = || normal(stream, dims[0], dims[1]);
            Some((rows(), rows(), rows()))
        })
        .admits(|(q, k, v)| q.iter().chain(k).chain(v).all(|x: &f64| x.abs() <= 30.0))
        .margin(margin)
}

/// Makes the arguments of one head from q, k and v.
pub(super) fn one_head(rows: [&Array2<f64>; 3]) -> Arguments<f64> {
    let [q, k, v] = rows.map(|x| x.clone().insert_axis(Axis(0)));
    Arguments::new(&q, &k, &v)
}

/// Runs one head of a variant with one learned array.
pub(super) fn own_with<D: Dimension>(
    variant: &Variant,
    rows: [&Array2<f64>; 3],
    name: Parameter,
    array: Array<f64, D>,
) -> Array2<f64> {
    let (out, _) =
        variant.forward(&one_head(rows).with(name, array)).expect("the claim draws shapes that fit");
    out.index_axis_move(Axis(0), 0)
}

/// Claims that two ways to attend give equal outputs.
pub fn same_output(meta: Meta, one: impl Attends, other: impl Attends) -> impl Claim {
    rows(meta, move |(q, k, v)| {
        let difference = one.attend_to(q, k, v) - other.attend_to(q, k, v);
        1e-9 * (1.0 + largest(v)) - largest(&difference)
    })
}

/// Runs causal attention of this crate with a sink of this logit.
pub(super) fn own_sink(q: &Array2<f64>, k: &Array2<f64>, v: &Array2<f64>, sink: &f64) -> Array2<f64> {
    own_with(&causal().normaliser(Normaliser::LearnedSink), [q, k, v], Parameter::Sink, arr1(&[*sink]))
}

/// Runs attention of this crate with this scale.
pub(super) fn own_scaled(q: &Array2<f64>, k: &Array2<f64>, v: &Array2<f64>, scale: &f64) -> Array2<f64> {
    Attention::scaled_dot_product().scale(Scale::Fixed(*scale)).attend_to(q, k, v)
}

/// Runs attention of this crate in a window of this width, which includes the query.
pub(super) fn own_window(q: &Array2<f64>, k: &Array2<f64>, v: &Array2<f64>, width: &usize) -> Array2<f64> {
    let window = Window::including_self(*width).expect("there is a row");
    Variant::scaled_dot_product(Offset::zero()).mask(MaskRule::Window(window)).attend_to(q, k, v)
}

/// Grouped heads of this crate, including groups of one head and a single group.
pub(super) struct Groups(pub(super) fn(usize, usize) -> HeadMap);

impl AttendsByHead for Groups {
    fn attend_heads(&self, q: &Array3<f64>, k: &Array3<f64>, v: &Array3<f64>) -> Array3<f64> {
        let map = (self.0)(q.dim().0, k.dim().0);
        Attention::scaled_dot_product().heads(map).forward(q, k, v).expect("shapes fit").0
    }
}

/// Multi-head attention of this crate, or multi-query attention if there is one key head.
pub(super) struct Ends;

impl AttendsByHead for Ends {
    fn attend_heads(&self, q: &Array3<f64>, k: &Array3<f64>, v: &Array3<f64>) -> Array3<f64> {
        let map = if k.dim().0 == 1 { HeadMap::multi_query() } else { HeadMap::multi_head() };
        Attention::scaled_dot_product().heads(map).forward(q, k, v).expect("shapes fit").0
    }
}

/// Claims that a learned sink is a gate on the output of plain attention. `with_sink` takes the logit of the sink.
pub fn sink_is_gate(plain: impl AttendsWithSum, with_sink: impl AttendsWith<f64>) -> impl Claim {
    let meta = meta(
        "attention/sink-is-gate",
        "attention with a sink of logit s is plain attention times σ(log-sum-exp − s)",
    );
    rows(meta, move |(q, k, v)| {
        let sink = 0.3 + q[[0, 0]];
        let given = with_sink.attend_with(q, k, v, &sink);
        let (mut out, sums) = plain.attend_with_sum(q, k, v);
        for (mut out, sum) in out.rows_mut().into_iter().zip(sums) {
            out /= 1.0 + (sink - sum).exp();
        }
        1e-9 * (1.0 + largest(v)) - largest(&(given - out))
    })
}

/// Claims that a 1 in the denominator is a sink with logit 0, and moves the output of plain attention towards 0.
pub fn plus_one_is_zero_sink(
    plain: impl Attends,
    plus_one: impl Attends,
    with_sink: impl AttendsWith<f64>,
) -> impl Claim {
    let meta = meta("attention/plus-one-is-zero-sink", "softmax plus one is a learned sink whose logit is 0");
    rows(meta, move |(q, k, v)| {
        let (plain, plus_one) = (plain.attend_to(q, k, v), plus_one.attend_to(q, k, v));
        // A query may attend to no key.
        let shrinks = least(plain.iter().zip(&plus_one).map(|(p, o)| p.abs() - o.abs()));
        let off = largest(&(plus_one - with_sink.attend_with(q, k, v, &0.0)));
        smaller(1e-12 * (1.0 + largest(v)) - off, shrinks + 1e-9 * (1.0 + largest(v)))
    })
}

/// Claims that a group for each head gives plain heads, and that a single group gives one key head for all. `grouped` are ways to
/// group, `ends` takes one key head for each query head, or one in all.
pub fn groups_at_the_ends<G: AttendsByHead>(
    grouped: impl IntoIterator<Item = G>,
    ends: impl AttendsByHead,
) -> impl Claim {
    let grouped: Vec<G> = grouped.into_iter().collect();
    let meta = meta(
        "attention/groups-at-the-ends",
        "grouped attention with one group for each head is multi-head attention, and with one group in all multi-query attention",
    )
    .code("B19")
    .source("Ainslie et al. (2023), GQA");
    Exact::new(meta)
        .dims(&[("heads", 1..=4), ("tokens", 1..=3), ("width", 1..=3)])
        .names(&["q", "k"])
        .input(|dims, stream| {
            let mut rows = || Array3::from_shape_simple_fn((dims[0], dims[1], dims[2]), || stream.normal());
            Some((rows(), rows()))
        })
        .admits_all()
        .margin(move |(q, k)| {
            let first = k.slice(s![..1, .., ..]).to_owned();
            let (each, one) = (ends.attend_heads(q, k, k), ends.attend_heads(q, &first, &first));
            let off: Vec<f64> = grouped
                .iter()
                .flat_map(|map| {
                    [map.attend_heads(q, k, k) - &each, map.attend_heads(q, &first, &first) - &one]
                })
                .map(|difference| largest(&difference))
                .collect();
            -largest(&off)
        })
}

/// Claims that a window over the whole sequence is the causal mask. `window` takes the number of positions that a query attends to,
/// including its own.
pub fn wide_window_is_causal(window: impl AttendsWith<usize>, causal: impl Attends) -> impl Claim {
    let meta = meta(
        "attention/wide-window-is-causal",
        "a window as long as the sequence, including the position of the query, is full causal attention",
    )
    .code("B29");
    rows(meta, move |(q, k, v)| {
        let difference = window.attend_with(q, k, v, &k.nrows()) - causal.attend_to(q, k, v);
        1e-12 * (1.0 + largest(v)) - largest(&difference)
    })
}

/// Claims that one step of a modern Hopfield network, down the gradient of its energy, is attention. `attention` has no mask and
/// takes its scale β.
///
/// # Examples
/// ```
/// use collimate_attention::claims::{Attends, hopfield_update};
/// use collimate_attention::{Attention, Scale};
/// use collimate_claims::{Budget, examine};
/// use ndarray::Array2;
///
/// /// Divides by √d in addition to its scale.
/// fn divided(q: &Array2<f64>, k: &Array2<f64>, v: &Array2<f64>, scale: &f64) -> Array2<f64> {
///     let scale = scale / (q.ncols() as f64).sqrt();
///     Attention::scaled_dot_product().scale(Scale::Fixed(scale)).attend_to(q, k, v)
/// }
///
/// let report = examine(&hopfield_update(divided), &Budget::quick());
/// assert!(report.refuted());
/// // With one row every scale gives the same output, and √1 is 1.
/// assert_eq!(report.outcome.counterexample.unwrap().dims, [("tokens", 2), ("width", 2)]);
/// ```
pub fn hopfield_update(attention: impl AttendsWith<f64>) -> impl Claim {
    let meta = meta(
        "attention/hopfield-update",
        "a unit step down the energy −log Σ exp(β⟨x_j, ξ⟩)/β + |ξ|²/2 is attention of ξ to the stored patterns with scale β",
    )
    .code("B24")
    .source("Ramsauer et al. (2021), Hopfield Networks is All You Need, equation 3");
    rows(meta, move |(state, stored, _)| {
        let beta = 0.7;
        let given = attention.attend_with(state, stored, stored, &beta);
        let energy = |xi: &Array1<f64>| {
            let z = stored.dot(xi) * beta;
            let top = z.iter().fold(f64::NEG_INFINITY, |m, &x| m.max(x));
            -(z.mapv(|z| (z - top).exp()).sum().ln() + top) / beta + xi.dot(xi) / 2.0
        };
        let step = 1e-5;
        let slope = |xi: &Array1<f64>, c: usize| {
            let at = |sign: f64| {
                let mut moved = xi.clone();
                moved[c] += sign * step;
                energy(&moved)
            };
            (at(1.0) - at(-1.0)) / (2.0 * step)
        };
        let updated =
            Array2::from_shape_fn(state.dim(), |(t, c)| state[[t, c]] - slope(&state.row(t).to_owned(), c));
        1e-4 * (1.0 + largest(stored) * largest(stored)) * (1.0 + largest(state))
            - largest(&(given - updated))
    })
}
