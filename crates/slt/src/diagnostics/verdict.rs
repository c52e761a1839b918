use super::{ChainMean, autocorrelation_time, bulk_ess, mean, rank_normalised_r_hat, tail_ess};
use collimate_measure::WrongLength;
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
    /// The distances from `w*` disagree between the chains or have fewer than 100 effective draws. The losses of batches can hide this.
    DistanceNotMixed {
        /// The value of R̂ of the distances.
        r_hat: f64,
        /// The bulk ESS of the distances.
        ess: f64,
    },
    /// The noise of the batches is most of the variance of the losses, so their autocorrelation cannot be seen and the standard error
    /// is too small.
    BatchNoise {
        /// The share of the variance.
        share: f64,
    },
    /// The energy error of some steps was too large: of more than 1 % of them, or their draws change the estimate by
    /// more than its standard error. If the number of all steps is unknown, one is enough.
    Divergences {
        /// The number of these steps.
        count: u64,
    },
    /// The mean distance from `w*` changed between the first and the second half of the run; or, in recorded losses, the mean loss
    /// changed between the first and the last third.
    Drifting {
        /// The change of the mean in standard errors.
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
    /// MALA would reject more than a fifth of its moves at this ε, and the bias of the step was not measured.
    StepSizeDominated {
        /// The acceptance of MALA at this ε.
        acceptance: f64,
    },
    /// The measured bias of the step is larger than 3/2 of the standard error of the estimate, or known with a larger error.
    StepBias {
        /// The bias.
        bias: f64,
        /// Its Monte-Carlo error.
        error: f64,
    },
    /// Moves were rejected because the loss is NaN, so the objective is not defined in a part of the region.
    Undefined {
        /// The number of these moves.
        count: u64,
        /// The first chain with such a move.
        chain: usize,
        /// The first draw of that chain with such a move; `None` before the first draw.
        draw: Option<usize>,
    },
    /// The estimate differs from the exact value by more than four standard errors.
    Contradicted {
        /// The exact value.
        exact: f64,
        /// The difference in standard errors.
        z: f64,
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
            Doubt::DistanceNotMixed { r_hat, ess } => write!(
                f,
                "the distances from w* are not mixed (R̂ = {r_hat:.3}, {ess:.0} effective draws): draw longer"
            ),
            Doubt::BatchNoise { share } => write!(
                f,
                "the noise of the batches is {:.0} % of the variance of the losses and hides their autocorrelation, so the \
                 error is too small: take larger batches or more steps between draws",
                100.0 * share
            ),
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
            Doubt::StepBias { bias, error } => write!(
                f,
                "the step shifts the estimate by {bias:+.3} ± {error:.3}: take a smaller ε, or a corrected sampler (MALA or HMC)"
            ),
            Doubt::Undefined { count, chain, draw } => {
                let place = draw.map_or("before its first draw".to_owned(), |draw| format!("at draw {draw}"));
                write!(
                    f,
                    "the loss is NaN at {count} proposed points, first in chain {chain} {place}: the objective is not defined \
                     in a part of the region"
                )
            }
            Doubt::Contradicted { exact, z } => write!(
                f,
                "ALARM: the exact value {exact:.4} lies {:.1} standard errors away, so the chains or the exact value are wrong",
                z.abs()
            ),
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
    /// True if walls bound the target.
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
    /// The number of all steps of all chains, or 0 if it is unknown.
    pub steps: u64,
    /// The part of the estimate that comes from the draws with divergent steps, in units of the coefficient.
    pub divergence_effect: Option<f64>,
    /// The number of moves that were rejected because the loss is NaN.
    pub undefined: u64,
    /// The first chain with such a move, and its first draw with one; the draw is `None` if it was before the first draw.
    pub first_undefined: Option<(usize, Option<usize>)>,
    /// True if the losses are those of batches that are smaller than the data.
    pub batches: bool,
    /// The norm `|∇L_n(w*)|` over the coordinates that move.
    pub gradient_norm: Option<f64>,
    /// The acceptance of MALA at the ε of an uncorrected chain.
    pub mala_acceptance: Option<f64>,
    /// The bias of the step of an uncorrected chain, in units of the coefficient.
    pub step_bias: Option<ChainMean>,
    /// The exact tempered expectation.
    pub exact: Option<f64>,
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
/// let diagnosis = ChainDiagnosis::of(&input)?;
/// assert_eq!(diagnosis.doubts, [Doubt::Negative]);
/// assert!(!diagnosis.trusted());
/// # Ok::<(), collimate_slt::WrongLength>(())
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
    /// The bias of the step, if it was measured.
    pub step_bias: Option<ChainMean>,
    /// The reasons not to trust the estimate.
    pub doubts: Vec<Doubt>,
}

impl ChainDiagnosis {
    /// Diagnoses chains.
    ///
    /// # Errors
    /// [`WrongLength`] if the chains differ in length.
    pub fn of(input: &DiagnosisInput) -> Result<Self, WrongLength> {
        let losses = &input.losses;
        let found = ChainMean::of(losses)?;
        let estimate = Estimate {
            value: input.n_beta * (found.value - input.baseline),
            error: input.n_beta * found.standard_error,
        };
        let (r_hat, bulk, tail) = (rank_normalised_r_hat(losses)?, bulk_ess(losses)?, tail_ess(losses)?);
        let mut doubts = Vec::new();
        if estimate.value < 0.0 {
            doubts.push(Doubt::Negative);
        }
        if input.gamma == 0.0 && !input.bounded {
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
        doubts.extend(estimate.doubts_of_moves(input));
        let (mut distance, mut localisation_bias) = (None, None);
        if !input.distances.is_empty() {
            let (mean, bias) = estimate.doubts_of_distances(input, bulk, &mut doubts)?;
            (distance, localisation_bias) = (Some(mean), bias);
        }
        doubts.extend(estimate.doubts_of_accuracy(input));
        Ok(Self {
            r_hat,
            bulk_ess: bulk,
            tail_ess: tail,
            iact: autocorrelation_time(losses)?,
            divergences: input.divergences,
            distance,
            gradient_norm: input.gradient_norm,
            localisation_bias,
            mala_acceptance: input.mala_acceptance,
            step_bias: input.step_bias,
            doubts,
        })
    }

    /// Returns true if there is no doubt about the estimate of the tempered expectation. It says nothing about λ.
    pub fn trusted(&self) -> bool {
        self.doubts.is_empty()
    }
}

/// The estimate of the coefficient and its Monte-Carlo error.
struct Estimate {
    value: f64,
    error: f64,
}

impl Estimate {
    /// Returns the doubts about moves that diverged or left the domain of the loss.
    fn doubts_of_moves(&self, input: &DiagnosisInput) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        if let Some((chain, draw)) = input.first_undefined {
            doubts.push(Doubt::Undefined { count: input.undefined, chain, draw });
        }
        // Moves to points without a loss are not a matter of the step size.
        let count = input.divergences.saturating_sub(input.undefined);
        let many = count > 0 && count as f64 >= 0.01 * input.steps as f64;
        let moved = count > 0 && input.divergence_effect.is_some_and(|effect| effect.abs() > self.error);
        if many || moved {
            doubts.push(Doubt::Divergences { count });
        }
        doubts
    }

    /// Adds the doubts that the distances from `w*` raise. Returns their mean and the effect of the localisation.
    fn doubts_of_distances(
        &self,
        input: &DiagnosisInput,
        loss_ess: f64,
        doubts: &mut Vec<Doubt>,
    ) -> Result<(f64, Option<ChainMean>), WrongLength> {
        let DiagnosisInput { n_beta, gamma, losses, distances, .. } = input;
        let (r_hat, ess) = (rank_normalised_r_hat(distances)?, bulk_ess(distances)?);
        if r_hat.is_nan() || r_hat > 1.05 || ess.is_nan() || ess < 100.0 {
            doubts.push(Doubt::DistanceNotMixed { r_hat, ess });
        }
        if input.batches {
            // Batches are independent of each other, so only the losses themselves are correlated from draw to draw.
            let (of_losses, of_distances) = (next_correlation(losses), next_correlation(distances));
            let share = 1.0 - of_losses / of_distances;
            if of_distances > 0.5 && share > 0.5 && ess < 0.5 * loss_ess {
                doubts.push(Doubt::BatchNoise { share: share.min(1.0) });
            }
        }
        let mean = ChainMean::of(distances)?.value;
        let z = drift(distances)?;
        if z.abs() > 5.0 {
            doubts.push(Doubt::Drifting { z });
        }
        if let Some(norm) = input.gradient_norm {
            let slope = n_beta * norm * mean / (input.dimensions.max(1) as f64).sqrt();
            if slope > 0.25 * self.value.abs() {
                doubts.push(Doubt::Unconverged { slope });
            }
        }
        let bias =
            (*gamma > 0.0).then(|| localisation_bias_of(*n_beta, *gamma, losses, distances)).transpose()?;
        if let Some(bias) = bias
            && bias.value.abs() > 0.1 * self.value.abs() + 2.0 * bias.standard_error
        {
            doubts.push(Doubt::LocalisationDominated { bias: bias.value });
        }
        Ok((mean, bias))
    }

    /// Returns the doubts about the bias of the step and about the distance from an exact value.
    fn doubts_of_accuracy(&self, input: &DiagnosisInput) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        match (input.step_bias, input.mala_acceptance) {
            (Some(ChainMean { value: bias, standard_error: error, .. }), _) => {
                let allowed = 1.5 * self.error;
                // A NaN raises the doubt too.
                let small = bias.abs() <= allowed.max(2.0 * error) && error <= allowed;
                if !small {
                    doubts.push(Doubt::StepBias { bias, error });
                }
            }
            (None, Some(acceptance)) if acceptance < 0.8 => {
                doubts.push(Doubt::StepSizeDominated { acceptance });
            }
            _ => {}
        }
        if let Some(exact) = input.exact {
            let z = (self.value - exact) / self.error;
            if z.is_nan() || z.abs() > 4.0 {
                doubts.push(Doubt::Contradicted { exact, z });
            }
        }
        doubts
    }
}

