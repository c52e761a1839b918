use crate::{Scalar, ShapeError, axpy};
use ndarray::{Array2, ArrayRef2};
use rayon::prelude::*;

/// Rows that are zero outside a short support, such as the codes of a sparse autoencoder.
///
/// The rows are compressed: each has ascending column numbers and their values. A stored value may be zero; the caller
/// decides which entries count as active.
///
/// # Examples
/// ```
/// use collimate_tensor::SparseRows;
/// use ndarray::array;
/// let mut codes = SparseRows::new(3);
/// codes.push_row(&[0, 2], &[1.0_f64, 2.0])?;
/// codes.push_row(&[], &[])?;
/// assert_eq!(codes.to_dense(), array![[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]]);
/// let dictionary = array![[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
/// assert_eq!(codes.decode(&dictionary)?, array![[3.0, 2.0], [0.0, 0.0]]);
/// # Ok::<(), collimate_tensor::ShapeError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SparseRows<F: Scalar> {
    n_columns: usize,
    offsets: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<F>,
}

impl<F: Scalar> SparseRows<F> {
    /// Returns an empty set of rows with `n_columns` columns (at most 2³²).
    pub fn new(n_columns: usize) -> Self {
        Self { n_columns, offsets: vec![0], columns: Vec::new(), values: Vec::new() }
    }

    /// Removes all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.offsets.truncate(1);
        self.columns.clear();
        self.values.clear();
    }

    /// Appends a row.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] if the slices differ in length, [`ShapeError::NotAscending`] if the columns do not ascend
    /// strictly, [`ShapeError::OutOfBounds`] if a column is too large.
    pub fn push_row(&mut self, columns: &[u32], values: &[F]) -> Result<(), ShapeError> {
        ShapeError::check("values", &[columns.len()], &[values.len()])?;
        if let Some(i) = columns.windows(2).position(|w| w[0] >= w[1]) {
            return Err(ShapeError::NotAscending { argument: "columns", position: i + 1 });
        }
        if let Some(&last) = columns.last().filter(|&&c| c as usize >= self.n_columns) {
            let (index, length) = (last as usize, self.n_columns);
            return Err(ShapeError::OutOfBounds { argument: "columns", index, length });
        }
        self.columns.extend_from_slice(columns);
        self.values.extend_from_slice(values);
        self.offsets.push(self.columns.len());
        Ok(())
    }

    /// Collects the entries of a matrix that are not zero (NaN included).
    pub fn from_dense(dense: &ArrayRef2<F>) -> Self {
        let mut rows = Self::new(dense.ncols());
        for row in dense.rows() {
            for (j, &v) in row.iter().enumerate().filter(|(_, v)| **v != F::zero()) {
                rows.columns.push(j as u32);
                rows.values.push(v);
            }
            rows.offsets.push(rows.columns.len());
        }
        rows
    }

    /// Returns the number of rows.
    pub fn n_rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Returns the number of columns.
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// Returns the number of stored entries.
    pub fn n_stored(&self) -> usize {
        self.columns.len()
    }

    /// Returns the columns and values of row `i`.
    ///
    /// # Panics
    /// If there is no row `i`.
    pub fn row(&self, i: usize) -> (&[u32], &[F]) {
        let range = self.offsets[i]..self.offsets[i + 1];
        (&self.columns[range.clone()], &self.values[range])
    }

    /// Returns all rows in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&[u32], &[F])> {
        (0..self.n_rows()).map(|i| self.row(i))
    }

    /// Returns all stored values, row after row, to change in place.
    pub fn values_mut(&mut self) -> &mut [F] {
        &mut self.values
    }

    /// Returns the dense matrix, `[rows, columns]`.
    pub fn to_dense(&self) -> Array2<F> {
        let mut dense = crate::zeros((self.n_rows(), self.n_columns));
        for i in 0..self.n_rows() {
            let (columns, values) = self.row(i);
            for (&j, &v) in columns.iter().zip(values) {
                dense[[i, j as usize]] = v;
            }
        }
        dense
    }

    /// Computes Σⱼ codeⱼ·dictionaryⱼ for each row.
    ///
    /// # Shapes
    /// `dictionary` `[columns, d]` → `[rows, d]`.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] if the dictionary does not have one row for each column.
    ///
    /// # Determinism
    /// Terms are added in ascending order of the column. Any number of threads gives the same bits.
    pub fn decode(&self, dictionary: &ArrayRef2<F>) -> Result<Array2<F>, ShapeError> {
        let d = dictionary.ncols();
        ShapeError::check("dictionary", &[self.n_columns, d], dictionary.shape())?;
        let dictionary = dictionary.as_standard_layout();
        let atoms = dictionary.as_slice().expect("standard layout");
        let mut out = vec![F::zero(); self.n_rows() * d];
        if d > 0 {
            let row = |(i, out): (usize, &mut [F])| {
                let (columns, values) = self.row(i);
                for (&j, &v) in columns.iter().zip(values) {
                    axpy(v, &atoms[j as usize * d..(j as usize + 1) * d], out);
                }
            };
            if self.n_stored() * d > 1 << 18 {
                out.par_chunks_mut(d).enumerate().with_min_len(16).for_each(row);
            } else {
                out.chunks_mut(d).enumerate().for_each(row);
            }
        }
        Ok(Array2::from_shape_vec((self.n_rows(), d), out).expect("one value an element"))
    }
}
