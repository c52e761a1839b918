use crate::error::GradError;
use crate::scratch::Scratch;
use collimate_measure::ensure;
use collimate_tensor::Scalar;

/// The samples that an evaluation runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch<'a> {
    /// Every sample once, in order.
    All,
    /// The samples with these indices, in this order. An index that occurs several times counts several times.
    Indices(&'a [usize]),
}

impl Batch<'_> {
    /// Returns the number of terms of the mean when the data has `n_samples` samples.
    ///
    /// # Examples
    /// ```
    /// use collimate_grad::Batch;
    /// assert_eq!(Batch::All.len(100), 100);
    /// assert_eq!(Batch::Indices(&[3, 3]).len(100), 2);
    /// ```
    pub fn len(&self, n_samples: usize) -> usize {
        match self {
            Batch::All => n_samples,
            Batch::Indices(indices) => indices.len(),
        }
    }

    /// Returns true if the batch has no terms.
    pub fn is_empty(&self, n_samples: usize) -> bool {
        self.len(n_samples) == 0
    }
}

impl<'a> Batch<'a> {
    /// Checks that the batch has terms and that every index is below `n_samples`.
    ///
    /// # Errors
    /// [`GradError::OutOfRange`] for a batch without terms, whose mean has no value; [`GradError::Sample`] for a sample that does not
    /// exist.
    ///
    /// # Examples
    /// ```
    /// use collimate_grad::Batch;
    /// assert!(Batch::Indices(&[2, 0, 2]).check(3).is_ok());
    /// assert!(Batch::Indices(&[3]).check(3).is_err() && Batch::All.check(0).is_err());
    /// ```
    pub fn check(&self, n_samples: usize) -> Result<(), GradError> {
        ensure(!self.is_empty(n_samples), "the number of terms of the batch", "at least 1", 0.0)?;
        let Batch::Indices(indices) = self else { return Ok(()) };
        match indices.iter().position(|&index| index >= n_samples) {
            Some(position) => Err(GradError::Sample { position, index: indices[position], n_samples }),
            None => Ok(()),
        }
    }

    /// Returns the indices of the samples of the batch, in order, when the data has `n_samples` samples.
    ///
    /// # Examples
    /// ```
    /// use collimate_grad::Batch;
    /// assert!(Batch::All.iter(3).eq([0, 1, 2]));
    /// assert_eq!(Batch::Indices(&[7, 2, 7]).iter(8).sum::<usize>(), 16);
    /// ```
    pub fn iter(&self, n_samples: usize) -> BatchIter<'a> {
        match *self {
            Batch::All => BatchIter { all: 0..n_samples, indices: [].iter() },
            Batch::Indices(indices) => BatchIter { all: 0..0, indices: indices.iter() },
        }
    }
}

/// The iterator that [`Batch::iter`] returns.
#[derive(Clone, Debug)]
pub struct BatchIter<'a> {
    // One of the two is empty.
    all: std::ops::Range<usize>,
    indices: std::slice::Iter<'a, usize>,
}

impl Iterator for BatchIter<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.all.next().or_else(|| self.indices.next().copied())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.all.len() + self.indices.len();
        (count, Some(count))
    }

    // Two plain loops in a row, so that `sum` and `for_each` do not ask for the kind of batch at every sample.
    fn fold<B, G: FnMut(B, usize) -> B>(self, start: B, mut add: G) -> B {
        let start = self.all.fold(start, &mut add);
        self.indices.copied().fold(start, add)
    }
}

impl ExactSizeIterator for BatchIter<'_> {}

/// Anything with parameters, a loss and a gradient. An optimiser can train it, and a sampler can sample it.
///
/// The parameters are one flat slice `w`. The loss is the **mean** over the samples of the batch:
///
/// ```text
/// L_B(w) = (1/|B|) Σ_{i∈B} ℓ_i(w)        plus terms that do not depend on the sample, counted once
/// ```
///
/// So the meaning of a step size does not depend on the batch size, and a sampler that needs the total
/// `n·L_n(w)` multiplies by `n`. The trait can be used as `dyn Objective<f64>`.
///
/// # Errors
/// None, because the evaluation is an inner loop. A NaN or infinity in `w` propagates to the loss, and the caller returns the error.
/// An evaluation that fails for another reason gives the loss NaN, and [`Objective::failure`] returns the reason.
///
/// # Panics
/// An implementation may panic if the length of `w` or `out` is not [`Objective::n_parameters`], or an index
/// lies outside `0..n_samples()`. The callers in this workspace check both once, before their loop.
///
/// # Determinism
/// For one `w` and one batch, the bits do not depend on the number of threads.
///
/// # Examples
/// ```
/// use collimate_grad::{Batch, Objective, Scratch};
///
/// /// ½ (w − x)², so that the minimum is the mean of the data.
/// struct Location(Vec<f64>);
///
/// impl Objective<f64> for Location {
///     fn n_parameters(&self) -> usize { 1 }
///     fn n_samples(&self) -> usize { self.0.len() }
///     fn loss_and_gradient_into(&self, w: &[f64], batch: Batch<'_>, _: &mut Scratch, out: &mut [f64]) -> f64 {
///         let (mut loss, mut gradient, n) = (0.0, 0.0, batch.len(self.0.len()) as f64);
///         for x in batch.iter(self.0.len()).map(|i| self.0[i]) {
///             loss += 0.5 * (w[0] - x).powi(2) / n;
///             gradient += (w[0] - x) / n;
///         }
///         out[0] = gradient;
///         loss
///     }
/// }
///
/// let objective: &dyn Objective<f64> = &Location(vec![1.0, 3.0]);
/// let mut gradient = [0.0];
/// let loss = objective.loss_and_gradient_into(&[2.0], Batch::All, &mut Scratch::new(), &mut gradient);
/// assert_eq!((loss, gradient[0]), (0.5, 0.0));
/// ```
pub trait Objective<F: Scalar>: Send + Sync {
    /// Returns the number of parameters.
    fn n_parameters(&self) -> usize;