/// Returns the correlation of each draw with the next one, averaged over chains; 0 if the draws do not vary.
fn next_correlation(chains: &[Vec<f64>]) -> f64 {
    let (mut products, mut squares) = (0.0, 0.0);
    for chain in chains {
        let centre = mean(chain);
        products += chain.windows(2).map(|pair| (pair[0] - centre) * (pair[1] - centre)).sum::<f64>();
        squares += chain.iter().map(|x| (x - centre) * (x - centre)).sum::<f64>();
    }
    if squares > 0.0 { products / squares } else { 0.0 }
}

/// Returns `−γ Cov(nβ L, |w − w*|²/2)`, γ times the derivative of the expectation with respect to γ.
fn localisation_bias_of(
    n_beta: f64,
    gamma: f64,
    losses: &[Vec<f64>],
    distances: &[Vec<f64>],
) -> Result<ChainMean, WrongLength> {
    let map = |chains: &[Vec<f64>], f: &dyn Fn(f64) -> f64| -> Vec<Vec<f64>> {
        chains.iter().map(|chain| chain.iter().map(|x| f(*x)).collect()).collect()
    };
    let (energy, pull) =
        (map(losses, &|loss| n_beta * loss), map(distances, &|distance| -0.5 * gamma * distance * distance));
    ChainMean::covariance(&energy, &pull)
}

/// Returns the change of the mean distance from the first to the second halves, in standard errors.
fn drift(distances: &[Vec<f64>]) -> Result<f64, WrongLength> {
    let half = |second: bool| -> Vec<Vec<f64>> {
        let cut = |chain: &Vec<f64>| {
            let middle = chain.len() / 2;
            if second { chain[chain.len() - middle..].to_vec() } else { chain[..middle].to_vec() }
        };
        distances.iter().map(cut).collect()
    };
    let (first, second) = (half(false), half(true));
    let centre = |halves: &[Vec<f64>]| mean(&halves.iter().map(|c| mean(c)).collect::<Vec<_>>());
    let (a, b) = (ChainMean::of(&first)?.standard_error, ChainMean::of(&second)?.standard_error);
    let spread = (a * a + b * b).sqrt();
    let difference = centre(&second) - centre(&first);
    Ok(if spread > 0.0 { difference / spread } else { 0.0 })
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
        if let Some(bias) = self.step_bias {
            write!(f, ", ε shifts by {:+.3} ± {:.3} (first order)", bias.value, bias.standard_error)?;
        }
        if self.divergences > 0 {
            write!(f, ", {} divergent steps", self.divergences)?;
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
