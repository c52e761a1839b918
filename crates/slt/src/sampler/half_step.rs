use super::batch::Batches;
use super::chain::{Chain, Method};
use super::scalar::SamplerScalar;
use super::target::Target;
use crate::SltError;
use collimate_stream::RngStream;

/// A chain at half the step size that follows the Brownian path of another chain, two steps for each of its steps.
///
/// ```text
/// z₁ = (z + u)/√2,   z₂ = (z − u)/√2,   z the noise of the other chain, u ~ N(0, I)
/// ```
///
/// The law of this chain is that of any chain at half the step size. But it stays near the other one, so the difference of their
/// losses has a small variance. The first of two steps also takes the other chain's batch.
///
/// # References
/// Giles (2008), section 2: the coupling of two levels; Talay & Tubaro (1990), theorem 1, for the expansion in ε.
pub(super) struct HalfStep<'a, F: SamplerScalar> {
    chain: Chain<'a, F>,
    /// The batches of the second of two steps.
    batches: Batches,
    fresh: Vec<F>,
    stream: RngStream,
}

impl<'a, F: SamplerScalar> HalfStep<'a, F> {
    /// Creates the chain at the start of a chain with this step size.
    pub(super) fn new(
        target: &Target<'a, F>,
        method: Method,
        step_size: f64,
        start: &[F],
        stream: RngStream,
    ) -> Result<Self, SltError> {
        let mut chain = Chain::new(target, method, 0.5 * step_size)?;
        chain.start_at(start);
        let batches = Batches::new(method.batch(), target.objective.n_samples())?;
        Ok(Self { chain, batches, fresh: vec![F::zero(); start.len()], stream })
    }

    /// Follows one step of `whole`, whose stream was `before` in front of the step. Returns the loss at the position before it.
    pub(super) fn follow(&mut self, whole: &Chain<'_, F>, mut before: RngStream) -> Result<f64, SltError> {
        F::normals(&mut self.stream, &mut self.fresh);
        let root = F::from_f64(0.5_f64.sqrt());
        let (path, fresh) = (&whole.noise, &self.fresh);
        self.chain.give_noise(path.iter().zip(fresh).map(|(&z, &u)| root * (z + u)));
        let loss = self.chain.step(&mut before)?.loss;
        self.chain.swap_batches(&mut self.batches);
        self.chain.give_noise(path.iter().zip(fresh).map(|(&z, &u)| root * (z - u)));
        self.chain.step(&mut self.stream)?;
        self.chain.swap_batches(&mut self.batches);
        Ok(loss)
    }

    /// Returns the distance `|w − w*|` from the centre.
    pub(super) fn distance(&self) -> f64 {
        self.chain.distance()
    }
}
