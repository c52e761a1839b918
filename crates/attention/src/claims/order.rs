//! Claims about the order and the size of the input.

use super::subjects::{SelfAttention, largest};
use collimate_claims::{Claim, Exact, Meta, Subject};
use collimate_stream::RngStream;
use ndarray::{Array2, Axis};
use std::ops::RangeInclusive;

/// Claims that without a mask swapping two rows swaps their outputs.
pub fn permutation_equivariance(attention: impl SelfAttention) -> impl Claim {
    equivariance(
        Meta::theorem(
            "attention/permutation-equivariance",
            Subject::Attention,
            "without a mask, permuting the rows of the input permutes the rows of the output",
        )
        .code("B5"),
        attention,
    )
}

/// Claims the belief that swapping two rows swaps their outputs under a causal mask too.
pub fn causal_permutation_equivariance(attention: impl SelfAttention) -> impl Claim {
    equivariance(
        Meta::counterexample(
            "attention/causal-permutation-equivariance",
            Subject::Attention,
            "under a causal mask, permuting the rows of the input permutes the rows of the output",
        )
        .code("B6"),
        attention,
    )
}

fn equivariance(meta: Meta, attention: impl SelfAttention) -> impl Claim {
    let width = attention.width();
    Exact::new(meta)
        .dims(&[("tokens", 1..=6), ("width", widths(width))])
        .names(&["x", "swap"])
        .input(|dims, stream| {
            Some((normal(stream, dims[0], dims[1]), (stream.below(dims[0]), stream.below(dims[0]))))
        })
        .admits(|(x, (i, j))| x.iter().all(|v| v.abs() <= 30.0) && *i < x.nrows() && *j < x.nrows())
        .margin(move |(x, (i, j))| {
            let mut order: Vec<usize> = (0..x.nrows()).collect();
            order.swap(*i, *j);
            let expected = attention.attend(x).select(Axis(0), &order);
            let given = attention.attend(&x.select(Axis(0), &order));
            // Scores reach 30² √d, so a rounding of one of them moves the output by about 1e-12 of its size.
            1e-9 * (1.0 + largest(&expected)) - largest(&(given - &expected))
        })
}

/// Claims the belief that dot-product self-attention is Lipschitz on all inputs, here with the constant 10.
pub fn global_lipschitz(attention: impl SelfAttention) -> impl Claim {
    let width = attention.width();
    let meta = Meta::counterexample(
        "attention/global-lipschitz",
        Subject::Attention,
        "self-attention moves its output by at most 10 times as much as its input moves",
    )
    .code("B11")
    .source("Kim, Papamakarios and Mnih (2021), The Lipschitz Constant of Self-Attention");
    Exact::new(meta)
        .dims(&[("tokens", 1..=4), ("width", widths(width))])
        .names(&["x", "step"])
        .input(|dims, stream| {
            // Rows of very different sizes: the slope is large if a small row attends to a large row.
            let mut x = normal(stream, dims[0], dims[1]);
            for mut row in x.rows_mut() {
                row *= 20.0 * stream.uniform().powi(3);
            }
            Some((x, normal(stream, dims[0], dims[1]) * 1e-4))
        })
        .admits(|(x, step)| {
            let step = largest(step);
            x.iter().all(|v| v.abs() <= 100.0) && (1e-5..=1e-3).contains(&step)
        })
        .margin(move |(x, step)| {
            let moved = attention.attend(&(x + step)) - attention.attend(x);
            let norm = |m: &Array2<f64>| m.iter().map(|v| v * v).sum::<f64>().sqrt();
            10.0 * norm(step) - norm(&moved)
        })
}

/// Returns the widths to draw from.
pub(super) fn widths(only: Option<usize>) -> RangeInclusive<usize> {
    only.map_or(1..=4, |width| width..=width)
}

/// Draws standard normal rows.
pub(super) fn normal(stream: &mut RngStream, rows: usize, columns: usize) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || stream.normal())
}
