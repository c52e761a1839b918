use super::fingerprint;
use crate::oracle::gauss_legendre;
use crate::sampler::{Sampling, Target};
use crate::{ChainMean, NBeta, SltError};
use collimate_grad::{Batch, Scratch};
use collimate_measure::{Measurement, Quantity, Unit, ensure};
use collimate_stream::RngStream;

/// The free energy by thermodynamic integration, an exact identity that is integrated over a grid of temperatures.
///
/// ```text
/// F = −log ∫ φ(w) e^{−n L_n(w)} dw = ∫₀¹ E_β[n L_n] dβ = −log E_φ[e^{−β₀ n L_n}] + ∫_{log β₀}^0 β E_β[n L_n] d log β
/// ```
///
/// As a function of log β the integrand tends to `λ + β n L_n(w₀)`, so it is smooth. As a function of β it grows like λ/β.
/// The first term comes from draws of the prior, which is uniform within the walls, Gaussian by the localisation, or both.
///
/// # References
/// Gelman & Meng (1998), section 2; Watanabe (2013), eq. 11.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FreeEnergy {
    /// The number of samples n.
    pub n: usize,
    /// The lowest temperature β₀. It is so small that `β₀ n L_n` is of order one under the prior.
    pub lowest: f64,
    /// The number of temperatures, which are Gauss–Legendre nodes in log β.
    pub nodes: usize,
    /// The number of draws of the prior for the first term.
    pub prior_draws: usize,
    /// The chains at each temperature.
    pub sampling: Sampling,
}

/// An estimate of a free energy, with the integrand.
#[derive(Clone, Debug, PartialEq)]
pub struct FreeEnergyEstimate {
    /// The free energy F with its Monte-Carlo error.
    pub free_energy: Measurement,
    /// The inverse temperature β and the tempered learning coefficient `β E_β[n (L_n − L_n(w*))]` at each node.
    pub curve: Vec<(f64, ChainMean)>,
}

const FREE_ENERGY: Quantity =
    Quantity { name: "free energy", definition: "−log ∫ φ(w) e^{−n L_n(w)} dw", unit: Unit::Nats };

impl FreeEnergy {
    /// Estimates the free energy of the prior and objective of `target`, whose own temperature is not used.
    ///
    /// # Errors
    /// [`SltError::Improper`] for a target without walls and localisation; [`SltError::OutOfRange`] for β₀ outside (0, 1), no
    /// nodes or fewer than 100 draws of the prior; as [`Sampling::run`].
    pub fn estimate(
        &self,
        target: &Target<'_>,
        stream: &mut RngStream,
    ) -> Result<FreeEnergyEstimate, SltError> {
        if !target.is_proper() {
            return Err(SltError::Improper { reason: "the prior has neither walls nor a localisation" });
        }
        ensure(self.lowest > 0.0 && self.lowest < 1.0, "lowest", "between 0 and 1", self.lowest)?;
        ensure(self.nodes > 0, "nodes", "at least 1", self.nodes as f64)?;
        ensure(self.prior_draws >= 100, "prior_draws", "at least 100", self.prior_draws as f64)?;
        let n = self.n as f64;
        let centre = target.centre();
        let baseline = target.objective().loss(centre, Batch::All, &mut Scratch::new());
        let (start, start_error) = self.prior_term(target, baseline, stream);
        let width = -self.lowest.ln();
        let (mut sum, mut variance, mut least) = (start, start_error * start_error, f64::INFINITY);
        let mut curve = Vec::with_capacity(self.nodes);
        for (x, weight) in gauss_legendre(self.nodes) {
            let beta = (0.5 * width * (x - 1.0)).exp();
            let run = self.sampling.run(&target.tempered(NBeta::new(n * beta)?), stream)?;
            let found = ChainMean::of(&run.losses())?;
            let (value, error) = (n * beta * (found.value - baseline), n * beta * found.standard_error);
            sum += 0.5 * width * weight * value;
            variance += (0.5 * width * weight * error).powi(2);
            least = least.min(found.ess);
            curve.push((beta, ChainMean { value, standard_error: error, ess: found.ess }));
        }
        let object = fingerprint(centre.len(), target.objective().n_samples(), centre, baseline);
        let free_energy =
            Measurement::estimate(&FREE_ENERGY, sum + n * baseline, variance.sqrt(), least as u64, object)
                .estimating(format!(
                    "the free energy of this data and prior, by {} temperatures",
                    self.nodes
                ));
        Ok(FreeEnergyEstimate { free_energy, curve })
    }

    /// Returns `−log E_φ[e^{−β₀ n (L_n − L_n(w*))}]` and its error.
    fn prior_term(&self, target: &Target<'_>, baseline: f64, stream: &mut RngStream) -> (f64, f64) {
        let mut scratch = Scratch::new();
        let mut w = target.centre().to_vec();
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..self.prior_draws {
            target.draw_prior(&mut w, stream);
            let excess = target.objective().loss(&w, Batch::All, &mut scratch) - baseline;
            let weight = (-self.lowest * self.n as f64 * excess).exp();
            sum += weight;
            squares += weight * weight;
        }
        let count = self.prior_draws as f64;
        let mean = sum / count;
        let spread = ((squares / count - mean * mean).max(0.0) / count).sqrt();
        (-mean.ln(), spread / mean)
    }
}
