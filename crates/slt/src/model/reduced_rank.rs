use super::second_moments::{SecondMoments, dot};
use crate::error::{all_finite, positive};
use crate::kernels::reduced_rank as kernels;
use crate::{LearningCoefficient, SltError};
use collimate_grad::{Batch, Objective, PerSampleLosses, Scratch, SufficientStatistics};
use collimate_measure::{ensure, same_length};
use collimate_stream::RngStream;
use ndarray::ArrayRef2;

/// The sizes and the noise of a [`ReducedRank`] model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReducedRankConfig {
    /// The number of inputs M.
    pub inputs: usize,
    /// The number of hidden units H.
    pub hidden: usize,
    /// The number of outputs N.
    pub outputs: usize,
    /// The standard deviation σ of the Gaussian noise in the likelihood.
    pub noise: f64,
}

impl ReducedRankConfig {
    /// Returns the number of parameters, `H (M + N)`.
    pub fn n_parameters(&self) -> usize {
        self.hidden * (self.inputs + self.outputs)
    }

    /// Returns λ and m at a true map of the given rank, as [`crate::reduced_rank`].
    ///
    /// # Errors
    /// As [`crate::reduced_rank`].
    pub fn learning_coefficient(&self, rank: usize) -> Result<LearningCoefficient, SltError> {
        Ok(crate::reduced_rank(self.inputs, self.hidden, self.outputs, rank)?)
    }

    /// Returns an error unless all sizes and the noise are positive.
    fn check(&self) -> Result<(), SltError> {
        for (argument, size) in [("inputs", self.inputs), ("hidden", self.hidden), ("outputs", self.outputs)]
        {
            ensure(size > 0, argument, "at least 1", size as f64)?;
        }
        positive("noise", self.noise)?;
        Ok(())
    }
}

/// Reduced-rank regression, a linear network with one hidden layer. It is the simplest singular model of practical interest.
///
/// ```text
/// ℓ_i(w) = |y_i − B A x_i|² / 2σ²        (minus the log likelihood, without its constant)
/// ∂A = Bᵀ R Xᵀ,  ∂B = R (A X)ᵀ,  R = (B A X − Y)/σ²
/// ```
///
/// # Shapes
/// `w` is `A` `[H, M]` and then `B` `[N, H]`, row by row.
///
/// # Determinism
/// Sums run over groups of eight samples in order. The bits depend only on the `CpuLevel` (fused multiply-add).
///
/// # Examples
/// ```
/// use collimate_grad::{Batch, Objective, Scratch};
/// use collimate_slt::{ReducedRank, ReducedRankConfig};
/// use ndarray::array;
/// let config = ReducedRankConfig { inputs: 1, hidden: 1, outputs: 1, noise: 1.0 };
/// let objective = ReducedRank::new(config, &array![[1.0], [2.0]], &array![[2.0], [4.0]])?;
/// let mut gradient = [0.0; 2];
/// // y = b a x with a = b = 1. The residuals are −1 and −2, and each derivative is the mean of r x.
/// let loss = objective.loss_and_gradient_into(&[1.0, 1.0], Batch::All, &mut Scratch::new(), &mut gradient);
/// assert_eq!((loss, gradient), (1.25, [-2.5, -2.5]));
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReducedRank {
    config: ReducedRankConfig,
    /// The numbers x_i and y_i of every sample, and one row of zeros.
    rows: Vec<f64>,
    /// The samples in groups, column by column. The last group is filled with zeros.
    groups: Vec<kernels::Lane>,
    n: usize,
    moments: SecondMoments,
}

impl ReducedRank {
    /// Creates the objective of given data.
    ///
    /// # Shapes
    /// `x` `[n, M]`, `y` `[n, N]`.
    ///
    /// # Errors
    /// [`SltError::Length`] if the shapes do not fit, [`SltError::NonFinite`] for NaN or infinity in the data,
    /// [`SltError::OutOfRange`] for a size of 0, no samples, or a noise that is not positive.
    pub fn new(config: ReducedRankConfig, x: &ArrayRef2<f64>, y: &ArrayRef2<f64>) -> Result<Self, SltError> {
        same_length("the columns of x", config.inputs, x.ncols())?;
        same_length("the columns of y", config.outputs, y.ncols())?;
        same_length("the rows of y", x.nrows(), y.nrows())?;
        all_finite("x", x)?;
        all_finite("y", y)?;
        let rows = x.rows().into_iter().zip(y.rows());
        Self::of_rows(config, rows.flat_map(|(x, y)| x.to_vec().into_iter().chain(y.to_vec())).collect())
    }

    /// Creates the objective of data from the model itself.
    ///
    /// The inputs are standard normal, and `y = B₀ A₀ x + σ·noise` at the true parameters `truth`.
    ///
    /// # Errors
    /// As [`ReducedRank::new`], and [`SltError::Length`] if `truth` has another length.
    pub fn sample(
        config: ReducedRankConfig,
        truth: &[f64],
        n: usize,
        stream: &mut RngStream,
    ) -> Result<Self, SltError> {
        config.check()?;
        same_length("truth", config.n_parameters(), truth.len())?;
        all_finite("truth", truth)?;
        let (a, b) = truth.split_at(config.hidden * config.inputs);
        let mut rows = Vec::with_capacity(n * (config.inputs + config.outputs));
        for _ in 0..n {
            let start = rows.len();
            rows.extend((0..config.inputs).map(|_| stream.normal()));
            let x = &rows[start..];
            let hidden: Vec<f64> = a.chunks_exact(config.inputs).map(|row| dot(row, x)).collect();
            let clean: Vec<f64> = b.chunks_exact(config.hidden).map(|row| dot(row, &hidden)).collect();
            rows.extend(clean.into_iter().map(|y| y + config.noise * stream.normal()));
        }
        Self::of_rows(config, rows)
    }

