//! Rotary positions.

use super::{Matrix, Operation, Slot};
use crate::description::Rotary;
use crate::error::RunError;
use crate::pass::{Backward, Forward, Real};
use collimate_attention::RotaryTable;
use ndarray::{Array2, ArrayViewMut3};

/// The index of a set of angles of a program.
pub(crate) type AngleTable = usize;

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

/// Computes the angles of positions: the same for every sequence, or one for each row of the batch.
///
/// `longest` is the largest position plus one.
pub(crate) fn angles<F: Real>(
    rotary: &Rotary,
    positions: &[i64],
    longest: usize,
) -> Result<RotaryTable<F>, RunError> {
    let (frequencies, amplitude) = rotary.frequencies(longest);
    let shape = (positions.len(), frequencies.len());
    let at = |(row, pair): (usize, usize)| positions[row] as f64 * frequencies[pair];
    Ok(RotaryTable::from_cos_sin(
        rotary.layout,
        Array2::from_shape_fn(shape, |place| F::from_f64(amplitude * at(place).cos())),
        Array2::from_shape_fn(shape, |place| F::from_f64(amplitude * at(place).sin())),
    )?)
}
