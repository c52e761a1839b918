use crate::kernels::Tiles;
use collimate_tensor::axpy;
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

impl<'a, F: Tiles> Guarded<'a, F> {
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

impl<F: Tiles> Poisoned<F> {
    /// None when all numbers are finite, which is to say nearly always.
    pub(crate) fn find(tile: &ArrayView2<'_, F>) -> Option<Self> {
        // One look at all of it, where rows follow each other.
        if tile.as_slice().is_some_and(F::all_finite) {
            return None;
        }
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

    /// `sum[e][i] += weights[j][i] · raw[j][e]` for the rows j that were left out, where `reaches(j, i)`. Rows of weights are
    /// `width` apart, those of sums `sum_row`.
    pub(crate) fn add_to_columns(
        &self,
        raw: &ArrayView2<'_, F>,
        weights: &[F],
        columns: usize,
        width: usize,
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
}

impl<F: Tiles> Poisoned<F> {
    /// `sum[j] += factor · weights[j][i − first] · raw[i]` for the rows i that were left out, where `reaches(j, i)`.
    pub(crate) fn add_to_rows(
        &self,
        raw: &ArrayView2<'_, F>,
        factor: F,
        weights: &[F],
        (first, width): (usize, usize),
        reaches: impl Fn(usize, usize) -> bool,
        sum: &mut [F],
        wide: usize,
    ) {
        for &i in self.rows.iter().filter(|&&i| (first..first + width).contains(&i)) {
            for (j, (weights, sum)) in weights.chunks_exact(width).zip(sum.chunks_exact_mut(wide)).enumerate()
            {
                if reaches(j, i) {
                    sum.iter_mut()
                        .zip(raw.row(i))
                        .for_each(|(to, &x)| *to += factor * weights[i - first] * x);
                }
            }
        }
    }
}

/// Whether all numbers of a row are finite.
pub(crate) fn row_is_finite<F: Tiles>(row: ndarray::ArrayView1<'_, F>) -> bool {
    match row.as_slice() {
        Some(row) => F::all_finite(row),
        None => row.iter().all(|x| x.is_finite()),
    }
}
