use super::fingerprint;
use crate::sampler::{Sampling, Target};
use crate::{Beta, ChainMean, SltError};
use collimate_grad::{Batch, Scratch};
use collimate_measure::{Measurement, Quantity, Unit, ensure};
use collimate_stream::RngStream;

/// An estimator of λ from two temperatures. It needs no `w*` and no baseline.
///
/// ```text
/// λ̂ = (E^{β₁}[n L_n] − E^{β₂}[n L_n]) / (1/β₁ − 1/β₂)
/// ```
///
/// The estimand is the slope of the tempered loss in 1/β between the two temperatures, which tends to λ (Watanabe 2013,
/// corollary 3). With `f(t) = t (E[L] − L*)` the slope is `f − df/d log t`. If the multiplicity makes f rise towards λ, the
/// slope is *farther* from λ than f itself.
///
/// # Examples
/// ```
/// use collimate_slt::{Beta, ReducedRank, ReducedRankConfig, Sampling, Target, TwoTemperatures};
/// use collimate_stream::RngStream;
/// let mut stream = RngStream::new(1, 0);
/// let model = ReducedRankConfig { inputs: 1, hidden: 1, outputs: 1, noise: 1.0 };
/// let objective = ReducedRank::sample(model, &[1.0, 1.0], 100, &mut stream)?;
/// let target = Target::new(&objective, &[1.0, 1.0], Beta::InverseLogN.n_beta(100)?)?.localised(0.1)?;
/// let sampling = Sampling { draws: 200, burn_in: 100, ..Sampling::hmc(5) };
/// let found = TwoTemperatures::around(100, sampling).estimate(&target, &mut stream)?;
/// assert!(found.value > 0.0 && found.value < 1.0);
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwoTemperatures {
    /// The number of samples n.
    pub n: usize,
    /// The inverse temperatures β₁ and β₂.
    pub betas: [Beta; 2],
    /// The chains at each temperature.
    pub sampling: Sampling,
}

const SLOPE: Quantity = Quantity {
    name: "learning coefficient from two temperatures",
    definition: "(E^{β₁}[n L_n] − E^{β₂}[n L_n]) / (1/β₁ − 1/β₂)",
    unit: Unit::One,
};

impl TwoTemperatures {
    /// Returns settings with the inverse temperatures 1/log n divided by 1.5 and multiplied by 1.5.
    pub fn around(n: usize, sampling: Sampling) -> Self {
        let beta = 1.0 / (n as f64).ln();
        Self { n, betas: [Beta::Value(beta / 1.5), Beta::Value(beta * 1.5)], sampling }
    }

    /// Estimates the slope on the objective, prior and region of `target`, whose own temperature is not used.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] for two equal temperatures, [`SltError::Improper`] for a target without walls and
    /// localisation; as [`Sampling::run`].
    pub fn estimate(&self, target: &Target<'_>, stream: &mut RngStream) -> Result<Measurement, SltError> {
        if !target.is_proper() {
            return Err(SltError::Improper { reason: "the prior has neither walls nor a localisation" });
        }
        let n = self.n as f64;
        let mut means = Vec::new();
        for beta in self.betas {
            let n_beta = beta.n_beta(self.n)?;
            let run = self.sampling.run(&target.tempered(n_beta), stream)?;
            means.push((n / n_beta.get(), ChainMean::of(&run.losses())?));
        }
        let [(t1, a), (t2, b)] = [means[0], means[1]];
        ensure(t1 != t2, "the second of the betas", "different from the first one", 1.0 / t2)?;
        let (value, error) = (
            n * (a.value - b.value) / (t1 - t2),
            n * a.standard_error.hypot(b.standard_error) / (t1 - t2).abs(),
        );
        let centre = target.centre();
        let loss = target.objective().loss(centre, Batch::All, &mut Scratch::new());
        let object = fingerprint(centre.len(), target.objective().n_samples(), centre, loss);
        Ok(Measurement::estimate(&SLOPE, value, error, a.ess.min(b.ess) as u64, object).estimating(format!(
            "the slope of the tempered loss between β = {:.4} and {:.4} at n = {}; not λ",
            1.0 / t1,
            1.0 / t2,
            self.n
        )))
    }
}
