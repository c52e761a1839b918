//! Training steps of sparse autoencoders against sparsify, dictionary_learning and SAELens, taking turns in one run.
//!
//! `cargo xtask bench sae_steps --python PATH [--rounds N] [--threads N] [--d N] [--latents N] [--rows N]`
//!
//! Every side computes loss and gradient in f32 on the same number of rows, projects the gradient of the decoder if its library
//! does, takes a step of Adam and normalises. The peers do dense work at every density; our density is printed where it matters.
//! The bare encoder product is also timed on both sides.

use anyhow::Result;
use collimate_benches::{Peer, Probe, bare_product, load, median, milliseconds, normal_matrix};
use collimate_sae::{
    AdamMoments, AdamParameters, BatchTopK, Gated, JumpRelu, Relu, Sae, Settings, Size, TopK, Variant,
    Workspace,
};
use collimate_stream::RngStream;
use collimate_tensor::CpuLevel;
use ndarray::{Array2, Axis};
use std::time::Duration;

/// The pause after a turn of PyTorch, whose threads keep spinning for a while.
const PAUSE: Duration = Duration::from_millis(300);
const K: usize = 32;

struct Options {
    python: String,
    rounds: usize,
    threads: usize,
    size: Size,
    rows: usize,
}

/// One of our members, ready to step, and the peers that train the same member.
struct Contender {
    name: &'static str,
    sae: Sae<f32>,
    moments: AdamMoments<f32>,
    workspace: Workspace<f32>,
    times: Vec<f64>,
    peers: Vec<(&'static str, String, Vec<f64>)>,
}

impl Contender {
    fn new(
        name: &'static str,
        variant: impl Into<Variant>,
        density: Option<f64>,
        size: Size,
        x: &Array2<f32>,
        peers: (&str, &[&'static str]),
    ) -> Result<Self> {
        let variant = variant.into();
        let mut sae = Sae::<f32>::new(variant, size, &mut RngStream::new(1, 0))?;
        if let Some(density) = density {
            let mut weights = sae.into_weights();
            let sample = x.slice_axis(Axis(0), (..64.min(x.nrows())).into());
            let mut products: Vec<f32> = sample.dot(&weights.w_enc.t()).into_iter().collect();
            products.sort_unstable_by(|a, b| b.total_cmp(a));
            let bound = products[(products.len() as f64 * density) as usize];
            match variant {
                Variant::JumpRelu(_) => weights.per_latent[1].fill(bound),
                _ => weights.per_latent[0].fill(-bound),
            }
            sae = Sae::from_weights(variant, weights)?;
        }
        let peers = peers.1.iter().map(|&library| (library, format!("{library} {}", peers.0), Vec::new()));
        Ok(Self {
            name,
            moments: AdamMoments::zeros(sae.weights()),
            sae,
            workspace: Workspace::default(),
            times: Vec::new(),
            peers: peers.collect(),
        })
    }

    /// Takes one step, at a rate so small that the density does not change.
    fn step(&mut self, x: &Array2<f32>) -> Result<()> {
        let settings = Settings { penalty: 1e-9, ..Settings::default() };
        self.sae.step(
            &mut self.moments,
            x,
            &settings,
            &AdamParameters::standard(),
            1e-12,
            &mut self.workspace,
        )?;
        Ok(())
    }
}

fn main() -> Result<()> {
    let options = options()?;
    let Options { size, rows, .. } = options;
    println!(
        "CPU level {}, {} threads, {} rounds, load {}\nd = {}, {} latents, {rows} rows, k = {K}",
        CpuLevel::current().name(),
        options.threads,
        options.rounds,
        load(),
        size.d_model,
        size.n_latents
    );
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build()?;
    pool.install(|| compare(&options))
}

fn compare(options: &Options) -> Result<()> {
    let Options { size, rows, .. } = *options;
    let x = normal_matrix::<f32>(rows, size.d_model, "rows");
    let two = &["dictionary_learning", "saelens"][..];
    let all = &["sparsify", "dictionary_learning", "saelens"][..];
    let mut contenders = [
        Contender::new("TopK", TopK::new(K), None, size, &x, ("topk", all))?,
        Contender::new("BatchTopK", BatchTopK::new(K as f64), None, size, &x, ("batchtopk", two))?,
        Contender::new("Gated, 5 %", Gated::paper(), Some(0.05), size, &x, ("gated", two))?,
        Contender::new("Gated, 0.6 %", Gated::paper(), Some(0.006), size, &x, ("gated", &[]))?,
        Contender::new("ReLU, 1 %", Relu::unit_norm(), Some(0.01), size, &x, ("relu", two))?,
        Contender::new("JumpReLU, 1 %", JumpRelu::paper(), Some(0.01), size, &x, ("jumprelu", two))?,
    ];
    let numbers = [options.threads, size.d_model, size.n_latents, rows, K].map(|x| x.to_string());
    let mut peer = Peer::start(&options.python, "sae_steps.py", &numbers)?;
    let encoder = normal_matrix::<f32>(size.n_latents, size.d_model, "encoder");
    let mut products = Array2::zeros((rows, size.n_latents));
    let (mut bare, mut bare_peer, mut probe) = (Vec::new(), Vec::new(), Probe::default());
    for contender in &mut contenders {
        contender.step(&x)?;
    }
    for _ in 0..options.rounds {
        bare_peer.push(peer.ask::<1>("none product")?[0]);
        for contender in &mut contenders {
            for (_, question, times) in &mut contender.peers {
                times.push(peer.ask::<1>(question)?[0]);
            }
            std::thread::sleep(PAUSE);
            probe.measure();
            bare.push(milliseconds(|| bare_product(&x, &encoder.t(), &mut products)));
            let mut result = Ok(());
            let time = milliseconds(|| result = contender.step(&x));
            contender.times.push(time);
            result?;
        }
    }
    let bare = median(&bare);
    println!("bare product: {bare:.1} ms here, {:.1} ms in PyTorch", median(&bare_peer));
    for contender in &contenders {
        let own = median(&contender.times);
        print!("{:14} {own:7.1} ms, {:.2}× the product", contender.name, own / bare);
        for (library, _, times) in &contender.peers {
            let theirs = median(times);
            print!("; {library} {theirs:.0} ms, {:.1}×", theirs / own);
        }
        println!();
    }
    println!("{}", probe.verdict());
    Ok(())
}

fn options() -> Result<Options> {
    let size = Size { d_model: 384, n_latents: 6144 };
    let mut options = Options { python: "python3".into(), rounds: 7, threads: 2, size, rows: 2048 };
    collimate_benches::options("--python, --rounds, --threads, --d, --latents, --rows", |name, value| {
        match name {
            "--python" => options.python = value.into(),
            "--rounds" => options.rounds = value.parse::<usize>()?.max(1),
            "--threads" => options.threads = value.parse()?,
            "--d" => options.size.d_model = value.parse()?,
            "--latents" => options.size.n_latents = value.parse()?,
            "--rows" => options.rows = value.parse()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(options)
}
