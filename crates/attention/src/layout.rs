use crate::AttentionError;
use ndarray::{ArrayRef2, ArrayView3, ArrayViewMut3};

/// Views a (t, h·d) matrix as (h, t, d), without copying.
///
/// # Errors
/// [`AttentionError::OutOfRange`] when `width` does not divide the columns; [`AttentionError::Layout`] when the matrix is not
/// in standard (row-major, contiguous) layout.
///
/// # Examples
/// ```
/// use collimate_attention::split_heads;
/// use ndarray::array;
/// let x = array![[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]; // two tokens, two heads of width 2
/// assert_eq!(split_heads(&x, 2)?.index_axis(ndarray::Axis(0), 1), array![[3.0, 4.0], [7.0, 8.0]]);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
pub fn split_heads<F>(x: &ArrayRef2<F>, width: usize) -> Result<ArrayView3<'_, F>, AttentionError> {
    let (t, columns) = x.dim();
    check_columns(columns, width)?;
    let view = x.view().into_shape_with_order((t, columns / width, width));
    Ok(view.map_err(|_| not_standard())?.permuted_axes([1, 0, 2]))
}

/// As [`split_heads`], to write through.
///
/// # Errors
/// As [`split_heads`].
pub fn split_heads_mut<F>(
    x: &mut ArrayRef2<F>,
    width: usize,
) -> Result<ArrayViewMut3<'_, F>, AttentionError> {
    let (t, columns) = x.dim();
    check_columns(columns, width)?;
    let view = x.view_mut().into_shape_with_order((t, columns / width, width));
    Ok(view.map_err(|_| not_standard())?.permuted_axes([1, 0, 2]))
}

fn check_columns(columns: usize, width: usize) -> Result<(), AttentionError> {
    if width == 0 || !columns.is_multiple_of(width) {
        return Err(AttentionError::OutOfRange {
            name: "the head width",
            expected: "a divisor of the number of columns",
            given: width as f64,
        });
    }
    Ok(())
}

fn not_standard() -> AttentionError {
    AttentionError::Layout { argument: "x" }
}
