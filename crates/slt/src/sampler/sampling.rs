use super::batch::BatchSampling;
use super::chain::{Chain, Method};
use super::scalar::SamplerScalar;
use super::target::Target;
use super::tune::tune_step_size;
use crate::SltError;
use collimate_measure::ensure;
use collimate_stream::RngStream;
use rayon::prelude::*;

/// The source of the step size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StepSize {
    /// This ε, or δ for HMC.
    Fixed(f64),
    /// The step ε = c/(nβ), which scales with the temperature. For HMC δ is the root of this ε.
    PerNBeta(f64),
    /// The size at which a corrected chain accepts this share of its moves, found by a pilot chain of 2000 steps.
    ///
    /// For SGLD the share is the acceptance of MALA at the same ε.
    ByAcceptance(f64),
}

/// The settings of several chains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// The method by which a chain moves.
    pub method: Method,
    /// The size of a step.
    pub step_size: StepSize,
    /// The number of chains.
    pub chains: usize,
    /// The number of steps of each chain before its first draw.
    pub burn_in: usize,
    /// The number of draws of each chain.
    pub draws: usize,
    /// The number of steps between two draws.
    pub thin: usize,
}

/// The number of steps of the pilot chain of [`StepSize::ByAcceptance`].
const PILOT: usize = 2000;

/// The largest number of draws of all chains together. Their losses and distances take 1.6 GB.
const DRAWS: usize = 100_000_000;

impl Sampling {
    /// Returns settings for SGLD: four chains of 2000 draws after 1000 steps, ε = 0.1/(nβ).
    pub fn sgld(batch: BatchSampling) -> Self {
        Self {
            method: Method::Sgld(batch),
            step_size: StepSize::PerNBeta(0.1),
            chains: 4,
            burn_in: 1000,
            draws: 2000,
            thin: 1,
        }
    }

    /// Returns settings for MALA at its best acceptance, 0.57: four chains of 2000 draws after 1000 steps.
    pub fn mala() -> Self {
        Self {
            method: Method::Mala,
            step_size: StepSize::ByAcceptance(0.57),
            ..Self::sgld(BatchSampling::Full)
        }
    }

    /// Returns settings for HMC at an acceptance of 0.8: four chains of 1000 draws after 500 trajectories.
    pub fn hmc(leapfrogs: usize) -> Self {
        Self {
            method: Method::Hmc { leapfrogs },
            step_size: StepSize::ByAcceptance(0.8),
            chains: 4,
            burn_in: 500,
            draws: 1000,
            thin: 1,
        }
    }

    /// Runs the chains from the centre of `target`, in parallel.
    ///
    /// Each chain has its own random stream, a child of one number that is drawn from `stream`.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] for no chains, fewer than 8 draws or a thinning of 0; [`SltError::TooLarge`] for more than 10⁸
    /// draws of all chains together; as [`Chain::new`], [`Chain::step`] and [`tune_step_size`].
    ///
    /// # Determinism
    /// The same bits on any number of threads.
    pub fn run<F: SamplerScalar>(
        &self,
        target: &Target<'_, F>,
        stream: &mut RngStream,
    ) -> Result<SamplingRun<()>, SltError> {
        self.observe(target, stream, |_| ())
    }

    /// Runs the chains as [`Sampling::run`] does, with an observer for each chain.
    ///
    /// `make` creates the observer from the number of the chain. The observer gets every draw of its chain.
    ///
    /// # Errors
    /// As [`Sampling::run`].
    pub fn observe<F: SamplerScalar, O: Observer<F>>(
        &self,
        target: &Target<'_, F>,
        stream: &mut RngStream,
        make: impl Fn(usize) -> O,
    ) -> Result<SamplingRun<O>, SltError> {
        self.check()?;
        let mut observers: Vec<O> = (0..self.chains).map(make).collect();
        let seen = observers.iter_mut().map(|observer| observer as &mut dyn Observer<F>).collect();
        let (step_size, traces) = self.run_chains(target, stream, seen)?;
        Ok(SamplingRun { step_size, traces, observers })
    }

    /// Runs one chain per observer. Returns the step size and the trace of each chain.
    fn run_chains<F: SamplerScalar>(
        &self,
        target: &Target<'_, F>,
        stream: &mut RngStream,
        observers: Vec<&mut dyn Observer<F>>,
    ) -> Result<(f64, Vec<ChainTrace>), SltError> {
        let parent = RngStream::new(stream.bits(), 0);
        let step_size = self.resolve(target, &mut parent.child(u64::MAX))?;
        let run = |(index, observer): (usize, &mut dyn Observer<F>)| {
            let chain = Chain::new(target, self.method, step_size)?;
            self.run_chain(chain, &mut parent.child(index as u64), observer)
        };
        let traces = observers.into_par_iter().enumerate().map(run).collect::<Result<_, SltError>>()?;
        Ok((step_size, traces))
    }

