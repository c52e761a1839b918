use crate::kernels::Loops;
use collimate_tensor::axpy;
use ndarray::{Array2, ArrayRef2, ArrayView1, ArrayView2, ArrayViewMut2};

/// The non-finite rows of a matrix, and the matrix with zeros in these rows.
///
/// In a product `P·V` a weight of zero does not keep NaN out, since 0 · NaN = NaN. So the product runs over the matrix with zeros,
/// and the non-finite rows are added afterwards to exactly the outputs that attend to them. The other outputs get the same
/// bits as with finite rows.
pub(crate) struct NonFinite<F> {
    pub(crate) clean: Array2<F>,
    rows: Vec<usize>,
}

impl<F: Loops> NonFinite<F> {
    /// Finds the non-finite rows. Returns `None` if all numbers are finite, which is nearly always the case.
    pub(crate) fn find(matrix: &ArrayView2<'_, F>) -> Option<Self> {
        // One check of the whole matrix if its rows are contiguous.
        if matrix.as_slice().is_some_and(F::all_finite) {
            return None;
        }
        let rows: Vec<usize> = (0..matrix.nrows()).filter(|&i| !row_is_finite(matrix.row(i))).collect();
        if rows.is_empty() {
            return None;
        }
        let mut clean = matrix.to_owned();
        for &row in &rows {
            clean.row_mut(row).fill(F::zero());
        }
        Some(Self { clean, rows })
    }

    /// Adds `weights[j][i] · raw[j][e]` to `sum[e][i]` for the non-finite rows j, where `reaches(j, i)`. Rows of weights are
    /// `width` apart, rows of sums `sum_row`.
    pub(crate) fn add_to_columns(
        &self,
        raw: &ArrayView2<'_, F>,
        (weights, width): (&[F], usize),
        columns: usize,
        reaches: impl Fn(usize, usize) -> bool,
        (sum, sum_row): (&mut [F], usize),
    ) {
        for &j in &self.rows {
            for i in (0..columns).filter(|&i| reaches(j, i)) {
                for (e, &x) in raw.row(j).iter().enumerate() {
                    sum[e * sum_row + i] += weights[j * width + i] * x;
                }
            }
        }
    }

    /// Adds `factor · weights[j][i − first] · raw[i]` to `sum[j]` for the non-finite rows i, where `reaches(j, i)`. Rows of weights
    /// are `width` numbers, rows of sums `wide`.
    pub(crate) fn add_to_rows(
        &self,
        raw: &ArrayView2<'_, F>,
        factor: F,
        (weights, first, width): (&[F], usize, usize),
        reaches: impl Fn(usize, usize) -> bool,
        (sum, wide): (&mut [F], usize),
    ) {
        for &i in self.rows.iter().filter(|&&i| (first..first + width).contains(&i)) {
            for (j, (weights, sum)) in
                weights.chunks_exact(width).zip(sum.chunks_exact_mut(wide.max(1))).enumerate()
            {
                if reaches(j, i) {
                    sum.iter_mut()
                        .zip(raw.row(i))
                        .for_each(|(to, &x)| *to += factor * weights[i - first] * x);
                }
            }
        }
    }

    /// Adds `weights[i][j] · raw[j]` to `out[i]` for the non-finite rows j, where the weight is not 0.
    pub(crate) fn add_products(
        &self,
        raw: &ArrayView2<'_, F>,
        weights: &ArrayRef2<F>,
        out: &mut ArrayViewMut2<'_, F>,
    ) {
        for &j in &self.rows {
            let row = raw.row(j).to_vec();
            for i in (0..weights.nrows()).filter(|&i| weights[[i, j]] != F::zero()) {
                let mut sum: Vec<F> = out.row(i).to_vec();
                axpy(weights[[i, j]], &row, &mut sum);
                out.row_mut(i).assign(&ndarray::aview1(&sum));
            }
        }
    }
}

/// Returns the matrix with zeros in its non-finite rows.
pub(crate) fn clean<'a, F>(
    nonfinite: &'a Option<NonFinite<F>>,
    raw: &'a ArrayView2<'_, F>,
) -> ArrayView2<'a, F> {
    nonfinite.as_ref().map_or_else(|| raw.view(), |nonfinite| nonfinite.clean.view())
}

/// Returns true if all numbers of a row are finite.
pub(crate) fn row_is_finite<F: Loops>(row: ArrayView1<'_, F>) -> bool {
    match row.as_slice() {
        Some(row) => F::all_finite(row),
        None => row.iter().all(|x| x.is_finite()),
    }
}
