//! The cost of one SGLD step on reduced-rank regression 5-3-5 (30 parameters, n = 1000, batch 64), through
//! `dyn Objective` with Langevin noise.

use collimate_slt::{BatchSampling, Beta, ReducedRank, ReducedRankConfig, Sgld, SgldConfig};
use collimate_stream::Stream;
use std::time::Instant;

fn main() -> Result<(), collimate_slt::SltError> {
    let mut stream = Stream::named(1, "sgld_step");
    let model = ReducedRankConfig { inputs: 5, hidden: 3, outputs: 5, noise: 1.0 };
    let objective = ReducedRank::sample(model, &[0.0; 30], 1000, &mut stream)?;
    for batch in [BatchSampling::Distinct(64), BatchSampling::Independent(64), BatchSampling::Full] {
        let n_beta = Beta::InverseLogN.n_beta(1000)?;
        let config = SgldConfig { step_size: 1e-4, n_beta, localisation: 1.0, batch };
        let mut chain = Sgld::new(&objective, &[0.0; 30], config)?;
        let mut rounds: Vec<f64> = Vec::new();
        let mut mean = 0.0;
        let steps = 20_000;
        for _ in 0..9 {
            let start = Instant::now();
            mean = 0.0;
            for _ in 0..steps {
                mean += chain.step(&mut stream)? / f64::from(steps);
            }
            rounds.push(start.elapsed().as_secs_f64() * 1e6 / f64::from(steps));
        }
        rounds.sort_by(f64::total_cmp);
        println!("{batch:?}: {:.2} µs a step (median of 9 × {steps}; best {:.2})", rounds[4], rounds[0]);
        assert!((2.0..3.5).contains(&mean), "the mean loss is near N/2 and above it: {mean}");
    }
    Ok(())
}
