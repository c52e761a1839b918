use super::batch::Batches;
use super::hmc::Trajectory;
use super::preconditioned::Adaptive;
use super::{BatchSampling, Boundary, Preconditioner, SamplerScalar, Target};
use crate::SltError;
use collimate_grad::Scratch;
use collimate_stream::RngStream;

/// How a chain moves.
///
/// The step size ε is that of the Langevin equation for the first three, and the leapfrog step δ for HMC; a MALA step of
/// size ε is a leapfrog of size √ε.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// Stochastic gradient Langevin dynamics: not corrected, so its stationary law depends on ε and on the batches.
    ///
    /// ```text
    /// w ← w − (ε/2) [nβ ∇L_B(w) + γ (w − w*)] + √ε · N(0, I)
    /// ```
    ///
    /// Welling & Teh (2011), eq. 4; Lau et al. (2023), eq. 17, for the localisation.
    Sgld(BatchSampling),
    /// SGLD with a diagonal preconditioner that follows the gradient, and its divergence correction.
    PreconditionedSgld(BatchSampling, Preconditioner),
    /// The Metropolis-adjusted Langevin algorithm on all data: exact at every ε.
    ///
    /// Roberts & Tweedie (1996).
    Mala,
    /// Hamiltonian Monte Carlo on all data: exact at every δ. A trajectory has a uniformly random number of leapfrogs, from
    /// one up to this many, so that no period of the motion is met again and again.
    ///
    /// Neal (2011), section 5.3; walls by billiards, section 5.5.1.5.
    Hmc {
        /// The longest trajectory.
        leapfrogs: usize,
    },
}

impl Method {
    /// Whether a Metropolis step makes the target its stationary law.
    pub fn is_corrected(self) -> bool {
        matches!(self, Method::Mala | Method::Hmc { .. })
    }

    /// The batches of its gradients.
    pub fn batch(self) -> BatchSampling {
        match self {
            Method::Sgld(batch) | Method::PreconditionedSgld(batch, _) => batch,
            Method::Mala | Method::Hmc { .. } => BatchSampling::Full,
        }
    }
}

/// What one step of a chain did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// An unbiased value of the loss along the chain: for SGLD that of the batch where the chain stood before the step, for
    /// the corrected methods that of all data where it stands after it.
    pub loss: f64,
    /// The probability with which the move was accepted.
    pub acceptance: f64,
    /// Whether the integrator lost the energy: a step too large for the curvature met.
    pub divergent: bool,
}

/// One Markov chain, which starts at the centre of its target.
///
/// # Determinism
/// All randomness comes from the stream given to [`Chain::step`]: first the batch, then the noise, then the acceptance.
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
    kernel: Kernel<F>,
}

/// What each method keeps between steps.
pub(super) enum Kernel<F> {
    Sgld(Batches),
    Preconditioned(Batches, Adaptive<F>),
    Trajectory(Trajectory<F>),
}

impl<'a, F: SamplerScalar> Chain<'a, F> {
    /// A chain at the centre of its target.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] for a step that is not positive, no leapfrogs, or a batch of no samples or of more different
    /// ones than there are.
    pub fn new(target: &Target<'a, F>, method: Method, step_size: f64) -> Result<Self, SltError> {
        if !(step_size > 0.0 && step_size.is_finite()) {
            let expected = "positive and finite";
            return Err(SltError::OutOfRange { name: "step_size", value: step_size, expected });
        }
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
            kernel,
        })
    }

    /// Where the chain stands.
    pub fn w(&self) -> &[F] {
        &self.w
    }

    /// How many steps it has taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The target.
    pub fn target(&self) -> &Target<'a, F> {
        &self.target
    }

    /// `|w − w*|`.
    pub fn distance(&self) -> f64 {
        F::distance_squared(&self.w, &self.target.centre).sqrt()
    }

    pub(super) fn set_step_size(&mut self, step_size: f64) {
        self.step_size = step_size;
    }

    /// One step.
    ///
    /// # Errors
    /// [`SltError::Diverged`] when an uncorrected chain meets a loss that is NaN or infinite (a corrected one rejects the
    /// move and reports it as divergent), or when the start has one.
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

    /// Standard normal noise, zero where nothing moves.
    pub(super) fn draw_noise(&mut self, stream: &mut RngStream) {
        F::normals(stream, &mut self.noise);
        if let Some(mask) = &self.target.mask {
            F::times(&mut self.noise, mask);
        }
    }

    /// Applies the walls to a move that has been made from `before`; whether it stands.
    pub(super) fn bounded(&mut self) -> bool {
        match &self.target.walls {
            None => true,
            Some((low, high, Boundary::Reflect)) => {
                F::reflect(&mut self.w, None, low, high);
                true
            }
            Some((low, high, Boundary::Reject)) => {
                let stands = F::inside(&self.w, low, high);
                if !stands {
                    self.w.copy_from_slice(&self.before);
                }
                stands
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