    /// Returns the number of samples.
    fn n_samples(&self) -> usize;

    /// Returns the mean loss over the batch and overwrites `out` with its gradient.
    ///
    /// After the first call with a given `scratch` it allocates nothing.
    fn loss_and_gradient_into(&self, w: &[F], batch: Batch<'_>, scratch: &mut Scratch, out: &mut [F]) -> F;

    /// Returns the mean loss over the batch.
    ///
    /// The default computes the gradient too and drops it. An objective with a cheaper method overrides it.
    fn loss(&self, w: &[F], batch: Batch<'_>, scratch: &mut Scratch) -> F {
        // The buffer leaves the scratch during the call, because the objective borrows the scratch.
        let mut dropped = std::mem::take(&mut scratch.slot(|| Dropped::<F>(Vec::new())).0);
        dropped.resize(self.n_parameters(), F::default());
        let loss = self.loss_and_gradient_into(w, batch, scratch, &mut dropped);
        scratch.slot(|| Dropped::<F>(Vec::new())).0 = dropped;
        loss
    }

    /// Returns the reason why the loss at `w` over the batch is NaN, if it is another one than the numbers in `w`. `None` by default.
    ///
    /// It may evaluate the objective again, so it is called once, after a loss that is NaN.
    fn failure(&self, _w: &[F], _batch: Batch<'_>) -> Option<GradError> {
        None
    }

    /// Returns the name of a coordinate for reports; `w[index]` by default.
    fn coordinate_name(&self, index: usize) -> String {
        format!("w[{index}]")
    }

    /// Returns the access to the losses of single samples, if the objective supports it.
    fn per_sample_losses(&self) -> Option<&dyn PerSampleLosses<F>> {
        None
    }

    /// Returns the access to products with the Hessian, if the objective supports it.
    fn hessian_vector_products(&self) -> Option<&dyn HessianVectorProducts<F>> {
        None
    }

    /// Returns the access to evaluations over all samples at a cost that does not grow with their number, if the objective supports it.
    fn sufficient_statistics(&self) -> Option<&dyn SufficientStatistics<F>> {
        None
    }
}

/// The buffer in the scratch for the gradient that [`Objective::loss`] drops.
struct Dropped<F>(Vec<F>);

/// An objective that can compute the loss of each sample, for WAIC, influence functions and susceptibilities.
pub trait PerSampleLosses<F: Scalar> {
    /// Writes `ℓ_i(w)` for each sample of the batch, in the order of the batch.
    ///
    /// # Shapes
    /// `out` `[b]` with the length `b` of the batch. Its mean is the loss, up to rounding and terms that belong to no sample.
    fn per_sample_losses_into(&self, w: &[F], batch: Batch<'_>, scratch: &mut Scratch, out: &mut [F]);
}

/// An objective that can multiply a direction by its Hessian without forming the matrix.
pub trait HessianVectorProducts<F: Scalar> {
    /// Writes `∇²L_B(w)·direction`.
    fn hessian_vector_product_into(
        &self,
        w: &[F],
        direction: &[F],
        batch: Batch<'_>,
        scratch: &mut Scratch,
        out: &mut [F],
    );
}

/// An objective that depends on its data only through fixed statistics, for example `XᵀX` and `XᵀY`.
pub trait SufficientStatistics<F: Scalar> {
    /// Returns the loss over [`Batch::All`] and writes its gradient, both from the statistics. They equal the direct sums up to
    /// rounding.
    fn full_loss_and_gradient_into(&self, w: &[F], scratch: &mut Scratch, out: &mut [F]) -> F;
}