    /// Returns an error unless the numbers of chains, draws and steps lie in their ranges.
    fn check(&self) -> Result<(), SltError> {
        ensure(self.chains >= 1, "chains", "at least 1", self.chains as f64)?;
        ensure(self.draws >= 8, "draws", "at least 8", self.draws as f64)?;
        ensure(self.thin >= 1, "thin", "at least 1", self.thin as f64)?;
        let given = self.chains.saturating_mul(self.draws);
        if given > DRAWS {
            let what = "draws of all chains (use a larger `thin`)";
            return Err(SltError::TooLarge { what, limit: DRAWS, given });
        }
        Ok(())
    }

    /// Runs one chain through burn-in and all draws.
    fn run_chain<F: SamplerScalar>(
        &self,
        mut chain: Chain<'_, F>,
        stream: &mut RngStream,
        observer: &mut dyn Observer<F>,
    ) -> Result<ChainTrace, SltError> {
        let mut trace = ChainTrace::with_capacity(self.draws);
        for _ in 0..self.burn_in {
            trace.divergences += u64::from(chain.step(stream)?.divergent);
        }
        for _ in 0..self.draws {
            let (mut loss, mut distance) = (0.0, 0.0);
            for _ in 0..self.thin {
                distance = chain.distance();
                let step = chain.step(stream)?;
                trace.divergences += u64::from(step.divergent);
                trace.acceptance += step.acceptance;
                loss = step.loss;
            }
            trace.losses.push(loss);
            // The loss of an uncorrected chain belongs to the position before the step.
            let corrected = self.method.is_corrected();
            trace.distances.push(if corrected { chain.distance() } else { distance });
            observer.see(&Draw { w: chain.w(), loss });
        }
        trace.acceptance /= (self.draws * self.thin) as f64;
        Ok(trace)
    }

    /// Returns the step size, after a pilot chain if the settings ask for one.
    fn resolve<F: SamplerScalar>(
        &self,
        target: &Target<'_, F>,
        pilot: &mut RngStream,
    ) -> Result<f64, SltError> {
        match self.step_size {
            StepSize::Fixed(size) => Ok(size),
            StepSize::PerNBeta(c) => {
                let epsilon = c / target.n_beta();
                Ok(if matches!(self.method, Method::Hmc { .. }) { epsilon.sqrt() } else { epsilon })
            }
            StepSize::ByAcceptance(share) => {
                Ok(tune_step_size(target, self.method, share, PILOT, pilot)?.step_size)
            }
        }
    }
}

/// One draw of a chain.
#[derive(Clone, Copy, Debug)]
pub struct Draw<'a, F> {
    /// The position of the chain.
    pub w: &'a [F],
    /// The loss of the last step, as [`super::Step::loss`].
    pub loss: f64,
}

/// A type that gets the draws of one chain in order.
pub trait Observer<F>: Send {
    /// Receives one draw.
    fn see(&mut self, draw: &Draw<'_, F>);
}

impl<F> Observer<F> for () {
    fn see(&mut self, _: &Draw<'_, F>) {}
}

/// Stores every draw, row by row: `[draws, parameters]`.
impl<F: SamplerScalar> Observer<F> for Vec<f64> {
    fn see(&mut self, draw: &Draw<'_, F>) {
        self.extend(draw.w.iter().map(|x| (*x).to_f64()));
    }
}

/// The recorded numbers of one chain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChainTrace {
    /// The loss of each draw.
    pub losses: Vec<f64>,
    /// The distance `|w − w*|` at each draw.
    pub distances: Vec<f64>,
    /// The mean acceptance over the steps after burn-in. For an uncorrected chain it is below 1 only if walls reject moves.
    pub acceptance: f64,
    /// The number of divergent steps, burn-in included.
    pub divergences: u64,
}

impl ChainTrace {
    fn with_capacity(draws: usize) -> Self {
        Self { losses: Vec::with_capacity(draws), distances: Vec::with_capacity(draws), ..Self::default() }
    }
}

/// The results of all chains.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingRun<O> {
    /// The step size of all chains.
    pub step_size: f64,
    /// One trace per chain.
    pub traces: Vec<ChainTrace>,
    /// One observer per chain.
    pub observers: Vec<O>,
}

impl<O> SamplingRun<O> {
    /// Returns the losses alone, chain by chain.
    pub fn losses(&self) -> Vec<Vec<f64>> {
        self.traces.iter().map(|trace| trace.losses.clone()).collect()
    }
}
