use super::{BatchSampling, Chain, Method, SamplerScalar, Target, tune_step_size};
use crate::SltError;
use collimate_stream::RngStream;
use rayon::prelude::*;

/// Where the step size comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StepSize {
    /// This ε (δ for HMC).
    Fixed(f64),
    /// ε = c/(nβ): a step that keeps its meaning when the temperature changes (its root for HMC).
    PerNBeta(f64),
    /// The size at which a corrected chain accepts this share of its moves, found by a pilot chain of 2000 steps. For SGLD
    /// it is the acceptance that MALA would have at the same ε.
    ByAcceptance(f64),
}

/// How many chains run how, and what they keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// How a chain moves.
    pub method: Method,
    /// How far.
    pub step_size: StepSize,
    /// How many chains.
    pub chains: usize,
    /// Steps of each chain before its first draw.
    pub burn_in: usize,
    /// Draws of each chain.
    pub draws: usize,
    /// Steps between two draws.
    pub thin: usize,
}

/// Steps of the pilot chain of [`StepSize::ByAcceptance`].
const PILOT: usize = 2000;

/// Each draw's loss and distance are kept; more of them than this (1.6 GB) are refused: thin them instead.
const DRAWS: usize = 100_000_000;

impl Sampling {
    /// SGLD: four chains of 2000 draws after 1000 steps, ε = 0.1/(nβ).
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

    /// MALA at its best acceptance, 0.57: four chains of 2000 draws after 1000 steps.
    pub fn mala() -> Self {
        Self {
            method: Method::Mala,
            step_size: StepSize::ByAcceptance(0.57),
            ..Self::sgld(BatchSampling::Full)
        }
    }

    /// HMC at an acceptance of 0.8: four chains of 1000 draws after 500 trajectories.
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

    /// Runs the chains from the centre of `target`, in parallel, each on its own child of one number drawn from `stream`.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] for no chains, fewer than 8 draws or a thinning of 0; [`SltError::TooLarge`] for more than 10⁸ draws
    /// altogether; what [`Chain::new`], [`Chain::step`] and [`tune_step_size`] return.
    ///
    /// # Determinism
    /// The same bits on any number of threads.
    pub fn run<F: SamplerScalar>(
        &self,
        target: &Target<'_, F>,
        stream: &mut RngStream,
    ) -> Result<Run<()>, SltError> {
        self.observe(target, stream, |_| ())
    }

    /// The same with an observer for each chain, made by `make` from the chain's number, which sees every draw.
    ///
    /// # Errors
    /// As [`Sampling::run`].
    pub fn observe<F: SamplerScalar, O: Observer<F>>(
        &self,
        target: &Target<'_, F>,
        stream: &mut RngStream,
        make: impl Fn(usize) -> O + Sync,
    ) -> Result<Run<O>, SltError> {
        for (name, value, least) in
            [("chains", self.chains, 1), ("draws", self.draws, 8), ("thin", self.thin, 1)]
        {
            if value < least {
                let expected = if least == 1 { "at least 1" } else { "at least 8" };
                return Err(SltError::OutOfRange { name, value: value as f64, expected });
            }
        }
        let given = self.chains.saturating_mul(self.draws);
        if given > DRAWS {
            let what = "draws of all chains (thin them instead)";
            return Err(SltError::TooLarge { what, limit: DRAWS, given });
        }
        let parent = RngStream::new(stream.bits(), 0);
        let step_size = self.resolve(target, &mut parent.child(u64::MAX))?;
        let pairs: Vec<(Trace, O)> = (0..self.chains)
            .into_par_iter()
            .map(|index| {
                let mut stream = parent.child(index as u64);
                let mut observer = make(index);
                let mut chain = Chain::new(target, self.method, step_size)?;
                let mut trace = Trace::with_capacity(self.draws);
                for _ in 0..self.burn_in {
                    trace.divergences += u64::from(chain.step(&mut stream)?.divergent);
                }
                for _ in 0..self.draws {
                    let (mut loss, mut distance) = (0.0, 0.0);
                    for _ in 0..self.thin {
                        distance = chain.distance();
                        let step = chain.step(&mut stream)?;
                        trace.divergences += u64::from(step.divergent);
                        trace.acceptance += step.acceptance;
                        loss = step.loss;
                    }
                    trace.losses.push(loss);
                    // An uncorrected chain tells the loss of where it stood before the step.
                    let corrected = self.method.is_corrected();
                    trace.distances.push(if corrected { chain.distance() } else { distance });
                    observer.see(&Draw { w: chain.w(), loss });
                }
                trace.acceptance /= (self.draws * self.thin) as f64;
                Ok((trace, observer))
            })
            .collect::<Result<_, SltError>>()?;
        let (traces, observers) = pairs.into_iter().unzip();
        Ok(Run { step_size, traces, observers })
    }

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

/// What an observer sees of a chain.
#[derive(Clone, Copy, Debug)]
pub struct Draw<'a, F> {
    /// Where the chain stands.
    pub w: &'a [F],
    /// The loss of the step that led here, as [`super::Step::loss`].
    pub loss: f64,
}

/// Something that looks at the draws of one chain, in order.
pub trait Observer<F>: Send {
    /// Looks at one draw.
    fn see(&mut self, draw: &Draw<'_, F>);
}

impl<F> Observer<F> for () {
    fn see(&mut self, _: &Draw<'_, F>) {}
}

/// Keeps every draw: `[draws, parameters]` row by row.
impl<F: SamplerScalar> Observer<F> for Vec<f64> {
    fn see(&mut self, draw: &Draw<'_, F>) {
        self.extend(draw.w.iter().map(|x| (*x).to_f64()));
    }
}

/// What one chain went through.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// The loss of each draw.
    pub losses: Vec<f64>,
    /// `|w − w*|` at each draw.
    pub distances: Vec<f64>,
    /// The mean acceptance over the steps after burn-in; below 1 for an uncorrected chain only where walls reject.
    pub acceptance: f64,
    /// How many steps lost the energy, burn-in included.
    pub divergences: u64,
}

impl Trace {
    fn with_capacity(draws: usize) -> Self {
        Self { losses: Vec::with_capacity(draws), distances: Vec::with_capacity(draws), ..Self::default() }
    }
}

/// All chains of one sampling.
#[derive(Clone, Debug, PartialEq)]
pub struct Run<O> {
    /// The step size used by all chains.
    pub step_size: f64,
    /// One trace a chain.
    pub traces: Vec<Trace>,
    /// One observer a chain.
    pub observers: Vec<O>,
}

impl<O> Run<O> {
    /// The losses alone, chain by chain.
    pub fn losses(&self) -> Vec<Vec<f64>> {
        self.traces.iter().map(|trace| trace.losses.clone()).collect()
    }
}
