use super::fingerprint;
use crate::sampler::{Sampling, Target};
use crate::{Beta, ChainMean, SltError};
use collimate_grad::{Batch, Scratch};
use collimate_measure::{Measurement, Quantity, Unit};
use collimate_stream::RngStream;

/// The widely applicable Bayesian information criterion.
///
/// ```text
/// WBIC = E^{β = 1/log n}[n L_n(w)] = n L_n(w₀) + λ log n + O_p(√log n)
/// ```
///
/// The prior must be proper, so the target needs walls or a localisation. The temperature of the target is replaced by
/// `1/log n`.
///
/// # References
/// Watanabe (2013), definition 1 and theorem 4.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wbic {
    /// The number of samples n.
    pub n: usize,
    /// The chains.
    pub sampling: Sampling,
}

const WBIC: Quantity =
    Quantity {
        name: "WBIC", definition: "E[n L_n(w)] under the posterior at β = 1/log n", unit: Unit::Nats
    };

impl Wbic {
    /// Estimates the criterion at the prior of `target`.
    ///
    /// # Errors
    /// [`SltError::Improper`] for a target without walls and localisation; as [`Sampling::run`].
    pub fn estimate(&self, target: &Target<'_>, stream: &mut RngStream) -> Result<Measurement, SltError> {
        if !target.is_proper() {
            return Err(SltError::Improper { reason: "the prior has neither walls nor a localisation" });
        }
        let target = target.tempered(Beta::InverseLogN.n_beta(self.n)?);
        let found = ChainMean::of(&self.sampling.run(&target, stream)?.losses())?;
        let n = self.n as f64;
        let centre = target.centre();
        let loss = target.objective().loss(centre, Batch::All, &mut Scratch::new());
        let object = fingerprint(centre.len(), target.objective().n_samples(), centre, loss);
        Ok(Measurement::estimate(&WBIC, n * found.value, n * found.standard_error, found.ess as u64, object)
            .estimating("the criterion of this data and prior; it is the free energy up to O_p(√log n)"))
    }
}
