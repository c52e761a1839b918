//! Optimisers: the invariances of Adam, and false beliefs about them.

use collimate_claims::{Claims, Exact, Meta, Subject, larger};
use collimate_grad::{Adam, AdamConfig, Optimiser, WeightDecay};
use ndarray::{Array1, Array2};

const SCALE: Meta = Meta::theorem(
    "tensor/adam-ignores-the-scale-of-the-loss",
    Subject::Tensor,
    "Multiplying every gradient by the same positive number does not change Adam's path (ε negligible).",
)
.source("Kingma and Ba (2015), section 2.1");

const FIRST: Meta = Meta::theorem(
    "tensor/adam-first-step",
    Subject::Tensor,
    "The first step of Adam has the length of the learning rate in every coordinate, against the sign of the gradient.",
)
.source("Kingma and Ba (2015), section 3: bias correction at t = 1");

const ROTATION: Meta = Meta::counterexample(
    "tensor/adam-commutes-with-rotation",
    Subject::Tensor,
    "Rotating the parameters and the gradient rotates the step of Adam: the algorithm has no preferred basis.",
)
.source("privileged bases are made by optimisers too: Elhage et al. (2023), Privileged Bases in the Transformer Residual Stream");

const DECAY: Meta = Meta::counterexample(
    "tensor/weight-decay-is-an-l2-penalty",
    Subject::Tensor,
    "In Adam, decoupled weight decay and an L2 penalty of the same strength take the same step.",
)
.source("Loshchilov and Hutter (2019), proposition 2");

pub(super) fn claims() -> Claims {
    Claims::new().with(scale()).with(first()).with(rotation()).with(decay())
}

/// Computes the parameters after one step for each row of gradients, from `start`, at rate 1e-2.
fn path(gradients: &Array2<f64>, start: &Array1<f64>, weight_decay: WeightDecay) -> Option<Array1<f64>> {
    let config = AdamConfig { epsilon: 1e-300, weight_decay, ..AdamConfig::default() };
    let mut adam = Adam::new(start.len(), config).ok()?;
    let mut w = start.to_vec();
    for g in gradients.rows() {
        adam.step(1e-2, &g.to_vec(), &mut w).ok()?;
    }
    Some(Array1::from(w))
}

fn normal(rows: usize, columns: usize, stream: &mut collimate_stream::RngStream) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || stream.normal())
}

/// Returns true if all numbers are away from zero, where the step is undefined, and their squares are finite in f64.
fn tame(x: &Array2<f64>) -> bool {
    x.iter().all(|v| (1e-3..=1e3).contains(&v.abs()))
}

fn distance(a: Option<Array1<f64>>, b: Option<Array1<f64>>) -> f64 {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).iter().map(|x| x.abs()).fold(0.0, larger),
        _ => f64::NAN,
    }
}

fn scale() -> Exact<(Array2<f64>, f64)> {
    Exact::new(SCALE)
        .dims(&[("steps", 1..=8), ("n", 1..=5)])
        .input(|d, stream| Some((normal(d[0], d[1], stream), 10f64.powf(stream.uniform_in(-3.0, 3.0)))))
        .names(&["gradients", "scale"])
        .admits(|(g, c)| tame(g) && (1e-3..=1e3).contains(c))
        .margin(|(g, c)| {
            let start = Array1::zeros(g.ncols());
            1e-13 - distance(path(g, &start, WeightDecay::None), path(&(g * *c), &start, WeightDecay::None))
        })
}

fn first() -> Exact<Array2<f64>> {
    Exact::new(FIRST)
        .dims(&[("n", 1..=10)])
        .input(|d, stream| Some(normal(1, d[0], stream)))
        .admits(tame)
        .margin(|g| {
            let expected = g.row(0).mapv(|x| -1e-2 * x.signum());
            1e-15 - distance(path(g, &Array1::zeros(g.ncols()), WeightDecay::None), Some(expected))
        })
}

fn rotation() -> Exact<(Array2<f64>, f64)> {
    Exact::new(ROTATION)
        .dims(&[("steps", 1..=4)])
        .input(|d, stream| Some((normal(d[0], 2, stream), stream.uniform_in(0.0, 3.0))))
        .names(&["gradients", "angle"])
        .admits(|(g, angle)| tame(g) && (0.0..=3.2).contains(angle))
        .margin(|(g, angle)| {
            let (sin, cos) = angle.sin_cos();
            let turn = ndarray::array![[cos, -sin], [sin, cos]];
            let start = Array1::zeros(2);
            let turned_after = path(g, &start, WeightDecay::None).map(|w| turn.dot(&w));
            1e-6 - distance(turned_after, path(&g.dot(&turn.t()), &start, WeightDecay::None))
        })
}

fn decay() -> Exact<(Array2<f64>, Array2<f64>)> {
    Exact::new(DECAY)
        .dims(&[("steps", 1..=3), ("n", 1..=3)])
        .input(|d, stream| Some((normal(d[0], d[1], stream), normal(1, d[1], stream))))
        .names(&["gradients", "start"])
        .admits(|(g, w)| tame(g) && tame(w))
        .margin(|(g, w)| {
            let start = w.row(0).to_owned();
            1e-9 - distance(
                path(g, &start, WeightDecay::L2(0.1)),
                path(g, &start, WeightDecay::Decoupled(0.1)),
            )
        })
}
