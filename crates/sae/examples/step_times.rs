//! How long a training step takes, as a multiple of the bare encoder product, and how much memory; contenders take turns
//! in one process.
//!
//! `cargo run --release -p collimate-sae --example step_times [d n rows rounds]`
//!
//! The start of training, when half of the latents are active, is compared with the bare products that a dense step is made
//! of. Memory is what weights, moments and buffers take at their peak, beside four numbers a parameter and the tiles.

#[path = "../tests/memory/kernels.rs"]
mod kernels;

use collimate_sae::{
    AdamMoments, AdamParameters, BatchTopK, Gated, JumpRelu, Levels, Matryoshka, Relu, Sae, SaeError,
    Settings, Size, TopK, Variant, Workspace,
};
use collimate_stream::RngStream;
use collimate_tensor::matmul_into;
use ndarray::{Array2, Axis};
use std::time::Instant;

/// Returns a dictionary whose biases make a given share of the latents active.
fn with_density(variant: Variant, size: Size, x: &Array2<f32>, density: f64) -> Result<Sae<f32>, SaeError> {
    let sae = Sae::<f32>::new(variant, size, &mut RngStream::new(1, 0))?;
    let mut weights = sae.into_weights();
    let sample = x.slice_axis(Axis(0), (..64).into());
    let mut products: Vec<f32> = sample.dot(&weights.w_enc.t()).into_iter().collect();
    let keep = (products.len() as f64 * density) as usize;
    products.sort_unstable_by(|a, b| b.total_cmp(a));
    weights.per_latent[0].fill(-products[keep]);
    if let Variant::JumpRelu(_) = variant {
        weights.per_latent[0].fill(0.0);
        weights.per_latent[1].fill(products[keep]);
    }
    Sae::from_weights(variant, weights)
}

#[global_allocator]
static COUNTING: kernels::Counting = kernels::Counting;

type Contender<'a> = (String, Box<dyn FnMut() + 'a>);

/// The operands of the products that a dense step cannot do without.
struct DenseProducts {
    x: Array2<f32>,
    codes: Array2<f32>,
    weights: Array2<f32>,
    rows: Array2<f32>,
    gradient: Array2<f32>,
}

impl DenseProducts {
    fn new(x: &Array2<f32>, n: usize, stream: &mut RngStream) -> Self {
        let (rows, d) = x.dim();
        Self {
            x: x.clone(),
            codes: Array2::zeros((rows, n)),
            weights: Array2::from_shape_fn((n, d), |_| stream.normal() as f32),
            rows: Array2::zeros((rows, d)),
            gradient: Array2::zeros((n, d)),
        }
    }

    /// Computes the encoder product, the decodes and inner products with their residuals, and both gradients.
    fn work(mut self, decodes: usize) -> impl FnMut() {
        move || {
            let product = matmul_into::<f32>;
            product(1.0, &self.x, &self.weights.t(), 0.0, &mut self.codes).expect("shapes fit");
            for _ in 0..decodes {
                product(1.0, &self.codes, &self.weights, 0.0, &mut self.rows).expect("shapes fit");
                product(1.0, &self.rows, &self.weights.t(), 0.0, &mut self.codes).expect("shapes fit");
            }
            for _ in 0..2 {
                product(1.0, &self.codes.t(), &self.x, 0.0, &mut self.gradient).expect("shapes fit");
            }
        }
    }
}

