use super::second_moments::{SecondMoments, dot};
use crate::error::{all_finite, positive};
use crate::{LearningCoefficient, SltError};
use collimate_grad::{Batch, Objective, PerSampleLosses, Scratch, SufficientStatistics};
use collimate_measure::{ensure, same_length};
use collimate_stream::RngStream;

/// A deep linear network of any depth.
///
/// ```text
/// ℓ_i(w) = |y_i − W_L … W_1 x_i|² / 2σ²
/// ∂W_l = (W_L … W_{l+1})ᵀ R (W_{l−1} … W_1)ᵀ/σ²,   R = W E[x xᵀ] − E[y xᵀ]   over all data
/// ```
///
/// # Shapes
/// `w` is `W_1` `[H_1, H_0]`, then `W_2` `[H_2, H_1]` and so on, row by row.
///
/// # Examples
/// ```
/// use collimate_grad::{Batch, Objective, Scratch};
/// use collimate_slt::DeepLinear;
/// use collimate_stream::RngStream;
/// let objective = DeepLinear::sample(&[2, 2, 2], 1.0, &[0.0; 8], 50, &mut RngStream::new(1, 0))?;
/// assert_eq!(objective.learning_coefficient(0)?.to_string(), "λ = 3/2, multiplicity 1");
/// let loss = objective.loss(&[0.0; 8], Batch::All, &mut Scratch::new());
/// assert!((0.5..1.5).contains(&loss)); // half of two unit noises
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
#[derive(Clone, Debug)]
pub struct DeepLinear {
    widths: Vec<usize>,
    /// The start of the matrix of each layer, and its rows and columns.
    matrices: Vec<(usize, usize, usize)>,
    precision: f64,
    /// The numbers x_i and y_i of every sample.
    rows: Vec<f64>,
    n: usize,
    moments: SecondMoments,
}

/// The activations of each layer, and the gradients of two neighbouring layers.
#[derive(Default)]
struct Work {
    layers: Vec<Vec<f64>>,
    back: Vec<f64>,
    next: Vec<f64>,
}

impl DeepLinear {
    /// Creates the loss of data from the network itself, with standard normal inputs and noise σ on `y`.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] for fewer than two widths, a width of 0, no samples or a noise that is not positive;
    /// [`SltError::Length`] and [`SltError::NonFinite`] for a `truth` of another length, with NaN or infinity.
    pub fn sample(
        widths: &[usize],
        noise: f64,
        truth: &[f64],
        n: usize,
        stream: &mut RngStream,
    ) -> Result<Self, SltError> {
        Self::from_draws(widths, noise, truth, n, |inputs, outputs, _| {
            let x: Vec<f64> = (0..inputs).map(|_| stream.normal()).collect();
            (x, (0..outputs).map(|_| noise * stream.normal()).collect())
        })
    }

    /// Creates the population loss at inputs of unit covariance, from one sample on each axis without noise.
    ///
    /// # Errors
    /// As [`DeepLinear::sample`].
    pub fn population(widths: &[usize], noise: f64, truth: &[f64]) -> Result<Self, SltError> {
        let n = widths.first().copied().unwrap_or(0);
        Self::from_draws(widths, noise, truth, n, |inputs, outputs, i| {
            let root = (inputs as f64).sqrt();
            ((0..inputs).map(|j| if i == j { root } else { 0.0 }).collect(), vec![0.0; outputs])
        })
    }

