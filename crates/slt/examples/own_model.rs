//! An own model: implement `Objective`, and every sampler and estimator works with it.
//!
//! The model is one tanh unit, `f(x) = a tanh(b x)`, at the true function zero and without noise. Its two parameters are not
//! identified at this truth. So λ = 1/2 with multiplicity 2, while a regular model of two parameters has λ = 1.
//!
//! ```text
//! cargo run --release -p collimate-slt --example own_model
//! ```

use collimate_grad::{Batch, CheckConfig, Objective, Scratch, check_gradient};
use collimate_slt::{Beta, Llc, Sampling, TwoTemperatures};
use collimate_stream::RngStream;

/// The loss ½ (y − a tanh(b x))² on pairs (x, y).
struct TanhUnit(Vec<(f64, f64)>);

impl Objective<f64> for TanhUnit {
    fn n_parameters(&self) -> usize {
        2
    }

    fn n_samples(&self) -> usize {
        self.0.len()
    }

    fn loss_and_gradient_into(&self, w: &[f64], batch: Batch<'_>, _: &mut Scratch, out: &mut [f64]) -> f64 {
        let (a, b, share) = (w[0], w[1], 1.0 / batch.len(self.0.len()) as f64);
        let (mut loss, mut d_a, mut d_b) = (0.0, 0.0, 0.0);
        for (x, y) in batch.iter(self.0.len()).map(|i| self.0[i]) {
            let t = (b * x).tanh();
            let residual = a * t - y;
            loss += 0.5 * share * residual * residual;
            d_a += share * residual * t;
            d_b += share * residual * a * (1.0 - t * t) * x;
        }
        out.copy_from_slice(&[d_a, d_b]);
        loss
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut stream = RngStream::new(1, 0);
    let n = 500;
    let data = (0..n).map(|_| (stream.uniform_in(-2.0, 2.0), 0.0)).collect();
    let objective = TanhUnit(data);

    // First check the gradient.
    assert!(check_gradient(&objective, &[0.4, 0.7], Batch::All, &CheckConfig::default())?.passed());

    let sampling = Sampling { draws: 2000, ..Sampling::hmc(16) };
    let llc = Llc { localisation: 1.0, sampling, ..Llc::at(n, Beta::InverseLogN) };
    let estimate = llc.estimate(&objective, &[0.0, 0.0], &mut stream)?;
    println!("{estimate}\n{}\n{}", estimate.diagnosis(), estimate.measurement());
    assert!((0.1..0.6).contains(&estimate.value), "far below the 1 of a regular model with two parameters");

    let target = llc.target(&objective, &[0.0, 0.0])?;
    println!("{}", TwoTemperatures::around(n, sampling).estimate(&target, &mut stream)?);
    Ok(())
}
