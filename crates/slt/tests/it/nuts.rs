//! The independent No-U-Turn sampler of nuts-rs on the same posterior as our HMC.

use collimate_grad::{Batch, Objective, Scratch};
use collimate_slt::{ChainMean, NBeta, ReducedRank, ReducedRankConfig, Sampling, Target};
use collimate_stream::RngStream;
use nuts_rs::{Chain, CpuLogpFunc, CpuMath, CpuMathError, DiagNutsSettings, HasDims, LogpError, Settings};
use std::collections::HashMap;

#[derive(Debug, thiserror::Error)]
enum Never {}

impl LogpError for Never {
    fn is_recoverable(&self) -> bool {
        match *self {}
    }
}

/// The density of a [`Target`], from the objective alone.
struct Posterior<'a> {
    objective: &'a ReducedRank,
    scratch: Scratch,
    n_beta: f64,
    gamma: f64,
}

impl HasDims for Posterior<'_> {
    fn dim_sizes(&self) -> HashMap<String, u64> {
        HashMap::from([("unconstrained_parameter".to_owned(), self.objective.n_parameters() as u64)])
    }
}

impl CpuLogpFunc for Posterior<'_> {
    type LogpError = Never;
    type ExpandedVector = Vec<f64>;
    type FlowParameters = ();

    fn dim(&self) -> usize {
        self.objective.n_parameters()
    }

    fn logp(&mut self, w: &[f64], gradient: &mut [f64]) -> Result<f64, Never> {
        let loss = self.objective.loss_and_gradient_into(w, Batch::All, &mut self.scratch, gradient);
        gradient.iter_mut().zip(w).for_each(|(g, w)| *g = -self.n_beta * *g - self.gamma * w);
        Ok(-self.n_beta * loss - 0.5 * self.gamma * w.iter().map(|w| w * w).sum::<f64>())
    }

    fn expand_vector<R: rand::Rng + ?Sized>(
        &mut self,
        _: &mut R,
        position: &[f64],
    ) -> Result<Vec<f64>, CpuMathError> {
        Ok(position.to_vec())
    }
}

#[test]
fn another_sampler_finds_the_same_expectation() {
    let config = ReducedRankConfig { inputs: 4, hidden: 2, outputs: 3, noise: 1.0 };
    let objective = ReducedRank::sample(config, &[0.3; 14], 200, &mut RngStream::new(1, 0)).unwrap();
    let (n_beta, gamma) = (NBeta::new(37.7).unwrap(), 1.0);
    let target = Target::new(&objective, &[0.0; 14], n_beta).unwrap().localised(gamma).unwrap();
    let run = Sampling { draws: 4000, ..Sampling::hmc(10) }.run(&target, &mut RngStream::new(2, 0)).unwrap();
    let ours = ChainMean::of(&run.losses()).unwrap();
    let settings = DiagNutsSettings { num_tune: 500, ..Default::default() };
    let mut scratch = Scratch::new();
    let chains: Vec<Vec<f64>> = (0..4)
        .map(|chain| {
            let posterior =
                Posterior { objective: &objective, scratch: Scratch::new(), n_beta: n_beta.get(), gamma };
            let mut stream = RngStream::new(3, chain);
            let mut sampler = settings.new_chain(chain, CpuMath::new(posterior), &mut stream).unwrap();
            sampler.set_position(&[0.1; 14]).unwrap();
            let mut draw = || {
                let (w, _) = sampler.draw().unwrap();
                objective.loss(&w, Batch::All, &mut scratch)
            };
            for _ in 0..500 {
                draw();
            }
            (0..2000).map(|_| draw()).collect()
        })
        .collect();
    let theirs = ChainMean::of(&chains).unwrap();
    let error = ours.standard_error.hypot(theirs.standard_error);
    assert!(ours.ess > 1000.0 && theirs.ess > 1000.0, "{ours:?} {theirs:?}");
    assert!((ours.value - theirs.value).abs() < 4.5 * error, "{ours:?} {theirs:?}");
    assert!(n_beta.get() * error < 0.1); // small enough to detect a difference
}
