use crate::diagnostics::mean;
use crate::error::same_length;
use crate::{BatchSampling, Beta, Sgld, SgldConfig, SltError, effective_sample_size, split_r_hat};
use collimate_grad::{Batch, Objective, Scratch};
use collimate_stream::Stream;
use rayon::prelude::*;
use std::fmt;

/// The local learning coefficient, estimated by Langevin chains around a point.
///
/// ```text
/// λ̂(w*) = nβ (E[L_n(w)] − L_n(w*)),   w ~ exp(−nβ L_n(w) − γ/2 |w − w*|²)
/// ```
///
/// The expectation runs over the batch losses of the chains, which are unbiased for `L_n` because a batch is drawn after
/// the position it is evaluated at; the baseline `L_n(w*)` runs over all data, so no noise of a baseline is multiplied by
/// nβ.
///
/// What it estimates is the tempered expectation at this n, β, γ *and step size*: not λ (see [`crate::CrossingOracle`]),
/// and too large by the Euler bias (see [`crate::QuadraticOracle`]). Halving the step shows how large that bias is.
///
/// # Examples
/// ```
/// use collimate_slt::{Beta, Llc, ReducedRank, ReducedRankConfig};
/// use collimate_stream::Stream;
/// let mut stream = Stream::new(1, 0);
/// let model = ReducedRankConfig { inputs: 2, hidden: 1, outputs: 2, noise: 1.0 };
/// let objective = ReducedRank::sample(model, &[0.0; 4], 100, &mut stream)?;
/// let llc = Llc { draws: 200, burn_in: 100, ..Llc::at(100, Beta::inverse_log_n()) };
/// let estimate = llc.estimate(&objective, &[0.0; 4], &mut stream)?;
/// assert!(estimate.value > 0.0 && estimate.value < 2.0); // four parameters
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
///
/// # References
/// Lau et al. (2023), algorithm 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llc {
    /// n, as it enters nβ.
    pub n: usize,
    /// The inverse temperature.
    pub beta: Beta,
    /// γ.
    pub localisation: f64,
    /// ε.
    pub step_size: f64,
    /// How many chains.
    pub chains: usize,
    /// Steps of each chain before its first draw.
    pub burn_in: usize,
    /// Draws of each chain, one a step.
    pub draws: usize,
    /// The batches of the gradient.
    pub batch: BatchSampling,
}

impl Llc {
    /// Four chains of 2000 draws after 1000 steps, full batches, γ = 1, ε = 0.1/(nβ).
    pub fn at(n: usize, beta: Beta) -> Self {
        let step_size = beta.n_beta(n).map_or(f64::NAN, |n_beta| 0.1 / n_beta.get());
        Self {
            n,
            beta,
            localisation: 1.0,
            step_size,
            chains: 4,
            burn_in: 1000,
            draws: 2000,
            batch: BatchSampling::Full,
        }
    }

    /// Runs the chains from `w_star`, in parallel, each on its own child of one number drawn from `stream`.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] for no chains or fewer than 8 draws or a temperature out of range; what [`Sgld::new`] and
    /// [`Sgld::step`] return.
    ///
    /// # Determinism
    /// The same bits on any number of threads.
    pub fn estimate(
        &self,
        objective: &dyn Objective<f64>,
        w_star: &[f64],
        stream: &mut Stream,
    ) -> Result<LlcEstimate, SltError> {
        same_length("w_star", objective.n_parameters(), w_star.len())?;
        for (name, value, least) in [("chains", self.chains, 1), ("draws", self.draws, 8)] {
            if value < least {
                let expected = if least == 1 { "at least 1" } else { "at least 8" };
                return Err(SltError::OutOfRange { name, value: value as f64, expected });
            }
        }
        let n_beta = self.beta.n_beta(self.n)?;
        let (step_size, localisation, batch) = (self.step_size, self.localisation, self.batch);
        let config = SgldConfig { step_size, n_beta, localisation, batch };
        let baseline = objective.loss(w_star, Batch::All, &mut Scratch::new());
        if !baseline.is_finite() {
            return Err(SltError::NonFinite { argument: "the loss at w_star", index: 0, value: baseline });
        }
        let parent = Stream::new(stream.bits(), 0);
        let traces: Vec<Vec<f64>> = (0..self.chains as u64)
            .into_par_iter()
            .map(|index| {
                let mut stream = parent.child(index);
                let mut chain = Sgld::new(objective, w_star, config)?;
                for _ in 0..self.burn_in {
                    chain.step(&mut stream)?;
                }
                (0..self.draws).map(|_| chain.step(&mut stream)).collect()
            })
            .collect::<Result<_, SltError>>()?;
        Ok(LlcEstimate::of(self, n_beta.get(), baseline, traces))
    }
}

