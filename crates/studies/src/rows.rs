//! Activations of a model as matrices: one row a position.

use crate::error::StudyError;
use collimate_transformer::{Capture, Config, Decoder, HookPoint, Run, Site};
use ndarray::{Array2, ArrayViewD, ArrayViewMutD, Ix2, Ix3};

/// Returns an activation as rows `[t, d]`; the heads of `[h, t, e]` stand side by side, `[t, h·e]`.
pub(crate) fn flat(activation: &ArrayViewD<'_, f32>) -> Array2<f32> {
    match activation.clone().into_dimensionality::<Ix3>() {
        Ok(heads) => {
            let (h, t, e) = heads.dim();
            Array2::from_shape_fn((t, h * e), |(i, j)| heads[[j / e, i, j % e]])
        }
        Err(_) => {
            let rows =
                activation.clone().into_dimensionality::<Ix2>().expect("an activation has two or three axes");
            rows.as_standard_layout().into_owned()
        }
    }
}

/// Writes rows back into an activation: the inverse of [`flat`].
pub(crate) fn put_back(rows: &Array2<f32>, activation: &mut ArrayViewMutD<'_, f32>) {
    if activation.ndim() == 3 {
        let mut heads = activation.view_mut().into_dimensionality::<Ix3>().expect("three axes");
        let e = heads.dim().2;
        heads.indexed_iter_mut().for_each(|((head, t, i), v)| *v = rows[[t, head * e + i]]);
    } else {
        activation.assign(rows);
    }
}

/// Computes the activation at a point on one run of tokens, as rows `[t, d]`.
///
/// # Errors
/// [`StudyError::Model`].
pub fn rows_at(decoder: &Decoder, tokens: &[u32], point: HookPoint) -> Result<Array2<f32>, StudyError> {
    let mut capture = Capture::at([point]);
    decoder.visit(Run::of(tokens), &mut capture)?;
    Ok(flat(&capture.get(point)?.view()))
}

/// Returns the width of the rows of [`rows_at`] at a point. For the attention pattern it is the width of the residual stream,
/// because the width of a pattern depends on the sequence.
pub fn width_at(config: &Config, point: HookPoint) -> usize {
    match point.site {
        Site::MlpNeurons => config.d_ff,
        Site::HeadOutput => config.n_heads * config.d_head,
        _ => config.d_model,
    }
}
