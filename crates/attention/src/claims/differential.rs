//! Claims about the difference of two attention maps.

use super::order::normal;
use super::subjects::{largest, least};
use crate::algebra::{Arguments, Combination, Gain, OutputChange, PairKeys, Pairing, Parameter, Variant};
use crate::{HeadMap, Offset};
use collimate_claims::{Claim, Exact, Meta, Subject};
use ndarray::{Array1, Array2, Array3, Axis, arr1, stack};

const YE: &str = "Ye et al. (2024), Differential Transformer";

/// Returns Differential V1 with this λ and one pair of heads, and its parameters.
fn with_weight(lambda: f64) -> (Variant, Vec<(Parameter, Array1<f64>)>) {
    let variant = Variant::scaled_dot_product(Offset::zero()).heads(HeadMap::multi_head()).combination(
        Combination::DifferentialV1 {
            pairing: Pairing::Neighbours,
            keys: PairKeys::Paired,
            lambda_init: 0.5,
        },
    );
    // λ = e^{a} − e^{b} + 0.5, with b = 0: a = ln(λ + 0.5).
    let logarithm = (lambda + 0.5).ln();
    let vectors = [
        (Parameter::LambdaQuery1, arr1(&[logarithm])),
        (Parameter::LambdaKey1, arr1(&[1.0])),
        (Parameter::LambdaQuery2, arr1(&[0.0])),
        (Parameter::LambdaKey2, arr1(&[1.0])),
    ];
    (variant, vectors.into())
}

/// The difference of two attention maps on the same values: (P₁ − λ P₂) v.
pub trait DifferentialAttends: Send + Sync + 'static {
    /// Returns the output for the queries and keys of both maps, values `[s, e]` and the weight λ of the second map.
    fn attend(&self, q: [&Array2<f64>; 2], k: [&Array2<f64>; 2], v: &Array2<f64>, lambda: f64)
    -> Array2<f64>;
}

/// Differential V1 of this crate, without its norm.
pub(super) struct Own;

impl DifferentialAttends for Own {
    fn attend(
        &self,
        q: [&Array2<f64>; 2],
        k: [&Array2<f64>; 2],
        v: &Array2<f64>,
        lambda: f64,
    ) -> Array2<f64> {
        attend(q, k, v, lambda)
    }
}

fn attend(q: [&Array2<f64>; 2], k: [&Array2<f64>; 2], v: &Array2<f64>, lambda: f64) -> Array2<f64> {
    let pair = |x: [&Array2<f64>; 2]| stack(Axis(0), &x.map(|x| x.view())).expect("both are of one shape");
    let (variant, vectors) = with_weight(lambda);
    let mut arguments = Arguments::new(&pair(q), &pair(k), &v.clone().insert_axis(Axis(0)));
    for (name, vector) in vectors {
        arguments = arguments.with(name, vector);
    }
    variant.forward(&arguments).expect("the claim draws shapes that fit").0.index_axis_move(Axis(0), 0)
}

/// Combines two given maps with weight λ by this crate.
pub(super) fn combined(first: &Array2<f64>, second: &Array2<f64>, lambda: f64) -> Array2<f64> {
    let (variant, vectors) = with_weight(lambda);
    let parameters = vectors
        .into_iter()
        .fold(crate::algebra::Parameters::new(), |parameters, (name, vector)| parameters.with(name, vector));
    let both: Array3<f64> = stack(Axis(0), &[first.view(), second.view()]).expect("both are of one shape");
    variant.combination.forward(&parameters, &both).index_axis_move(Axis(0), 0)
}

type Two = (Array2<f64>, Array2<f64>);

/// The queries and the keys of both maps, and λ.
type Drawn = (Two, Two, f64);

fn maps(meta: Meta, margin: impl Fn(&Drawn) -> f64 + Send + Sync + 'static) -> impl Claim {
    Exact::new(meta)
        .dims(&[("queries", 1..=3), ("keys", 1..=5), ("width", 1..=3)])
        .names(&["q", "k", "lambda"])
        .input(|dims, stream| {
            let mut rows = |n| (normal(stream, n, dims[2]), normal(stream, n, dims[2]));
            let (q, k) = (rows(dims[0]), rows(dims[1]));
            Some((q, k, stream.uniform()))
        })
        .admits(|(q, k, lambda)| {
            (0.0..=1.0).contains(lambda)
                && [&q.0, &q.1, &k.0, &k.1].into_iter().flatten().all(|x: &f64| x.abs() <= 30.0)
        })
        .margin(margin)
}

/// Claims that rows of the differential pattern sum to 1 − λ.
pub fn differential_row_sum(attention: impl DifferentialAttends) -> impl Claim {
    let meta = Meta::theorem(
        "attention/differential-row-sum",
        Subject::Attention,
        "the weights of a query of differential attention sum to 1 − λ",
    )
    .code("B20")
    .source(YE);
    maps(meta, move |(q, k, lambda)| {
        let weights = attention.attend([&q.0, &q.1], [&k.0, &k.1], &Array2::eye(k.0.nrows()), *lambda);
        1e-12 - largest(&weights.sum_axis(Axis(1)).mapv(|sum| sum - (1.0 - lambda)))
    })
}

/// Claims that two equal maps give 1 − λ times one map.
pub fn differential_equal_maps(attention: impl DifferentialAttends) -> impl Claim {
    let meta = Meta::theorem(
        "attention/differential-equal-maps",
        Subject::Attention,
        "when both maps are equal, differential attention is 1 − λ times the attention of one",
    )
    .code("B20")
    .source(YE);
    maps(meta, move |(q, k, lambda)| {
        let both = attention.attend([&q.0, &q.0], [&k.0, &k.0], &k.1, *lambda);
        let one = attention.attend([&q.0, &q.0], [&k.0, &k.0], &k.1, 0.0);
        1e-12 * (1.0 + largest(&k.1)) - largest(&(both - one * (1.0 - lambda)))
    })
}

