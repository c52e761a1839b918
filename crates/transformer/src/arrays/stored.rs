//! Parameters that are kept as their file stores them, and expanded tile by tile.

use super::matrix::{Matrix, View};
use collimate_tensor::files::StoredMatrix;
use collimate_tensor::{Scalar, dot, matmul_into, zeros};
use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// The number of rows that are expanded at once for a product of many rows.
const TILE: usize = 512;
/// The number of rows of one task.
const ROWS: usize = 16;
/// The largest number of rows of x for which each row of the weight is used as soon as it is expanded.
const FEW: usize = 4;

/// A parameter `[o, i]` whose rows lie in stored matrices.
#[derive(Clone, Debug)]
pub(crate) struct StoredParameter {
    matrices: Vec<Arc<StoredMatrix>>,
    /// The matrix and the row of each row of the parameter.
    places: Vec<(u32, u32)>,
    columns: usize,
}

impl StoredParameter {
    /// Makes a parameter of matrices, each with its rows in order. Returns `None` if their widths differ.
    pub(crate) fn new(pieces: Vec<(Arc<StoredMatrix>, Vec<usize>)>) -> Option<Self> {
        let columns = pieces.first()?.0.shape()[1];
        let mut places = Vec::new();
        let mut matrices = Vec::new();
        for (index, (matrix, rows)) in pieces.into_iter().enumerate() {
            if matrix.shape()[1] != columns || rows.iter().any(|&row| row >= matrix.shape()[0]) {
                return None;
            }
            places.extend(rows.into_iter().map(|row| (index as u32, row as u32)));
            matrices.push(matrix);
        }
        Some(Self { matrices, places, columns })
    }

    /// Returns the number of rows and of columns.
    pub(crate) fn dim(&self) -> (usize, usize) {
        (self.places.len(), self.columns)
    }

    /// Expands one row.
    fn row_into(&self, row: usize, out: &mut [f32]) {
        let (matrix, place) = self.places[row];
        let place = place as usize;
        self.matrices[matrix as usize].expand_rows_into(place..place + 1, out).expect("a row of the matrix");
    }

    /// Expands some rows, in parallel.
    pub(crate) fn expand<F: Scalar>(&self, rows: Range<usize>) -> Array2<F> {
        let mut out = zeros((rows.len(), self.columns));
        let blocks: Vec<_> = out.axis_chunks_iter_mut(Axis(0), ROWS).enumerate().collect();
        blocks.into_par_iter().for_each(|(block, mut out)| {
            let mut buffer = vec![0.0; self.columns];
            for (index, mut to) in out.rows_mut().into_iter().enumerate() {
                self.row_into(rows.start + block * ROWS + index, &mut buffer);
                to.iter_mut().zip(&buffer).for_each(|(to, &x)| *to = F::from_f64(f64::from(x)));
            }
        });
        out
    }

    /// Expands the given rows.
    pub(crate) fn select<F: Scalar>(&self, rows: &[usize]) -> Array2<F> {
        let mut out = zeros((rows.len(), self.columns));
        let mut buffer = vec![0.0; self.columns];
        for (&row, mut to) in rows.iter().zip(out.rows_mut()) {
            self.row_into(row, &mut buffer);
            to.iter_mut().zip(&buffer).for_each(|(to, &x)| *to = F::from_f64(f64::from(x)));
        }
        out
    }

    /// Computes x·Wᵀ of rows x `[n, i]`.
    pub(crate) fn apply<F: Scalar>(&self, x: View<'_, F>) -> Matrix<F> {
        Matrix { value: self.products(&x.value), tangent: x.tangent.map(|x| self.products(&x)) }
    }

    /// Computes y·W of rows y `[n, o]`.
    pub(crate) fn apply_transposed<F: Scalar>(&self, y: View<'_, F>) -> Matrix<F> {
        let of = |y: &ArrayView2<'_, F>| {
            let mut out = zeros((y.nrows(), self.columns));
            for start in (0..self.places.len()).step_by(TILE) {
                let rows = start..self.places.len().min(start + TILE);
                let tile = self.expand::<F>(rows.clone());
                matmul_into(F::one(), &y.slice(s![.., rows]), &tile, F::one(), &mut out)
                    .expect("fitting shapes");
            }
            out
        };
        Matrix { value: of(&y.value), tangent: y.tangent.map(|y| of(&y)) }
    }

    fn products<F: Scalar>(&self, x: &ArrayView2<'_, F>) -> Array2<F> {
        if x.nrows() <= FEW {
            return self.few_products(x);
        }
        let mut out = zeros((x.nrows(), self.places.len()));
        for start in (0..self.places.len()).step_by(TILE) {
            let rows = start..self.places.len().min(start + TILE);
            let tile = self.expand::<F>(rows.clone());
            let mut part = out.slice_mut(s![.., rows]);
            matmul_into(F::one(), x, &tile.t(), F::zero(), &mut part).expect("fitting shapes");
        }
        out
    }

    /// Computes x·Wᵀ of a few rows: each row of the weight is expanded into a buffer and used at once.
    fn few_products<F: Scalar>(&self, x: &ArrayView2<'_, F>) -> Array2<F> {
        let x = x.as_standard_layout();
        let mut by_row = zeros((self.places.len(), x.nrows()));
        let blocks: Vec<_> = by_row.axis_chunks_iter_mut(Axis(0), ROWS).enumerate().collect();
        blocks.into_par_iter().for_each(|(block, mut out)| {
            let (mut buffer, mut row) = (vec![0.0; self.columns], vec![F::zero(); self.columns]);
            for (index, mut to) in out.rows_mut().into_iter().enumerate() {
                self.row_into(block * ROWS + index, &mut buffer);
                row.iter_mut().zip(&buffer).for_each(|(row, &x)| *row = F::from_f64(f64::from(x)));
                for (to, x) in to.iter_mut().zip(x.rows()) {
                    *to = dot(&row, x.to_slice().expect("standard layout"));
                }
            }
        });
        by_row.reversed_axes().as_standard_layout().into_owned()
    }
}
