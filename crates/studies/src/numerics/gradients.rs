//! Gradients: relations between a function and its derivatives, and a false belief about finite differences.

use collimate_claims::{Claims, Exact, Meta, Subject, larger, smaller};
use collimate_grad::primitive::softmax;
use collimate_grad::{Batch, CheckConfig, Kinks, Objective, Scratch, check_gradient};
use collimate_stream::RngStream;
use ndarray::{Array1, Array2};

const ADJOINT: Meta = Meta::theorem(
    "tensor/adjoint-identity",
    Subject::Tensor,
    "The backward pass is the adjoint of the forward-mode derivative, ⟨ȳ, Jẋ⟩ = ⟨Jᵀȳ, ẋ⟩: for softmax and log-softmax.",
)
.source("definition; Baydin et al. (2018), Automatic Differentiation in Machine Learning");

const JACOBIAN: Meta = Meta::theorem(
    "tensor/softmax-jacobian",
    Subject::Tensor,
    "The Jacobian of softmax is symmetric, takes constants to zero, and has 0 ≤ vᵀJv ≤ ½‖v‖².",
)
.code("B10")
.source("Gao and Pavel (2017), On the Properties of the Softmax Function, proposition 4");

const STEP: Meta = Meta::counterexample(
    "tensor/smaller-step-smaller-error",
    Subject::Tensor,
    "A smaller step makes a central difference more accurate.",
)
.source(
    "Press et al. (2007), Numerical Recipes, section 5.7: rounding grows as u/h while truncation falls as h²",
);

pub(super) fn claims() -> Claims {
    Claims::new().with(adjoint()).with(jacobian()).with(step())
}

fn normal(rows: usize, columns: usize, stream: &mut RngStream) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || stream.normal())
}

fn dot(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn adjoint() -> Exact<(Array2<f64>, Array2<f64>, Array2<f64>)> {
    Exact::new(ADJOINT)
        .dims(&[("rows", 1..=4), ("columns", 1..=6)])
        .names(&["x", "forward direction", "backward direction"])
        .input(|d, stream| {
            Some((normal(d[0], d[1], stream), normal(d[0], d[1], stream), normal(d[0], d[1], stream)))
        })
        .admits(|(x, a, b)| [x, a, b].iter().all(|m| m.iter().all(|v| v.abs() < 20.0)))
        .margin(|(x, x_dot, y_bar)| {
            let size = (dot(x_dot, x_dot) * dot(y_bar, y_bar)).sqrt();
            let (p, log_p) = (softmax::forward(x), softmax::log_forward(x));
            // The Jacobian of softmax is symmetric. The Jacobian of log-softmax is not, so it distinguishes J from Jᵀ.
            let pairs = [
                (softmax::jvp(&p, x_dot), softmax::vjp(&p, y_bar)),
                (softmax::log_jvp(&log_p, x_dot), softmax::log_vjp(&log_p, y_bar)),
            ];
            let gap = pairs.iter().map(|(y_dot, x_bar)| match (y_dot, x_bar) {
                (Ok(y_dot), Ok(x_bar)) => (dot(y_bar, y_dot) - dot(x_bar, x_dot)).abs(),
                _ => f64::NAN,
            });
            1e-13 * (1.0 + size) * x.ncols() as f64 - gap.sum::<f64>()
        })
}

fn jacobian() -> Exact<(Array1<f64>, Array1<f64>)> {
    Exact::new(JACOBIAN)
        .dims(&[("n", 1..=8)])
        .names(&["logits", "direction"])
        .input(|d, stream| {
            let mut draw = |scale: f64| Array1::from_shape_simple_fn(d[0], || scale * stream.normal());
            Some((draw(2.0), draw(1.0)))
        })
        .admits(|(x, v)| x.iter().chain(v).all(|a| a.abs() < 20.0))
        .margin(|(x, v)| {
            let n = x.len();
            let row = x.clone().insert_axis(ndarray::Axis(0));
            let p = softmax::forward(&row);
            let product = |direction: Array1<f64>| {
                softmax::jvp(&p, &direction.insert_axis(ndarray::Axis(0))).map(|out| out.row(0).to_owned())
            };
            let columns: Result<Vec<_>, _> =
                (0..n).map(|j| product(Array1::from_shape_fn(n, |i| f64::from(u8::from(i == j))))).collect();
            let (Ok(columns), Ok(constant), Ok(jv)) = (columns, product(Array1::ones(n)), product(v.clone()))
            else {
                return f64::NAN;
            };
            let skew = (0..n)
                .flat_map(|i| (0..i).map(move |j| (i, j)))
                .map(|(i, j)| (columns[i][j] - columns[j][i]).abs());
            let kernel = constant.iter().map(|c| c.abs()).fold(0.0, larger);
            let (curvature, length) = (v.dot(&jv), v.dot(v));
            let rounding = 1e-14 * (1.0 + length);
            let margins = [-skew.fold(0.0, larger), -kernel, curvature, 0.5 * length - curvature];
            rounding + margins.into_iter().fold(f64::INFINITY, smaller)
        })
}

/// The sine, whose derivative is known exactly.
struct Sine;

impl Objective<f64> for Sine {
    fn n_parameters(&self) -> usize {
        1
    }
    fn n_samples(&self) -> usize {
        1
    }
    fn loss_and_gradient_into(&self, w: &[f64], _: Batch<'_>, _: &mut Scratch, out: &mut [f64]) -> f64 {
        out[0] = w[0].cos();
        w[0].sin()
    }
}

fn step() -> Exact<(f64, f64)> {
    Exact::new(STEP)
        .names(&["x", "log10 of the step"])
        .input(|_, stream| Some((stream.uniform_in(0.2, 1.2), stream.uniform_in(-9.0, -2.0))))
        .admits(|(x, e)| (0.2..=1.2).contains(x) && (-9.0..=-2.0).contains(e))
        .margin(|(x, exponent)| {
            let error = |h: f64| {
                let config = CheckConfig { step: h, kinks: Kinks::Judge, ..CheckConfig::default() };
                check_gradient(&Sine, &[*x], Batch::All, &config)
                    .ok()
                    .and_then(|report| report.worst.map(|worst| worst.error()))
                    .unwrap_or(f64::NAN)
            };
            let h = 10f64.powf(*exponent);
            error(h) - error(h / 10.0)
        })
}
