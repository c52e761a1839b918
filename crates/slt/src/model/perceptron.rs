use crate::SltError;
use crate::error::positive;
use collimate_grad::{Batch, Objective, PerSampleLosses, Scratch};
use collimate_measure::{ensure, same_length};
use collimate_tensor::{Scalar, matmul_into};
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};

/// A multilayer perceptron with tanh units, in either precision.
///
/// ```text
/// a_0 = x,   a_l = tanh(a_{l−1} W_lᵀ + b_l),   the last layer without tanh
/// ℓ_i(w) = |y_i − f(x_i)|² / 2σ²
/// ```
///
/// # Shapes
/// `w` is `W_1` `[H_1, H_0]` row by row, `b_1` `[H_1]`, then the next layer.
///
/// # Determinism
/// The bits do not depend on the number of threads.
///
/// # Examples
/// ```
/// use collimate_grad::{Batch, Objective, Scratch};
/// use collimate_slt::Perceptron;
/// use ndarray::array;
/// let objective = Perceptron::new(&[1, 1, 1], 1.0, array![[1.0_f64]], array![[0.0]])?;
/// // w = (W₁, b₁, W₂, b₂): f = 2 tanh(0) + 3.
/// let mut gradient = [0.0; 4];
/// let loss = objective.loss_and_gradient_into(&[0.0, 0.0, 2.0, 3.0], Batch::All, &mut Scratch::new(), &mut gradient);
/// assert!((loss - 4.5).abs() < 1e-12 && (gradient[0] - 6.0).abs() < 1e-12 && (gradient[3] - 3.0).abs() < 1e-12);
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Perceptron<F> {
    widths: Vec<usize>,
    precision: F,
    x: Array2<F>,
    y: Array2<F>,
}

/// The rows of a batch and the outputs of each layer.
struct Work<F> {
    layers: Vec<Array2<F>>,
    back: Array2<F>,
    next: Array2<F>,
}

impl<F: Scalar> Perceptron<F> {
    /// Creates a perceptron with the given widths on data.
    ///
    /// # Shapes
    /// `x` `[n, H_0]`, `y` `[n, H_L]`.
    ///
    /// # Errors
    /// [`SltError::Length`] if the shapes do not fit, [`SltError::NonFinite`] for NaN or infinity in the data,
    /// [`SltError::OutOfRange`] for fewer than two widths, a width of 0, no samples, or a noise that is not positive.
    pub fn new(widths: &[usize], noise: f64, x: Array2<F>, y: Array2<F>) -> Result<Self, SltError> {
        let fewest = widths.iter().copied().min().unwrap_or(0);
        ensure(widths.len() >= 2, "the number of widths", "at least 2", widths.len() as f64)?;
        ensure(fewest > 0, "a width", "at least 1", fewest as f64)?;
        ensure(x.nrows() > 0, "the number of samples", "at least 1", x.nrows() as f64)?;
        positive("noise", noise)?;
        same_length("the columns of x", widths[0], x.ncols())?;
        same_length("the columns of y", widths[widths.len() - 1], y.ncols())?;
        same_length("the rows of y", x.nrows(), y.nrows())?;
        for (argument, data) in [("x", &x), ("y", &y)] {
            if let Some(index) = data.iter().position(|v| !v.is_finite()) {
                let value = data.iter().nth(index).map_or(f64::NAN, |v| Scalar::to_f64(*v));
                return Err(SltError::NonFinite { argument, index, value });
            }
        }
        let precision = F::from_f64(1.0 / (noise * noise));
        Ok(Self { widths: widths.to_vec(), precision, x, y })
    }

    /// Returns the start of layer `l` (from 0) in the flat parameters, and the rows and columns of its weights.
    fn layer(&self, l: usize) -> (usize, usize, usize) {
        let start: usize = self.widths[..=l].windows(2).map(|pair| (pair[0] + 1) * pair[1]).sum();
        (start, self.widths[l + 1], self.widths[l])
    }

    /// Computes the outputs of all layers.
    fn forward(&self, w: &[F], batch: Batch<'_>, work: &mut Work<F>) {
        let count = batch.len(self.x.nrows());
        let depth = self.widths.len() - 1;
        if work.layers.len() != depth + 1 || work.layers[0].dim() != (count, self.widths[0]) {
            work.layers = self.widths.iter().map(|&width| Array2::zeros((count, width))).collect();
        }
        match batch {
            Batch::All => work.layers[0].assign(&self.x),
            Batch::Indices(indices) => {
                for (mut row, &i) in work.layers[0].rows_mut().into_iter().zip(indices) {
                    row.assign(&self.x.row(i));
                }
            }
        }
        for l in 0..depth {
            let (start, rows, columns) = self.layer(l);
            let (weights, rest) = w[start..].split_at(rows * columns);
            let weights = view(weights, rows, columns);
            let (before, after) = work.layers.split_at_mut(l + 1);
            for mut row in after[0].rows_mut() {
                row.iter_mut().zip(&rest[..rows]).for_each(|(out, &b)| *out = b);
            }
            matmul_into(F::one(), &before[l], &weights.t(), F::one(), &mut after[0])
                .expect("the shapes follow from the widths");
            if l + 1 < depth {
                tanh_all(&mut after[0]);
            }
        }
    }
}

