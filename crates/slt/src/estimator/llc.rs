use super::fingerprint;
use crate::error::same_length;
use crate::sampler::{BatchSampling, Chain, Method, Region, Run, Sampling, Target};
use crate::{Beta, ChainMean, Diagnosis, Evidence, LearningCoefficient, LossScale, SltError};
use collimate_grad::{Batch, Objective, Scratch};
use collimate_measure::{Fingerprint, Measurement, Quantity, Unit};
use collimate_stream::RngStream;
use std::fmt;

/// The local learning coefficient, estimated by chains around a point.
///
/// ```text
/// λ̂(w*) = nβ (E[L_n(w)] − L_n(w*)),   w ~ exp(−nβ L_n(w) − γ/2 |w − w*|²) on the region
/// ```
///
/// The expectation runs over the losses of the chains, which are unbiased for `L_n` because a batch is drawn after the
/// position it is evaluated at; the baseline `L_n(w*)` runs over all data, so no noise of a baseline is multiplied by nβ.
///
/// What it estimates is the tempered expectation at this data, n, β and γ: not λ (see [`crate::CrossingOracle`]). SGLD adds
/// the Euler bias of its step (see [`crate::QuadraticOracle`] and [`Llc::step_bias`]); MALA and HMC add none.
///
/// Refinements: a region in which only some coordinates move restricts it to those weights, and the objective of other
/// data at the same `w*` restricts it to that data. Both together are the doubly refined coefficient.
///
/// # Examples
/// ```
/// use collimate_slt::{Beta, Llc, ReducedRank, ReducedRankConfig, Sampling};
/// use collimate_stream::RngStream;
/// let mut stream = RngStream::new(1, 0);
/// let model = ReducedRankConfig { inputs: 2, hidden: 1, outputs: 2, noise: 1.0 };
/// let objective = ReducedRank::sample(model, &[0.0; 4], 100, &mut stream)?;
/// let sampling = Sampling { draws: 200, burn_in: 100, ..Sampling::mala() };
/// let llc = Llc { sampling, ..Llc::at(100, Beta::inverse_log_n()) };
/// let estimate = llc.estimate(&objective, &[0.0; 4], &mut stream)?;
/// assert!(estimate.value > 0.0 && estimate.value < 2.0); // four parameters
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
///
/// # References
/// Lau et al. (2023), algorithm 1; Wang et al. (2024), section 3, for the refinements.
#[derive(Clone, Debug, PartialEq)]
pub struct Llc {
    /// n, as it enters nβ.
    pub n: usize,
    /// The inverse temperature.
    pub beta: Beta,
    /// What the objective's loss is.
    pub scale: LossScale,
    /// γ.
    pub localisation: f64,
    /// Walls and restrictions; `None` for none.
    pub region: Option<Region>,
    /// The chains.
    pub sampling: Sampling,
}

impl Llc {
    /// Full-batch SGLD with the settings of [`Sampling::sgld`], γ = 1, no region, a loss that is a log likelihood.
    pub fn at(n: usize, beta: Beta) -> Self {
        Self {
            n,
            beta,
            scale: LossScale::NegativeLogLikelihood,
            localisation: 1.0,
            region: None,
            sampling: Sampling::sgld(BatchSampling::Full),
        }
    }

    /// The density that the chains sample.
    ///
    /// # Errors
    /// As [`Target::new`], [`Target::localised`], [`Target::within`], [`Beta::n_beta`] and [`LossScale::factor`].
    pub fn target<'a>(
        &self,
        objective: &'a dyn Objective<f64>,
        w_star: &[f64],
    ) -> Result<Target<'a>, SltError> {
        same_length("w_star", objective.n_parameters(), w_star.len())?;
        let n_beta = crate::NBeta::new(self.beta.n_beta(self.n)?.get() * self.scale.factor()?)?;
        let target = Target::new(objective, w_star, n_beta)?.localised(self.localisation)?;
        match &self.region {
            Some(region) => target.within(region.clone()),
            None => Ok(target),
        }
    }

    /// Runs the chains from `w_star`, in parallel, each on its own child of one number drawn from `stream`.
    ///
    /// # Errors
    /// As [`Llc::target`] and [`Sampling::run`]; [`SltError::NonFinite`] when the loss at `w_star` is.
    ///
    /// # Determinism
    /// The same bits on any number of threads.
    pub fn estimate(
        &self,
        objective: &dyn Objective<f64>,
        w_star: &[f64],
        stream: &mut RngStream,
    ) -> Result<LlcEstimate, SltError> {
        let target = self.target(objective, w_star)?;
        let mut gradient = vec![0.0; w_star.len()];
        let baseline =
            objective.loss_and_gradient_into(w_star, Batch::All, &mut Scratch::new(), &mut gradient);
        if !baseline.is_finite() {
            return Err(SltError::NonFinite { argument: "the loss at w_star", index: 0, value: baseline });
        }
        let run = self.sampling.run(&target, stream)?;
        let moving = self.region.as_ref().and_then(|region| region.moving.as_ref());
        let norm = gradient.iter().enumerate().filter(|(i, _)| moving.is_none_or(|mask| mask[*i]));
        let evidence = Evidence {
            n_beta: target.n_beta(),
            gamma: self.localisation,
            bounded: self.region.as_ref().is_some_and(Region::is_bounded),
            dimensions: self.region.as_ref().map_or(w_star.len(), Region::n_moving),
            baseline,
            losses: run.losses(),
            distances: run.traces.iter().map(|trace| trace.distances.clone()).collect(),
            divergences: run.traces.iter().map(|trace| trace.divergences).sum(),
            gradient_norm: Some(norm.map(|(_, g)| g * g).sum::<f64>().sqrt()),
            mala_acceptance: match self.sampling.method {
                Method::Sgld(_) => Some(mala_acceptance(&target, run.step_size, stream)?),
                _ => None,
            },
        };
        let object = fingerprint(w_star.len(), objective.n_samples(), w_star, baseline);
        Ok(LlcEstimate::of(self, &target, object, evidence, run))
    }
}

