//! Matrix products: their rounding error, their independence of neighbouring rows, and a false belief about their order.

use collimate_claims::{Claims, Exact, Meta, Subject, smaller};
use collimate_stream::RngStream;
use collimate_tensor::{PackedMatrix, SparseRows, matmul};
use ndarray::{Array2, Zip, s};

const ERROR: Meta = Meta::theorem(
    "tensor/product-error",
    Subject::Tensor,
    "Every entry of a computed product lies within γ of the exact one: |fl(AB) − AB| ≤ k·u/(1 − k·u)·|A||B|.",
)
.source("Higham (2002), Accuracy and Stability of Numerical Algorithms, eq. 3.13");

const PACKED: Meta = Meta::theorem(
    "tensor/packed-rows-stand-alone",
    Subject::Tensor,
    "A row of a prepacked product has the same bits, whatever rows are multiplied in the same call.",
)
.source("the determinism promise of PackedMatrix");

const SPARSE: Meta = Meta::theorem(
    "tensor/sparse-decode",
    Subject::Tensor,
    "Decoding support-sparse rows equals the dense product with the zeros written out.",
)
.source("definition");

const ASSOCIATIVE: Meta = Meta::counterexample(
    "tensor/product-is-associative",
    Subject::Tensor,
    "The order of two products does not matter: (AB)C and A(BC) are equal.",
)
.source("a common reading of algebra into floating point; Goldberg (1991)");

pub(super) fn claims() -> Claims {
    Claims::new().with(error()).with(packed()).with(sparse()).with(associative())
}

/// Draws a matrix of normal numbers that are exact in f32, so that no error comes from rounding the inputs.
fn normal_f32(rows: usize, columns: usize, stream: &mut RngStream) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || f64::from(stream.normal() as f32))
}

/// Returns true if all numbers are finite and at most 1,000 in magnitude.
fn bounded(x: &Array2<f64>) -> bool {
    x.iter().all(|v| v.is_finite() && v.abs() <= 1e3)
}

fn narrow(x: &Array2<f64>) -> Array2<f32> {
    x.mapv(|v| v as f32)
}

fn error() -> Exact<(Array2<f64>, Array2<f64>)> {
    Exact::new(ERROR)
        .dims(&[("m", 1..=20), ("k", 1..=60), ("n", 1..=40)])
        .input(|d, stream| Some((normal_f32(d[0], d[1], stream), normal_f32(d[1], d[2], stream))))
        .names(&["a", "b"])
        .margin(|(a, b)| {
            // The reference is computed in f64, whose own error is 2⁻²⁹ of the bound.
            let (exact, size) = (a.dot(b), a.mapv(f64::abs).dot(&b.mapv(f64::abs)));
            let k = a.ncols() as f64 * f64::from(f32::EPSILON) / 2.0;
            let bound = (1.0 + 1e-6) * k / (1.0 - k);
            let (a, b) = (narrow(a), narrow(b));
            let products = [matmul(&a, &b), PackedMatrix::new(&b).matmul(&a)];
            let slack = |c: &Array2<f32>| {
                Zip::from(c).and(&exact).and(&size).fold(f64::INFINITY, |worst, &c, &e, &s| {
                    let within = bound - (f64::from(c) - e).abs() / s;
                    smaller(worst, if s > 0.0 { within } else { -f64::from(c).abs() })
                })
            };
            products.iter().map(|c| c.as_ref().map_or(f64::NAN, slack)).fold(f64::INFINITY, smaller)
        })
}

fn packed() -> Exact<(Array2<f64>, Array2<f64>)> {
    Exact::new(PACKED)
        .dims(&[("m", 1..=30), ("k", 1..=40), ("n", 1..=50)])
        .input(|d, stream| Some((normal_f32(d[0], d[1], stream), normal_f32(d[1], d[2], stream))))
        .names(&["a", "b"])
        .margin(|(a, b)| {
            let (a, packed) = (narrow(a), PackedMatrix::new(&narrow(b)));
            let Ok(whole) = packed.matmul(&a) else { return f64::NAN };
            let alone =
                |i: usize| packed.matmul(&a.slice(s![i..=i, ..])).is_ok_and(|row| row.row(0) == whole.row(i));
            if (0..a.nrows()).all(alone) { 0.0 } else { -1.0 }
        })
}

fn sparse() -> Exact<(Array2<f64>, Array2<f64>)> {
    Exact::new(SPARSE)
        .dims(&[("rows", 1..=8), ("columns", 1..=20), ("d", 1..=8)])
        .input(|d, stream| {
            let codes = Array2::from_shape_simple_fn((d[0], d[1]), || {
                if stream.bernoulli(0.3) { stream.normal() } else { 0.0 }
            });
            Some((codes, normal_f32(d[1], d[2], stream)))
        })
        .names(&["codes", "dictionary"])
        .admits(|(codes, dictionary)| bounded(codes) && bounded(dictionary))
        .margin(|(codes, dictionary)| {
            let Ok(decoded) = SparseRows::from_dense(codes).decode(dictionary) else { return f64::NAN };
            let size = codes.mapv(f64::abs).dot(&dictionary.mapv(f64::abs));
            let tolerance = 2.0 * codes.ncols() as f64 * f64::EPSILON;
            Zip::from(&decoded)
                .and(&codes.dot(dictionary))
                .and(&size)
                .fold(f64::INFINITY, |worst, d, e, s| smaller(worst, tolerance * s - (d - e).abs()))
        })
}

fn associative() -> Exact<(Array2<f64>, Array2<f64>, Array2<f64>)> {
    Exact::new(ASSOCIATIVE)
        .dims(&[("n", 1..=4)])
        .input(|d, stream| {
            let mut square = || normal_f32(d[0], d[0], stream);
            Some((square(), square(), square()))
        })
        .names(&["a", "b", "c"])
        .admits(|(a, b, c)| [a, b, c].iter().all(|x| bounded(x)))
        .margin(|(a, b, c)| {
            let both = || Some((matmul(&matmul(a, b).ok()?, c).ok()?, matmul(a, &matmul(b, c).ok()?).ok()?));
            // Square matrices always fit. If they were refused, nothing would be shown about the order.
            both().map_or(0.0, |(left, right)| {
                -left.iter().zip(&right).map(|(x, y)| (x - y).abs()).sum::<f64>()
            })
        })
}
