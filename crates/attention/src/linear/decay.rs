//! Products of rows with the decay between their positions. They never divide by a decay.

use crate::tasks::product;
use collimate_tensor::Scalar;
use ndarray::{Array1, Array2, ArrayRef2, ArrayView1, s};

/// The size of the blocks on the diagonal in which single channels are multiplied one by one.
const STRIP: usize = 16;

/// The factors of a run of tokens `[t, 1 or d]`: before token `i` the state is multiplied by row `i`.
pub(super) struct Decay<'a, F> {
    factors: &'a Array2<F>,
    /// The decay from the start of the run to token `i`: the product of rows `..= i`.
    enter: Array2<F>,
    /// The decay from token `i` to the end of the run: the product of rows `i + 1 ..`.
    leave: Array2<F>,
}

impl<'a, F: Scalar> Decay<'a, F> {
    pub(super) fn new(factors: &'a Array2<F>) -> Self {
        let (mut enter, mut leave) = (factors.clone(), Array2::ones(factors.dim()));
        for i in 1..factors.nrows() {
            let next = &enter.row(i - 1) * &factors.row(i);
            enter.row_mut(i).assign(&next);
        }
        for i in (1..factors.nrows()).rev() {
            let next = &leave.row(i) * &factors.row(i);
            leave.row_mut(i - 1).assign(&next);
        }
        Self { factors, enter, leave }
    }

    /// Multiplies row `i` of `x` by the decay from the start of the run.
    pub(super) fn entering(&self, x: &Array2<F>) -> Array2<F> {
        x * &self.enter
    }

    /// Multiplies row `i` of `x` by the decay to the end of the run.
    pub(super) fn leaving(&self, x: &Array2<F>) -> Array2<F> {
        x * &self.leave
    }

    /// Multiplies the state before the run by the decay of the whole run. `state` has a row for each channel.
    pub(super) fn whole(&self, state: &Array2<F>) -> Array2<F> {
        let last = self.enter.row(self.enter.nrows() - 1);
        let mut left = state.clone();
        for (c, mut row) in left.rows_mut().into_iter().enumerate() {
            let factor = last[c.min(last.len() - 1)];
            row.mapv_inplace(|x| x * factor);
        }
        left
    }

    /// Computes the gradient by the logarithms of the factors from the gradient by each running sum of them `[t, d]`.
    pub(super) fn gradient(&self, by_running_sum: Array2<F>) -> Array2<F> {
        let mut gradient = by_running_sum;
        // A factor is in all sums from its own on.
        for i in (1..gradient.nrows()).rev() {
            let later = gradient.row(i).to_owned();
            let mut row = gradient.row_mut(i - 1);
            row += &later;
        }
        match self.factors.ncols() {
            1 => gradient.sum_axis(ndarray::Axis(1)).insert_axis(ndarray::Axis(1)),
            _ => gradient,
        }
    }

    fn per_channel(&self) -> bool {
        self.factors.ncols() > 1
    }

    /// Computes `pᵢⱼ = Σ_c xᵢc yⱼc Π_{j < l ≤ i} factor_lc` for j ≤ i, zero above the diagonal.
    pub(super) fn products(&self, x: &Array2<F>, y: &Array2<F>) -> Array2<F> {
        let n = x.nrows();
        let mut p = Array2::zeros((n, n));
        if !self.per_channel() {
            product(F::one(), x, &y.t(), F::zero(), &mut p);
            p *= &self.between();
            return p;
        }
        self.strips(|first, past, head, far| {
            product(
                F::one(),
                &(&x.slice(s![first..past, ..]) * &head),
                &(&y.slice(s![..first, ..]) * &far).t(),
                F::zero(),
                &mut p.slice_mut(s![first..past, ..first]),
            );
            self.near(first, past, |i, j, w| p[[i, j]] = inner(&x.row(i), &w, &y.row(j)));
        });
        p
    }