/// The share of moves that a corrected chain accepts at this ε: 100 steps after 100 of burn-in.
fn mala_acceptance(target: &Target<'_>, step_size: f64, stream: &mut RngStream) -> Result<f64, SltError> {
    let mut chain = Chain::new(target, Method::Mala, step_size)?;
    let mut sum = 0.0;
    for step in 0..200 {
        let accepted = chain.step(stream)?.acceptance;
        sum += if step < 100 { 0.0 } else { accepted };
    }
    Ok(sum / 100.0)
}

/// An estimate of [`Llc`] with what is needed to judge it.
#[derive(Clone, Debug, PartialEq)]
pub struct LlcEstimate {
    /// λ̂, a pure number.
    pub value: f64,
    /// The Monte-Carlo standard error `nβ·sd/√ESS`; the bias of step size and localisation is not in it.
    pub standard_error: f64,
    /// Effective draws of the loss, over all chains.
    pub ess: f64,
    /// `L_n(w*)`.
    pub baseline: f64,
    /// nβ, with the factor of the loss scale.
    pub n_beta: f64,
    /// The settings.
    pub settings: Llc,
    /// The chains.
    pub run: Run<()>,
    /// What a diagnosis is made from.
    pub evidence: Evidence,
    object: Fingerprint,
    exact: Option<f64>,
    lambda: Option<LearningCoefficient>,
}

/// λ̂ as a quantity.
const LLC: Quantity = Quantity {
    name: "local learning coefficient (estimate)",
    definition: "nβ (E[L_n(w)] − L_n(w*)) under the tempered, localised posterior",
    unit: Unit::One,
};

impl LlcEstimate {
    fn of(
        settings: &Llc,
        target: &Target<'_>,
        object: Fingerprint,
        evidence: Evidence,
        run: Run<()>,
    ) -> Self {
        let found = ChainMean::of(&evidence.losses);
        let n_beta = target.n_beta();
        Self {
            value: n_beta * (found.value - evidence.baseline),
            standard_error: n_beta * found.standard_error,
            ess: found.ess,
            baseline: evidence.baseline,
            n_beta,
            settings: settings.clone(),
            run,
            evidence,
            object,
            exact: None,
            lambda: None,
        }
    }

    /// With the exact values that stand beside it in print: the tempered expectation at these settings, and λ.
    #[must_use]
    pub fn beside(mut self, tempered: Option<f64>, lambda: Option<LearningCoefficient>) -> Self {
        self.exact = tempered;
        self.lambda = lambda;
        self
    }

    /// What the chains say about themselves; computed anew at each call.
    pub fn diagnosis(&self) -> Diagnosis {
        Diagnosis::of(&self.evidence)
    }

    /// The exact tempered expectation that was given to stand beside it.
    pub fn exact(&self) -> Option<f64> {
        self.exact
    }

    /// The estimate as a measurement that names its estimand.
    pub fn measurement(&self) -> Measurement {
        let n = if self.ess.is_finite() { self.ess.round() as u64 } else { 0 };
        let law =
            if self.settings.sampling.method.is_corrected() { "" } else { ", with the bias of its step" };
        Measurement::estimate(&LLC, self.value, self.standard_error, n, self.object)
            .estimating(format!("the tempered expectation at {}{law}; not λ", self.setting()))
    }

    /// Where the chains ran, in words.
    fn setting(&self) -> String {
        let s = &self.settings;
        let beta = match s.beta {
            Beta::InverseLogN => "β = 1/log n".to_owned(),
            Beta::Value(beta) => format!("β = {beta}"),
        };
        format!("n = {}, {beta}, nβ = {:.1}, γ = {}", s.n, self.n_beta, s.localisation)
    }
}

impl fmt::Display for LlcEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let diagnosis = self.diagnosis();
        let size = if matches!(self.settings.sampling.method, Method::Hmc { .. }) { "δ" } else { "ε" };
        write!(
            f,
            "tempered estimate {:.3} ± {:.3} at {}, {size} = {:.1e} (ESS {:.0}, R̂ {:.3})",
            self.value,
            self.standard_error,
            self.setting(),
            self.run.step_size,
            self.ess,
            diagnosis.r_hat
        )?;
        if let Some(exact) = self.exact {
            write!(f, ";\nexact at that setting {exact:.4}")?;
        }
        if let Some(lambda) = self.lambda {
            let value = lambda.lambda_f64();
            write!(f, ";\nthe asymptotic {lambda} is another quantity")?;
            if let Some(exact) = self.exact {
                write!(f, " (bias {:+.3})", exact - value)?;
            }
        }
        diagnosis.doubts.iter().try_for_each(|doubt| write!(f, "; {doubt}"))
    }
}