/// Returns the factor after the norm of Differential V1 of this crate at a depth.
pub(super) fn own_factor(depth: usize) -> f64 {
    let variant =
        Variant::differential_v1(Offset::zero(), Pairing::Neighbours, PairKeys::Paired, depth, Gain::None);
    match variant.output[..] {
        [_, OutputChange::Scale(factor)] => factor,
        _ => f64::NAN,
    }
}

/// Claims the initial weight λ_init for each depth, counted from 0, and the factor after the norm of the output.
pub fn differential_first_weight(
    lambda_init: impl Fn(usize) -> f64 + Send + Sync + 'static,
    factor: impl Fn(usize) -> f64 + Send + Sync + 'static,
) -> impl Claim {
    let meta = Meta::theorem(
        "attention/differential-first-weight",
        Subject::Attention,
        "λ_init is 0.2 in the first layer, rises with depth and stays below 0.8; the norm's factor is 1 − λ_init",
    )
    .code("B20")
    .source(YE);
    Exact::new(meta)
        .dims(&[("depth", 0..=60)])
        .names(&["depth"])
        .input(|dims, _| Some(dims[0]))
        .admits(|depth| *depth <= 60)
        .margin(move |&depth| {
            let shares = [lambda_init(depth), lambda_init(depth + 1)];
            let published = 0.8 - 0.6 * (-0.3 * depth as f64).exp();
            let off = [lambda_init(0) - 0.2, shares[0] - published, factor(depth) - (1.0 - shares[0])];
            least([shares[1] - shares[0], 0.8 - shares[1], 1e-12 - largest(&off)])
        })
}

/// Claims the belief that the weights are a distribution.
pub fn differential_non_negative(attention: impl DifferentialAttends) -> impl Claim {
    let meta = Meta::counterexample(
        "attention/differential-is-non-negative",
        Subject::Attention,
        "the weights of differential attention are not negative",
    )
    .code("B21");
    maps(meta, move |(q, k, lambda)| {
        let weights = attention.attend([&q.0, &q.1], [&k.0, &k.1], &Array2::eye(k.0.nrows()), *lambda);
        least(weights) + 1e-12
    })
}

/// Claims that an error common to both maps is scaled by exactly 1 − λ.
pub fn differential_common_error(
    combine: impl Fn(&Array2<f64>, &Array2<f64>, f64) -> Array2<f64> + Send + Sync + 'static,
) -> impl Claim {
    let meta = Meta::theorem(
        "attention/differential-common-error",
        Subject::Attention,
        "an error added to both maps appears in their difference scaled by 1 − λ",
    )
    .code("B22");
    Exact::new(meta)
        .dims(&[("queries", 1..=3), ("keys", 1..=5)])
        .names(&["first", "second", "error", "lambda"])
        .input(|dims, stream| {
            let mut map = || normal(stream, dims[0], dims[1]);
            let (first, second, error) = (map(), map(), map());
            Some((first, second, error, stream.uniform()))
        })
        .admits(|(a, b, e, lambda)| {
            (0.0..=1.0).contains(lambda) && a.iter().chain(b).chain(e).all(|x: &f64| x.abs() <= 100.0)
        })
        .margin(move |(a, b, e, lambda)| {
            let moved = combine(&(a + e), &(b + e), *lambda) - combine(a, b, *lambda);
            1e-11 - largest(&(moved - e * (1.0 - lambda)))
        })
}

/// Computes the mean square of independent signs in the two maps, over all four pairs of signs.
fn noise(combine: impl Fn(&Array2<f64>, &Array2<f64>, f64) -> Array2<f64>, lambda: f64) -> f64 {
    let (a, b) = (Array2::from_shape_fn((1, 4), |(_, n)| (n % 2) as f64 * 2.0 - 1.0), [-1.0, -1.0, 1.0, 1.0]);
    combine(&a, &Array2::from_shape_fn((1, 4), |(_, n)| b[n]), lambda).pow2().sum() / 4.0
}

fn weights(meta: Meta, margin: impl Fn(&f64) -> f64 + Send + Sync + 'static) -> impl Claim {
    Exact::new(meta)
        .dims(&[("tries", 1..=1)])
        .names(&["lambda"])
        .input(|_, stream| Some(stream.uniform()))
        .admits(|lambda| (0.0..=1.0).contains(lambda))
        .margin(margin)
}

/// Claims that independent noise is not cancelled: its variance grows by λ².
pub fn differential_noise_variance(
    combine: impl Fn(&Array2<f64>, &Array2<f64>, f64) -> Array2<f64> + Send + Sync + 'static,
) -> impl Claim {
    let meta = Meta::theorem(
        "attention/differential-noise-variance",
        Subject::Attention,
        "independent noise of variance 1 in each map has variance 1 + λ² in their difference",
    )
    .code("B22");
    weights(meta, move |&lambda| 1e-12 - (noise(&combine, lambda) - (1.0 + lambda * lambda)).abs())
}

/// Claims the belief that a difference of maps always has less noise than one map.
pub fn differential_lowers_noise(
    combine: impl Fn(&Array2<f64>, &Array2<f64>, f64) -> Array2<f64> + Send + Sync + 'static,
) -> impl Claim {
    let meta = Meta::counterexample(
        "attention/differential-lowers-noise",
        Subject::Attention,
        "the difference of two maps carries no more noise than one map, for any noise",
    )
    .code("B23");
    weights(meta, move |&lambda| 1.0 + 1e-12 - noise(&combine, lambda))
}
