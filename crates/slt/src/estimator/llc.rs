use super::fingerprint;
use crate::sampler::{BatchSampling, Chain, ChainTrace, Method, Region, Sampling, SamplingRun, Target};
use crate::{Beta, ChainDiagnosis, ChainMean, DiagnosisInput, LearningCoefficient, LossScale, SltError};
use collimate_grad::{Batch, Objective, Scratch};
use collimate_measure::{Fingerprint, Measurement, Quantity, Unit, same_length};
use collimate_stream::RngStream;
use std::fmt;

/// The local learning coefficient, estimated by chains around a point.
///
/// ```text
/// λ̂(w*) = nβ (E[L_n(w)] − L_n(w*)),   w ~ exp(−nβ L_n(w) − γ/2 |w − w*|²) on the region
/// ```
///
/// The expectation is the mean of the losses of the chains. They are unbiased for `L_n`, because each batch is drawn
/// independently of the position. The baseline `L_n(w*)` is the loss over all data, so it has no noise that nβ would
/// multiply.
///
/// The estimand is the tempered expectation at this data, n, β and γ. It is not λ (see [`crate::CrossingOracle`]). SGLD
/// adds the Euler bias of its step (see [`crate::QuadraticOracle`] and [`Llc::step_bias`]). MALA and HMC add none.
///
/// Refinements: a region in which only some coordinates move gives the coefficient of these weights. The objective of other
/// data at the same `w*` gives the coefficient on that data. Both together give the doubly refined coefficient.
///
/// # Examples
/// ```
/// use collimate_slt::{Beta, Llc, ReducedRank, ReducedRankConfig, Sampling};
/// use collimate_stream::RngStream;
/// let mut stream = RngStream::new(1, 0);
/// let model = ReducedRankConfig { inputs: 2, hidden: 1, outputs: 2, noise: 1.0 };
/// let objective = ReducedRank::sample(model, &[0.0; 4], 100, &mut stream)?;
/// let sampling = Sampling { draws: 200, burn_in: 100, ..Sampling::mala() };
/// let llc = Llc { sampling, ..Llc::at(100, Beta::InverseLogN) };
/// let estimate = llc.estimate(&objective, &[0.0; 4], &mut stream)?;
/// assert!(estimate.value > 0.0 && estimate.value < 2.0); // four parameters
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
///
/// # References
/// Lau et al. (2023), algorithm 1; Wang et al. (2024), section 3, for the refinements.
#[derive(Clone, Debug, PartialEq)]
pub struct Llc {
    /// The number of samples n in nβ.
    pub n: usize,
    /// The inverse temperature.
    pub beta: Beta,
    /// The kind of the objective's loss.
    pub scale: LossScale,
    /// The strength γ of the localisation.
    pub localisation: f64,
    /// The walls and restrictions, if any.
    pub region: Option<Region>,
    /// The chains.
    pub sampling: Sampling,
}

impl Llc {
    /// Returns settings with full-batch [`Sampling::sgld`], γ = 1, no region, and a negative log likelihood as the loss.
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

    /// Returns the density that the chains sample.
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

    /// Runs the chains around `w_star` and estimates the coefficient.
    ///
    /// Beside each chain of an uncorrected method a second one runs at ε/2 on the same Brownian path. Their difference is the bias of
    /// the step, on which the diagnosis rests. It makes the estimate three times as long, and does not change it.
    ///
    /// # Errors
    /// As [`Llc::target`] and [`Sampling::run`]; [`SltError::NonFinite`] if the loss at `w_star` is NaN or infinite.
    ///
    /// # Determinism
    /// The same bits on any number of threads.
    pub fn estimate(
        &self,
        objective: &dyn Objective<f64>,
        w_star: &[f64],
        stream: &mut RngStream,
    ) -> Result<LlcEstimate, SltError> {
        Ok(self.estimate_with_half(objective, w_star, stream)?.0)
    }

