//! The toy model `x' = act(WᵀW x + b)`: forward pass, exact gradient, training, and the optimum of the linear model.

use super::adam;
use crate::data::SparseFeatures;
use crate::error::{SuperpositionError, require_finite, require_shape};
use collimate_grad::{Batch, Objective, PerSampleLosses, Scratch};
use collimate_measure::ensure;
use collimate_stream::RngStream;
use ndarray::{Array1, Array2, ArrayRef1, ArrayRef2};

/// The activation of an output or of a neuron.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The identity: the linear model.
    Linear,
    /// The ReLU `max(z, 0)`: the ReLU-output model.
    Relu,
}

impl Activation {
    pub(crate) fn apply(self, z: f64) -> f64 {
        match self {
            Self::Linear => z,
            Self::Relu => z.max(0.0),
        }
    }

    /// Returns the derivative, which is 0 at the kink of the ReLU.
    pub(crate) fn slope(self, z: f64) -> f64 {
        match self {
            Self::Linear => 1.0,
            Self::Relu => f64::from(u8::from(z > 0.0)),
        }
    }
}

/// A toy model with tied weights.
///
/// # Examples
/// ```
/// use collimate_superposition::{Activation, ToyModel, simplex};
/// use ndarray::{Array1, array};
/// // A digon: two features with opposite directions in one dimension.
/// let model = ToyModel { w: simplex(1)?, b: Array1::zeros(2), activation: Activation::Relu };
/// assert_eq!(model.forward(&array![[0.3, 0.0], [0.0, 0.3]])?, array![[0.3, 0.0], [0.0, 0.3]]);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
///
/// # References
/// Elhage et al. (2022), section "Experimental Setup".
#[derive(Clone, Debug, PartialEq)]
pub struct ToyModel {
    /// The weights `[m, n]`. Column `i` is the direction of feature `i`.
    pub w: Array2<f64>,
    /// The output bias `[n]`.
    pub b: Array1<f64>,
    /// The activation of the output.
    pub activation: Activation,
}

