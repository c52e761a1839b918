//! A parameter of a pass: numbers in memory, or rows of a file.

use super::matrix::{Matrix, View, apply};
use super::stored::StoredParameter;
use collimate_tensor::Scalar;
use ndarray::{Array2, Axis, s};
use std::ops::Range;

/// The parameters of a pass: an array for each, which is empty where the parameter is kept as its file stores it.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a, F> {
    pub(crate) arrays: &'a [Array2<F>],
    pub(crate) stored: &'a [Option<StoredParameter>],
}

/// A parameter that a product or a table reads.
pub(crate) enum Weight<'a, F> {
    Array(View<'a, F>),
    Stored(&'a StoredParameter),
}

/// Some rows of a parameter: a view of numbers in memory, or rows of a file that were expanded.
pub(crate) enum WeightRows<'a, F> {
    View(View<'a, F>),
    Expanded(Array2<F>),
}

impl<F> WeightRows<'_, F> {
    pub(crate) fn view(&self) -> View<'_, F> {
        match self {
            Self::View(x) => View { value: x.value.view(), tangent: x.tangent.as_ref().map(|x| x.view()) },
            Self::Expanded(x) => View { value: x.view(), tangent: None },
        }
    }
}

impl<'a, F: Scalar> Weight<'a, F> {
    /// Returns rows that follow each other.
    pub(crate) fn rows(self, rows: Range<usize>) -> WeightRows<'a, F> {
        match self {
            Self::Array(x) => {
                let place = s![rows, ..];
                WeightRows::View(View {
                    value: x.value.slice_move(place),
                    tangent: x.tangent.map(|x| x.slice_move(place)),
                })
            }
            Self::Stored(x) => WeightRows::Expanded(x.expand(rows)),
        }
    }
}

impl<F: Scalar> Weight<'_, F> {
    /// Returns the number of rows and of columns.
    pub(crate) fn dim(&self) -> (usize, usize) {
        match self {
            Self::Array(x) => x.value.dim(),
            Self::Stored(x) => x.dim(),
        }
    }

    /// Computes x·Wᵀ.
    pub(crate) fn apply(&self, x: View<'_, F>) -> Matrix<F> {
        match self {
            Self::Array(weight) => apply(x, *weight),
            Self::Stored(weight) => weight.apply(x),
        }
    }

    /// Computes y·W.
    pub(crate) fn apply_transposed(&self, y: View<'_, F>) -> Matrix<F> {
        match self {
            Self::Array(weight) => y.times(*weight, F::one()),
            Self::Stored(weight) => weight.apply_transposed(y),
        }
    }

    /// Returns the given rows.
    pub(crate) fn select(&self, rows: &[usize]) -> Matrix<F> {
        match self {
            Self::Array(table) => Matrix {
                value: table.value.select(Axis(0), rows),
                tangent: table.tangent.map(|x| x.select(Axis(0), rows)),
            },
            Self::Stored(table) => Matrix::plain(table.select(rows)),
        }
    }

    /// Returns all numbers, without a derivative.
    pub(crate) fn to_array(&self) -> Array2<F> {
        match self {
            Self::Array(x) => x.value.to_owned(),
            Self::Stored(x) => x.expand(0..x.dim().0),
        }
    }
}
