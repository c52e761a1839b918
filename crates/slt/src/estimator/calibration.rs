use super::Llc;
use crate::sampler::{BatchSampling, Boundary, Region, Sampling};
use crate::{
    Beta, CrossingLoss, CrossingOracle, NBeta, NormalCrossing, QuadraticLoss, ReducedRank, ReducedRankConfig,
    ReducedRankOracle, SltError,
};
use collimate_grad::Objective;
use collimate_measure::Interval;
use collimate_stream::RngStream;
use ndarray::Array2;
use std::fmt;

/// A target with a known exact tempered expectation.
#[derive(Clone, Debug, PartialEq)]
pub enum CalibrationTarget {
    /// The normal crossing `Π w_i^{2k_i}` on [−1, 1]^d.
    Crossing(Vec<u32>),
    /// The quadratic `½ Σ h_i w_i²` with γ = 1.
    Quadratic(Vec<f64>),
    /// Reduced-rank regression at the truth 0, with γ = 1.
    ReducedRank {
        /// The number of inputs M.
        inputs: usize,
        /// The number of hidden units H.
        hidden: usize,
        /// The number of outputs N.
        outputs: usize,
    },
}

impl CalibrationTarget {
    /// Returns the five targets of the calibration: normal crossings (1,1), (2,2), (1,1,1), a quadratic, reduced rank 5-3-5.
    pub fn all() -> Vec<Self> {
        vec![
            Self::Crossing(vec![1, 1]),
            Self::Crossing(vec![2, 2]),
            Self::Crossing(vec![1, 1, 1]),
            Self::Quadratic(vec![0.3, 1.0, 2.0]),
            Self::ReducedRank { inputs: 5, hidden: 3, outputs: 5 },
        ]
    }

    /// Returns the sampler of the calibration: HMC with trajectories long enough for the narrow arms of a crossing.
    pub fn sampling(&self) -> Sampling {
        match self {
            Self::Crossing(_) => Sampling { draws: 2000, ..Sampling::hmc(16) },
            _ => Sampling { draws: 500, burn_in: 200, ..Sampling::hmc(8) },
        }
    }

    /// Returns full-batch SGLD at its default step for this target, with every tenth position as a draw.
    pub fn sgld(&self) -> Sampling {
        Sampling { thin: 10, ..Sampling::sgld(BatchSampling::Full) }
    }

    /// Returns the exact tempered expectation at nβ, and the standard deviation of nβ K under the same posterior.
    fn exact(&self, n_beta: NBeta) -> Result<(f64, f64), SltError> {
        match self {
            Self::Crossing(powers) => {
                let oracle = CrossingOracle::new(&NormalCrossing::flat(powers)?);
                let log_t = n_beta.get().ln();
                let (value, h) = (oracle.tempered_llc(log_t), 1e-3);
                let slope = (oracle.tempered_llc(log_t + h) - oracle.tempered_llc(log_t - h)) / (2.0 * h);
                Ok((value, (value - slope).sqrt()))
            }
            Self::Quadratic(curvatures) => {
                // Each term is half a squared normal number times nβh/a.
                let shares = curvatures.iter().map(|h| n_beta.get() * h / (n_beta.get() * h + 1.0));
                let (mean, squares) = shares.fold((0.0, 0.0), |(m, s), x| (m + 0.5 * x, s + 0.5 * x * x));
                Ok((mean, squares.sqrt()))
            }
            &Self::ReducedRank { inputs, hidden, outputs } => {
                let config = ReducedRankConfig { inputs, hidden, outputs, noise: 1.0 };
                let oracle = ReducedRankOracle::new(config, 1.0)?;
                Ok((oracle.tempered_llc(n_beta), oracle.tempered_deviation(n_beta)?))
            }
        }
    }

    fn objective(&self) -> Result<Box<dyn Objective<f64>>, SltError> {
        Ok(match self {
            Self::Crossing(powers) => Box::new(CrossingLoss::new(powers)),
            Self::Quadratic(curvatures) => Box::new(QuadraticLoss::new(curvatures)),
            &Self::ReducedRank { inputs, hidden, outputs } => {
                let config = ReducedRankConfig { inputs, hidden, outputs, noise: 1.0 };
                // Samples on the axes with E[x xᵀ] = I and without noise, so that their loss is that of the population.
                let x = Array2::from_shape_fn((inputs, inputs), |(i, j)| {
                    if i == j { (inputs as f64).sqrt() } else { 0.0 }
                });
                Box::new(ReducedRank::new(config, &x, &Array2::zeros((inputs, outputs)))?)
            }
        })
    }

    fn llc(&self, n: usize, sampling: Sampling) -> Result<Llc, SltError> {
        let base = Llc { sampling, ..Llc::at(n, Beta::InverseLogN) };
        Ok(match self {
            Self::Crossing(powers) => Llc {
                localisation: 0.0,
                region: Some(Region::cube(powers.len(), -1.0, 1.0, Boundary::Reflect)?),
                ..base
            },
            _ => base,
        })
    }
}

impl fmt::Display for CalibrationTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crossing(powers) => write!(f, "normal crossing {powers:?}"),
            Self::Quadratic(curvatures) => write!(f, "quadratic {curvatures:?}"),
            Self::ReducedRank { inputs, hidden, outputs } => {
                write!(f, "reduced rank {inputs}-{hidden}-{outputs}")
            }
        }
    }
}

