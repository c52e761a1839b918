//! Our products against the bare kernel crate, in turns, with the probe's drift.

use collimate_benches::{Contender, alternate, bare_product, drift, normal_matrix};
use collimate_tensor::{PackedMatrix, matmul, matmul_into};
use ndarray::Array2;
use std::hint::black_box;

/// The sizes `(m, k, n)` of a dictionary's encoder and of three products of a small language model.
const SIZES: [(usize, usize, usize); 4] =
    [(2048, 384, 6144), (512, 576, 1536), (512, 1536, 576), (512, 576, 576)];

fn main() {
    println!(
        "{:<18} {:<14} {:>10} {:>10} {:>14}",
        "m × k × n", "product", "median ms", "GFLOP/s", "of the bare one"
    );
    for (m, k, n) in SIZES {
        let a = normal_matrix::<f32>(m, k, "a");
        let b = normal_matrix::<f32>(k, n, "b");
        let packed = PackedMatrix::new(&b);
        let [mut bare, mut into, mut pre] = [(); 3].map(|()| Array2::<f32>::zeros((m, n)));
        // About a second for each contender.
        let flops = 2.0 * (m * k * n) as f64;
        let rounds = ((1.5e11 / flops) as usize).clamp(12, 200);
        let timings = alternate(
            rounds,
            &mut [
                Contender::new("bare", || bare_product(&a, &b, black_box(&mut bare))),
                Contender::new("matmul_into", || {
                    matmul_into(1.0, &a, &b, 0.0, black_box(&mut into)).expect("shapes fit");
                }),
                Contender::new("matmul", || drop(black_box(matmul(&a, &b)))),
                Contender::new("packed", || packed.matmul_into(&a, black_box(&mut pre)).expect("shapes fit")),
            ],
        );
        let probe = timings[0].median();
        for timing in &timings {
            let median = timing.median();
            let (name, rate) = (&timing.name, flops / median / 1e9);
            println!(
                "{m}×{k}×{n:<8} {name:<14} {:>10.3} {rate:>10.1} {:>14.3}",
                median * 1e3,
                probe / median
            );
        }
        let drift = drift(&timings[0]);
        let judged = if drift > 0.15 { "NOT STEADY, repeat the run" } else { "steady" };
        println!("{:<18} the probe drifted by {:.0} %: {judged}", "", 100.0 * drift);
    }
}
