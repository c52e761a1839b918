use super::{Boundary, Region, SamplerScalar};
use crate::error::same_length;
use crate::{NBeta, SltError};
use collimate_grad::{Batch, Objective, Scratch};
use collimate_stream::RngStream;

/// The density a chain aims at: the tempered posterior of an objective, localised at a centre, on a region.
///
/// ```text
/// p(w) ∝ exp(−nβ L_n(w) − γ/2 |w − w*|²)   for w in the region, coordinates that do not move fixed at w*
/// ```
///
/// # Examples
/// ```
/// use collimate_slt::{Boundary, NBeta, ReducedRank, ReducedRankConfig, Region, Target};
/// use collimate_stream::RngStream;
/// let model = ReducedRankConfig { inputs: 2, hidden: 1, outputs: 2, noise: 1.0 };
/// let objective = ReducedRank::sample(model, &[0.0; 4], 100, &mut RngStream::new(1, 0))?;
/// let target = Target::new(&objective, &[0.0; 4], NBeta::new(20.0)?)?
///     .localised(1.0)?
///     .within(Region::cube(4, -2.0, 2.0, Boundary::Reflect)?)?;
/// assert_eq!(target.localisation(), 1.0);
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
#[derive(Clone)]
pub struct Target<'a, F: SamplerScalar = f64> {
    pub(crate) objective: &'a dyn Objective<F>,
    pub(crate) n_beta: f64,
    pub(crate) gamma: f64,
    pub(crate) centre: Vec<F>,
    pub(crate) walls: Option<(Vec<F>, Vec<F>, Boundary)>,
    /// 1 where a coordinate moves, 0 where it stays.
    pub(crate) mask: Option<Vec<F>>,
    statistics: bool,
}

impl<'a, F: SamplerScalar> Target<'a, F> {
    /// The density without localisation on the whole space.
    ///
    /// # Errors
    /// [`SltError::Length`] for a centre of another length than the objective's parameters, [`SltError::NonFinite`] when
    /// it holds a NaN or infinity.
    pub fn new(objective: &'a dyn Objective<F>, centre: &[F], n_beta: NBeta) -> Result<Self, SltError> {
        same_length("centre", objective.n_parameters(), centre.len())?;
        if let Some(index) = centre.iter().position(|x| !x.is_finite()) {
            return Err(SltError::NonFinite { argument: "centre", index, value: centre[index].to_f64() });
        }
        let centre = centre.to_vec();
        let n_beta = n_beta.get();
        Ok(Self { objective, n_beta, gamma: 0.0, centre, walls: None, mask: None, statistics: false })
    }

    /// With the local prior `exp(−γ/2 |w − w*|²)`.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] for a γ that is negative or not finite.
    pub fn localised(mut self, gamma: f64) -> Result<Self, SltError> {
        if !(gamma >= 0.0 && gamma.is_finite()) {
            let expected = "at least 0 and finite";
            return Err(SltError::OutOfRange { name: "localisation", value: gamma, expected });
        }
        self.gamma = gamma;
        Ok(self)
    }

    /// On a region.
    ///
    /// # Errors
    /// [`SltError::Length`] for a region of other dimensions; [`SltError::OutOfRange`] when the centre lies outside.
    pub fn within(mut self, region: Region) -> Result<Self, SltError> {
        same_length("region", self.centre.len(), region.dimensions())?;
        let centre: Vec<f64> = self.centre.iter().map(|x| (*x).to_f64()).collect();
        if !region.contains(&centre) {
            let worst = region.walls.iter().flat_map(|walls| {
                let outside = |((x, low), high): ((&f64, &f64), &f64)| (low - x).max(x - high);
                centre.iter().zip(&walls.low).zip(&walls.high).map(outside)
            });
            let value = worst.fold(0.0, f64::max);
            let expected = "at most 0: the centre must lie within the walls";
            return Err(SltError::OutOfRange {
                name: "distance of the centre from the region",
                value,
                expected,
            });
        }
        let convert = |x: Vec<f64>| x.into_iter().map(F::from_f64).collect();
        self.walls = region.walls.map(|walls| (convert(walls.low), convert(walls.high), walls.boundary));
        self.mask = region
            .moving
            .map(|mask| mask.into_iter().map(|moves| if moves { F::one() } else { F::zero() }).collect());
        Ok(self)
    }