impl<F: Scalar> Work<F> {
    fn new() -> Self {
        Self { layers: Vec::new(), back: Array2::zeros((0, 0)), next: Array2::zeros((0, 0)) }
    }
}

fn view<F>(data: &[F], rows: usize, columns: usize) -> ArrayView2<'_, F> {
    ArrayView2::from_shape((rows, columns), data).expect("the slice was cut to this size")
}

/// Computes `tanh x = 1 − 2/(1 + e^{2x})` with the vectorised exponential. The absolute error is that of rounding.
fn tanh_all<F: Scalar>(x: &mut Array2<F>) {
    let x = x.as_slice_mut().expect("layers are laid out row by row");
    let two = F::from_f64(2.0);
    // Beyond ±20 the result is ±1 in either precision, and e^{2x} stays finite in f32.
    let end = F::from_f64(20.0);
    x.iter_mut().for_each(|x| *x = two * x.max(-end).min(end));
    F::exp_kernel(x);
    x.iter_mut().for_each(|x| *x = F::one() - two / (F::one() + *x));
}

impl<F: Scalar> Objective<F> for Perceptron<F> {
    fn n_parameters(&self) -> usize {
        self.widths.windows(2).map(|pair| (pair[0] + 1) * pair[1]).sum()
    }

    fn n_samples(&self) -> usize {
        self.x.nrows()
    }

    fn loss_and_gradient_into(&self, w: &[F], batch: Batch<'_>, scratch: &mut Scratch, out: &mut [F]) -> F {
        let work = scratch.slot(Work::<F>::new);
        self.forward(w, batch, work);
        let depth = self.widths.len() - 1;
        let count = batch.len(self.x.nrows());
        let share = self.precision / F::from_f64(count as f64);
        let mut squares = F::zero();
        if work.back.dim() != work.layers[depth].dim() {
            work.back = Array2::zeros(work.layers[depth].dim());
        }
        let rows = work.back.rows_mut().into_iter().zip(work.layers[depth].rows());
        for (i, (mut back, f)) in batch.iter(self.x.nrows()).zip(rows) {
            let y = self.y.row(i);
            for ((back, &f), &y) in back.iter_mut().zip(&f).zip(&y) {
                squares += (f - y) * (f - y);
                *back = share * (f - y);
            }
        }
        for l in (0..depth).rev() {
            let (start, rows, columns) = self.layer(l);
            let (d_weights, rest) = out[start..].split_at_mut(rows * columns);
            let mut d_weights = ArrayViewMut2::from_shape((rows, columns), d_weights)
                .expect("the slice was cut to this size");
            matmul_into(F::one(), &work.back.t(), &work.layers[l], F::zero(), &mut d_weights)
                .expect("the shapes follow from the widths");
            let d_bias = &mut rest[..rows];
            d_bias.fill(F::zero());
            for row in work.back.axis_iter(Axis(0)) {
                d_bias.iter_mut().zip(&row).for_each(|(sum, &r)| *sum += r);
            }
            if l > 0 {
                let weights = view(&w[start..start + rows * columns], rows, columns);
                if work.next.dim() != (count, columns) {
                    work.next = Array2::zeros((count, columns));
                }
                matmul_into(F::one(), &work.back, &weights, F::zero(), &mut work.next)
                    .expect("the shapes follow from the widths");
                for (next, &a) in work.next.iter_mut().zip(&work.layers[l]) {
                    *next *= F::one() - a * a;
                }
                std::mem::swap(&mut work.back, &mut work.next);
            }
        }
        F::from_f64(0.5) * share * squares
    }

    fn per_sample_losses(&self) -> Option<&dyn PerSampleLosses<F>> {
        Some(self)
    }
}

impl<F: Scalar> PerSampleLosses<F> for Perceptron<F> {
    fn per_sample_losses_into(&self, w: &[F], batch: Batch<'_>, scratch: &mut Scratch, out: &mut [F]) {
        let work = scratch.slot(Work::<F>::new);
        self.forward(w, batch, work);
        let half = F::from_f64(0.5) * self.precision;
        let rows = work.layers[self.widths.len() - 1].rows();
        for (i, (out, f)) in batch.iter(self.x.nrows()).zip(out.iter_mut().zip(rows)) {
            let y = self.y.row(i);
            let mut squares = F::zero();
            for (&f, &y) in f.iter().zip(&y) {
                squares += (f - y) * (f - y);
            }
            *out = half * squares;
        }
    }
}