    /// Creates the loss from a function that returns the input and the noise of each sample.
    fn from_draws(
        widths: &[usize],
        noise: f64,
        truth: &[f64],
        n: usize,
        mut draw: impl FnMut(usize, usize, usize) -> (Vec<f64>, Vec<f64>),
    ) -> Result<Self, SltError> {
        let fewest = widths.iter().copied().min().unwrap_or(0);
        ensure(widths.len() >= 2, "the number of widths", "at least 2", widths.len() as f64)?;
        ensure(fewest > 0, "a width", "at least 1", fewest as f64)?;
        ensure(n > 0, "the number of samples", "at least 1", n as f64)?;
        positive("noise", noise)?;
        let parameters = widths.windows(2).map(|pair| pair[0] * pair[1]).sum();
        same_length("truth", parameters, truth.len())?;
        all_finite("truth", truth)?;
        let (inputs, outputs) = (widths[0], widths[widths.len() - 1]);
        let mut matrices = Vec::with_capacity(widths.len() - 1);
        let mut start = 0;
        for pair in widths.windows(2) {
            matrices.push((start, pair[1], pair[0]));
            start += pair[0] * pair[1];
        }
        let mut model = Self {
            widths: widths.to_vec(),
            matrices,
            precision: 1.0 / (noise * noise),
            rows: Vec::with_capacity(n * (inputs + outputs)),
            n,
            moments: SecondMoments::zeros(inputs, outputs),
        };
        let mut work = Work::default();
        for i in 0..n {
            let (x, errors) = draw(inputs, outputs, i);
            model.forward(truth, &x, &mut work);
            let clean = &work.layers[widths.len() - 1];
            let y: Vec<f64> = clean.iter().zip(&errors).map(|(clean, error)| clean + error).collect();
            model.moments.add(&x, &y, n);
            model.rows.extend(x.into_iter().chain(y));
        }
        Ok(model)
    }

    /// Returns λ and m at a true map of the given rank, as [`crate::deep_linear`].
    ///
    /// # Errors
    /// As [`crate::deep_linear`].
    pub fn learning_coefficient(&self, rank: usize) -> Result<LearningCoefficient, SltError> {
        Ok(crate::deep_linear(&self.widths, rank)?)
    }

    fn matrices(&self) -> impl DoubleEndedIterator<Item = (usize, usize, usize)> + ExactSizeIterator {
        self.matrices.iter().copied()
    }

    /// Computes the outputs of all layers.
    fn forward(&self, w: &[f64], x: &[f64], work: &mut Work) {
        work.layers.resize(self.widths.len(), Vec::new());
        work.layers[0].clear();
        work.layers[0].extend_from_slice(x);
        for (l, (start, rows, columns)) in self.matrices().enumerate() {
            let (before, after) = work.layers.split_at_mut(l + 1);
            after[0].clear();
            let matrix = &w[start..start + rows * columns];
            after[0].extend(matrix.chunks_exact(columns).map(|row| dot(row, &before[l])));
        }
    }

    /// Returns the input and the output of a sample.
    fn row(&self, i: usize) -> (&[f64], &[f64]) {
        let (inputs, outputs) = (self.widths[0], self.widths[self.widths.len() - 1]);
        self.rows[i * (inputs + outputs)..(i + 1) * (inputs + outputs)].split_at(inputs)
    }

    /// Adds the gradient of one sample times `share` to `out`, and returns its loss times `share`.
    fn accumulate(&self, w: &[f64], i: usize, share: f64, work: &mut Work, out: &mut [f64]) -> f64 {
        let (x, y) = self.row(i);
        self.forward(w, x, work);
        let last = &work.layers[self.widths.len() - 1];
        work.back.clear();
        work.back.extend(last.iter().zip(y).map(|(f, y)| f - y));
        let squares = dot(&work.back, &work.back);
        work.back.iter_mut().for_each(|r| *r *= share * self.precision);
        for (l, (start, rows, columns)) in self.matrices().enumerate().rev() {
            let (matrix, out) = (&w[start..start + rows * columns], &mut out[start..start + rows * columns]);
            work.next.clear();
            work.next.resize(columns, 0.0);
            let pairs = matrix.chunks_exact(columns).zip(out.chunks_exact_mut(columns)).zip(&work.back);
            for ((row, out), &r) in pairs {
                out.iter_mut().zip(&work.layers[l]).for_each(|(out, a)| *out += r * a);
                work.next.iter_mut().zip(row).for_each(|(next, w)| *next += r * w);
            }
            std::mem::swap(&mut work.back, &mut work.next);
        }
        0.5 * share * self.precision * squares
    }
}

impl Objective<f64> for DeepLinear {
    fn n_parameters(&self) -> usize {
        self.widths.windows(2).map(|pair| pair[0] * pair[1]).sum()
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
        out.fill(0.0);
        let work = scratch.slot(Work::default);
        let share = 1.0 / batch.len(self.n) as f64;
        let mut add = |i: usize| self.accumulate(w, i, share, work, out);
        batch.iter(self.n).map(&mut add).sum()
    }

