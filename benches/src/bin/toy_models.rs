//! Toy models trained by an ensemble against batched einsums in PyTorch, taking turns in one run; the phase grid; a world
//! of features.
//!
//! `cargo xtask bench toy_models --python PATH [--rounds N] [--threads N] [--only grid|world|small|middle|large]`
//!
//! Both sides draw their data, compute loss and gradient in f32 and take a step of AdamW with the same numbers. The
//! bare product of the kernel crate is the probe: if it drifts by more than 15 %, the machine was not steady.

use anyhow::Result;
use collimate_benches::{Peer, Probe, median};
use collimate_grad::{AdamConfig, WeightDecay};
use collimate_stream::RngStream;
use collimate_superposition::{
    DirectionGeometry, Ensemble, EnsembleConfig, SparseFeatures, TrainedDiagramConfig, World, WorldConfig,
    logarithmic_range, optimised_diagram, trained_diagram,
};
use collimate_tensor::CpuLevel;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(300);

/// A training job: instances × (n, m), steps in a turn, and the mean loss that both sides must reach.
struct Size {
    name: &'static str,
    instances: usize,
    n: usize,
    m: usize,
    steps: u64,
    loss: f64,
    /// The number of steps over which the loss is averaged.
    window: u64,
}

const SIZES: [Size; 3] = [
    Size { name: "small", instances: 8, n: 5, m: 2, steps: 100, loss: 0.19, window: 100 },
    Size { name: "middle", instances: 10, n: 80, m: 20, steps: 20, loss: 4.2, window: 20 },
    Size { name: "large", instances: 10, n: 400, m: 30, steps: 5, loss: 26.0, window: 20 },
];

struct Options {
    python: String,
    rounds: usize,
    threads: usize,
    only: Option<String>,
}

fn main() -> Result<()> {
    let options = options()?;
    println!(
        "CPU level {}, {} threads, {} rounds",
        CpuLevel::current().name(),
        options.threads,
        options.rounds
    );
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build()?;
    let wanted = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    pool.install(|| {
        if wanted("grid") {
            grid()?;
        }
        if wanted("world") {
            world()?;
        }
        let sizes: Vec<&Size> = SIZES.iter().filter(|size| wanted(size.name)).collect();
        let rows = sizes.into_iter().map(|size| compare(&options, size)).collect::<Result<Vec<_>>>()?;
        if !rows.is_empty() {
            println!("\n| models × (n, m) | PyTorch, a step | Collimate, a step | ratio | to a mean loss of | PyTorch | Collimate | ratio |");
            println!("|---|---|---|---|---|---|---|---|");
            rows.iter().for_each(|row| println!("{row}"));
        }
        Ok(())
    })
}

