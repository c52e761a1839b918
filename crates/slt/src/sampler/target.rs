use super::region::{Boundary, Region};
use super::scalar::SamplerScalar;
use crate::{NBeta, SltError};
use collimate_grad::{Batch, Objective, Scratch};
use collimate_measure::{ensure, same_length};
use collimate_stream::RngStream;

/// The density that a chain samples: the tempered posterior of an objective, localised at a centre, on a region.
///
/// ```text
/// p(w) ∝ exp(−nβ L_n(w) − γ/2 |w − w*|²)   for w in the region, with the fixed coordinates at w*
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
    /// One number per coordinate: 1 if it moves, 0 if it is fixed.
    pub(crate) mask: Option<Vec<F>>,
    /// True if full-data evaluations use the sufficient statistics.
    statistics: bool,
}

impl<'a, F: SamplerScalar> Target<'a, F> {
    /// Creates the density on the whole space, without localisation.
    ///
    /// # Errors
    /// [`SltError::Length`] if the centre and the objective's parameters differ in length, [`SltError::NonFinite`] for NaN or
    /// infinity in the centre.
    pub fn new(objective: &'a dyn Objective<F>, centre: &[F], n_beta: NBeta) -> Result<Self, SltError> {
        same_length("centre", objective.n_parameters(), centre.len())?;
        if let Some(index) = centre.iter().position(|x| !x.is_finite()) {
            return Err(SltError::NonFinite { argument: "centre", index, value: centre[index].to_f64() });
        }
        let centre = centre.to_vec();
        let n_beta = n_beta.get();
        Ok(Self { objective, n_beta, gamma: 0.0, centre, walls: None, mask: None, statistics: false })
    }

    /// Adds the local prior `exp(−γ/2 |w − w*|²)`.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] for a γ that is negative or not finite.
    pub fn localised(mut self, gamma: f64) -> Result<Self, SltError> {
        ensure(gamma >= 0.0 && gamma.is_finite(), "localisation", "at least 0 and finite", gamma)?;
        self.gamma = gamma;
        Ok(self)
    }

    /// Restricts the density to a region.
    ///
    /// # Errors
    /// [`SltError::Length`] for a region of another dimension; [`SltError::OutOfRange`] if the centre lies outside.
    pub fn within(mut self, region: Region) -> Result<Self, SltError> {
        same_length("region", self.centre.len(), region.dimensions())?;
        let centre: Vec<f64> = self.centre.iter().map(|x| (*x).to_f64()).collect();
        if !region.contains(&centre) {
            let worst = region.walls.iter().flat_map(|walls| {
                let outside = |((x, low), high): ((&f64, &f64), &f64)| (low - x).max(x - high);
                centre.iter().zip(&walls.low).zip(&walls.high).map(outside)
            });
            let distance = worst.fold(0.0, f64::max);
            ensure(
                false,
                "the distance of the centre from the region",
                "0, that is, within the walls",
                distance,
            )?;
        }
        let convert = |x: Vec<f64>| x.into_iter().map(F::from_f64).collect();
        self.walls = region.walls.map(|walls| (convert(walls.low), convert(walls.high), walls.boundary));
        self.mask = region
            .moving
            .map(|mask| mask.into_iter().map(|moves| if moves { F::one() } else { F::zero() }).collect());
        Ok(self)
    }

    /// Makes full-data evaluations use the objective's sufficient statistics.
    ///
    /// # Errors
    /// [`SltError::Unsupported`] if the objective has none.
    pub fn by_statistics(mut self) -> Result<Self, SltError> {
        if self.objective.sufficient_statistics().is_none() {
            return Err(SltError::Unsupported { ability: "sufficient statistics" });
        }
        self.statistics = true;
        Ok(self)
    }

    /// Returns the objective.
    pub fn objective(&self) -> &'a dyn Objective<F> {
        self.objective
    }

    /// Returns nβ.
    pub fn n_beta(&self) -> f64 {
        self.n_beta
    }

    /// Returns the strength γ of the localisation.
    pub fn localisation(&self) -> f64 {
        self.gamma
    }

    /// Returns the centre w*.
    pub fn centre(&self) -> &[F] {
        &self.centre
    }

    /// Returns this density at another temperature.
    pub fn tempered(&self, n_beta: NBeta) -> Self {
        Self { n_beta: n_beta.get(), ..self.clone() }
    }

    /// Returns true if the density has walls or a localisation.
    ///
    /// Then its integral is finite, if the loss is bounded from below.
    pub fn is_proper(&self) -> bool {
        self.gamma > 0.0 || self.walls.is_some()
    }

    /// Returns true if a coordinate moves.
    pub(crate) fn moves(&self, coordinate: usize) -> bool {
        self.mask.as_ref().is_none_or(|mask| mask[coordinate] != F::zero())
    }

    /// Draws a point from the prior: uniform within the walls, Gaussian by the localisation, or both.
    pub(crate) fn draw_prior(&self, w: &mut [F], stream: &mut RngStream) {
        for i in 0..w.len() {
            if !self.moves(i) {
                continue;
            }
            let interval = self.walls.as_ref().map(|(low, high, _)| (low[i].to_f64(), high[i].to_f64()));
            let centre = self.centre[i].to_f64();
            let spread = self.gamma.sqrt().recip();
            w[i] = F::from_f64(match interval {
                None => centre + spread * stream.normal(),
                Some((low, high)) if self.gamma == 0.0 => stream.uniform_in(low, high),
                // The centre lies within the walls, so both proposals are accepted often enough.
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

    /// Computes the loss over all data and its gradient.
    pub(crate) fn full(&self, w: &[F], scratch: &mut Scratch, out: &mut [F]) -> f64 {
        match self.objective.sufficient_statistics() {
            Some(statistics) if self.statistics => statistics.full_loss_and_gradient_into(w, scratch, out),
            _ => self.objective.loss_and_gradient_into(w, Batch::All, scratch, out),
        }
        .to_f64()
    }

    /// Computes the loss over a batch and its gradient.
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
