//! SGLD through `Objective` against devinterp and a plain PyTorch loop, taking turns in one run: one thread, equal draws.
//!
//! `cargo xtask bench langevin --python PATH [--rounds N] [--only WORD]`
//!
//! In each turn a contender runs one chain. All chains have the same number of draws, start, data, nβ, γ and ε. Times are medians
//! over the rounds. The effective draws of the loss come from all rounds, without the first fifth of each chain, by one estimator
//! for all. Our chains are short, so a turn runs several and takes the mean time of one.

use anyhow::{Context, Result};
use collimate_benches::{Peer, Probe, load, median, milliseconds};
use collimate_grad::Objective;
use collimate_slt::{
    BatchSampling, Beta, Chain, ChainMean, Method, Perceptron, ReducedRank, ReducedRankConfig, SamplerScalar,
    Target,
};
use collimate_stream::RngStream;
use collimate_superposition::{Activation, CriticalPolygon, ToyLoss, UnusedFeatures};
use collimate_tensor::CpuLevel;
use ndarray::{Array2, s};
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(50);

/// The number of samples of every data set, and γ.
const SAMPLES: usize = 1000;
const GAMMA: f64 = 1.0;

/// The sampled model, with its name for the peer.
struct Workload {
    name: &'static str,
    words: &'static str,
    batch: usize,
    epsilon: f64,
    draws: usize,
    /// The number of our chains in a turn.
    repeats: usize,
    /// The smallest promised ratios of time: to devinterp, and to the loop.
    floors: [Option<f64>; 2],
}

const WORKLOADS: [Workload; 4] = [
    Workload {
        name: "reduced rank 5-3-5, 30 parameters, batch 64",
        words: "reduced-rank 5 3 5",
        batch: 64,
        epsilon: 1e-3,
        draws: 500,
        repeats: 20,
        floors: [Some(150.0), Some(50.0)],
    },
    Workload {
        name: "reduced rank 5-3-5, full batch 1000",
        words: "reduced-rank 5 3 5",
        batch: SAMPLES,
        epsilon: 1e-3,
        draws: 200,
        repeats: 20,
        floors: [Some(300.0), Some(10.0)],
    },
    Workload {
        name: "toy model 2 × 6, 18 parameters, batch 100",
        words: "toy-model 2 6",
        batch: 100,
        epsilon: 1e-3,
        draws: 500,
        repeats: 20,
        floors: [Some(150.0), None],
    },
    Workload {
        name: "perceptron 16-256-256-1, 70 401 parameters, batch 64",
        words: "perceptron 16 256 256 1",
        batch: 64,
        epsilon: 1e-6,
        draws: 200,
        repeats: 1,
        floors: [Some(1.5), None],
    },
];

/// The contenders of the peer, by its names.
const PEERS: [(&str, &str); 3] =
    [("devinterp", "devinterp 1.3.2"), ("batches", "devinterp, whole batches"), ("loop", "PyTorch loop")];

/// Runs a chain from the start and returns the losses of its draws.
type Run<'a> = Box<dyn FnMut() -> Result<Vec<f64>> + 'a>;

struct Options {
    python: String,
    rounds: usize,
    only: String,
}

fn main() -> Result<()> {
    let options = options()?;
    println!("CPU level {}, 1 thread, {} rounds", CpuLevel::current().name(), options.rounds);
    println!("load average before: {}", load());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let chosen = WORKLOADS.iter().filter(|workload| workload.name.contains(&options.only));
    pool.install(|| chosen.into_iter().try_for_each(|workload| compare(&options, workload)))?;
    println!("load average after: {}", load());
    Ok(())
}

fn normals(rows: usize, columns: usize, stream: &mut RngStream) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || stream.normal())
}

/// Builds the model on its data and lets all contenders take turns.
fn compare(options: &Options, workload: &Workload) -> Result<()> {
    let mut stream = RngStream::named(0, workload.name);
    let sampling = match workload.batch {
        SAMPLES => BatchSampling::Full,
        size => BatchSampling::Distinct(size),
    };
    match workload.words.split(' ').next() {
        Some("reduced-rank") => {
            let data = normals(SAMPLES, 10, &mut stream);
            let config = ReducedRankConfig { inputs: 5, hidden: 3, outputs: 5, noise: 1.0 };
            let model = ReducedRank::new(config, &data.slice(s![.., ..5]), &data.slice(s![.., 5..]))?;
            let start = vec![0.0; model.n_parameters()];
            let target = target(&model, &start)?;
            let mut own = vec![("Collimate, f64", chains(workload, target.clone(), sampling))];
            if sampling == BatchSampling::Full {
                own.push((
                    "Collimate, f64, by XᵀX and XᵀY",
                    chains(workload, target.by_statistics()?, sampling),
                ));
            }
            turns(options, workload, &data, &start, own)
        }
        Some("toy-model") => {
            // One feature on in each sample, at the critical pentagon with its sixth feature off.
            let mut data = Array2::zeros((SAMPLES, 6));
            data.rows_mut().into_iter().for_each(|mut row| row[stream.below(6)] = stream.uniform());
            let mut start = CriticalPolygon::new(5)?.parameters(6, UnusedFeatures { on: 0 })?.1;
            start[17] = -0.5;
            let model = ToyLoss::new(2, Activation::Relu, vec![1.0; 6], data.clone())?;
            let own = vec![("Collimate, f64", chains(workload, target(&model, &start)?, sampling))];
            turns(options, workload, &data, &start, own)
        }
        _ => {
            let data = normals(SAMPLES, 17, &mut stream);
            let narrow = data.mapv(|x| x as f32);
            let (x, y) = (narrow.slice(s![.., ..16]).to_owned(), narrow.slice(s![.., 16..]).to_owned());
            let model = Perceptron::new(&[16, 256, 256, 1], 1.0, x, y)?;
            let start: Vec<f64> = (0..model.n_parameters()).map(|_| 0.06 * stream.normal()).collect();
            let single: Vec<f32> = start.iter().map(|&w| w as f32).collect();
            let own = vec![("Collimate, f32", chains(workload, target(&model, &single)?, sampling))];
            turns(options, workload, &data, &start, own)
        }
    }
}