    /// Computes the gradients by x and y of [`Decay::products`] from a gradient that is zero above the diagonal.
    pub(super) fn products_back(
        &self,
        x: &Array2<F>,
        y: &Array2<F>,
        d_p: &Array2<F>,
    ) -> (Array2<F>, Array2<F>) {
        let (mut d_x, mut d_y) = (Array2::zeros(x.dim()), Array2::zeros(y.dim()));
        if !self.per_channel() {
            let d_p = d_p * &self.between();
            product(F::one(), &d_p, y, F::zero(), &mut d_x);
            product(F::one(), &d_p.t(), x, F::zero(), &mut d_y);
            return (d_x, d_y);
        }
        self.strips(|first, past, head, far| {
            let d_p_far = d_p.slice(s![first..past, ..first]);
            let mut by_x = Array2::zeros((past - first, x.ncols()));
            product(F::one(), &d_p_far, &(&y.slice(s![..first, ..]) * &far), F::zero(), &mut by_x);
            let mut rows = d_x.slice_mut(s![first..past, ..]);
            rows += &(by_x * &head);
            let mut by_y = Array2::zeros((first, y.ncols()));
            let x_here = &x.slice(s![first..past, ..]) * &head;
            product(F::one(), &d_p_far.t(), &x_here, F::zero(), &mut by_y);
            let mut rows = d_y.slice_mut(s![..first, ..]);
            rows += &(by_y * &far);
            self.near(first, past, |i, j, w| {
                for c in 0..x.ncols() {
                    let weight = d_p[[i, j]] * w[c];
                    d_x[[i, c]] += weight * y[[j, c]];
                    d_y[[j, c]] += weight * x[[i, c]];
                }
            });
        });
        (d_x, d_y)
    }

    /// Returns the decay from token `j` to token `i`, zero above the diagonal, for one number for each token.
    fn between(&self) -> Array2<F> {
        let n = self.factors.nrows();
        let mut between = Array2::zeros((n, n));
        for i in 0..n {
            for j in 0..i {
                between[[i, j]] = between[[i - 1, j]] * self.factors[[i, 0]];
            }
            between[[i, i]] = F::one();
        }
        between
    }

    /// Calls `strip(first, past, head, far)` for each strip of rows: `head` is the decay from the strip's beginning to
    /// its rows, `far` that from each earlier row to the strip's beginning. Both are products of factors, so they are in
    /// range for all factors. A quotient of running products would not be.
    fn strips(&self, mut strip: impl FnMut(usize, usize, Array2<F>, Array2<F>)) {
        let (n, d) = self.factors.dim();
        let mut far = Array2::<F>::zeros((0, d));
        for first in (0..n).step_by(STRIP) {
            let past = (first + STRIP).min(n);
            let own = self.factors.slice(s![first..past, ..]).to_owned();
            let decay = Decay::new(&own);
            strip(first, past, decay.enter.clone(), far.clone());
            let mut next = Array2::zeros((past, d));
            let whole = decay.enter.row(past - first - 1);
            next.slice_mut(s![..first, ..]).assign(&(&far * &whole));
            next.slice_mut(s![first.., ..]).assign(&decay.leave);
            far = next;
        }
    }

    /// Calls `pair(i, j, w)` for the pairs j ≤ i of a strip with the decay `w` between them.
    fn near(&self, first: usize, past: usize, mut pair: impl FnMut(usize, usize, ArrayView1<'_, F>)) {
        for j in first..past {
            let mut w = Array1::ones(self.factors.ncols());
            for i in j..past {
                if i > j {
                    w *= &self.factors.row(i);
                }
                pair(i, j, w.view());
            }
        }
    }
}

/// Returns `Σ_c x_c w_c y_c`.
fn inner<F: Scalar>(x: &ArrayView1<'_, F>, w: &ArrayView1<'_, F>, y: &ArrayView1<'_, F>) -> F {
    let mut sum = F::zero();
    for c in 0..x.len() {
        sum += x[c] * w[c] * y[c];
    }
    sum
}

/// Sets the numbers above the diagonal to zero, and with `strict` the diagonal too.
pub(super) fn keep_lower<F: Scalar>(p: &mut ArrayRef2<F>, strict: bool) {
    for (i, mut row) in p.rows_mut().into_iter().enumerate() {
        let from = if strict { i } else { i + 1 };
        row.slice_mut(s![from..]).fill(F::zero());
    }
}
