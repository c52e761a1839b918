use super::parameters::Parameters;
use super::record::{Tape, Var};
use crate::error::GradError;
use crate::objective::{Batch, Objective};
use crate::scratch::Scratch;
use collimate_tensor::Scalar;

/// A loss written on a tape, as an [`Objective`].
///
/// The model is a function of a tape, the recorded parameters and the indices of the batch. It returns the mean loss
/// over the batch. A tape allocates at every evaluation, so this form is meant for trying a model and for checking a hand-written
/// objective against it, not for long runs.
///
/// A model that returns an error for some batch gives the loss NaN there, and [`Objective::failure`] returns the error.
/// [`TapeObjective::evaluate`] returns it directly.
///
/// # Examples
/// ```
/// use collimate_grad::{Batch, CheckConfig, Parameters, Tape, TapeObjective, Var, check_gradient};
/// use ndarray::array;
/// let (x, t) = (array![[1.0, 2.0], [3.0, -1.0]], [0, 2]);
/// let model = move |tape: &mut Tape<f64>, w: &[Var], batch: &[usize]| {
///     let rows = tape.leaf(x.select(ndarray::Axis(0), batch));
///     let logits = tape.matmul(rows, w[0])?;
///     let targets: Vec<usize> = batch.iter().map(|&i| t[i]).collect();
///     tape.cross_entropy(logits, &targets)
/// };
/// let w = Parameters::new().with("weight", array![[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]);
/// let start = w.flat().to_vec();
/// let objective = TapeObjective::new(w, 2, model)?;
/// assert!(check_gradient(&objective, &start, Batch::All, &CheckConfig::default())?.passed());
/// # Ok::<(), collimate_grad::GradError>(())
/// ```
pub struct TapeObjective<F, M> {
    layout: Parameters<F>,
    n_samples: usize,
    all: Vec<usize>,
    model: M,
}

impl<F, M> TapeObjective<F, M>
where
    F: Scalar,
    M: Fn(&mut Tape<F>, &[Var], &[usize]) -> Result<Var, GradError>,
{
    /// Returns an objective over `n_samples` samples with parameters as in `layout`.
    ///
    /// The model is evaluated once over all samples at the values in `layout`, so that its errors are returned here.
    ///
    /// # Errors
    /// Those of the model, and [`GradError::Shape`] if its result is not `[1, 1]`.
    pub fn new(layout: Parameters<F>, n_samples: usize, model: M) -> Result<Self, GradError> {
        let objective = Self { layout, n_samples, all: (0..n_samples).collect(), model };
        let mut out = vec![F::zero(); objective.layout.flat().len()];
        objective.evaluate(objective.layout.flat(), &objective.all, &mut out)?;
        Ok(objective)
    }

    /// Returns the layout, with its original values.
    pub fn layout(&self) -> &Parameters<F> {
        &self.layout
    }

    fn indices<'a>(&'a self, batch: Batch<'a>) -> &'a [usize] {
        match batch {
            Batch::All => &self.all,
            Batch::Indices(indices) => indices,
        }
    }

    /// Returns the loss over the samples with these indices and overwrites `out` with its gradient.
    ///
    /// # Errors
    /// The errors of the model; [`GradError::Length`] if `w` or `out` has another length than the layout; [`GradError::Shape`] if the
    /// result of the model is not `[1, 1]`; [`GradError::Sample`] for a sample that does not exist.
    pub fn evaluate(&self, w: &[F], batch: &[usize], out: &mut [F]) -> Result<F, GradError> {
        if let Some(position) = batch.iter().position(|&index| index >= self.n_samples) {
            let n_samples = self.n_samples;
            return Err(GradError::Sample { position, index: batch[position], n_samples });
        }
        let mut tape = Tape::new();
        let leaves = self.layout.record(w, &mut tape)?;
        let loss = (self.model)(&mut tape, &leaves, batch)?;
        let gradients = tape.backward(loss)?;
        self.layout.collect(&gradients, &leaves, out)?;
        Ok(tape.value(loss)?[[0, 0]])
    }
}

impl<F, M> Objective<F> for TapeObjective<F, M>
where
    F: Scalar,
    M: Fn(&mut Tape<F>, &[Var], &[usize]) -> Result<Var, GradError> + Send + Sync,
{
    fn n_parameters(&self) -> usize {
        self.layout.flat().len()
    }

    fn n_samples(&self) -> usize {
        self.n_samples
    }

    fn loss_and_gradient_into(&self, w: &[F], batch: Batch<'_>, _: &mut Scratch, out: &mut [F]) -> F {
        self.evaluate(w, self.indices(batch), out).unwrap_or_else(|_| {
            out.fill(F::nan());
            F::nan()
        })
    }

    fn failure(&self, w: &[F], batch: Batch<'_>) -> Option<GradError> {
        let mut out = vec![F::zero(); self.layout.flat().len()];
        self.evaluate(w, self.indices(batch), &mut out).err()
    }

    fn coordinate_name(&self, index: usize) -> String {
        self.layout.coordinate_name(index)
    }
}