    /// Estimates like [`Llc::estimate`]. For an uncorrected method, returns the run at half the step too.
    pub(super) fn estimate_with_half(
        &self,
        objective: &dyn Objective<f64>,
        w_star: &[f64],
        stream: &mut RngStream,
    ) -> Result<(LlcEstimate, Option<SamplingRun<()>>), SltError> {
        let target = self.target(objective, w_star)?;
        let mut gradient = vec![0.0; w_star.len()];
        let baseline =
            objective.loss_and_gradient_into(w_star, Batch::All, &mut Scratch::new(), &mut gradient);
        if !baseline.is_finite() {
            return Err(SltError::NonFinite { argument: "the loss at w_star", index: 0, value: baseline });
        }
        let (run, half) = match self.sampling.method.is_corrected() {
            true => (self.sampling.run(&target, stream)?, None),
            false => {
                let [run, half] = self.sampling.run_with_half_step(&target, stream)?;
                (run, Some(half))
            }
        };
        let mala_acceptance = match self.sampling.method {
            Method::Sgld(_) => Some(mala_acceptance(&target, run.step_size, stream)?),
            _ => None,
        };
        let moving = self.region.as_ref().and_then(|region| region.moving.as_ref());
        let norm = gradient.iter().enumerate().filter(|(i, _)| moving.is_none_or(|mask| mask[*i]));
        let found = ChainMean::of(&run.losses())?;
        let n_beta = target.n_beta();
        let estimate = LlcEstimate {
            value: n_beta * (found.value - baseline),
            standard_error: n_beta * found.standard_error,
            ess: found.ess,
            baseline,
            n_beta,
            settings: self.clone(),
            dimensions: self.region.as_ref().map_or(w_star.len(), Region::n_moving),
            gradient_norm: norm.map(|(_, g)| g * g).sum::<f64>().sqrt(),
            mala_acceptance,
            step_bias: half.as_ref().map(|half| combined(&run, half, [2.0 * n_beta, -2.0 * n_beta])),
            object: fingerprint(w_star.len(), objective.n_samples(), w_star, baseline),
            run,
            exact: None,
            lambda: None,
        };
        Ok((estimate, half))
    }
}

/// Returns the mean of a linear combination of the losses of two runs along the same draws.
pub(super) fn combined<A, B>(whole: &SamplingRun<A>, half: &SamplingRun<B>, factors: [f64; 2]) -> ChainMean {
    let [of_whole, of_half] = factors;
    let joined = |(a, b): (&ChainTrace, &ChainTrace)| -> Vec<f64> {
        a.losses.iter().zip(&b.losses).map(|(a, b)| of_whole * a + of_half * b).collect()
    };
    let joined: Vec<Vec<f64>> = whole.traces.iter().zip(&half.traces).map(joined).collect();
    ChainMean::of(&joined).expect("the chains of a run have equal lengths")
}

/// Returns the acceptance of MALA at this ε, over 100 steps after a burn-in of 100.
fn mala_acceptance(target: &Target<'_>, step_size: f64, stream: &mut RngStream) -> Result<f64, SltError> {
    let mut chain = Chain::new(target, Method::Mala, step_size)?;
    let mut sum = 0.0;
    for step in 0..200 {
        let accepted = chain.step(stream)?.acceptance;
        sum += if step < 100 { 0.0 } else { accepted };
    }
    Ok(sum / 100.0)
}

/// An estimate of [`Llc`] with its settings and chains.
#[derive(Clone, Debug, PartialEq)]
pub struct LlcEstimate {
    /// The estimate λ̂, a pure number.
    pub value: f64,
    /// The Monte-Carlo standard error `nβ·sd/√ESS`. It does not contain the bias of step size and localisation.
    pub standard_error: f64,
    /// The effective sample size of the loss, over all chains.
    pub ess: f64,
    /// The loss `L_n(w*)`.
    pub baseline: f64,
    /// The factor nβ, including that of the loss scale.
    pub n_beta: f64,
    /// The settings.
    pub settings: Llc,
    /// The chains.
    pub run: SamplingRun<()>,
    /// The norm `|∇L_n(w*)|` over the coordinates that move.
    pub gradient_norm: f64,
    /// The acceptance of MALA at the step of SGLD.
    pub mala_acceptance: Option<f64>,
    /// The bias of the step of an uncorrected method, `2 (λ̂(ε) − λ̂(ε/2))`, from chains on the same Brownian paths.
    pub step_bias: Option<ChainMean>,
    dimensions: usize,
    object: Fingerprint,
    exact: Option<f64>,
    lambda: Option<LearningCoefficient>,
}

