//! The cost of one SGLD step through `dyn Objective`. The contenders run in turns, in one process, with one thread each.
//!
//! ```text
//! cargo run --release -p collimate-slt --example sgld_step
//! ```
//!
//! Set `RAYON_NUM_THREADS=1` for the perceptron, whose matrix products use the pool.

use collimate_grad::Objective;
use collimate_slt::{
    BatchSampling, Beta, Chain, ChainMean, Method, Perceptron, ReducedRank, ReducedRankConfig, SamplerScalar,
    SltError, Target,
};
use collimate_stream::RngStream;
use ndarray::Array2;
use std::time::Instant;

/// One contender: a chain that runs a number of steps.
struct Contender<'a> {
    name: &'static str,
    steps: usize,
    run: Box<dyn FnMut(usize) -> Result<Vec<f64>, SltError> + 'a>,
    times: Vec<f64>,
    losses: Vec<f64>,
}

fn contender<'a, F: SamplerScalar>(
    name: &'static str,
    steps: usize,
    mut chain: Chain<'a, F>,
) -> Contender<'a> {
    let mut stream = RngStream::named(1, name);
    let run = move |steps| (0..steps).map(|_| Ok(chain.step(&mut stream)?.loss)).collect();
    Contender { name, steps, run: Box::new(run), times: Vec::new(), losses: Vec::new() }
}

fn main() -> Result<(), SltError> {
    let mut stream = RngStream::named(1, "sgld_step");
    let config = ReducedRankConfig { inputs: 5, hidden: 3, outputs: 5, noise: 1.0 };
    let small = ReducedRank::sample(config, &[0.0; 30], 1000, &mut stream)?;
    let n_beta = Beta::InverseLogN.n_beta(1000)?;
    let target = Target::new(&small, &[0.0; 30], n_beta)?.localised(1.0)?;
    let widths = [16, 256, 256, 1];
    let x = Array2::from_shape_simple_fn((1000, 16), || stream.normal() as f32);
    let y = Array2::from_shape_simple_fn((1000, 1), || stream.normal() as f32);
    let large = Perceptron::new(&widths, 1.0, x, y)?;
    let w: Vec<f32> = (0..large.n_parameters()).map(|_| 0.06 * stream.normal() as f32).collect();
    let wide = Target::new(&large, &w, n_beta)?.localised(1.0)?;
    let sgld = |batch| Method::Sgld(batch);
    let mut contenders = [
        contender("5-3-5, batch 64", 20_000, Chain::new(&target, sgld(BatchSampling::Distinct(64)), 1e-4)?),
        contender(
            "5-3-5, batch 64 with repeats",
            20_000,
            Chain::new(&target, sgld(BatchSampling::Independent(64)), 1e-4)?,
        ),
        contender("5-3-5, full batch 1000", 2000, Chain::new(&target, sgld(BatchSampling::Full), 1e-4)?),
        contender(
            "5-3-5, full batch by statistics",
            20_000,
            Chain::new(&target.clone().by_statistics()?, sgld(BatchSampling::Full), 1e-4)?,
        ),
        contender(
            "16-256-256-1, f32, batch 64",
            50,
            Chain::new(&wide, sgld(BatchSampling::Distinct(64)), 1e-6)?,
        ),
    ];
    for round in 0..9 {
        for contender in &mut contenders {
            let start = Instant::now();
            let losses = (contender.run)(contender.steps)?;
            contender.times.push(start.elapsed().as_secs_f64() * 1e6 / contender.steps as f64);
            if round > 0 {
                contender.losses.extend(losses);
            }
        }
    }
    for contender in &mut contenders {
        contender.times.sort_by(f64::total_cmp);
        let (median, best) = (contender.times[4], contender.times[0]);
        let steps = contender.losses.len() as f64;
        let ess = ChainMean::of(&[std::mem::take(&mut contender.losses)]).expect("one chain").ess;
        println!(
            "{}: {median:.2} µs per step (median of 9; best {best:.2}); {:.0} effective draws of the loss per second",
            contender.name,
            ess / (steps * median * 1e-6)
        );
        assert!(median > 0.0 && ess > 1.0);
    }
    Ok(())
}
