use collimate_tensor::{Scalar, axpy};
use ndarray::{Array2, ArrayRef2, ArrayView2, ArrayViewMut2, CowArray, Ix2};
use std::ops::Range;

/// Rows whose NaN and infinities may only reach those who attend to them.
///
/// In a product `P·V` a weight of zero does not keep NaN out, since 0 · NaN = NaN. So rows that are not finite are
/// zeroed in the product, and added afterwards to exactly the outputs that attend to them. The other outputs get
/// the same bits as if the rows had been finite.
pub(crate) struct Guarded<'a, F> {
    raw: ArrayView2<'a, F>,
    clean: CowArray<'a, F, Ix2>,
    bad: Vec<usize>,
}

impl<'a, F: Scalar> Guarded<'a, F> {
    pub(crate) fn new(raw: ArrayView2<'a, F>) -> Self {
        let bad: Vec<usize> = (0..raw.nrows()).filter(|&i| !row_is_finite(raw.row(i))).collect();
        let mut clean = CowArray::from(raw);
        for &i in &bad {
            clean.row_mut(i).fill(F::zero());
        }
        Self { raw, clean, bad }
    }

    /// The rows `rows`, with zeros in the place of rows that are not finite.
    pub(crate) fn clean(&self, rows: Range<usize>) -> ArrayView2<'_, F> {
        self.clean.slice(ndarray::s![rows, ..])
    }

    /// Adds `weights[i][j] · row[first + j]` to `out[i]` for the rows that the product left out, where `attends(i, first + j)`.
    pub(crate) fn add_bad_rows(
        &self,
        weights: &ArrayRef2<F>,
        first: usize,
        attends: impl Fn(usize, usize) -> bool,
        mut out: ArrayViewMut2<'_, F>,
    ) {
        for &j in self.bad.iter().filter(|&&j| (first..first + weights.ncols()).contains(&j)) {
            let row = self.raw.row(j).to_vec();
            for i in (0..weights.nrows()).filter(|&i| attends(i, j)) {
                let mut sum: Vec<F> = out.row(i).to_vec();
                axpy(weights[[i, j - first]], &row, &mut sum);
                out.row_mut(i).assign(&ndarray::aview1(&sum));
            }
        }
    }
}

/// The rows of a tile that are not finite, and the tile without them.
pub(crate) struct Poisoned<F> {
    pub(crate) clean: Array2<F>,
    rows: Vec<usize>,
}

impl<F: Scalar> Poisoned<F> {
    /// None when all numbers are finite, which is to say nearly always.
    pub(crate) fn find(tile: &ArrayView2<'_, F>) -> Option<Self> {
        let rows: Vec<usize> = (0..tile.nrows()).filter(|&i| !row_is_finite(tile.row(i))).collect();
        if rows.is_empty() {
            return None;
        }
        let mut clean = tile.to_owned();
        for &row in &rows {
            clean.row_mut(row).fill(F::zero());
        }
        Some(Self { clean, rows })
    }

    /// `sum[e][i] += weights[j][i] · raw[j][e]` for the rows j that were left out, where `reaches(j, i)`.
    pub(crate) fn add_to_columns(
        &self,
        raw: &ArrayView2<'_, F>,
        weights: &[F],
        columns: usize,
        width: usize,
        reaches: impl Fn(usize, usize) -> bool,
        sum: &mut [F],
    ) {
        for &j in &self.rows {
            for i in (0..columns).filter(|&i| reaches(j, i)) {
                for (e, &x) in raw.row(j).iter().enumerate() {
                    sum[e * width + i] += weights[j * width + i] * x;
                }
            }
        }
    }
}

impl<F: Scalar> Poisoned<F> {
    /// `sum[j] += factor · weights[j][i] · raw[i]` for the rows i that were left out, where `reaches(j, i)`.
    pub(crate) fn add_to_rows(
        &self,
        raw: &ArrayView2<'_, F>,
        factor: F,
        weights: &[F],
        width: usize,
        reaches: impl Fn(usize, usize) -> bool,
        sum: &mut [F],
        wide: usize,
    ) {
        for &i in &self.rows {
            for (j, (weights, sum)) in weights.chunks_exact(width).zip(sum.chunks_exact_mut(wide)).enumerate()
            {
                if reaches(j, i) {
                    sum.iter_mut().zip(raw.row(i)).for_each(|(to, &x)| *to += factor * weights[i] * x);
                }
            }
        }
    }
}

/// Whether all numbers of a row are finite: a sum of `x · 0` is 0 exactly then.
pub(crate) fn row_is_finite<F: Scalar>(row: ndarray::ArrayView1<'_, F>) -> bool {
    let zero = F::zero();
    let Some(row) = row.as_slice() else { return row.iter().all(|x| x.is_finite()) };
    // Sixteen sums at once, so that the compiler can use vector registers.
    let (chunks, tail) = row.as_chunks::<16>();
    let mut lanes = [zero; 16];
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += x * zero;
        }
    }
    lanes.iter().all(|&lane| lane == zero) && tail.iter().all(|x| x.is_finite())
}