    fn coordinate_name(&self, index: usize) -> String {
        let layer =
            self.matrices().enumerate().find(|(_, (start, rows, columns))| index < start + rows * columns);
        match layer {
            Some((l, (start, _, columns))) => {
                format!("W{}[{}, {}]", l + 1, (index - start) / columns, (index - start) % columns)
            }
            None => format!("w[{index}]"),
        }
    }

    fn per_sample_losses(&self) -> Option<&dyn PerSampleLosses<f64>> {
        Some(self)
    }

    fn sufficient_statistics(&self) -> Option<&dyn SufficientStatistics<f64>> {
        Some(self)
    }
}

impl PerSampleLosses<f64> for DeepLinear {
    fn per_sample_losses_into(&self, w: &[f64], batch: Batch<'_>, scratch: &mut Scratch, out: &mut [f64]) {
        let work = scratch.slot(Work::default);
        for (i, out) in batch.iter(self.n).zip(out) {
            let (x, y) = self.row(i);
            self.forward(w, x, work);
            let squares: f64 =
                work.layers[self.widths.len() - 1].iter().zip(y).map(|(f, y)| (f - y) * (f - y)).sum();
            *out = 0.5 * self.precision * squares;
        }
    }
}

/// The products `W_l … W_1` `[H_l, H_0]` from l = 2 on, and the gradients with respect to two neighbouring products.
#[derive(Default)]
struct Products {
    from_second: Vec<Vec<f64>>,
    back: Vec<f64>,
    next: Vec<f64>,
}

impl SufficientStatistics<f64> for DeepLinear {
    fn full_loss_and_gradient_into(&self, w: &[f64], scratch: &mut Scratch, out: &mut [f64]) -> f64 {
        let inputs = self.widths[0];
        let work = scratch.slot(Products::default);
        let first = &w[..self.widths[1] * inputs];
        work.from_second.resize(self.matrices.len() - 1, Vec::new());
        for (l, (start, rows, columns)) in self.matrices().skip(1).enumerate() {
            let (before, after) = work.from_second.split_at_mut(l);
            let before = before.last().map_or(first, Vec::as_slice);
            after[0].clear();
            after[0].resize(rows * inputs, 0.0);
            let matrix = &w[start..start + rows * columns];
            for (row, out) in matrix.chunks_exact(columns).zip(after[0].chunks_exact_mut(inputs)) {
                for (&a, b) in row.iter().zip(before.chunks_exact(inputs)) {
                    out.iter_mut().zip(b).for_each(|(out, b)| *out += a * b);
                }
            }
        }
        // R = P S − C; the loss is tr(P S Pᵀ) − 2 tr(P Cᵀ) + E|y|² = Σ P·(R − C) + E|y|².
        let product = work.from_second.last().map_or(first, Vec::as_slice);
        work.back.clear();
        let mut twice = self.moments.yy;
        for (row, yx) in product.chunks_exact(inputs).zip(self.moments.yx.chunks_exact(inputs)) {
            for (j, s) in self.moments.xx.chunks_exact(inputs).enumerate() {
                let residual = dot(row, s) - yx[j];
                twice += row[j] * (residual - yx[j]);
                work.back.push(self.precision * residual);
            }
        }
        for (l, (start, rows, columns)) in self.matrices().enumerate().skip(1).rev() {
            let (matrix, out) = (&w[start..start + rows * columns], &mut out[start..start + rows * columns]);
            let before = if l == 1 { first } else { &work.from_second[l - 2] };
            work.next.clear();
            work.next.resize(columns * inputs, 0.0);
            for i in 0..rows {
                let r = &work.back[i * inputs..(i + 1) * inputs];
                for j in 0..columns {
                    out[i * columns + j] = dot(r, &before[j * inputs..(j + 1) * inputs]);
                    let a = matrix[i * columns + j];
                    work.next[j * inputs..(j + 1) * inputs]
                        .iter_mut()
                        .zip(r)
                        .for_each(|(next, r)| *next += a * r);
                }
            }
            std::mem::swap(&mut work.back, &mut work.next);
        }
        out[..first.len()].copy_from_slice(&work.back);
        0.5 * self.precision * twice
    }
}