/// Computes the phase diagram of 100 × 100 cells, at the optimum and by training.
fn grid() -> Result<()> {
    let (importances, densities) = (logarithmic_range(0.1, 10.0, 100)?, logarithmic_range(0.01, 1.0, 100)?);
    let stream = RngStream::named(0, "grid");
    let start = Instant::now();
    optimised_diagram(&importances, &densities, 4, &stream)?;
    println!("phase grid 100 × 100 at the optimum: {:.1} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    let config = TrainedDiagramConfig { models: 1, ..TrainedDiagramConfig::default() };
    trained_diagram(&importances, &densities, config, &stream)?;
    println!(
        "phase grid 100 × 100 as trained, {} steps: {:.1} s",
        config.steps,
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Measures a world of 16,384 features: made with and without spreading its directions, then streamed.
fn world() -> Result<()> {
    let stream = RngStream::named(0, "world");
    for spreading_steps in [0, 100] {
        let start = Instant::now();
        let world = World::new(WorldConfig { spreading_steps, ..WorldConfig::default() }, &stream)?;
        println!(
            "a world of 16,384 features in 768 dimensions, {spreading_steps} steps of spreading: {:.1} s",
            start.elapsed().as_secs_f64()
        );
        let start = Instant::now();
        let (mut active, mut samples) = (0, 0);
        for block in 0..4 {
            let batch = world.batch(block * 4096..(block + 1) * 4096, &stream.child(1));
            active += batch.active.n_stored();
            samples += batch.activations.nrows();
        }
        println!(
            "  {:.0} samples a second in 4 blocks of 4,096, {:.1} features on in each",
            samples as f64 / start.elapsed().as_secs_f64(),
            active as f64 / samples as f64
        );
        let start = Instant::now();
        let geometry = DirectionGeometry::of(&world.directions().t())?;
        println!(
            "  geometry of all directions: {:.1} s, sum of dimensionalities {:.1}, coherence {:.3}; most memory so far {}",
            start.elapsed().as_secs_f64(),
            geometry.dimensionality.sum(),
            geometry.coherence,
            peak_memory()
        );
    }
    Ok(())
}

/// Returns the largest resident memory of this process, as reported by the system.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kilobytes.map_or_else(|| "unknown".into(), |kilobytes| format!("{:.0} MB", kilobytes / 1000.0))
}

fn ensemble(size: &Size) -> Result<Ensemble> {
    let adam = AdamConfig { weight_decay: WeightDecay::Decoupled(1e-2), ..AdamConfig::default() };
    let config = EnsembleConfig { adam, ..EnsembleConfig::new(size.n, size.m) };
    let mut ensemble = Ensemble::new(config, &RngStream::named(0, "fleet"))?;
    for i in 0..size.instances {
        let on = 20.0_f64.powf(-(i as f64) / (size.instances - 1) as f64);
        ensemble.add(Arc::new(SparseFeatures::uniform(size.n, on)?))?;
    }
    Ok(ensemble)
}

/// Lets both sides and the probe take turns, prints medians and their ratio, and returns the row of a table.
fn compare(options: &Options, size: &Size) -> Result<String> {
    let numbers = [options.threads, size.instances, size.n, size.m].map(|x| x.to_string());
    let mut peer = Peer::start(&options.python, "toy_models.py", &numbers)?;
    let mut own_ensemble = ensemble(size)?;
    own_ensemble.run(size.steps)?;
    let (mut theirs, mut own, mut probe) = (Vec::new(), Vec::new(), Probe::default());
    for _ in 0..options.rounds {
        let [time, _] = peer.ask(&format!("steps {}", size.steps))?;
        theirs.push(time);
        std::thread::sleep(PAUSE);
        probe.measure();
        let start = Instant::now();
        own_ensemble.run(size.steps)?;
        own.push(1e3 * start.elapsed().as_secs_f64());
    }
    let per_step = |times: &[f64]| median(times) / size.steps as f64;
    let (theirs, own) = (per_step(&theirs), per_step(&own));
    println!("{} × ({}, {}), batch 1024, AdamW", size.instances, size.n, size.m);
    println!("  a step: PyTorch {theirs:.3} ms, Collimate {own:.4} ms, {:.1}× its speed", theirs / own);
    let [time, steps] = peer.ask(&format!("reach {} {}", size.loss, size.window))?;
    std::thread::sleep(PAUSE);
    let start = Instant::now();
    let mut fresh = ensemble(size)?;
    let mut taken = 0;
    loop {
        taken += size.window;
        let losses = fresh.run(size.window)?;
        if losses.iter().sum::<f64>() / losses.len() as f64 <= size.loss {
            break;
        }
    }
    let ours = 1e3 * start.elapsed().as_secs_f64();
    println!(
        "  to a mean loss of {}: PyTorch {time:.0} ms in {steps} steps, Collimate {ours:.1} ms in {taken}, {:.1}× its speed",
        size.loss,
        time / ours
    );
    println!("  {}", probe.verdict());
    Ok(format!(
        "| {} × ({}, {}) | {theirs:.3} ms | {own:.4} ms | {:.1}× | {} | {:.2} s, {steps} steps | {:.3} s, {taken} steps | {:.1}× |",
        size.instances,
        size.n,
        size.m,
        theirs / own,
        size.loss,
        time / 1e3,
        ours / 1e3,
        time / ours
    ))
}

fn options() -> Result<Options> {
    let mut options = Options { python: "python3".into(), rounds: 15, threads: 2, only: None };
    collimate_benches::options("--python, --rounds, --threads, --only", |name, value| {
        match name {
            "--python" => options.python = value.into(),
            "--rounds" => options.rounds = value.parse::<usize>()?.max(1),
            "--threads" => options.threads = value.parse()?,
            "--only" => options.only = Some(value.into()),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(options)
}
