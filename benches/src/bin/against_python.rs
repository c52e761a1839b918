//! Our products and the model's prefill against PyTorch and transformers, taking turns in one run.
//!
//! `cargo xtask bench against_python --python PATH [--model PATH.gguf] [--rounds N] [--threads N]`
//!
//! The Python process stays alive and runs one workload for each line that it receives. A pause follows each of its turns,
//! because its threads keep spinning for a while. The bare product of the kernel crate is the probe: if its time drifts by more
//! than 15 %, the machine was not steady, and the output says so.

use anyhow::Result;
use collimate_benches::{Peer, load, normal_matrix, print_comparison, take_turns};
use collimate_tensor::{CpuLevel, matmul_into};
use collimate_transformer::{Model, Run};
use ndarray::Array2;

/// Starts the peer on one workload.
fn peer(options: &Options, workload: &[String]) -> Result<Peer> {
    Peer::start(&options.python, "torch_peer.py", &[&[options.threads.to_string()], workload].concat())
}

struct Options {
    python: String,
    model: Option<String>,
    rounds: usize,
    threads: usize,
}

fn main() -> Result<()> {
    let options = options()?;
    println!(
        "CPU level {}, {} threads, {} rounds",
        CpuLevel::current().name(),
        options.threads,
        options.rounds
    );
    println!("load average before: {}", load());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build()?;
    pool.install(|| products(&options))?;
    if let Some(model) = &options.model {
        pool.install(|| prefill(&options, model))?;
    }
    println!("load average after: {}", load());
    Ok(())
}

fn products(options: &Options) -> Result<()> {
    let (m, k, n) = (2048, 384, 6144);
    let (a, b) = (normal_matrix::<f32>(m, k, "a"), normal_matrix::<f32>(k, n, "b"));
    let mut c = Array2::zeros((m, n));
    let mut peer = peer(options, &["matmul".into(), m.to_string(), k.to_string(), n.to_string()])?;
    report(&format!("product {m}×{k}×{n}"), options, &mut peer, || {
        matmul_into(1.0, &a, &b, 0.0, &mut c).expect("shapes fit")
    })
}

fn prefill(options: &Options, model: &str) -> Result<()> {
    let network = Model::<f32>::open(model)?;
    let tokens: Vec<u32> = (0..512).map(|i| (i * 7919) % 49_152).collect();
    let mut peer = peer(options, &["prefill".into(), model.into(), tokens.len().to_string()])?;
    report("prefill of 512 tokens, no head", options, &mut peer, || {
        network
            .residual(Run::of(&tokens), network.description().layers.len(), &mut ())
            .expect("a sound model");
    })
}

/// Compares our call with the workload of the peer.
fn report(name: &str, options: &Options, peer: &mut Peer, ours: impl FnMut()) -> Result<()> {
    let ([theirs, own], probe) = take_turns(peer, options.rounds, ours)?;
    print_comparison(name, theirs, own, &probe);
    Ok(())
}

fn options() -> Result<Options> {
    let mut options = Options { python: "python3".into(), model: None, rounds: 15, threads: 2 };
    collimate_benches::options("--python, --model, --rounds, --threads", |name, value| {
        match name {
            "--python" => options.python = value.into(),
            "--model" => options.model = Some(value.into()),
            "--rounds" => options.rounds = value.parse::<usize>()?.max(1),
            "--threads" => options.threads = value.parse()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(options)
}
