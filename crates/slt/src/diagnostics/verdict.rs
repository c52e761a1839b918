use super::{ChainMean, autocorrelation_time, bulk_ess, mean, rank_normalised_r_hat, tail_ess};
use std::fmt;

/// A reason not to trust an estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Doubt {
    /// The chains found lower losses than the loss at `w*`. So `w*` is not a minimum, or training was not finished.
    Negative,
    /// The target has neither walls nor a localisation. On a singular model its integral is infinite.
    ImproperTarget,
    /// The chains disagree: R̂ is above 1.05 or undefined.
    NotMixed {
        /// The value of R̂.
        r_hat: f64,
    },
    /// There are fewer than 100 effective draws, so the standard error itself is uncertain.
    FewEffectiveDraws {
        /// The smaller of bulk and tail ESS.
        ess: f64,
    },
    /// The energy error of some steps was too large, so the chain does not reach parts of the target.
    Divergences {
        /// The number of these steps.
        count: u64,
    },
    /// The mean distance from `w*` changed between the first and the second half of the run.
    Drifting {
        /// The change of the mean distance in standard errors.
        z: f64,
    },
    /// Over the mean distance, the gradient at `w*` changes the loss by more than a quarter of the estimate.
    Unconverged {
        /// The change `nβ |∇L_n(w*)| · distance/√d`, in units of the coefficient.
        slope: f64,
    },
    /// The localisation changes the estimate by more than a tenth.
    LocalisationDominated {
        /// The change to first order in γ.
        bias: f64,
    },
    /// MALA would reject more than a fifth of its moves at this ε, so the Euler bias is not small.
    StepSizeDominated {
        /// The acceptance of MALA at this ε.
        acceptance: f64,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::Negative => write!(f, "negative: w* is not a minimum"),
            Doubt::ImproperTarget => {
                write!(f, "improper target: without walls and with γ = 0 its integral can be infinite")
            }
            Doubt::NotMixed { r_hat } => write!(f, "the chains disagree (R̂ = {r_hat:.3})"),
            Doubt::FewEffectiveDraws { ess } => write!(f, "too few effective draws ({ess:.0})"),
            Doubt::Divergences { count } => write!(f, "{count} divergent steps: take a smaller step"),
            Doubt::Drifting { z } => write!(f, "still drifting ({z:+.1} standard errors): burn in longer"),
            Doubt::Unconverged { slope } => {
                write!(f, "w* is not converged: its gradient accounts for {slope:.2} of the estimate")
            }
            Doubt::LocalisationDominated { bias } => {
                write!(f, "dominated by γ: the local prior shifts it by about {bias:+.3}")
            }
            Doubt::StepSizeDominated { acceptance } => {
                write!(f, "dominated by ε: MALA would accept only {:.0} % of its moves", 100.0 * acceptance)
            }
        }
    }
}

/// The numbers that a diagnosis needs. An unknown number keeps its default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiagnosisInput {
    /// The factor nβ of the mean loss.
    pub n_beta: f64,
    /// The strength γ of the localisation.
    pub gamma: f64,
    /// Whether walls bound the target.
    pub bounded: bool,
    /// The number of coordinates that move.
    pub dimensions: usize,
    /// The loss `L_n(w*)`.
    pub baseline: f64,
    /// The losses, chain by chain.
    pub losses: Vec<Vec<f64>>,
    /// The distances `|w − w*|` at the same draws; empty if they were not recorded.
    pub distances: Vec<Vec<f64>>,
    /// The number of divergent steps.
    pub divergences: u64,
    /// The norm `|∇L_n(w*)|` over the coordinates that move.
    pub gradient_norm: Option<f64>,
    /// The acceptance of MALA at the ε of an uncorrected chain.
    pub mala_acceptance: Option<f64>,
}

/// The diagnosis of chains: convergence statistics, and the reasons not to trust the estimate.
///
/// # Examples
/// ```
/// use collimate_slt::{ChainDiagnosis, Doubt, DiagnosisInput};
/// use collimate_stream::RngStream;
/// let mut stream = RngStream::new(1, 0);
/// // The losses are below the baseline, so the point was not a minimum.
/// let losses = (0..4).map(|_| (0..500).map(|_| 1.0 + 0.01 * stream.normal()).collect()).collect();
/// let input = DiagnosisInput { n_beta: 100.0, gamma: 1.0, dimensions: 3, baseline: 1.2, losses, ..Default::default() };
/// let diagnosis = ChainDiagnosis::of(&input);
/// assert_eq!(diagnosis.doubts, [Doubt::Negative]);
/// assert!(!diagnosis.trusted());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ChainDiagnosis {
    /// The rank-normalised split R̂ of the loss.
    pub r_hat: f64,
    /// The effective sample size for the bulk.
    pub bulk_ess: f64,
    /// The effective sample size for the tails.
    pub tail_ess: f64,
    /// The integrated autocorrelation time in draws.
    pub iact: f64,
    /// The number of divergent steps.
    pub divergences: u64,
    /// The mean of `|w − w*|`, if it was recorded.
    pub distance: Option<f64>,
    /// The norm `|∇L_n(w*)|`, if it is known.
    pub gradient_norm: Option<f64>,
    /// The effect of the localisation to first order, `−γ Cov(nβ L, |w − w*|²/2)`, with its Monte-Carlo error.
    pub localisation_bias: Option<ChainMean>,
    /// The acceptance of MALA at this ε, if it was measured.
    pub mala_acceptance: Option<f64>,
    /// The reasons not to trust the estimate.
    pub doubts: Vec<Doubt>,
}