fn mb(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

fn main() -> Result<(), SaeError> {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let at = |i: usize, default: usize| numbers.get(i).copied().unwrap_or(default);
    let (d, n, rows, rounds) = (at(0, 96), at(1, 512), at(2, 256), at(3, 3));
    let size = Size { d_model: d, n_latents: n };
    let mut stream = RngStream::new(2, 0);
    let x = Array2::from_shape_fn((rows, d), |_| stream.normal() as f32);
    let dead: Vec<u32> = (0..n as u32 / 4).collect();
    let levels = Levels::new(&[n as u32 / 8, n as u32 / 4, n as u32 / 2, n as u32])?;
    let k = 32.min(n / 4);
    let batch = BatchTopK::new(k as f64);
    let members: Vec<(&str, Variant, f64, &[u32])> = vec![
        ("TopK", TopK::new(k).into(), 0.5, &[]),
        ("TopK + AuxK", TopK::new(k).with_aux(d / 2).into(), 0.5, &dead),
        ("BatchTopK", batch.into(), 0.5, &[]),
        ("Matryoshka, 4 levels", Matryoshka { batch, levels }.into(), 0.5, &[]),
        ("Gated 5 %", Gated::paper().into(), 0.05, &[]),
        ("Gated 0.6 %", Gated::paper().into(), 0.006, &[]),
        ("ReLU 1 %", Relu::unit_norm().into(), 0.01, &[]),
        ("JumpReLU 1 %", JumpRelu::paper().into(), 0.01, &[]),
        ("ReLU 40 %", Relu::unit_norm().into(), 0.4, &[]),
        ("Gated 40 %", Gated::paper().into(), 0.4, &[]),
    ];
    let mut contenders: Vec<Contender<'_>> = Vec::new();
    let mut memory = Vec::new();
    let encoder = Array2::from_shape_fn((n, d), |_| stream.normal() as f32);
    let mut products = Array2::zeros((rows, n));
    let input = x.clone();
    contenders.push((
        "bare product".into(),
        Box::new(move || matmul_into(1.0, &input, &encoder.t(), 0.0, &mut products).expect("shapes fit")),
    ));
    for (name, variant, density, dead) in members {
        let x = &x;
        let start = with_density(variant, size, x, density)?;
        let (bytes, state) = kernels::peak_of(|| {
            let mut sae = start.clone();
            let mut moments = AdamMoments::zeros(sae.weights());
            let mut workspace = Workspace::default();
            let settings = Settings { penalty: 1e-9, dead, ..Settings::default() };
            let adam = AdamParameters::standard();
            sae.step(&mut moments, x, &settings, &adam, 1e-12, &mut workspace)
                .map(|_| (sae, moments, workspace))
        });
        let (mut sae, mut moments, mut workspace) = state?;
        let promised = 4 * 4 * 2 * n * d + 4 * rayon::current_num_threads() * 64 * n;
        memory.push((name, bytes, promised));
        contenders.push((
            name.into(),
            Box::new(move || {
                // So small a rate that the density stays what it is.
                let settings = Settings { penalty: 1e-9, dead, ..Settings::default() };
                let adam = AdamParameters::standard();
                sae.step(&mut moments, x, &settings, &adam, 1e-12, &mut workspace).expect("a step");
            }),
        ));
    }
    let encoding = Sae::<f32>::new(TopK::new(k), size, &mut RngStream::new(1, 0))?;
    let x = &x;
    contenders.push((
        "TopK encode only".into(),
        Box::new(move || {
            encoding.dictionary().encode(x).expect("finite");
        }),
    ));
    for (name, decodes) in [("products of ReLU 40 %", 1), ("products of Gated 40 %", 2)] {
        let dense = DenseProducts::new(x, n, &mut stream);
        contenders.push((name.into(), Box::new(dense.work(decodes))));
    }
    let mut times = vec![Vec::new(); contenders.len()];
    for round in 0..=rounds {
        for (which, (_, work)) in contenders.iter_mut().enumerate() {
            let started = Instant::now();
            work();
            // The first round fills the buffers.
            if round > 0 {
                times[which].push(started.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_unstable_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let medians: Vec<f64> = times.iter_mut().map(median).collect();
    for ((name, _), ms) in contenders.iter().zip(&medians) {
        println!("{name:22} {ms:8.2} ms   {:.2}×", ms / medians[0]);
    }
    let of = |name: &str| medians[contenders.iter().position(|c| c.0 == name).expect("a contender")];
    for name in ["ReLU 40 %", "Gated 40 %"] {
        println!(
            "{name}: {:.2}× the bare products of a dense step",
            of(name) / of(&format!("products of {name}"))
        );
    }
    for (name, bytes, promised) in memory {
        println!(
            "{name:22} {:6.1} MB; four numbers a parameter and the tiles {:.1} MB",
            mb(bytes),
            mb(promised)
        );
    }
    assert!(medians.iter().all(|&ms| ms > 0.0));
    Ok(())
}
