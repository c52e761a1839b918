//! Matrices with an optional derivative along a direction, and functions of their rows.

mod matrix;
mod number;
mod row_function;
mod stored;
mod weight;

pub(crate) use matrix::{Matrix, View, apply, stack_heads};
pub(crate) use number::Number;
pub(crate) use row_function::{RowFunction, map_rows, sum};
pub(crate) use stored::StoredParameter;
pub(crate) use weight::{Weight, WeightRows, Weights};