/// What should be looked at before an estimate is believed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum LlcWarning {
    /// The chains found lower losses than at `w_star`: it is not a minimum, or training had not ended.
    Negative,
    /// The chains disagree: R̂ is above 1.05 or not defined.
    NotMixed {
        /// R̂.
        r_hat: f64,
    },
    /// Fewer than 100 effective draws: the standard error itself is uncertain.
    FewEffectiveDraws {
        /// ESS.
        ess: f64,
    },
}

/// An estimate of [`Llc`] with what is needed to judge it.
#[derive(Clone, Debug, PartialEq)]
pub struct LlcEstimate {
    /// λ̂, a pure number.
    pub value: f64,
    /// The Monte-Carlo standard error `nβ·sd/√ESS`; the bias of step size and localisation is not in it.
    pub standard_error: f64,
    /// Effective draws, over all chains.
    pub ess: f64,
    /// Split R̂ of the loss.
    pub r_hat: f64,
    /// `L_n(w*)`.
    pub baseline: f64,
    /// nβ.
    pub n_beta: f64,
    /// The settings.
    pub settings: Llc,
    /// The batch loss of each draw of each chain.
    pub traces: Vec<Vec<f64>>,
    /// What should be looked at.
    pub warnings: Vec<LlcWarning>,
}

impl LlcEstimate {
    fn of(settings: &Llc, n_beta: f64, baseline: f64, traces: Vec<Vec<f64>>) -> Self {
        let means: Vec<f64> = traces.iter().map(|trace| mean(trace)).collect();
        let centre = mean(&means);
        let draws = (traces.len() * settings.draws) as f64;
        let variance =
            traces.iter().flatten().map(|x| (x - centre) * (x - centre)).sum::<f64>() / (draws - 1.0);
        let (ess, r_hat) = (effective_sample_size(&traces), split_r_hat(&traces));
        let value = n_beta * (centre - baseline);
        let mut warnings = Vec::new();
        if value < 0.0 {
            warnings.push(LlcWarning::Negative);
        }
        if r_hat.is_nan() || r_hat > 1.05 {
            warnings.push(LlcWarning::NotMixed { r_hat });
        }
        if ess.is_nan() || ess < 100.0 {
            warnings.push(LlcWarning::FewEffectiveDraws { ess });
        }
        let standard_error = n_beta * (variance / ess).sqrt();
        Self { value, standard_error, ess, r_hat, baseline, n_beta, settings: *settings, traces, warnings }
    }
}

impl fmt::Display for LlcEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = &self.settings;
        write!(
            f,
            "tempered estimate {:.3} ± {:.3} at n = {}, nβ = {:.1}, γ = {}, ε = {:.1e} (ESS {:.0}, R̂ {:.3})",
            self.value,
            self.standard_error,
            s.n,
            self.n_beta,
            s.localisation,
            s.step_size,
            self.ess,
            self.r_hat
        )?;
        for warning in &self.warnings {
            match warning {
                LlcWarning::Negative => write!(f, "; negative: w* is not a minimum")?,
                LlcWarning::NotMixed { .. } => write!(f, "; the chains disagree")?,
                LlcWarning::FewEffectiveDraws { .. } => write!(f, "; too few effective draws")?,
            }
        }
        Ok(())
    }
}
