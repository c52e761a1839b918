//! Matrix products and the bare kernel crate.

use collimate_benches::{bare_product, normal_matrix};
use collimate_tensor::{PackedMatrix, matmul_into};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array2;

fn products(criterion: &mut Criterion) {
    for (m, k, n) in [(2048, 384, 6144), (512, 576, 1536), (64, 64, 64)] {
        let a = normal_matrix::<f32>(m, k, "a");
        let b = normal_matrix::<f32>(k, n, "b");
        let packed = PackedMatrix::new(&b);
        let mut c = Array2::<f32>::zeros((m, n));
        let mut group = criterion.benchmark_group(format!("{m}x{k}x{n}"));
        group.throughput(Throughput::Elements(2 * (m * k * n) as u64)).sample_size(20);
        group.bench_function("bare", |bencher| bencher.iter(|| bare_product(&a, &b, &mut c)));
        group.bench_function("matmul_into", |bencher| {
            bencher.iter(|| matmul_into(1.0, &a, &b, 0.0, &mut c).expect("shapes fit"));
        });
        group.bench_function("packed", |bencher| {
            bencher.iter(|| packed.matmul_into(&a, &mut c).expect("shapes fit"));
        });
        group.finish();
    }
}

criterion_group!(benches, products);
criterion_main!(benches);
