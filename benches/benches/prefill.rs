//! The residual stream of 512 tokens through the real model, and its products alone.

use collimate_benches::normal_matrix;
use collimate_studies::data::{self, Cache};
use collimate_tensor::PackedMatrix;
use collimate_transformer::{Model, Run};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array2;

const TOKENS: usize = 512;

fn prefill(criterion: &mut Criterion) {
    let path = Cache::user().and_then(|cache| data::locate_smollm2(&cache));
    let model = match path {
        Ok(path) => Model::<f32>::open(path).expect("the model was checked when it was fetched"),
        Err(error) => return eprintln!("prefill is left out: {error}"),
    };
    let tokens: Vec<u32> = (0..TOKENS as u32).map(|i| (i * 7919) % 49_152).collect();
    let mut group = criterion.benchmark_group("SmolLM2-135M-Instruct");
    group.throughput(Throughput::Elements(TOKENS as u64)).sample_size(10);
    group.bench_function("prefill of 512 tokens", |bencher| {
        let last = model.description().layers.len();
        bencher.iter(|| model.residual(Run::of(&tokens), last, &mut ()).expect("a sound model"));
    });
    // The products of a layer: queries, keys and values, the attention's output, gate and up, down.
    let shapes = [(576, 960), (576, 576), (576, 3072), (1536, 576)];
    let packed = shapes.map(|(k, n)| PackedMatrix::new(&normal_matrix::<f32>(k, n, "weights")));
    let inputs = shapes.map(|(k, _)| normal_matrix::<f32>(TOKENS, k, "inputs"));
    let mut outputs = shapes.map(|(_, n)| Array2::<f32>::zeros((TOKENS, n)));
    group.bench_function("its products alone", |bencher| {
        bencher.iter(|| {
            for _ in 0..model.description().layers.len() {
                for ((weights, input), output) in packed.iter().zip(&inputs).zip(&mut outputs) {
                    weights.matmul_into(input, output).expect("shapes fit");
                }
            }
        });
    });
    group.finish();
}

criterion_group!(benches, prefill);
criterion_main!(benches);
