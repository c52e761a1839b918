//! Times some calls, to compare callers that are built in debug and in release. Prints the best time of each call in microseconds
//! as JSON; `cargo xtask bench debug-caller` compares the two builds.

use collimate_benches::normal_matrix;
use collimate_tensor::{Scalar, dot, log_sum_exp, matmul, rms_norm_into, softmax_rows};
use ndarray::Array2;
use std::hint::black_box;
use std::time::Instant;

/// The time for which each call is repeated.
const SECONDS: f64 = 0.3;

fn main() {
    let mut lines = Vec::new();
    each_scalar::<f32>(&mut lines);
    each_scalar::<f64>(&mut lines);
    println!("{{{}}}", lines.join(", "));
}

fn each_scalar<F: Scalar>(lines: &mut Vec<String>) {
    for size in [64, 256] {
        let (a, b) = (normal_matrix::<F>(size, size, "a"), normal_matrix::<F>(size, size, "b"));
        lines.push(timed::<F>(&format!("matmul {size}×{size}×{size}"), || drop(black_box(matmul(&a, &b)))));
    }
    for (rows, columns) in [(64, 64), (256, 2048)] {
        let mut x: Array2<F> = normal_matrix(rows, columns, "x");
        lines.push(timed::<F>(&format!("softmax {rows}×{columns}"), || softmax_rows(black_box(&mut x))));
    }
    let x = normal_matrix::<F>(1, 4096, "x");
    let row = x.as_slice().expect("a fresh array is contiguous");
    let mut out = row.to_vec();
    lines.push(timed::<F>("log_sum_exp 4096", || {
        black_box(log_sum_exp(black_box(row)));
    }));
    lines.push(timed::<F>("rms_norm 4096", || {
        rms_norm_into(row, row, F::from_f64(1e-5), black_box(&mut out))
    }));
    lines.push(timed::<F>("dot 4096", || {
        black_box(dot(black_box(row), black_box(row)));
    }));
}

/// Returns the best time of many calls, as an entry of a JSON object.
fn timed<F: Scalar>(name: &str, mut call: impl FnMut()) -> String {
    let started = Instant::now();
    let mut best = f64::INFINITY;
    while started.elapsed().as_secs_f64() < SECONDS {
        // Ten calls in one timing, so that reading the clock takes a small share of it.
        let here = Instant::now();
        for _ in 0..10 {
            call();
        }
        best = best.min(here.elapsed().as_secs_f64() / 10.0);
    }
    format!("\"{name} {}\": {:.4}", F::NAME, best * 1e6)
}
