//! Rows gathered from a table: `y_b = E[t_b]`.

use super::check2;
use crate::error::GradError;
use collimate_tensor::Scalar;
use ndarray::{Array2, ArrayRef2, Axis};

/// Computes `y_b = E[t_b]`.
///
/// # Shapes
/// `table [v, d]`, `indices [b]`, result `[b, d]`.
///
/// # Errors
/// [`GradError::Index`] for an index outside the table.
pub fn forward<F: Scalar>(table: &ArrayRef2<F>, indices: &[usize]) -> Result<Array2<F>, GradError> {
    check_indices(table.nrows(), indices)?;
    Ok(table.select(Axis(0), indices))
}

/// Computes `Ē[t_b] += ȳ_b`. A row that was gathered several times receives the sum.
///
/// # Shapes
/// `d_out [b, d]`, result `[n_rows, d]`.
///
/// # Errors
/// [`GradError::Index`] for an index outside the table; [`GradError::Shape`] if the number of rows is not the number of indices.
///
/// # Examples
/// ```
/// use ndarray::array;
/// let d_table = collimate_grad::primitive::embedding::vjp(3, &[2, 0, 2], &array![[1.0], [10.0], [100.0]])?;
/// assert_eq!(d_table, array![[10.0], [0.0], [101.0]]);
/// # Ok::<(), collimate_grad::GradError>(())
/// ```
pub fn vjp<F: Scalar>(
    n_rows: usize,
    indices: &[usize],
    d_out: &ArrayRef2<F>,
) -> Result<Array2<F>, GradError> {
    check_indices(n_rows, indices)?;
    check2("d_out", (indices.len(), d_out.ncols()), d_out)?;
    let mut table = Array2::zeros((n_rows, d_out.ncols()));
    for (row, &index) in d_out.rows().into_iter().zip(indices) {
        let mut target = table.row_mut(index);
        target += &row;
    }
    Ok(table)
}

/// Computes `ẏ_b = Ė[t_b]`. Gathering is linear, so this equals [`forward`].
///
/// # Errors
/// Those of [`forward`].
pub fn jvp<F: Scalar>(table_dot: &ArrayRef2<F>, indices: &[usize]) -> Result<Array2<F>, GradError> {
    forward(table_dot, indices)
}

fn check_indices(len: usize, indices: &[usize]) -> Result<(), GradError> {
    match indices.iter().position(|&i| i >= len) {
        Some(position) => {
            Err(GradError::Index { argument: "indices", position, index: indices[position], len })
        }
        None => Ok(()),
    }
}