/// The quantity λ̂.
const LLC: Quantity = Quantity {
    name: "local learning coefficient (estimate)",
    definition: "nβ (E[L_n(w)] − L_n(w*)) under the tempered, localised posterior",
    unit: Unit::One,
};

impl LlcEstimate {
    /// Adds exact values to print next to the estimate: the tempered expectation at these settings, and λ. An estimate that contradicts
    /// the tempered expectation is not trusted.
    #[must_use]
    pub fn with_exact_values(mut self, tempered: Option<f64>, lambda: Option<LearningCoefficient>) -> Self {
        self.exact = tempered;
        self.lambda = lambda;
        self
    }

    /// Diagnoses the chains. Every call computes the diagnosis again.
    pub fn diagnosis(&self) -> ChainDiagnosis {
        ChainDiagnosis::of(&self.diagnosis_input()).expect("the chains of a run have equal lengths")
    }

    /// Returns the numbers for the diagnosis, with a copy of all losses and distances.
    pub fn diagnosis_input(&self) -> DiagnosisInput {
        let (sampling, region, traces) = (&self.settings.sampling, &self.settings.region, &self.run.traces);
        let mean = self.value / self.n_beta + self.baseline;
        let draws = traces.iter().map(|trace| trace.losses.len()).sum::<usize>() as f64;
        let divergent =
            traces.iter().flat_map(|t| t.divergent_draws.iter().map(move |&draw| t.losses[draw] - mean));
        let undefined = |(_, trace): &(usize, &ChainTrace)| trace.undefined > 0;
        DiagnosisInput {
            n_beta: self.n_beta,
            gamma: self.settings.localisation,
            bounded: region.as_ref().is_some_and(Region::is_bounded),
            dimensions: self.dimensions,
            baseline: self.baseline,
            losses: self.run.losses(),
            distances: traces.iter().map(|trace| trace.distances.clone()).collect(),
            divergences: traces.iter().map(|trace| trace.divergences).sum(),
            steps: (sampling.chains * (sampling.burn_in + sampling.draws * sampling.thin)) as u64,
            divergence_effect: Some(self.n_beta * divergent.sum::<f64>() / draws),
            undefined: traces.iter().map(|trace| trace.undefined).sum(),
            first_undefined: (traces.iter().enumerate().find(undefined)).map(|(i, t)| (i, t.first_undefined)),
            batches: sampling.method.batch() != BatchSampling::Full,
            gradient_norm: Some(self.gradient_norm),
            mala_acceptance: self.mala_acceptance,
            step_bias: self.step_bias,
            exact: self.exact,
        }
    }

    /// Returns the exact tempered expectation, if it was given.
    pub fn exact(&self) -> Option<f64> {
        self.exact
    }

    /// Returns the estimate as a measurement that names its estimand.
    pub fn measurement(&self) -> Measurement {
        let n = if self.ess.is_finite() { self.ess.round() as u64 } else { 0 };
        let law =
            if self.settings.sampling.method.is_corrected() { "" } else { ", with the bias of its step" };
        let boxed = self.settings.region.as_ref().is_some_and(Region::is_bounded);
        let reach = match boxed && self.settings.localisation == 0.0 && self.settings.sampling.chains > 1 {
            true => "over the box",
            false => "as far as chains from w* reach",
        };
        Measurement::estimate(&LLC, self.value, self.standard_error, n, self.object)
            .estimating(format!("the tempered expectation at {} {reach}{law}; not λ", self.setting()))
    }

    /// Returns the settings of the chains in words.
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
