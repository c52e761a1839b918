//! Rotary positions.

use crate::arrays::Matrix;
use crate::error::RunError;
use crate::pass::{AngleTable, Operation, Slot};
use crate::pass::{Backward, Forward, Real};
use collimate_attention::RotaryTable;
use ndarray::{Array2, ArrayViewMut3};

/// Turns the first channels of each head by the angles of its position.
pub(crate) struct Rotate {
    /// The set of angles.
    pub(crate) table: AngleTable,
    /// The width of a head.
    pub(crate) head_width: usize,
    pub(crate) input: Slot,
    pub(crate) output: Slot,
}

impl<F: Real> Operation<F> for Rotate {
    fn inputs(&self) -> Vec<Slot> {
        vec![self.input]
    }

    fn outputs(&self) -> Vec<Slot> {
        vec![self.output]
    }

    fn forward(&self, pass: &mut Forward<'_, F>) -> Result<(), RunError> {
        let mut out = pass.take_or_copy(self.input);
        let (table, shape) = (pass.angles(self.table), pass.shape());
        turn(table, self.head_width, shape, &mut out, false)?;
        pass.set(self.output, out)
    }

    /// The adjoint of a rotation (times an amplitude) is the rotation back (times the amplitude).
    fn backward(&self, pass: &mut Backward<'_, F>) -> Result<(), RunError> {
        let Some(mut d_out) = pass.take_gradient(self.output) else { return Ok(()) };
        let (table, shape) = (pass.angles(self.table), pass.shape());
        turn(table, self.head_width, shape, &mut d_out, true)?;
        pass.add_gradient(self.input, d_out);
        Ok(())
    }
}

/// Turns rows `[b·t, h·e]` by the angles of a table of t rows (the same positions in each sequence) or of b·t rows.
fn turn<F: Real>(
    table: &RotaryTable<F>,
    width: usize,
    (batch, length): (usize, usize),
    x: &mut Matrix<F>,
    back: bool,
) -> Result<(), RunError> {
    let one = |x: &mut Array2<F>| -> Result<(), RunError> {
        let heads = x.ncols() / width;
        let shared = table.len() == length;
        let (sequences, rows) = if shared { (batch, length) } else { (1, batch * length) };
        let all = x.as_slice_mut().expect("standard layout");
        for sequence in all.chunks_exact_mut((rows * heads * width).max(1)).take(sequences) {
            let view = ArrayViewMut3::from_shape((rows, heads, width), sequence).expect("rows of heads");
            let mut view = view.permuted_axes([1, 0, 2]);
            if back { table.apply_inverse(&mut view)? } else { table.apply(&mut view)? }
        }
        Ok(())
    };
    one(&mut x.value)?;
    x.tangent.as_mut().map_or(Ok(()), one)
}
