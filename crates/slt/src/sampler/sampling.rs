use super::batch::BatchSampling;
use super::chain::{Chain, Method, Step};
use super::half_step::HalfStep;
use super::scalar::SamplerScalar;
use super::starts::starting_points;
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

    /// Runs the chains in parallel.
    ///
    /// On a box without localisation, all chains but the first start at points that are spread over the box, from which they descend
    /// into a valley of the loss. So chains that stay in different basins disagree. Otherwise all chains start at the centre. Each
    /// chain has its own random stream, a child of one number that is drawn from `stream`.
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
        let (step_size, traces) = self.run_chains(target, stream, seen, false)?;
        let traces = traces.into_iter().map(|(trace, _)| trace).collect();
        Ok(SamplingRun { step_size, traces, observers })
    }

    /// Runs the chains as [`Sampling::run`] does, each with a chain at half the step size on the same Brownian path. Returns both runs;
    /// the first has the bits of [`Sampling::run`].
    ///
    /// # Errors
    /// As [`Sampling::run`].
    pub(crate) fn run_with_half_step<F: SamplerScalar>(
        &self,
        target: &Target<'_, F>,
        stream: &mut RngStream,
    ) -> Result<[SamplingRun<()>; 2], SltError> {
        self.check()?;
        let mut observers = vec![(); self.chains];
        let seen = observers.iter_mut().map(|observer| observer as &mut dyn Observer<F>).collect();
        let (step_size, traces) = self.run_chains(target, stream, seen, true)?;
        let (whole, half): (Vec<_>, Vec<_>) = traces.into_iter().unzip();
        let half = half.into_iter().flatten().collect();
        let run = |step_size, traces| SamplingRun { step_size, traces, observers: vec![(); self.chains] };
        Ok([run(step_size, whole), run(0.5 * step_size, half)])
    }

    /// Runs one chain per observer. Returns the step size and the traces of each chain and, if asked for, of the one at half the step.
    fn run_chains<F: SamplerScalar>(
        &self,
        target: &Target<'_, F>,
        stream: &mut RngStream,
        observers: Vec<&mut dyn Observer<F>>,
        halved: bool,
    ) -> Result<(f64, Vec<(ChainTrace, Option<ChainTrace>)>), SltError> {
        let parent = RngStream::new(stream.bits(), 0);
        let step_size = self.resolve(target, &mut parent.child(u64::MAX))?;
        let starts = starting_points(target, self.chains, &mut parent.child(u64::MAX - 1));
        let run = |((index, observer), start): ((usize, &mut dyn Observer<F>), &Vec<F>)| {
            let mut chain = Chain::new(target, self.method, step_size)?;
            chain.start_at(start);
            let stream = parent.child(index as u64);
            let half = match halved {
                true => Some(HalfStep::new(target, self.method, step_size, start, stream.child(0))?),
                false => None,
            };
            self.run_chain(index, chain, half, stream, observer)
        };
        let chains = observers.into_par_iter().enumerate().zip(&starts);
        // If several chains fail, the error is that of the first one, on any number of threads.
        let runs: Vec<Result<_, SltError>> = chains.map(run).collect();
        Ok((step_size, runs.into_iter().collect::<Result<_, _>>()?))
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

    /// Runs one chain through burn-in and all draws, and the chain at half the step beside it.
    fn run_chain<F: SamplerScalar>(
        &self,
        index: usize,
        mut chain: Chain<'_, F>,
        mut half: Option<HalfStep<'_, F>>,
        mut stream: RngStream,
        observer: &mut dyn Observer<F>,
    ) -> Result<(ChainTrace, Option<ChainTrace>), SltError> {
        let mut trace = ChainTrace::with_capacity(self.draws);
        let mut beside =
            half.as_ref().map(|_| ChainTrace { acceptance: 1.0, ..ChainTrace::with_capacity(self.draws) });
        let mut step = |chain: &mut Chain<'_, F>, half: &mut Option<HalfStep<'_, F>>, draw: Option<usize>| {
            let before = half.as_ref().map(|_| stream.clone());
            let step = chain.step(&mut stream).map_err(|error| error.of_draw(index, draw))?;
            let Some((half, before)) = half.as_mut().zip(before) else { return Ok((step, None)) };
            let distance = half.distance();
            let loss = half.follow(chain, before).map_err(|error| error.of_draw(index, draw))?;
            Ok::<_, SltError>((step, Some((loss, distance))))
        };
        for _ in 0..self.burn_in {
            let (step, _) = step(&mut chain, &mut half, None)?;
            trace.count(&step, None);
        }
        for draw in 0..self.draws {
            let (mut loss, mut distance, mut halved) = (0.0, 0.0, None);
            for _ in 0..self.thin {
                distance = chain.distance();
                let (step, found) = step(&mut chain, &mut half, Some(draw))?;
                trace.count(&step, Some(draw));
                trace.acceptance += step.acceptance;
                (loss, halved) = (step.loss, found);
            }
            trace.losses.push(loss);
            if let Some((beside, (loss, distance))) = beside.as_mut().zip(halved) {
                beside.losses.push(loss);
                beside.distances.push(distance);
            }
            // The loss of an uncorrected chain belongs to the position before the step.
            let corrected = self.method.is_corrected();
            trace.distances.push(if corrected { chain.distance() } else { distance });
            observer.see(&Draw { w: chain.w(), loss });
        }
        trace.acceptance /= (self.draws * self.thin) as f64;
        Ok((trace, beside))
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
    /// The draws, in order, with at least one divergent step.
    pub divergent_draws: Vec<usize>,
    /// The number of moves, burn-in included, that were rejected because the loss is NaN.
    pub undefined: u64,
    /// The first draw with such a move.
    pub first_undefined: Option<usize>,
}

impl ChainTrace {
    fn with_capacity(draws: usize) -> Self {
        Self { losses: Vec::with_capacity(draws), distances: Vec::with_capacity(draws), ..Self::default() }
    }

    /// Counts a step that diverged or left the domain of the loss, before the first draw or on the way to a draw.
    fn count(&mut self, step: &Step, draw: Option<usize>) {
        self.divergences += u64::from(step.divergent);
        self.undefined += u64::from(step.undefined);
        if let Some(draw) = draw {
            if step.divergent && self.divergent_draws.last() != Some(&draw) {
                self.divergent_draws.push(draw);
            }
            if step.undefined {
                self.first_undefined.get_or_insert(draw);
            }
        }
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
