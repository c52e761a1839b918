//! Attention passes: full and causal, variants and their plain pass, and decoding.

use collimate_attention::{Attention, HeadMap, Mask, Offset};
use collimate_stream::RngStream;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ndarray::{ArcArray, Array4, Ix4};

fn normal(shape: (usize, usize, usize, usize), name: &str) -> ArcArray<f32, Ix4> {
    let mut stream = RngStream::named(0, name);
    Array4::from_shape_simple_fn(shape, || stream.normal() as f32).into_shared()
}

fn square(criterion: &mut Criterion) {
    let plain = Attention::scaled_dot_product();
    let causal = plain.mask(Mask::causal(Offset::zero()));
    let variants = [
        ("full", plain),
        ("causal", causal),
        ("softcap", causal.softcap(50.0)),
        ("window of 256", plain.mask(Mask::window(Offset::zero(), 255))),
    ];
    let (heads, n, width) = (12, 1024, 64);
    let x = |name| normal((1, heads, n, width), name);
    let (q, k, v, d_out) = (x("q"), x("k"), x("v"), x("d_out"));
    for (name, attention) in variants {
        let mut group = criterion.benchmark_group(format!("{name} 1x{heads}x{n}x{width}"));
        // Each multiply-add of the full square counts twice.
        group.throughput(Throughput::Elements(4 * (heads * n * n * width) as u64)).sample_size(20);
        let mut out = Array4::zeros(q.dim());
        group.bench_function("forward", |bencher| {
            bencher.iter(|| attention.forward_into(&q, &k, &v, &mut out).expect("shapes fit"));
        });
        let (_, saved) = attention.forward_shared(q.clone(), k.clone(), v.clone()).expect("shapes fit");
        group.bench_function("backward", |bencher| {
            bencher.iter(|| attention.backward(&saved, &d_out).expect("shapes fit"));
        });
        group.bench_function("jvp", |bencher| {
            bencher.iter(|| attention.jvp(&saved, &q, &k, &v).expect("shapes fit"));
        });
        group.finish();
    }
}

fn decode(criterion: &mut Criterion) {
    let (q, k, v) =
        (normal((1, 32, 1, 128), "q"), normal((1, 8, 4096, 128), "k"), normal((1, 8, 4096, 128), "v"));
    let attention = Attention::scaled_dot_product().heads(HeadMap::grouped_by_floor(32, 8));
    let mut out = Array4::zeros(q.dim());
    criterion.bench_function("decode 32/8 heads, 4096 keys of width 128", |bencher| {
        bencher.iter(|| attention.forward_into(&q, &k, &v, &mut out).expect("shapes fit"));
    });
}

criterion_group!(benches, square, decode);
criterion_main!(benches);