/// A check whether nominal intervals of the LLC estimator cover the exact tempered expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// The number of samples n, with β = 1/log n.
    pub n: usize,
    /// The number of independent runs.
    pub runs: u64,
}

/// The result of [`Calibration`] for one target.
#[derive(Clone, Debug, PartialEq)]
pub struct CalibrationCase {
    /// The target.
    pub target: CalibrationTarget,
    /// The exact tempered expectation.
    pub exact: f64,
    /// The mean of the estimates.
    pub mean: f64,
    /// The number of runs whose nominal 95 % interval covered the exact value.
    pub covered: u64,
    /// The number of runs.
    pub runs: u64,
    /// The number of runs whose diagnosis found no doubt.
    pub trusted: u64,
    /// The number of trusted runs whose interval covered the exact value.
    pub trusted_and_covered: u64,
    /// The mean width of the intervals, relative to intervals from the exact standard deviation with the same ESS.
    pub relative_width: f64,
}

/// One run of a calibration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CalibrationRun {
    /// True if the nominal 95 % interval covered the exact value.
    pub covered: bool,
    /// The estimate.
    pub value: f64,
    /// The width of the interval, relative to one from the exact standard deviation with the same ESS.
    pub relative_width: f64,
    /// True if the diagnosis found no doubt. It does not use the exact value.
    pub trusted: bool,
}

impl Calibration {
    /// Runs one estimate with [`CalibrationTarget::sampling`]. Returns true if its interval covered, its value, and its width relative to the exact one.
    ///
    /// # Errors
    /// As [`Llc::estimate`].
    pub fn once(
        &self,
        target: &CalibrationTarget,
        stream: &mut RngStream,
    ) -> Result<(bool, f64, f64), SltError> {
        let run = self.once_with(target, target.sampling(), stream)?;
        Ok((run.covered, run.value, run.relative_width))
    }

    /// Runs one estimate with any sampler.
    ///
    /// # Errors
    /// As [`Llc::estimate`].
    pub fn once_with(
        &self,
        target: &CalibrationTarget,
        sampling: Sampling,
        stream: &mut RngStream,
    ) -> Result<CalibrationRun, SltError> {
        let llc = target.llc(self.n, sampling)?;
        let (exact, deviation) = target.exact(llc.beta.n_beta(self.n)?)?;
        let objective = target.objective()?;
        let w_star = vec![0.0; objective.n_parameters()];
        let found = llc.estimate(&*objective, &w_star, stream)?;
        Ok(CalibrationRun {
            covered: (found.value - exact).abs() < 1.959964 * found.standard_error,
            value: found.value,
            relative_width: found.standard_error / (deviation / found.ess.sqrt()),
            trusted: found.diagnosis().trusted(),
        })
    }

    /// Runs all estimates of one target with [`CalibrationTarget::sampling`], each with its own child of one number that is drawn from
    /// `stream`.
    ///
    /// # Errors
    /// As [`Llc::estimate`].
    pub fn of(
        &self,
        target: &CalibrationTarget,
        stream: &mut RngStream,
    ) -> Result<CalibrationCase, SltError> {
        self.with(target, target.sampling(), stream)
    }

    /// Runs all estimates of one target with any sampler, with streams as in [`Calibration::of`].
    ///
    /// # Errors
    /// As [`Llc::estimate`].
    pub fn with(
        &self,
        target: &CalibrationTarget,
        sampling: Sampling,
        stream: &mut RngStream,
    ) -> Result<CalibrationCase, SltError> {
        let parent = RngStream::new(stream.bits(), 0);
        let exact = target.exact(Beta::InverseLogN.n_beta(self.n)?)?.0;
        let mut case = CalibrationCase {
            target: target.clone(),
            exact,
            mean: 0.0,
            covered: 0,
            runs: self.runs,
            trusted: 0,
            trusted_and_covered: 0,
            relative_width: 0.0,
        };
        for number in 0..self.runs {
            let run = self.once_with(target, sampling, &mut parent.child(number))?;
            case.covered += u64::from(run.covered);
            case.trusted += u64::from(run.trusted);
            case.trusted_and_covered += u64::from(run.trusted && run.covered);
            case.mean += run.value / self.runs as f64;
            case.relative_width += run.relative_width / self.runs as f64;
        }
        Ok(case)
    }
}

impl fmt::Display for CalibrationCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = 100.0 * self.covered as f64 / self.runs as f64;
        write!(f, "{}: exact {:.4}, mean {:.4}; ", self.target, self.exact, self.mean)?;
        write!(f, "{} of {} intervals cover ({share:.1} %", self.covered, self.runs)?;
        if let Ok(Interval { low, high, .. }) = Interval::clopper_pearson(self.covered, self.runs, 0.95) {
            write!(f, ", 95 % interval {:.1} to {:.1}", 100.0 * low, 100.0 * high)?;
        }
        write!(f, "); width {:.3} of the oracle's; ", self.relative_width)?;
        write!(f, "{} trusted, of which {} cover", self.trusted, self.trusted_and_covered)
    }
}