    /// With full-data evaluations from the objective's sufficient statistics.
    ///
    /// # Errors
    /// [`SltError::Unsupported`] when it offers none.
    pub fn by_statistics(mut self) -> Result<Self, SltError> {
        if self.objective.sufficient_statistics().is_none() {
            return Err(SltError::Unsupported { ability: "sufficient statistics" });
        }
        self.statistics = true;
        Ok(self)
    }

    /// The objective.
    pub fn objective(&self) -> &'a dyn Objective<F> {
        self.objective
    }

    /// nβ.
    pub fn n_beta(&self) -> f64 {
        self.n_beta
    }

    /// γ.
    pub fn localisation(&self) -> f64 {
        self.gamma
    }

    /// w*.
    pub fn centre(&self) -> &[F] {
        &self.centre
    }

    /// The same density at another temperature.
    pub fn tempered(&self, n_beta: NBeta) -> Self {
        Self { n_beta: n_beta.get(), ..self.clone() }
    }

    /// Whether the density is known to have a finite integral: walls, or a localisation (the loss is taken to be bounded
    /// from below).
    pub fn is_proper(&self) -> bool {
        self.gamma > 0.0 || self.walls.is_some()
    }

    /// A draw of the prior: uniform on the walls, Gaussian by the localisation, or both.
    pub(crate) fn draw_prior(&self, w: &mut [F], stream: &mut RngStream) {
        for i in 0..w.len() {
            if self.mask.as_ref().is_some_and(|mask| mask[i] == F::zero()) {
                continue;
            }
            let interval = self.walls.as_ref().map(|(low, high, _)| (low[i].to_f64(), high[i].to_f64()));
            let centre = self.centre[i].to_f64();
            let spread = self.gamma.sqrt().recip();
            w[i] = F::from_f64(match interval {
                None => centre + spread * stream.normal(),
                Some((low, high)) if self.gamma == 0.0 => stream.uniform_in(low, high),
                // The centre lies within the walls, so either proposal is kept often enough.
                Some((low, high)) => loop {
                    let x = if spread < high - low {
                        centre + spread * stream.normal()
                    } else {
                        let x = stream.uniform_in(low, high);
                        if stream.uniform() > (-0.5 * self.gamma * (x - centre) * (x - centre)).exp() {
                            continue;
                        }
                        x
                    };
                    if (low..=high).contains(&x) {
                        break x;
                    }
                },
            });
        }
    }

    /// The loss over all data, with its gradient.
    pub(crate) fn full(&self, w: &[F], scratch: &mut Scratch, out: &mut [F]) -> f64 {
        match self.objective.sufficient_statistics() {
            Some(statistics) if self.statistics => statistics.full_loss_and_gradient_into(w, scratch, out),
            _ => self.objective.loss_and_gradient_into(w, Batch::All, scratch, out),
        }
        .to_f64()
    }

    /// The loss over a batch, with its gradient.
    pub(crate) fn on(&self, w: &[F], batch: Batch<'_>, scratch: &mut Scratch, out: &mut [F]) -> f64 {
        match batch {
            Batch::All => self.full(w, scratch, out),
            Batch::Indices(_) => self.objective.loss_and_gradient_into(w, batch, scratch, out).to_f64(),
        }
    }
}

impl<F: SamplerScalar> std::fmt::Debug for Target<'_, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("n_beta", &self.n_beta)
            .field("gamma", &self.gamma)
            .field("centre", &self.centre)
            .field("walls", &self.walls)
            .field("mask", &self.mask)
            .finish()
    }
}
