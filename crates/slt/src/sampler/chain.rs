use super::batch::{BatchSampling, Batches};
use super::preconditioner::{Adaptive, Preconditioner};
use super::region::Boundary;
use super::scalar::SamplerScalar;
use super::target::Target;
use super::trajectory::Trajectory;
use crate::SltError;
use crate::error::positive;
use collimate_grad::Scratch;
use collimate_stream::RngStream;

/// The method by which a chain moves.
///
/// For HMC the step size is the leapfrog step δ. For the other methods it is the ε of the Langevin equation. A MALA step of
/// size ε is a leapfrog of size √ε.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// Stochastic gradient Langevin dynamics. It is not corrected, so its stationary law depends on ε and on the batches.
    ///
    /// ```text
    /// w ← w − (ε/2) [nβ ∇L_B(w) + γ (w − w*)] + √ε · N(0, I)
    /// ```
    ///
    /// Welling & Teh (2011), eq. 4; Lau et al. (2023), eq. 17, for the localisation.
    Sgld(BatchSampling),
    /// SGLD with a diagonal preconditioner from the gradient, and its divergence correction.
    PreconditionedSgld(BatchSampling, Preconditioner),
    /// The Metropolis-adjusted Langevin algorithm on all data. It is exact at every ε.
    ///
    /// Roberts & Tweedie (1996).
    Mala,
    /// Hamiltonian Monte Carlo on all data. It is exact at every δ.
    ///
    /// A trajectory has a uniformly random number of leapfrogs between 1 and `leapfrogs`, so that its length never stays
    /// equal to a period of the motion.
    ///
    /// Neal (2011), section 5.3; walls by billiards, section 5.5.1.5.
    Hmc {
        /// The largest number of leapfrogs of a trajectory.
        leapfrogs: usize,
    },
}

impl Method {
    /// Returns true if a Metropolis step makes the target the stationary law.
    pub fn is_corrected(self) -> bool {
        matches!(self, Method::Mala | Method::Hmc { .. })
    }

    /// Returns the choice of the samples for its gradients.
    pub fn batch(self) -> BatchSampling {
        match self {
            Method::Sgld(batch) | Method::PreconditionedSgld(batch, _) => batch,
            Method::Mala | Method::Hmc { .. } => BatchSampling::Full,
        }
    }
}

/// The result of one step of a chain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// An unbiased value of the loss along the chain.
    ///
    /// For SGLD this is the loss of the batch at the position before the step. For the corrected methods it is the loss of
    /// all data at the position after the step.
    pub loss: f64,
    /// The probability with which the move was accepted.
    pub acceptance: f64,
    /// True if the energy error was too large, because the step is too large for the curvature, or the loss NaN.
    pub divergent: bool,
    /// True if a corrected method rejected the move because the loss is NaN at an ordinary point.
    pub undefined: bool,
}

/// One Markov chain. It starts at the centre of its target.
///
/// # Determinism
/// All randomness comes from the stream that is given to [`Chain::step`]: first the batch, then the noise, then the
/// acceptance.
///
/// # Examples
/// ```
/// use collimate_slt::{BatchSampling, Chain, Method, NBeta, ReducedRank, ReducedRankConfig, Target};
/// use collimate_stream::RngStream;
/// let mut stream = RngStream::new(1, 0);
/// let model = ReducedRankConfig { inputs: 2, hidden: 1, outputs: 2, noise: 1.0 };
/// let objective = ReducedRank::sample(model, &[0.0; 4], 100, &mut stream)?;
/// let target = Target::new(&objective, &[0.0; 4], NBeta::new(20.0)?)?.localised(1.0)?;
/// let mut chain = Chain::new(&target, Method::Sgld(BatchSampling::Distinct(10)), 1e-3)?;
/// let step = chain.step(&mut stream)?;
/// assert!(step.loss > 0.0 && chain.w() != [0.0; 4]);
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
pub struct Chain<'a, F: SamplerScalar = f64> {
    pub(super) target: Target<'a, F>,
    pub(super) w: Vec<F>,
    pub(super) gradient: Vec<F>,
    pub(super) noise: Vec<F>,
    pub(super) before: Vec<F>,
    pub(super) scratch: Scratch,
    pub(super) step_size: f64,
    pub(super) steps: u64,
    /// True if `noise` already contains the noise of the next step.
    given: bool,
    kernel: Kernel<F>,
}

/// The state of each method between steps.
pub(super) enum Kernel<F> {
    Sgld(Batches),
    Preconditioned(Batches, Adaptive<F>),
    Trajectory(Trajectory<F>),
}