    fn of_rows(config: ReducedRankConfig, mut rows: Vec<f64>) -> Result<Self, SltError> {
        config.check()?;
        let (m, k) = (config.inputs, config.outputs);
        let n = rows.len() / (m + k);
        ensure(n > 0, "the number of samples", "at least 1", n as f64)?;
        let mut moments = SecondMoments::zeros(m, k);
        for row in rows.chunks_exact(m + k) {
            let (x, y) = row.split_at(m);
            moments.add(x, y, n);
        }
        rows.resize((n + 1) * (m + k), 0.0);
        let lane = |group: usize, column: usize| -> kernels::Lane {
            std::array::from_fn(|l| rows[(group * kernels::LANES + l).min(n) * (m + k) + column])
        };
        let groups = (0..n.div_ceil(kernels::LANES)).flat_map(|g| (0..m + k).map(move |c| (g, c)));
        let groups = groups.map(|(group, column)| lane(group, column)).collect();
        Ok(Self { config, rows, groups, n, moments })
    }

    /// Returns the sizes and the noise.
    pub fn config(&self) -> &ReducedRankConfig {
        &self.config
    }

    /// Returns 1/σ².
    fn precision(&self) -> f64 {
        1.0 / (self.config.noise * self.config.noise)
    }
}

impl Objective<f64> for ReducedRank {
    fn n_parameters(&self) -> usize {
        self.config.n_parameters()
    }

    fn n_samples(&self) -> usize {
        self.n
    }

    fn loss_and_gradient_into(
        &self,
        w: &[f64],
        batch: Batch<'_>,
        scratch: &mut Scratch,
        out: &mut [f64],
    ) -> f64 {
        assert!(
            w.len() == self.n_parameters() && out.len() == w.len(),
            "w and out have n_parameters entries"
        );
        let c = &self.config;
        let shape = kernels::Shape { inputs: c.inputs, hidden: c.hidden, outputs: c.outputs };
        let lanes = scratch.slot(kernels::Lanes::default);
        let count = batch.len(self.n);
        let samples = match batch {
            Batch::All => kernels::Samples::Groups(&self.groups),
            Batch::Indices(indices) => kernels::Samples::Picked(&self.rows, indices),
        };
        let squares = kernels::squared_error(shape, w, samples, lanes, out);
        let scale = self.precision() / count as f64;
        out.iter_mut().for_each(|g| *g *= scale);
        0.5 * scale * squares
    }

    fn coordinate_name(&self, index: usize) -> String {
        let (m, h) = (self.config.inputs, self.config.hidden);
        match index.checked_sub(h * m) {
            None => format!("A[{}, {}]", index / m, index % m),
            Some(at) => format!("B[{}, {}]", at / h, at % h),
        }
    }

    fn per_sample_losses(&self) -> Option<&dyn PerSampleLosses<f64>> {
        Some(self)
    }

    fn sufficient_statistics(&self) -> Option<&dyn SufficientStatistics<f64>> {
        Some(self)
    }
}

impl PerSampleLosses<f64> for ReducedRank {
    fn per_sample_losses_into(&self, w: &[f64], batch: Batch<'_>, scratch: &mut Scratch, out: &mut [f64]) {
        let (m, h) = (self.config.inputs, self.config.hidden);
        let (a, b) = w.split_at(h * m);
        let [hidden] = scratch.floats::<f64, 1>([h]);
        for (i, out) in batch.iter(self.n_samples()).zip(out) {
            let width = m + self.config.outputs;
            let (x, y) = self.rows[i * width..(i + 1) * width].split_at(m);
            hidden.iter_mut().zip(a.chunks_exact(m)).for_each(|(hidden, row)| *hidden = dot(row, x));
            let squares: f64 =
                y.iter().zip(b.chunks_exact(h)).map(|(y, row)| (dot(row, hidden) - y).powi(2)).sum();
            *out = 0.5 * self.precision() * squares;
        }
    }
}

impl SufficientStatistics<f64> for ReducedRank {
    fn full_loss_and_gradient_into(&self, w: &[f64], scratch: &mut Scratch, out: &mut [f64]) -> f64 {
        let (m, h, k) = (self.config.inputs, self.config.hidden, self.config.outputs);
        let s = &self.moments;
        let (a, b) = w.split_at(h * m);
        let (d_a, d_b) = out.split_at_mut(h * m);
        // For one output at a time, `map` is the row of B A, and `residual` the row of (B A) E[x xᵀ] − E[y xᵀ].
        let [map, residual] = scratch.floats::<f64, 2>([m, m]);
        d_a.fill(0.0);
        let mut twice = s.yy;
        for o in 0..k {
            map.fill(0.0);
            for (&b, a) in b[o * h..(o + 1) * h].iter().zip(a.chunks_exact(m)) {
                map.iter_mut().zip(a).for_each(|(map, a)| *map += b * a);
            }
            let yx = &s.yx[o * m..(o + 1) * m];
            for ((residual, xx), yx) in residual.iter_mut().zip(s.xx.chunks_exact(m)).zip(yx) {
                *residual = dot(xx, map) - yx;
            }
            // tr(W S Wᵀ) − 2 tr(W E[x yᵀ]) = Σ map·(residual − yx)
            twice += dot(map, residual) - dot(map, yx);
            for j in 0..h {
                d_b[o * h + j] = self.precision() * dot(residual, &a[j * m..(j + 1) * m]);
                let scale = self.precision() * b[o * h + j];
                d_a[j * m..(j + 1) * m].iter_mut().zip(&*residual).for_each(|(d, r)| *d += scale * r);
            }
        }
        0.5 * self.precision() * twice
    }
}
