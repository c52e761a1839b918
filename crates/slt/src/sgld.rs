use crate::error::{all_finite, same_length};
use crate::{NBeta, SltError};
use collimate_grad::{Batch, Objective, Scratch};
use collimate_stream::Stream;

/// How a step chooses its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchSampling {
    /// All of them: the gradient is exact and the step is Langevin dynamics.
    Full,
    /// This many different ones, anew at every step.
    Distinct(usize),
    /// This many independent draws, so that one may occur twice.
    Independent(usize),
}

/// The parts of [`Sgld`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgldConfig {
    /// ε.
    pub step_size: f64,
    /// nβ.
    pub n_beta: NBeta,
    /// γ of the local prior `exp(−γ/2 |w − w*|²)`; 0 for none.
    pub localisation: f64,
    /// The batches.
    pub batch: BatchSampling,
}

/// Stochastic gradient Langevin dynamics around a centre.
///
/// ```text
/// w ← w − (ε/2) [nβ ∇L_B(w) + γ (w − w*)] + √ε · N(0, I)
/// ```
///
/// As ε → 0 with full batches it samples `exp(−nβ L_n(w) − γ/2 |w − w*|²)`; at a finite step its variance is too large, on
/// a quadratic by the factor of [`crate::QuadraticOracle`].
///
/// # Determinism
/// All randomness comes from the stream given to [`Sgld::step`]: first the batch, then the noise.
///
/// # Examples
/// ```
/// use collimate_slt::{BatchSampling, NBeta, ReducedRank, ReducedRankConfig, Sgld, SgldConfig};
/// use collimate_stream::Stream;
/// let mut stream = Stream::new(1, 0);
/// let model = ReducedRankConfig { inputs: 2, hidden: 1, outputs: 2, noise: 1.0 };
/// let objective = ReducedRank::sample(model, &[0.0; 4], 100, &mut stream)?;
/// let config = SgldConfig {
///     step_size: 1e-3,
///     n_beta: NBeta::new(20.0)?,
///     localisation: 1.0,
///     batch: BatchSampling::Distinct(10),
/// };
/// let mut chain = Sgld::new(&objective, &[0.0; 4], config)?;
/// let loss = chain.step(&mut stream)?;
/// assert!(loss > 0.0 && chain.w() != [0.0; 4]);
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
///
/// # References
/// Welling & Teh (2011), eq. 4; Lau et al. (2023), eq. 17, for the localisation.
pub struct Sgld<'a> {
    objective: &'a dyn Objective<f64>,
    config: SgldConfig,
    centre: Vec<f64>,
    w: Vec<f64>,
    gradient: Vec<f64>,
    noise: Vec<f64>,
    /// Independent draws, or a permutation of all samples whose front is the batch.
    order: Vec<usize>,
    scratch: Scratch,
    steps: u64,
}

impl<'a> Sgld<'a> {
    /// A chain that starts at its centre.
    ///
    /// # Errors
    /// [`SltError::Length`] for a centre of another length, [`SltError::NonFinite`] when it holds a NaN or infinity,
    /// [`SltError::OutOfRange`] for a step that is not positive, a negative γ, or a batch of no samples or of more
    /// different ones than there are.
    pub fn new(
        objective: &'a dyn Objective<f64>,
        centre: &[f64],
        config: SgldConfig,
    ) -> Result<Self, SltError> {
        let n = objective.n_samples();
        same_length("centre", objective.n_parameters(), centre.len())?;
        all_finite("centre", centre)?;
        if !(config.step_size > 0.0 && config.step_size.is_finite()) {
            let value = config.step_size;
            return Err(SltError::OutOfRange { name: "step_size", value, expected: "positive and finite" });
        }
        if !(config.localisation >= 0.0 && config.localisation.is_finite()) {
            let value = config.localisation;
            return Err(SltError::OutOfRange {
                name: "localisation",
                value,
                expected: "at least 0 and finite",
            });
        }
        let order = match config.batch {
            BatchSampling::Full => Vec::new(),
            BatchSampling::Distinct(size) if (1..=n).contains(&size) => (0..n).collect(),
            BatchSampling::Independent(size) if size > 0 && n > 0 => vec![0; size],
            BatchSampling::Distinct(size) | BatchSampling::Independent(size) => {
                let expected = "at least 1 and, without repeats, at most the number of samples";
                return Err(SltError::OutOfRange { name: "batch", value: size as f64, expected });
            }
        };
        let zeros = vec![0.0; centre.len()];
        Ok(Self {
            objective,
            config,
            centre: centre.to_vec(),
            w: centre.to_vec(),
            gradient: zeros.clone(),
            noise: zeros,
            order,
            scratch: Scratch::new(),
            steps: 0,
        })
    }

    /// Where the chain stands.
    pub fn w(&self) -> &[f64] {
        &self.w
    }

    /// How many steps it has taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// One step; returns the batch loss where the chain stood before it.
    ///
    /// # Errors
    /// [`SltError::Diverged`] when that loss is NaN or infinite.
    pub fn step(&mut self, stream: &mut Stream) -> Result<f64, SltError> {
        let batch = match self.config.batch {
            BatchSampling::Full => Batch::All,
            BatchSampling::Distinct(size) => {
                // The first `size` steps of a Fisher–Yates shuffle: any starting order will do.
                let n = self.order.len();
                for i in 0..size {
                    self.order.swap(i, i + stream.below(n - i));
                }
                Batch::Indices(&self.order[..size])
            }
            BatchSampling::Independent(_) => {
                let n = self.objective.n_samples();
                self.order.iter_mut().for_each(|i| *i = stream.below(n));
                Batch::Indices(&self.order)
            }
        };
        let loss =
            self.objective.loss_and_gradient_into(&self.w, batch, &mut self.scratch, &mut self.gradient);
        if !loss.is_finite() {
            return Err(SltError::Diverged { step: self.steps, loss });
        }
        stream.fill_normal(&mut self.noise);
        let epsilon = self.config.step_size;
        let (drift, pull) =
            (0.5 * epsilon * self.config.n_beta.get(), 0.5 * epsilon * self.config.localisation);
        let spread = epsilon.sqrt();
        let sources = self.gradient.iter().zip(&self.noise).zip(&self.centre);
        for (w, ((&gradient, &noise), &centre)) in self.w.iter_mut().zip(sources) {
            *w += spread * noise - drift * gradient - pull * (*w - centre);
        }
        self.steps += 1;
        Ok(loss)
    }
}

impl std::fmt::Debug for Sgld<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sgld")
            .field("config", &self.config)
            .field("w", &self.w)
            .field("steps", &self.steps)
            .finish()
    }
}
