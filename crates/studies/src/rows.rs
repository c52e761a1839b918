//! Activations of a model on one sequence as matrices: one row a position.

use crate::error::StudyError;
use collimate_transformer::{Capture, HookPoint, Model, Run};
use ndarray::{Array2, ArrayViewD, ArrayViewMutD};

/// Returns an activation `[1, t, d]` or `[1, t, h, e]` as rows `[t, d]`; the heads of a position stand side by side.
pub(crate) fn flat(activation: &ArrayViewD<'_, f32>) -> Array2<f32> {
    let rows = activation.shape()[1];
    let numbers: Vec<f32> = activation.iter().copied().collect();
    Array2::from_shape_vec((rows, numbers.len() / rows), numbers).expect("one sequence")
}

/// Writes rows back into an activation: the inverse of [`flat`].
pub(crate) fn put_back(rows: &Array2<f32>, activation: &mut ArrayViewMutD<'_, f32>) {
    activation.iter_mut().zip(rows).for_each(|(to, from)| *to = *from);
}

/// Computes the activation at a point on one sequence of tokens, as rows `[t, d]`.
///
/// # Errors
/// [`StudyError::Model`].
pub fn rows_at(model: &Model<f32>, tokens: &[u32], point: HookPoint) -> Result<Array2<f32>, StudyError> {
    let mut capture = Capture::at([point]);
    model.visit(Run::of(tokens), &mut capture)?;
    Ok(flat(&capture.get(point)?.view()))
}

/// Computes the residual stream `[t, d]` that enters layer `layer` on one sequence of tokens.
///
/// # Errors
/// [`StudyError::Model`].
pub(crate) fn residual_rows(
    model: &Model<f32>,
    tokens: &[u32],
    layer: usize,
) -> Result<Array2<f32>, StudyError> {
    let residual = model.residual(Run::of(tokens), layer, &mut ())?;
    Ok(residual.index_axis_move(ndarray::Axis(0), 0))
}

/// Returns the width of the rows of [`rows_at`] at a point.
///
/// # Errors
/// [`StudyError::NoSuchRows`] for scores and patterns, whose widths depend on the sequence, and for a layer that does not exist.
pub fn width_at(model: &Model<f32>, point: HookPoint) -> Result<usize, StudyError> {
    model.description().numbers_at(point).ok_or(StudyError::NoSuchRows { point })
}
