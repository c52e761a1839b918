//! Our products and the model's prefill against PyTorch and transformers, taking turns in one run.
//!
//! `cargo xtask bench against_python --python PATH [--model PATH.gguf] [--rounds N] [--threads N]`
//!
//! The Python process stays alive and runs one workload for each line it is sent. After each of its turns there is a
//! pause, since its threads keep spinning for a while. The bare product of the kernel crate is the probe: where its
//! time drifts by more than 15 % the machine was not steady, and the run says so.

use anyhow::{Context, Result, bail};
use collimate_benches::{bare_product, normal_matrix};
use collimate_tensor::{CpuLevel, matmul_into};
use collimate_transformer::{Decoder, Run};
use ndarray::Array2;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(300);
const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/torch_peer.py");

struct Options {
    python: String,
    model: Option<String>,
    rounds: usize,
    threads: usize,
}

/// A Python process that runs one workload for each line.
struct Peer {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Peer {
    fn start(options: &Options, workload: &[String]) -> Result<Self> {
        let mut child = Command::new(&options.python)
            .arg(PEER)
            .arg(options.threads.to_string())
            .args(workload)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", options.python))?;
        let to = child.stdin.take().context("the peer has no input")?;
        let from = BufReader::new(child.stdout.take().context("the peer has no output")?);
        let mut peer = Self { child, to, from };
        let answer = peer.line()?;
        if answer != "ready" {
            bail!("the peer answered `{answer}`; install benches/peers/requirements.txt");
        }
        Ok(peer)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            bail!("the peer ended; install benches/peers/requirements.txt");
        }
        Ok(line.trim().to_string())
    }

    /// Milliseconds of one run, by the peer's own clock.
    fn run(&mut self) -> Result<f64> {
        writeln!(self.to, "go")?;
        self.to.flush()?;
        let answer = self.line()?;
        answer.parse().with_context(|| format!("the peer answered `{answer}`"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to do about a failure here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
    let mut peer = Peer::start(options, &["matmul".into(), m.to_string(), k.to_string(), n.to_string()])?;
    report(&format!("product {m}×{k}×{n}"), options, &mut peer, || {
        matmul_into(1.0, &a, &b, 0.0, &mut c).expect("shapes fit")
    })
}

fn prefill(options: &Options, model: &str) -> Result<()> {
    let decoder = Decoder::from_gguf(model)?;
    let tokens: Vec<u32> = (0..512).map(|i| (i * 7919) % 49_152).collect();
    let mut peer = Peer::start(options, &["prefill".into(), model.into(), tokens.len().to_string()])?;
    report("prefill of 512 tokens, no head", options, &mut peer, || {
        decoder.residual(Run::of(&tokens), decoder.config().n_layers, &mut ()).expect("a sound model");
    })
}

/// Lets both sides and the probe take turns, then prints medians and their ratio.
fn report(name: &str, options: &Options, peer: &mut Peer, mut ours: impl FnMut()) -> Result<()> {
    let (a, b) = (normal_matrix::<f32>(512, 384, "probe a"), normal_matrix::<f32>(384, 2048, "probe b"));
    let mut c = Array2::zeros((512, 2048));
    let (mut theirs, mut own, mut probe) = (Vec::new(), Vec::new(), Vec::new());
    ours();
    for _ in 0..options.rounds {
        theirs.push(peer.run()?);
        std::thread::sleep(PAUSE);
        probe.push(milliseconds(|| bare_product(&a, &b, &mut c)));
        own.push(milliseconds(&mut ours));
    }
    let (theirs, own) = (median(&mut theirs), median(&mut own));
    let (low, high) = quartiles(&mut probe);
    println!("{name}: PyTorch {theirs:.1} ms, Collimate {own:.1} ms, {:.2}× its speed", theirs / own);
    println!("  probe: middle half within {:.0} %", 100.0 * (high / low - 1.0));
    if high / low > 1.15 {
        println!("  the machine was not steady: discard this run and repeat it");
    }
    Ok(())
}

fn milliseconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    1e3 * start.elapsed().as_secs_f64()
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn quartiles(times: &mut [f64]) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 4], times[times.len() * 3 / 4])
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").map_or_else(|_| "unknown".into(), |text| text.trim().to_string())
}

fn options() -> Result<Options> {
    let mut options = Options { python: "python3".into(), model: None, rounds: 15, threads: 2 };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--python" => options.python = value,
            "--model" => options.model = Some(value),
            "--rounds" => options.rounds = value.parse::<usize>()?.max(1),
            "--threads" => options.threads = value.parse()?,
            _ => bail!("unknown option {name}; known: --python, --model, --rounds, --threads"),
        }
    }
    Ok(options)
}