impl ToyModel {
    /// Reconstructs samples.
    ///
    /// ```text
    /// X' = act(X WᵀW + 1 bᵀ)
    /// ```
    ///
    /// # Shapes
    /// `x`: `[b, n]`; result: `[b, n]`.
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`] if the number of features differs.
    pub fn forward(&self, x: &ArrayRef2<f64>) -> Result<Array2<f64>, SuperpositionError> {
        require_shape("b", &[self.w.ncols()], self.b.shape())?;
        require_shape("x", &[x.nrows(), self.w.ncols()], x.shape())?;
        let mut out = x.dot(&self.w.t()).dot(&self.w) + &self.b;
        out.mapv_inplace(|z| self.activation.apply(z));
        Ok(out)
    }
}

/// The importance-weighted loss of a toy model on fixed samples, as an [`Objective`] that also gives the losses of single samples.
///
/// The parameters are `W` `[m, n]` in row-major order, then `b` `[n]`.
///
/// ```text
/// L = 1/B Σ_x Σ_i I_i (x_i − x'_i)²
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ToyLoss {
    hidden: usize,
    activation: Activation,
    importance: Vec<f64>,
    data: Array2<f64>,
}

impl ToyLoss {
    /// Creates a loss over the rows of `data` with `hidden` dimensions and one importance per feature.
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`] if `importance` and `data` have different numbers of features, [`SuperpositionError::NotFinite`] for
    /// NaN or infinite numbers, [`SuperpositionError::OutOfRange`] for no hidden dimension or no sample.
    pub fn new(
        hidden: usize,
        activation: Activation,
        importance: Vec<f64>,
        data: Array2<f64>,
    ) -> Result<Self, SuperpositionError> {
        ensure(hidden > 0, "hidden", "at least 1", hidden as f64)?;
        ensure(data.nrows() > 0, "data rows", "at least 1", 0.0)?;
        require_shape("importance", &[data.ncols()], &[importance.len()])?;
        require_finite("importance", &importance)?;
        require_finite("data", data.iter())?;
        // Rows are read as slices.
        let data = data.as_standard_layout().into_owned();
        Ok(Self { hidden, activation, importance, data })
    }

    fn shape(&self) -> Shape<'_> {
        Shape { hidden: self.hidden, activation: self.activation, importance: &self.importance }
    }

    fn rows(&self) -> &[f64] {
        self.data.as_slice().expect("the constructor stores row-major data")
    }

    fn row(&self, index: usize) -> &[f64] {
        let n = self.data.ncols();
        &self.rows()[index * n..(index + 1) * n]
    }

    /// Computes loss and gradient with the kernel for one to three hidden dimensions. Returns `None` for more.
    fn narrow(&self, w: &[f64], batch: Batch<'_>, scratch: &mut Scratch, out: &mut [f64]) -> Option<f64> {
        use crate::kernels::samples::{Samples, Work, loss_and_gradient};
        let kernel = match self.hidden {
            1 => loss_and_gradient::<1>,
            2 => loss_and_gradient::<2>,
            3 => loss_and_gradient::<3>,
            _ => return None,
        };
        let indices = match batch {
            Batch::All => None,
            Batch::Indices(indices) => Some(indices),
        };
        let share = 1.0 / batch.len(self.n_samples()) as f64;
        let samples = Samples { rows: self.rows(), indices };
        let loss = kernel(
            w,
            &self.importance,
            self.activation == Activation::Relu,
            samples,
            scratch.slot(Work::default),
            out,
        );
        out.iter_mut().for_each(|g| *g *= share);
        Some(share * loss)
    }
}

impl Objective<f64> for ToyLoss {
    fn n_parameters(&self) -> usize {
        (self.hidden + 1) * self.data.ncols()
    }

    fn n_samples(&self) -> usize {
        self.data.nrows()
    }

    fn loss_and_gradient_into(
        &self,
        w: &[f64],
        batch: Batch<'_>,
        scratch: &mut Scratch,
        out: &mut [f64],
    ) -> f64 {
        if let Some(loss) = self.narrow(w, batch, scratch, out) {
            return loss;
        }
        out.fill(0.0);
        let shape = self.shape();
        let [work] = scratch.floats::<f64, 1>([shape.work()]);
        let share = 1.0 / batch.len(self.n_samples()) as f64;
        let mut add = |index: usize| shape.accumulate(w, self.row(index), share, work, out);
        batch.iter(self.n_samples()).map(&mut add).sum()
    }

    fn per_sample_losses(&self) -> Option<&dyn PerSampleLosses<f64>> {
        Some(self)
    }
}

impl PerSampleLosses<f64> for ToyLoss {
    fn per_sample_losses_into(&self, w: &[f64], batch: Batch<'_>, scratch: &mut Scratch, out: &mut [f64]) {
        let [hidden] = scratch.floats::<f64, 1>([self.hidden]);
        let shape = self.shape();
        for (i, out) in batch.iter(self.n_samples()).zip(out) {
            *out = shape.loss(w, self.row(i), hidden);
        }
    }
}

/// The sizes that the gradient of a sample needs.
#[derive(Clone, Copy)]
struct Shape<'a> {
    hidden: usize,
    activation: Activation,
    importance: &'a [f64],
}

impl Shape<'_> {
    /// Returns the size of the working memory of [`Shape::accumulate`]: hidden state, its gradient, and the gradient of the output.
    fn work(&self) -> usize {
        2 * self.hidden + self.importance.len()
    }

    /// Computes the loss of one sample. `hidden` is working memory.
    fn loss(&self, w: &[f64], x: &[f64], hidden: &mut [f64]) -> f64 {
        let n = self.importance.len();
        let (weights, bias) = w.split_at(self.hidden * n);
        for (h, row) in hidden.iter_mut().zip(weights.chunks_exact(n)) {
            *h = row.iter().zip(x).map(|(w, x)| w * x).sum();
        }
        let of = |i: usize| {
            let z = (0..self.hidden).map(|k| weights[k * n + i] * hidden[k]).sum::<f64>() + bias[i];
            self.importance[i] * (self.activation.apply(z) - x[i]).powi(2)
        };
        (0..n).map(of).sum()
    }

    /// Computes `share` times the loss of one sample and adds its gradient to `out`.
    fn accumulate(&self, w: &[f64], x: &[f64], share: f64, work: &mut [f64], out: &mut [f64]) -> f64 {
        let (m, n) = (self.hidden, self.importance.len());
        let (weights, bias) = w.split_at(m * n);
        let (dw, db) = out.split_at_mut(m * n);
        let (hidden, rest) = work.split_at_mut(m);
        let (dhidden, delta) = rest.split_at_mut(m);
        for k in 0..m {
            hidden[k] = (0..n).map(|j| weights[k * n + j] * x[j]).sum();
        }
        let mut loss = 0.0;
        for i in 0..n {
            let z = (0..m).map(|k| weights[k * n + i] * hidden[k]).sum::<f64>() + bias[i];
            let error = self.activation.apply(z) - x[i];
            loss += share * self.importance[i] * error * error;
            delta[i] = 2.0 * share * self.importance[i] * error * self.activation.slope(z);
            db[i] += delta[i];
        }
        for k in 0..m {
            dhidden[k] = (0..n).map(|i| weights[k * n + i] * delta[i]).sum();
        }
        // W is used twice: as decoder of the hidden state and as encoder of the sample.
        for k in 0..m {
            for i in 0..n {
                dw[k * n + i] += hidden[k] * delta[i] + dhidden[k] * x[i];
            }
        }
        loss
    }
}

/// The configuration of a training run on fresh sparse samples.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::ToyTrainingConfig;
/// let config = ToyTrainingConfig { features: 2, hidden: 1, on_probability: 0.05, steps: 200, batch: 32, ..Default::default() };
/// let trained = config.train(&mut RngStream::new(1, 0))?;
/// assert_eq!(trained.w.dim(), (1, 2));
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ToyTrainingConfig {
    /// The number of features `n`.
    pub features: usize,
    /// The number of hidden dimensions `m`.
    pub hidden: usize,
    /// The activation of the output.
    pub activation: Activation,
    /// The probability that a feature is on.
    pub on_probability: f64,
    /// The decay of the importances: feature `i` has importance `importance_decayⁱ`.
    pub importance_decay: f64,
    /// The number of samples per step.
    pub batch: usize,
    /// The number of steps of Adam.
    pub steps: u64,
    /// The peak learning rate. It falls to zero along half a cosine.
    pub learning_rate: f64,
}

impl Default for ToyTrainingConfig {
    /// Returns five equally important features in two dimensions, trained for 3,000 steps of 256 samples.
    fn default() -> Self {
        Self {
            features: 5,
            hidden: 2,
            activation: Activation::Relu,
            on_probability: 0.02,
            importance_decay: 1.0,
            batch: 256,
            steps: 3000,
            learning_rate: 3e-3,
        }
    }
}

impl ToyTrainingConfig {
    /// Trains a model from Xavier-normal weights and zero bias.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for empty sizes, an on-probability outside `[0, 1]`, a decay or a
    /// rate that is not positive and finite.
    ///
    /// # Determinism
    /// Training is single-threaded. The start uses `stream.child(0)` and the data `stream.child(1)`.
    pub fn train(&self, stream: &mut RngStream) -> Result<ToyModel, SuperpositionError> {
        let (n, m) = (self.features, self.hidden);
        ensure(m > 0, "hidden", "at least 1", m as f64)?;
        ensure(self.batch > 0, "batch", "at least 1", self.batch as f64)?;
        let decay = self.importance_decay;
        ensure(decay > 0.0 && decay.is_finite(), "importance_decay", "positive and finite", decay)?;
        let source = SparseFeatures::uniform(n, self.on_probability)?;
        let importance: Vec<f64> = (0..n).map(|i| decay.powi(i as i32)).collect();
        let shape = Shape { hidden: m, activation: self.activation, importance: &importance };
        let mut initial = stream.child(0);
        let scale = (2.0 / (m + n) as f64).sqrt();
        let mut point: Vec<f64> = (0..m * n).map(|_| scale * initial.normal()).collect();
        point.resize((m + 1) * n, 0.0);
        let mut data = stream.child(1);
        let (mut x, zero, mut work) = (vec![0.0; n], vec![0.0; n], vec![0.0; shape.work()]);
        let share = 1.0 / self.batch as f64;
        adam::train(&mut point, self.steps, self.learning_rate, |point, gradient| {
            let mut silent = 0;
            for _ in 0..self.batch {
                if source.fill(&mut x, &mut data) {
                    shape.accumulate(point, &x, share, &mut work, gradient);
                } else {
                    silent += 1;
                }
            }
            // Most samples of a sparse source are zero. All of them have one gradient, so it is computed once.
            shape.accumulate(point, &zero, share * f64::from(silent), &mut work, gradient);
        })?;
        let b = Array1::from(point.split_off(m * n));
        let w = Array2::from_shape_vec((m, n), point).expect("the point holds m n weights and n biases");
        Ok(ToyModel { w, b, activation: self.activation })
    }
}

/// Computes the expected loss of the linear tied model on independent features with these means and variances.
///
/// ```text
/// E L = Σ_i I_i [ Σ_j (δ_ij − G_ij)² Var x_j + (((1 − G) μ)_i − b_i)² ]      G = WᵀW
/// ```
///
/// # Shapes
/// `w`: `[m, n]`; `b`, `importance`, `mean`, `variance`: `[n]`.
///
/// # Errors
/// [`SuperpositionError::Shape`] if the lengths differ.
pub fn linear_expected_loss(
    w: &ArrayRef2<f64>,
    b: &ArrayRef1<f64>,
    importance: &[f64],
    mean: &[f64],
    variance: &[f64],
) -> Result<f64, SuperpositionError> {
    let n = w.ncols();
    for (argument, length) in
        [("b", b.len()), ("importance", importance.len()), ("mean", mean.len()), ("variance", variance.len())]
    {
        require_shape(argument, &[n], &[length])?;
    }
    let gram = w.t().dot(w);
    Ok((0..n)
        .map(|i| {
            let left = |j: usize| f64::from(u8::from(i == j)) - gram[[i, j]];
            let spread: f64 = (0..n).map(|j| left(j).powi(2) * variance[j]).sum();
            let shift = (0..n).map(|j| left(j) * mean[j]).sum::<f64>() - b[i];
            importance[i] * (spread + shift * shift)
        })
        .sum())
}

/// Returns the lowest expected loss of a linear model with `hidden` dimensions: the sum of the `n − m` smallest `I_i Var x_i`.
///
/// # Errors
/// [`SuperpositionError::Shape`] if the lengths differ.
///
/// # Examples
/// ```
/// use collimate_superposition::linear_lowest_loss;
/// assert_eq!(linear_lowest_loss(1, &[1.0, 1.0, 0.5], &[0.2, 0.1, 0.1])?, 0.1 + 0.05);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
///
/// # References
/// C. Eckart and G. Young (1936), applied to `diag(√I) (1 − G) diag(σ)`.
pub fn linear_lowest_loss(
    hidden: usize,
    importance: &[f64],
    variance: &[f64],
) -> Result<f64, SuperpositionError> {
    require_shape("variance", &[importance.len()], &[variance.len()])?;
    let mut worth: Vec<f64> = importance.iter().zip(variance).map(|(i, v)| i * v).collect();
    worth.sort_by(|a, b| b.total_cmp(a));
    Ok(worth.iter().skip(hidden).sum())
}

#[cfg(test)]
mod kernel_tests {
    use super::*;