impl ChainDiagnosis {
    /// Diagnoses chains.
    ///
    /// # Panics
    /// If the chains differ in length.
    pub fn of(input: &DiagnosisInput) -> Self {
        let DiagnosisInput { n_beta, gamma, losses, distances, .. } = input;
        let value = n_beta * (ChainMean::of(losses).value - input.baseline);
        let (r_hat, bulk, tail) = (rank_normalised_r_hat(losses), bulk_ess(losses), tail_ess(losses));
        let mut doubts = Vec::new();
        if value < 0.0 {
            doubts.push(Doubt::Negative);
        }
        if *gamma == 0.0 && !input.bounded {
            doubts.push(Doubt::ImproperTarget);
        }
        if r_hat.is_nan() || r_hat > 1.05 {
            doubts.push(Doubt::NotMixed { r_hat });
        }
        // `min` of two floats ignores a NaN, but here a NaN must remain.
        let ess = if bulk.is_nan() || tail.is_nan() { f64::NAN } else { bulk.min(tail) };
        if ess.is_nan() || ess < 100.0 {
            doubts.push(Doubt::FewEffectiveDraws { ess });
        }
        if input.divergences > 0 {
            doubts.push(Doubt::Divergences { count: input.divergences });
        }
        let (mut distance, mut localisation_bias) = (None, None);
        if !distances.is_empty() {
            let found = ChainMean::of(distances);
            distance = Some(found.value);
            let z = drift(distances);
            if z.abs() > 5.0 {
                doubts.push(Doubt::Drifting { z });
            }
            if let Some(norm) = input.gradient_norm {
                let slope = n_beta * norm * found.value / (input.dimensions.max(1) as f64).sqrt();
                if slope > 0.25 * value.abs() {
                    doubts.push(Doubt::Unconverged { slope });
                }
            }
            if *gamma > 0.0 {
                let bias = localisation_bias_of(*n_beta, *gamma, losses, distances);
                if bias.value.abs() > 0.1 * value.abs() + 2.0 * bias.standard_error {
                    doubts.push(Doubt::LocalisationDominated { bias: bias.value });
                }
                localisation_bias = Some(bias);
            }
        }
        if let Some(acceptance) = input.mala_acceptance
            && acceptance < 0.8
        {
            doubts.push(Doubt::StepSizeDominated { acceptance });
        }
        Self {
            r_hat,
            bulk_ess: bulk,
            tail_ess: tail,
            iact: autocorrelation_time(losses),
            divergences: input.divergences,
            distance,
            gradient_norm: input.gradient_norm,
            localisation_bias,
            mala_acceptance: input.mala_acceptance,
            doubts,
        }
    }

    /// Returns true if there is no doubt about the estimate of the tempered expectation. It says nothing about λ.
    pub fn trusted(&self) -> bool {
        self.doubts.is_empty()
    }
}

/// Returns `−γ Cov(nβ L, |w − w*|²/2)`, γ times the derivative of the expectation with respect to γ.
fn localisation_bias_of(n_beta: f64, gamma: f64, losses: &[Vec<f64>], distances: &[Vec<f64>]) -> ChainMean {
    let map = |chains: &[Vec<f64>], f: &dyn Fn(f64) -> f64| -> Vec<Vec<f64>> {
        chains.iter().map(|chain| chain.iter().map(|x| f(*x)).collect()).collect()
    };
    let (energy, pull) =
        (map(losses, &|loss| n_beta * loss), map(distances, &|distance| -0.5 * gamma * distance * distance));
    ChainMean::covariance(&energy, &pull)
}

/// Returns the change of the mean distance from the first to the second halves, in standard errors.
fn drift(distances: &[Vec<f64>]) -> f64 {
    let half = |second: bool| -> Vec<Vec<f64>> {
        let cut = |chain: &Vec<f64>| {
            let middle = chain.len() / 2;
            if second { chain[chain.len() - middle..].to_vec() } else { chain[..middle].to_vec() }
        };
        distances.iter().map(cut).collect()
    };
    let (first, second) = (half(false), half(true));
    let centre = |halves: &[Vec<f64>]| mean(&halves.iter().map(|c| mean(c)).collect::<Vec<_>>());
    let (a, b) = (ChainMean::of(&first).standard_error, ChainMean::of(&second).standard_error);
    let spread = (a * a + b * b).sqrt();
    let difference = centre(&second) - centre(&first);
    if spread > 0.0 { difference / spread } else { 0.0 }
}

impl fmt::Display for ChainDiagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "R̂ {:.3}, bulk ESS {:.0}, tail ESS {:.0}, IACT {:.1} draws",
            self.r_hat, self.bulk_ess, self.tail_ess, self.iact
        )?;
        if let Some(distance) = self.distance {
            write!(f, ", |w − w*| {distance:.3}")?;
        }
        if let Some(norm) = self.gradient_norm {
            write!(f, ", |∇L(w*)| {norm:.1e}")?;
        }
        if let Some(bias) = self.localisation_bias {
            write!(f, ", γ shifts by {:+.3} ± {:.3} (first order)", bias.value, bias.standard_error)?;
        }
        if let Some(acceptance) = self.mala_acceptance {
            write!(f, ", MALA would accept {:.0} %", 100.0 * acceptance)?;
        }
        match self.doubts.as_slice() {
            [] => write!(f, "\nverdict: trusted as an estimate of the tempered expectation"),
            doubts => {
                write!(f, "\nverdict: not trusted")?;
                doubts.iter().try_for_each(|doubt| write!(f, "\n  - {doubt}"))
            }
        }
    }
}
