//! The places of parameters in the tensors of a file. A parameter is a stack of rows of tensors; gradients go the same way back.

use collimate_tensor::Scalar;
use ndarray::{Array2, ArrayD, ArrayView2, ArrayViewD, ArrayViewMut2, ArrayViewMutD, Axis, Ix2, s};
use std::ops::Range;

/// Some rows of a tensor on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The name of the tensor.
    pub(crate) tensor: String,
    /// True if the file stores the matrix as `[inputs, outputs]`.
    pub(crate) transposed: bool,
    /// The number of groups of rows.
    pub(crate) groups: usize,
    /// The rows of each group, or all.
    pub(crate) rows: Option<Range<usize>>,
    /// The index on the first axis of a tensor of which the piece is one slice, or none for a piece of the whole tensor.
    pub(crate) slice: Option<usize>,
    /// The first row (0 or 1) of a piece that takes every second row of the matrix.
    pub(crate) every_second: Option<usize>,
    /// True if the rows of each group are stored as neighbouring pairs (2i, 2i + 1) of the halves (i, i + n/2).
    pub(crate) pairs: bool,
}

impl Piece {
    /// Returns a whole tensor.
    pub(crate) fn whole(tensor: impl Into<String>) -> Self {
        Self {
            tensor: tensor.into(),
            transposed: false,
            groups: 1,
            rows: None,
            slice: None,
            every_second: None,
            pairs: false,
        }
    }

    /// Returns the rows of this piece of a tensor, as ranges of rows of the (transposed) matrix.
    fn ranges(&self, rows: usize) -> Vec<Range<usize>> {
        let size = rows / self.groups;
        let within = self.rows.clone().unwrap_or(0..size);
        (0..self.groups).map(|g| g * size + within.start..g * size + within.end).collect()
    }

    /// Returns the shape of the slice that the piece is of, or that of the whole tensor.
    pub(crate) fn inner<'s>(&self, shape: &'s [usize]) -> &'s [usize] {
        if self.slice.is_some() { shape.get(1..).unwrap_or_default() } else { shape }
    }

    /// Returns the number of rows of the matrix of which the piece takes some, for a tensor with this shape.
    pub(crate) fn rows_of(&self, shape: &[usize]) -> usize {
        let inner = self.inner(shape);
        let rows = if self.transposed { inner.last() } else { inner.first() };
        rows.copied().unwrap_or(1)
    }

    /// Returns the number of rows that the piece takes from a tensor with this shape.
    pub(crate) fn count(&self, shape: &[usize]) -> usize {
        let rows = self.rows_of(shape);
        if let Some(first) = self.every_second {
            return rows.saturating_sub(first).div_ceil(2);
        }
        self.ranges(rows).iter().map(ExactSizeIterator::len).sum()
    }
}

/// The place of a parameter: pieces whose rows follow each other.
pub(crate) type Source = Vec<Piece>;

/// Returns the tensor of a piece, or its slice, as a matrix: a vector becomes one column.
fn matrix<'x, F>(x: ArrayViewD<'x, F>, piece: &Piece) -> Option<ArrayView2<'x, F>> {
    let x = match piece.slice {
        Some(index) if x.ndim() > 1 && index < x.shape()[0] => x.index_axis_move(Axis(0), index),
        Some(_) => return None,
        None => x,
    };
    let x = if x.ndim() == 1 { x.insert_axis(Axis(1)) } else { x };
    let x = x.into_dimensionality::<Ix2>().ok()?;
    Some(if piece.transposed { x.reversed_axes() } else { x })
}

/// Returns the tensor of a piece, or its slice, as a matrix to write to.
fn matrix_mut<'x, F>(x: ArrayViewMutD<'x, F>, piece: &Piece) -> Option<ArrayViewMut2<'x, F>> {
    let x = match piece.slice {
        Some(index) if x.ndim() > 1 && index < x.shape()[0] => x.index_axis_move(Axis(0), index),
        Some(_) => return None,
        None => x,
    };
    let x = if x.ndim() == 1 { x.insert_axis(Axis(1)) } else { x };
    let x = x.into_dimensionality::<Ix2>().ok()?;
    Some(if piece.transposed { x.reversed_axes() } else { x })
}

/// Returns the row of a group on disk for row `index` of a parameter stored in pairs.
fn paired(index: usize, rows: usize, width: usize) -> usize {
    let (head, within) = (index / width, index % width);
    debug_assert!(index < rows);
    head * width + if within < width / 2 { 2 * within } else { 2 * (within - width / 2) + 1 }
}

/// Returns the rows of a matrix that a piece names, in the order of the parameter.
pub(crate) fn row_order(piece: &Piece, rows: usize) -> Vec<usize> {
    if let Some(first) = piece.every_second {
        return (first..rows).step_by(2).collect();
    }
    let all: Vec<usize> = piece.ranges(rows).into_iter().flatten().collect();
    if !piece.pairs {
        return all;
    }
    let width = rows / piece.groups;
    (0..all.len()).map(|index| all[paired(index, all.len(), width)]).collect()
}

/// Collects a parameter of the given shape from the tensors of a file. Returns `None` if the numbers do not fit.
pub(crate) fn collect<'t, F: Scalar>(
    source: &Source,
    shape: (usize, usize),
    tensor: impl Fn(&str) -> Option<&'t ArrayD<F>>,
) -> Option<Array2<F>> {
    let mut numbers = Vec::with_capacity(shape.0 * shape.1);
    for piece in source {
        let from = matrix(tensor(&piece.tensor)?.view(), piece)?;
        for row in row_order(piece, from.nrows()) {
            numbers.extend(from.row(row).iter());
        }
    }
    Array2::from_shape_vec(shape, numbers).ok()
}

/// Adds a gradient by a parameter to the gradients by the tensors of its file.
pub(crate) fn distribute<F: Scalar>(
    source: &Source,
    gradient: &Array2<F>,
    mut add_to: impl FnMut(&str, &mut dyn FnMut(ArrayViewMutD<'_, F>)),
) {
    let numbers: Vec<F> = gradient.iter().copied().collect();
    let mut at = 0;
    for piece in source {
        add_to(&piece.tensor, &mut |tensor| {
            let Some(mut to) = matrix_mut(tensor, piece) else { return };
            for row in row_order(piece, to.nrows()) {
                for x in to.slice_mut(s![row, ..]) {
                    *x += numbers[at];
                    at += 1;
                }
            }
        });
    }
}
