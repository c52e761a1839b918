use collimate_tensor::{Scalar, axpy};
use ndarray::{ArrayRef2, ArrayView2, ArrayViewMut2, CowArray, Ix2};
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

    /// The rows `rows` as they are.
    pub(crate) fn raw(&self, rows: Range<usize>) -> ArrayView2<'_, F> {
        self.raw.slice(ndarray::s![rows, ..])
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

/// Whether all numbers of a row are finite: a sum of `x · 0` is 0 exactly then.
fn row_is_finite<F: Scalar>(row: ndarray::ArrayView1<'_, F>) -> bool {
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