    #[test]
    fn the_kernel_equals_the_plain_sum_over_samples() {
        let mut stream = RngStream::named(0, "toy loss kernel");
        for (m, n, rows) in [(1, 1, 1), (1, 3, 9), (2, 6, 8), (2, 6, 23), (3, 5, 40)] {
            for activation in [Activation::Relu, Activation::Linear] {
                let data = Array2::from_shape_simple_fn((rows, n), || stream.uniform_in(-1.0, 1.0));
                let importance: Vec<f64> = (0..n).map(|_| stream.uniform()).collect();
                let loss = ToyLoss::new(m, activation, importance, data).unwrap();
                let w: Vec<f64> = (0..loss.n_parameters()).map(|_| stream.normal()).collect();
                let chosen: Vec<usize> = (0..13).map(|_| stream.below(rows)).collect();
                for batch in [Batch::All, Batch::Indices(&chosen)] {
                    let (mut fast, mut plain) = (vec![f64::NAN; w.len()], vec![0.0; w.len()]);
                    let found = loss.loss_and_gradient_into(&w, batch, &mut Scratch::new(), &mut fast);
                    let shape = loss.shape();
                    let mut work = vec![0.0; shape.work()];
                    let share = 1.0 / batch.len(rows) as f64;
                    let all: Vec<usize> = (0..rows).collect();
                    let indices = if batch == Batch::All { &all } else { &chosen };
                    let mut add =
                        |i: &usize| shape.accumulate(&w, loss.row(*i), share, &mut work, &mut plain);
                    let expected: f64 = indices.iter().map(&mut add).sum();
                    assert!((found - expected).abs() <= 1e-13 * (1.0 + expected), "{m} {n} {rows}");
                    for (a, b) in fast.iter().zip(&plain) {
                        assert!((a - b).abs() <= 1e-12 * (1.0 + b.abs()), "{m} {n} {rows}: {a} {b}");
                    }
                }
            }
        }
    }
}
