use crate::sampler::{Draw, Observer, Sampling, SamplingRun, Target};
use crate::{SltError, TraceError};
use collimate_grad::{Batch, Objective, Scratch};
use collimate_measure::same_length;
use collimate_stream::RngStream;
use ndarray::{Array2, ArrayRef, Ix3};

/// The loss of every sample at every draw.
///
/// WAIC, functional variance, influence functions and susceptibilities are computed from it.
///
/// # Shapes
/// `[chains, draws, samples]`.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleLosses {
    chains: usize,
    draws: usize,
    samples: usize,
    values: Vec<f64>,
}

/// The chains and the recorded losses of the samples.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleLossRun {
    /// The chains.
    pub run: SamplingRun<()>,
    /// The losses of the samples, for each given objective in order.
    pub losses: Vec<SampleLosses>,
}

/// The largest number of recorded losses. They take 1.6 GB.
const LARGEST: usize = 200_000_000;

impl SampleLosses {
    /// Runs chains on `target` and evaluates every sample of every objective at each draw.
    ///
    /// The objectives have the parameters of the target. They can hold the training data, a test set or probes.
    ///
    /// # Errors
    /// [`SltError::Unsupported`] for an objective without per-sample losses, [`SltError::Length`] for an objective with another
    /// number of parameters, [`SltError::TooLarge`] for more than 2·10⁸ losses; as [`Sampling::run`].
    pub fn record(
        sampling: &Sampling,
        target: &Target<'_>,
        objectives: &[&dyn Objective<f64>],
        stream: &mut RngStream,
    ) -> Result<SampleLossRun, SltError> {
        for objective in objectives {
            same_length("parameters", target.centre().len(), objective.n_parameters())?;
            if objective.per_sample_losses().is_none() {
                return Err(SltError::Unsupported { ability: "per-sample losses" });
            }
            let given = sampling.chains.saturating_mul(sampling.draws).saturating_mul(objective.n_samples());
            if given > LARGEST {
                let what = "recorded losses (use a larger `thin`)";
                return Err(SltError::TooLarge { what, limit: LARGEST, given });
            }
        }
        let run = sampling.observe(target, stream, |_| Recorder {
            objectives,
            scratch: Scratch::new(),
            tables: vec![Vec::new(); objectives.len()],
        })?;
        let mut losses: Vec<Self> = objectives
            .iter()
            .map(|objective| Self {
                chains: sampling.chains,
                draws: sampling.draws,
                samples: objective.n_samples(),
                values: Vec::new(),
            })
            .collect();
        for recorder in run.observers {
            for (table, all) in recorder.tables.into_iter().zip(&mut losses) {
                all.values.extend(table);
            }
        }
        let run = SamplingRun {
            step_size: run.step_size,
            traces: run.traces,
            observers: vec![(); sampling.chains],
        };
        Ok(SampleLossRun { run, losses })
    }

    /// Takes losses that another program recorded.
    ///
    /// # Shapes
    /// `values` `[chains, draws, samples]`.
    ///
    /// # Errors
    /// [`TraceError`] for an empty axis, and for NaN or infinity.
    pub fn from_array(values: &ArrayRef<f64, Ix3>) -> Result<Self, TraceError> {
        let (chains, draws, samples) = values.dim();
        if values.is_empty() {
            let shape = values.shape();
            let problem =
                format!("its shape is {shape:?}; expected [chains, draws, samples], none of them 0");
            return Err(TraceError { place: "the array".to_owned(), problem });
        }
        if let Some(((chain, draw, sample), value)) = values.indexed_iter().find(|(_, x)| !x.is_finite()) {
            return Err(TraceError {
                place: format!("chain {chain}, draw {draw}, sample {sample}"),
                problem: format!("the loss is {value}; expected a finite number"),
            });
        }
        let values: Vec<f64> = values.iter().copied().collect();
        Ok(Self { chains, draws, samples, values })
    }