impl<'a, F: SamplerScalar> Chain<'a, F> {
    /// Creates a chain at the centre of its target.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] for a step size that is not positive and finite, no leapfrogs, an empty batch, or a batch of
    /// more different samples than the data have.
    pub fn new(target: &Target<'a, F>, method: Method, step_size: f64) -> Result<Self, SltError> {
        positive("step_size", step_size)?;
        let batches = Batches::new(method.batch(), target.objective.n_samples())?;
        let zeros = vec![F::zero(); target.centre.len()];
        let kernel = match method {
            Method::Sgld(_) => Kernel::Sgld(batches),
            Method::PreconditionedSgld(_, settings) => {
                Kernel::Preconditioned(batches, Adaptive::new(settings, zeros.len())?)
            }
            Method::Mala => Kernel::Trajectory(Trajectory::new(1, true, zeros.len())?),
            Method::Hmc { leapfrogs } => Kernel::Trajectory(Trajectory::new(leapfrogs, false, zeros.len())?),
        };
        Ok(Self {
            target: target.clone(),
            w: target.centre.clone(),
            gradient: zeros.clone(),
            noise: zeros.clone(),
            before: zeros,
            scratch: Scratch::new(),
            step_size,
            steps: 0,
            given: false,
            kernel,
        })
    }

    /// Moves the chain to a point before its first step.
    pub(super) fn start_at(&mut self, w: &[F]) {
        self.w.copy_from_slice(w);
    }

    /// Sets the noise of the next step, which is then not drawn.
    pub(super) fn give_noise(&mut self, noise: impl Iterator<Item = F>) {
        self.noise.iter_mut().zip(noise).for_each(|(to, from)| *to = from);
        self.given = true;
    }

    /// Exchanges the batches of an uncorrected chain.
    pub(super) fn swap_batches(&mut self, other: &mut Batches) {
        if let Kernel::Sgld(own) | Kernel::Preconditioned(own, _) = &mut self.kernel {
            std::mem::swap(own, other);
        }
    }

    /// Returns the error for a loss that is NaN or infinite at the present point.
    pub(super) fn broken(&self, loss: f64) -> SltError {
        let (step, distance) = (self.steps, self.distance());
        match loss.is_nan() && self.is_near() {
            true => SltError::Undefined { step, distance, chain: None, draw: None },
            false => SltError::Diverged { step, loss, chain: None, draw: None },
        }
    }

    /// Returns true unless the chain is so far away that only a divergence can have brought it there.
    pub(super) fn is_near(&self) -> bool {
        let size: f64 = self.target.centre.iter().map(|x| (*x).to_f64().powi(2)).sum::<f64>().sqrt();
        self.distance() <= 1e6 * (1.0 + size)
    }

    /// Returns the position of the chain.
    pub fn w(&self) -> &[F] {
        &self.w
    }

    /// Returns the number of steps so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Returns the target.
    pub fn target(&self) -> &Target<'a, F> {
        &self.target
    }

    /// Returns the distance `|w − w*|` from the centre.
    pub fn distance(&self) -> f64 {
        F::distance_squared(&self.w, &self.target.centre).sqrt()
    }

    pub(super) fn set_step_size(&mut self, step_size: f64) {
        self.step_size = step_size;
    }

    /// Makes one step.
    ///
    /// # Errors
    /// [`SltError::Diverged`] if the loss is infinite at the start, or later at a step of an uncorrected chain;
    /// [`SltError::Undefined`] if it is NaN there. A corrected chain rejects such a move and reports it.
    pub fn step(&mut self, stream: &mut RngStream) -> Result<Step, SltError> {
        let mut kernel = std::mem::replace(&mut self.kernel, Kernel::Trajectory(Trajectory::empty()));
        let step = match &mut kernel {
            Kernel::Sgld(batches) => self.sgld(batches, stream),
            Kernel::Preconditioned(batches, adaptive) => self.preconditioned(batches, adaptive, stream),
            Kernel::Trajectory(trajectory) => self.trajectory(trajectory, stream),
        };
        self.kernel = kernel;
        self.steps += 1;
        step
    }

    /// Draws standard normal noise, which is zero in fixed coordinates.
    pub(super) fn draw_noise(&mut self, stream: &mut RngStream) {
        if !std::mem::take(&mut self.given) {
            F::normals(stream, &mut self.noise);
        }
        if let Some(mask) = &self.target.mask {
            F::times(&mut self.noise, mask);
        }
    }

    /// Applies the walls to a move from `before`. Returns true if the move is kept.
    pub(super) fn bounded(&mut self) -> bool {
        match &self.target.walls {
            None => true,
            Some((low, high, Boundary::Reflect)) => {
                F::reflect(&mut self.w, None, low, high);
                true
            }
            Some((low, high, Boundary::Reject)) => {
                let kept = F::inside(&self.w, low, high);
                if !kept {
                    self.w.copy_from_slice(&self.before);
                }
                kept
            }
        }
    }
}

impl<F: SamplerScalar> std::fmt::Debug for Chain<'_, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain")
            .field("w", &self.w)
            .field("step_size", &self.step_size)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}