fn target<'a, F: SamplerScalar>(model: &'a dyn Objective<F>, start: &[F]) -> Result<Target<'a, F>> {
    Ok(Target::new(model, start, Beta::InverseLogN.n_beta(SAMPLES)?)?.localised(GAMMA)?)
}

/// Runs one chain after the other, each with its own noise.
fn chains<'a, F: SamplerScalar>(workload: &Workload, target: Target<'a, F>, batch: BatchSampling) -> Run<'a> {
    let (epsilon, draws) = (workload.epsilon, workload.draws);
    let (parent, mut number) = (RngStream::named(1, workload.name), 0);
    Box::new(move || {
        number += 1;
        let mut stream = parent.child(number);
        let mut chain = Chain::new(&target, Method::Sgld(batch), epsilon)?;
        (0..draws).map(|_| Ok(chain.step(&mut stream)?.loss)).collect()
    })
}

/// The results of one contender in all its turns.
#[derive(Default)]
struct Seen {
    times: Vec<f64>,
    losses: Vec<Vec<f64>>,
}

impl Seen {
    fn add(&mut self, time: f64, mut losses: Vec<f64>) {
        self.times.push(time);
        self.losses.push(losses.split_off(losses.len() / 5));
    }

    /// Returns the microseconds of one step.
    fn step(&self, draws: usize) -> f64 {
        1e3 * median(&self.times) / draws as f64
    }

    /// Returns the mean loss and its effective draws per second.
    fn effective(&self) -> (ChainMean, f64) {
        let found = ChainMean::of(&self.losses).expect("chains of equal length");
        let seconds = 1e-3 * median(&self.times) * self.times.len() as f64;
        (found, found.ess / seconds)
    }
}

fn turns(
    options: &Options,
    workload: &Workload,
    data: &Array2<f64>,
    start: &[f64],
    mut own: Vec<(&'static str, Run<'_>)>,
) -> Result<()> {
    let words = workload.words.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let n_beta = Beta::InverseLogN.n_beta(SAMPLES)?.get();
    let numbers = [workload.batch as f64, n_beta, GAMMA, workload.epsilon].map(|x| x.to_string());
    let arguments = [&words[..1], &numbers[..], &words[1..]].concat();
    let mut peer = Peer::start(&options.python, "langevin.py", &arguments)?;
    for values in [&data.iter().copied().collect::<Vec<_>>()[..], start] {
        let line: Vec<String> = values.iter().map(f64::to_string).collect();
        peer.ask::<1>(&line.join(" "))?;
    }
    let mut theirs: Vec<Seen> = PEERS.iter().map(|_| Seen::default()).collect();
    let mut ours: Vec<Seen> = own.iter().map(|_| Seen::default()).collect();
    let mut probe = Probe::default();
    // The first round warms up and is not counted.
    for round in 0..=options.rounds {
        for ((word, _), seen) in PEERS.iter().zip(&mut theirs) {
            let steps = if round == 0 { 8 } else { workload.draws };
            let answer = peer.ask_all(&format!("{word} {steps}"))?;
            if round > 0 {
                seen.add(answer[0], answer[1..].to_vec());
            }
        }
        std::thread::sleep(PAUSE);
        probe.measure();
        for ((_, run), seen) in own.iter_mut().zip(&mut ours) {
            let mut first = None;
            let time = milliseconds(|| {
                for _ in 0..workload.repeats {
                    let losses = run();
                    first.get_or_insert(losses);
                }
            });
            if round > 0 {
                seen.add(time / workload.repeats as f64, first.context("a turn has a chain")??);
            }
        }
    }
    println!("\n{}: {} draws a chain, ε = {:e}", workload.name, workload.draws, workload.epsilon);
    let named =
        PEERS.iter().map(|(_, name)| *name).zip(&theirs).chain(own.iter().map(|(name, _)| *name).zip(&ours));
    for (name, seen) in named {
        let (mean, rate) = seen.effective();
        println!(
            "  {name:<32} {:>9.2} µs a step, {rate:>9.0} effective draws a second, mean loss {:.5} ± {:.5}",
            seen.step(workload.draws),
            mean.value,
            mean.standard_error
        );
    }
    for ((name, _), seen) in own.iter().zip(&ours) {
        for (index, ((word, peer), other)) in PEERS.iter().zip(&theirs).enumerate() {
            let ratio = other.step(workload.draws) / seen.step(workload.draws);
            let floor = match (workload.floors[index / 2], *word, name.contains("by")) {
                (Some(floor), "devinterp" | "loop", false) => format!(" (floor {floor}×)"),
                _ => String::new(),
            };
            println!(
                "  {name} against {peer}: {ratio:.1}× its steps{floor}, {:.1}× its effective draws",
                seen.effective().1 / other.effective().1
            );
        }
    }
    println!("  {}", probe.verdict());
    Ok(())
}

fn options() -> Result<Options> {
    let mut options = Options { python: "python3".into(), rounds: 7, only: String::new() };
    collimate_benches::options("--python, --rounds, --only", |name, value| {
        match name {
            "--python" => options.python = value.into(),
            "--rounds" => options.rounds = value.parse::<usize>()?.max(1),
            "--only" => options.only = value.into(),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(options)
}
