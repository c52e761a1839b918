//! The expansion of matrices in the storage types of files, into memory that is used again.

use collimate_stream::RngStream;
use collimate_tensor::files::{GgufType, StoredMatrix};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const ROWS: usize = 64;
const COLUMNS: usize = 4096;

fn expansion(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("expand");
    group.throughput(Throughput::Bytes((4 * ROWS * COLUMNS) as u64)).sample_size(20);
    for kind in [
        GgufType::F32,
        GgufType::F16,
        GgufType::BF16,
        GgufType::Q4_0,
        GgufType::Q8_0,
        GgufType::Q4_K,
        GgufType::Q6_K,
        GgufType::IQ4_XS,
        GgufType::IQ2_S,
        GgufType::MXFP4,
    ] {
        let (elements, bytes) = kind.block_size().expect("the type is known");
        let mut stream = RngStream::new(1, 0);
        let bytes = (0..ROWS * COLUMNS / elements * bytes).map(|_| stream.bits() as u8).collect();
        let matrix = StoredMatrix::new(kind, [ROWS, COLUMNS], bytes).expect("the sizes fit");
        let mut out = vec![0.0; ROWS * COLUMNS];
        group.bench_function(format!("{kind:?}"), |bencher| {
            bencher.iter(|| matrix.expand_rows_into(0..ROWS, &mut out).expect("the shapes fit"));
        });
    }
    group.finish();
}

criterion_group!(benches, expansion);
criterion_main!(benches);