    /// Returns the number of samples.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Returns the losses of all samples at one draw of one chain.
    pub fn at(&self, chain: usize, draw: usize) -> &[f64] {
        let start = (chain * self.draws + draw) * self.samples;
        &self.values[start..start + self.samples]
    }

    /// Computes a number for each draw, chain by chain.
    pub(crate) fn trace(&self, f: impl Fn(&[f64]) -> f64) -> Vec<Vec<f64>> {
        let chain = |c: usize| (0..self.draws).map(|d| f(self.at(c, d))).collect();
        (0..self.chains).map(chain).collect()
    }

    /// Returns `E[ℓ_i]` for each sample.
    pub fn means(&self) -> Vec<f64> {
        let mut means = vec![0.0; self.samples];
        for row in self.values.chunks_exact(self.samples) {
            means.iter_mut().zip(row).for_each(|(mean, x)| *mean += x);
        }
        let count = (self.chains * self.draws) as f64;
        means.iter_mut().for_each(|mean| *mean /= count);
        means
    }

    /// Returns `log E[e^{−ℓ_i}]` for each sample, the log of its predictive density.
    pub fn log_predictive(&self) -> Vec<f64> {
        self.log_mean_exp(-1.0)
    }

    /// Returns `log E[e^{s ℓ_i}]` for each sample.
    pub(crate) fn log_mean_exp(&self, s: f64) -> Vec<f64> {
        let mut highest = vec![f64::NEG_INFINITY; self.samples];
        for row in self.values.chunks_exact(self.samples) {
            highest.iter_mut().zip(row).for_each(|(high, x)| *high = high.max(s * x));
        }
        let mut sums = vec![0.0; self.samples];
        for row in self.values.chunks_exact(self.samples) {
            for ((sum, x), high) in sums.iter_mut().zip(row).zip(&highest) {
                *sum += (s * x - high).exp();
            }
        }
        let count = (self.chains * self.draws) as f64;
        sums.iter().zip(&highest).map(|(sum, high)| high + (sum / count).ln()).collect()
    }

    /// Returns `Cov(ℓ_i, ℓ_j)` over the draws.
    ///
    /// # Shapes
    /// `[samples, samples]`.
    pub fn covariance(&self) -> Array2<f64> {
        let means = self.means();
        let count = self.chains * self.draws;
        let mut centred = Array2::from_shape_vec((count, self.samples), self.values.clone())
            .expect("the table holds chains × draws × samples numbers");
        for mut row in centred.rows_mut() {
            row.iter_mut().zip(&means).for_each(|(x, mean)| *x -= mean);
        }
        centred.t().dot(&centred) / (count as f64 - 1.0)
    }

    /// Returns the mean loss over the samples along the chains. [`crate::susceptibility`] takes it as a change of the data.
    ///
    /// # Shapes
    /// `[chains, draws]`.
    pub fn mean_losses(&self) -> Vec<Vec<f64>> {
        self.trace(|row| row.iter().sum::<f64>() / self.samples as f64)
    }

    /// Returns the loss of one sample along the chains.
    ///
    /// # Shapes
    /// `[chains, draws]`.
    pub fn of_sample(&self, index: usize) -> Vec<Vec<f64>> {
        self.trace(|row| row[index])
    }
}

struct Recorder<'a> {
    objectives: &'a [&'a dyn Objective<f64>],
    scratch: Scratch,
    tables: Vec<Vec<f64>>,
}

impl Observer<f64> for Recorder<'_> {
    fn see(&mut self, draw: &Draw<'_, f64>) {
        for (objective, table) in self.objectives.iter().zip(&mut self.tables) {
            let start = table.len();
            table.resize(start + objective.n_samples(), 0.0);
            // Every objective has this ability, which was checked before the chains began.
            if let Some(samples) = objective.per_sample_losses() {
                samples.per_sample_losses_into(draw.w, Batch::All, &mut self.scratch, &mut table[start..]);
            }
        }
    }
}
