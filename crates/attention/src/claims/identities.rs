//! Compositions that are other compositions.

use super::order::normal;
use super::{Attends, AttendsWithSum, largest};
use crate::algebra::{
    Arguments, Distance, Latent, LatentArguments, LatentForm, LogitChange, MaskRule, Normaliser, Parameter,
    Slopes, Variant, Window, alibi_slopes,
};
use crate::{Attention, HeadMap, Mask, Offset, Rotary, Scale};
use collimate_claims::{Claim, Exact, Meta, Subject};
use ndarray::{Array1, Array2, Array3, Axis, arr1, s};

fn meta(id: &'static str, sentence: &'static str) -> Meta {
    Meta::theorem(id, Subject::Attention, sentence)
}

pub(super) fn causal() -> Variant {
    Variant::scaled_dot_product(Offset::zero()).mask(MaskRule::Causal)
}

type Rows = (Array2<f64>, Array2<f64>, Array2<f64>);

/// q, k and v of one head with as many queries as keys.
fn rows(meta: Meta, margin: impl Fn(&Rows) -> f64 + Send + Sync + 'static) -> impl Claim {
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

fn head(x: &Array2<f64>) -> Array3<f64> {
    x.clone().insert_axis(Axis(0))
}

fn one_head((q, k, v): &Rows) -> Arguments<f64> {
    Arguments::new(&head(q), &head(k), &head(v))
}

fn run(variant: &Variant, arguments: &Arguments<f64>) -> Array3<f64> {
    variant.forward(arguments).expect("the claim draws shapes that fit").0
}

/// Two ways to attend that give the same output.
pub fn same_output(meta: Meta, one: impl Attends, other: impl Attends) -> impl Claim {
    rows(meta, move |(q, k, v)| {
        let difference = one.attend_to(q, k, v) - other.attend_to(q, k, v);
        1e-9 * (1.0 + largest(v)) - largest(&difference)
    })
}

/// Causal attention of this crate with a sink of that logit.
pub(super) fn own_sink(x: &Array2<f64>, k: &Array2<f64>, v: &Array2<f64>, sink: f64) -> Array2<f64> {
    let arguments = Arguments::new(&head(x), &head(k), &head(v)).with(Parameter::Sink, arr1(&[sink]));
    run(&causal().normaliser(Normaliser::LearnedSink), &arguments).index_axis_move(Axis(0), 0)
}

/// A learned sink is a gate on the output of plain attention: `with_sink` takes q, k, v and the logit of the sink.
pub fn sink_is_gate(
    plain: impl AttendsWithSum,
    with_sink: impl Fn(&Array2<f64>, &Array2<f64>, &Array2<f64>, f64) -> Array2<f64> + Send + Sync + 'static,
) -> impl Claim {
    let meta = meta(
        "attention/sink-is-gate",
        "attention with a sink of logit s is plain attention times σ(log-sum-exp − s)",
    );
    rows(meta, move |(q, k, v)| {
        let sink = 0.3 + q[[0, 0]];
        let given = with_sink(q, k, v, sink);
        let (mut out, sums) = plain.attend_with_sum(q, k, v);
        for (mut out, sum) in out.rows_mut().into_iter().zip(sums) {
            out /= 1.0 + (sink - sum).exp();
        }
        1e-9 * (1.0 + largest(v)) - largest(&(given - out))
    })
}

/// One in the denominator is a sink with logit 0, and moves the output of plain attention towards 0.
pub fn plus_one_is_zero_sink(
    plain: impl Attends,
    plus_one: impl Attends,
    with_sink: impl Fn(&Array2<f64>, &Array2<f64>, &Array2<f64>, f64) -> Array2<f64> + Send + Sync + 'static,
) -> impl Claim {
    let meta = meta("attention/plus-one-is-zero-sink", "softmax plus one is a learned sink whose logit is 0");
    rows(meta, move |(q, k, v)| {
        let (plain, plus_one) = (plain.attend_to(q, k, v), plus_one.attend_to(q, k, v));
        // A query may attend to nothing.
        let shrinks = plain.iter().zip(&plus_one).fold(f64::INFINITY, |m, (p, o)| m.min(p.abs() - o.abs()));
        (1e-12 * (1.0 + largest(v)) - largest(&(plus_one - with_sink(q, k, v, 0.0))))
            .min(shrinks + 1e-9 * (1.0 + largest(v)))
    })
}

/// The absorbed form of latent attention is the expanded one, forwards and backwards.
pub(super) fn absorbed_is_expanded() -> impl Claim {
    let meta = meta(
        "attention/latent-absorbed-is-expanded",
        "latent attention with W_UK and W_UV absorbed has the output and the gradients of the expanded form",
    )
    .source("DeepSeek-AI (2024), DeepSeek-V2, section 2.1");
    Exact::new(meta)
        .dims(&[("heads", 1..=3), ("tokens", 1..=4), ("width", 1..=3), ("latent", 1..=4)])
        .names(&["content", "rotary", "latent", "keys", "up"])
        .input(|dims, stream| {
            let [h, t, n, l] = [dims[0], dims[1], dims[2], dims[3]];
            let content = normal(stream, h * t, n);
            let (rotary, latent) = (normal(stream, h * t, 2), normal(stream, t, l));
            let keys = normal(stream, t, 2);
            Some((content, rotary, latent, keys, normal(stream, h * 2 * n, l)))
        })
        .admits(|(content, rotary, latent, keys, up)| {
            let all = content.iter().chain(rotary).chain(latent).chain(keys).chain(up);
            let tokens = latent.nrows();
            all.into_iter().all(|x: &f64| x.abs() <= 10.0)
                && content.nrows() % tokens.max(1) == 0
                && rotary.nrows() == content.nrows()
                && keys.nrows() == tokens
        })
        .margin(|(content, rotary, latent, keys, up)| {
            let (t, n) = (latent.nrows(), content.ncols());
            let h = content.nrows() / t;
            let cube = |x: &Array2<f64>, first: usize, rows: usize| {
                Array3::from_shape_fn((h, rows, x.ncols()), |(a, b, c)| x[[first + a * rows + b, c]])
            };
            let arguments = LatentArguments {
                q_content: cube(content, 0, t),
                q_rotary: cube(rotary, 0, t),
                latent: latent.clone(),
                k_rotary: keys.clone(),
                up_key: cube(up, 0, n),
                up_value: cube(up, h * n, n),
            };
            let attention =
                Latent { rotary: Some(Rotary::interleaved(2, 10.0)), mask: Mask::causal(Offset::zero()) };
            let both = [LatentForm::Expanded, LatentForm::Absorbed].map(|form| {
                let (out, saved) =
                    attention.forward(form, &arguments).expect("the claim draws shapes that fit");
                let d_out = Array3::from_shape_fn(out.dim(), |(a, b, c)| (a + 2 * b + 3 * c) as f64 - 2.0);
                let g = attention.backward(&saved, &d_out).expect("shapes fit");
                let flat: Vec<f64> = out
                    .into_iter()
                    .chain(g.q_content)
                    .chain(g.q_rotary)
                    .chain(g.latent)
                    .chain(g.k_rotary)
                    .chain(g.up_key)
                    .chain(g.up_value)
                    .collect();
                Array1::from(flat)
            });
            1e-8 * (1.0 + largest(&both[0])) - largest(&(&both[0] - &both[1]))
        })
}

/// As many groups as heads are plain heads, and one group is one key head for all.
pub(super) fn groups_at_the_ends() -> impl Claim {
    let meta = meta(
        "attention/groups-at-the-ends",
        "grouped attention with as many groups as heads is multi-head attention, and with one group multi-query attention",
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
        .margin(|(q, k)| {
            let heads = q.dim().0;
            let attend = |map: HeadMap, k: &Array3<f64>| {
                Attention::scaled_dot_product().heads(map).forward(q, k, k).expect("shapes fit").0
            };
            let first = k.slice(s![..1, .., ..]).to_owned();
            let maps: [fn(usize, usize) -> HeadMap; 2] =
                [HeadMap::grouped_by_floor, HeadMap::grouped_by_modulo];
            let off = maps.map(|map| {
                let full = attend(map(heads, heads), k) - attend(HeadMap::multi_head(), k);
                let single = attend(map(heads, 1), &first) - attend(HeadMap::multi_query(), &first);
                largest(full.iter().chain(&single))
            });
            -largest(&off)
        })
}

/// ALiBi under a causal mask is a bias on the keys alone.
pub(super) fn alibi_is_key_bias() -> impl Claim {
    let meta = meta(
        "attention/alibi-is-key-bias",
        "under a causal mask the penalty m(i − j) is the same as the bias m·j on the keys",
    )
    .code("B17")
    .source("Press et al. (2022), ALiBi");
    rows(meta, |x| {
        let alibi = causal().logit(LogitChange::Alibi(Slopes::Learned, Distance::Signed));
        let slope = 0.5 + x.0[[0, 0]].abs();
        let given = run(&alibi, &one_head(x).with(Parameter::Slopes, arr1(&[slope])));
        let by_key = Array3::from_shape_fn((1, 1, x.1.nrows()), |(_, _, j)| slope * j as f64);
        let biased = run(&causal().logit(LogitChange::Bias), &one_head(x).with(Parameter::Bias, by_key));
        1e-10 * (1.0 + largest(&x.2)) - largest(&(given - biased))
    })
}

/// Rows in front of a sequence do not change ALiBi's logits inside it.
pub(super) fn alibi_is_relative() -> impl Claim {
    let meta = meta(
        "attention/alibi-is-relative",
        "rows in front of a sequence do not change the logits inside it under ALiBi, for either distance",
    )
    .source("Press et al. (2022), ALiBi");
    Exact::new(meta)
        .dims(&[("tokens", 1..=4), ("in front", 0..=6), ("width", 1..=3)])
        .names(&["x", "first"])
        .input(|dims, stream| Some((normal(stream, dims[0] + dims[1], dims[2]), dims[1])))
        .admits(|(x, first)| *first < x.nrows() && x.iter().all(|v| v.abs() <= 30.0))
        .margin(|(x, first)| {
            let short: Array2<f64> = x.slice(s![*first.., ..]).to_owned();
            let logits = |distance, x: &Array2<f64>| {
                let variant = Variant::scaled_dot_product(Offset::zero())
                    .logit(LogitChange::Alibi(Slopes::Geometric, distance));
                let (_, trace) =
                    variant.forward(&one_head(&(x.clone(), x.clone(), x.clone()))).expect("shapes fit");
                trace.logits(0, 1).expect("there is one head and one change")
            };
            let moved = [Distance::Signed, Distance::Absolute].map(|distance| {
                let long = logits(distance, x);
                largest(&(&long.slice(s![*first.., *first..]) - &logits(distance, &short)))
            });
            1e-10 * (1.0 + largest(x) * largest(x)) - largest(&moved)
        })
}

/// The slopes of ALiBi are a geometric sequence when the number of heads is a power of two.
pub(super) fn alibi_slopes_are_geometric() -> impl Claim {
    let meta = meta(
        "attention/alibi-slopes-are-geometric",
        "for 2^n heads the slopes of ALiBi are the powers of 2^(−8/2^n), down to 2^−8; for any number they are different and at most 1",
    )
    .code("B18")
    .source("Press et al. (2022), ALiBi, section 3");
    Exact::new(meta)
        .dims(&[("heads", 1..=40)])
        .names(&["heads"])
        .input(|dims, _| Some(dims[0]))
        .admits(|heads| (1..=40).contains(heads))
        .margin(|&heads| {
            let slopes = alibi_slopes(Slopes::Geometric, heads).expect("they are not learned");
            if heads.is_power_of_two() {
                let ratio = (-8.0 / heads as f64).exp2();
                let off = slopes.iter().enumerate().map(|(h, m)| m - ratio.powi(h as i32 + 1));
                return 1e-12 - largest(&off.collect::<Vec<f64>>());
            }
            let mut sorted = slopes.clone();
            sorted.sort_by(f64::total_cmp);
            let closest = sorted.windows(2).fold(1.0 - sorted[heads - 1], |m, pair| m.min(pair[1] - pair[0]));
            if slopes.len() == heads { closest - 1e-9 } else { -1.0 }
        })
}

/// A forgetting gate that always keeps e^{−m} is ALiBi with slope m.
pub(super) fn forgetting_is_alibi() -> impl Claim {
    let meta = meta(
        "attention/constant-forgetting-is-alibi",
        "a forgetting gate that keeps the same share e^{−m} at every position is ALiBi with the slope m",
    )
    .source("Lin et al. (2025), Forgetting Transformer");
    rows(meta, |x| {
        let slope = 0.1 + x.0[[0, 0]].abs();
        let alibi = causal().logit(LogitChange::Alibi(Slopes::Learned, Distance::Signed));
        let alibi = run(&alibi, &one_head(x).with(Parameter::Slopes, arr1(&[slope])));
        let gates = Array2::from_elem((1, x.1.nrows()), -slope);
        let forget =
            run(&causal().logit(LogitChange::Forgetting), &one_head(x).with(Parameter::LogForget, gates));
        1e-10 * (1.0 + largest(&x.2)) - largest(&(alibi - forget))
    })
}

/// A window that reaches over the whole sequence is the causal mask.
pub(super) fn wide_window_is_causal() -> impl Claim {
    let meta = meta(
        "attention/wide-window-is-causal",
        "a window of as many positions as the sequence, the own included, is full causal attention",
    )
    .code("B29");
    rows(meta, |x| {
        let window = Window::including_self(x.1.nrows()).expect("there is a row");
        let windowed = Variant::scaled_dot_product(Offset::zero()).mask(MaskRule::Window(window));
        1e-12 * (1.0 + largest(&x.2))
            - largest(&(run(&windowed, &one_head(x)) - run(&causal(), &one_head(x))))
    })
}

/// The belief that the order of a softcap and a bias does not matter.
pub(super) fn softcap_order() -> impl Claim {
    let meta = Meta::counterexample(
        "attention/softcap-order-is-irrelevant",
        Subject::Attention,
        "capping the logits before a bias is added or afterwards gives the same output",
    );
    rows(meta, |x| {
        let bias = Array3::from_shape_fn((1, 1, x.1.nrows()), |(_, _, j)| 3.0 * j as f64);
        let order = |changes: [LogitChange; 2]| {
            let variant = changes.into_iter().fold(causal(), Variant::logit);
            run(&variant, &one_head(x).with(Parameter::Bias, bias.clone()))
        };
        let (cap, bias) = (LogitChange::Softcap(1.0), LogitChange::Bias);
        1e-6 - largest(&(order([cap, bias]) - order([bias, cap])))
    })
}

/// One step of a modern Hopfield network, down the gradient of its energy, is attention.
pub(super) fn hopfield_update() -> impl Claim {
    let meta = meta(
        "attention/hopfield-update",
        "a unit step down the energy −log Σ exp(β⟨x_j, ξ⟩)/β + |ξ|²/2 is attention of ξ to the stored patterns with scale β",
    )
    .code("B24")
    .source("Ramsauer et al. (2021), Hopfield Networks is All You Need, equation 3");
    rows(meta, |(state, stored, _)| {
        let beta = 0.7;
        let attention = Attention::scaled_dot_product().scale(Scale::Fixed(beta));
        let given = attention.attend_to(state, stored, stored);
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
