//! The choice of the first row of each sequence, for the pooler of an encoder.

use crate::arrays::Matrix;
use crate::error::RunError;
use crate::pass::{Backward, Forward, Real};
use crate::pass::{Operation, Slot};
use ndarray::{Array2, Axis};

/// Takes the row of position 0 of each sequence.
pub(crate) struct First {
    pub(crate) input: Slot,
    pub(crate) output: Slot,
}

impl<F: Real> Operation<F> for First {
    fn inputs(&self) -> Vec<Slot> {
        vec![self.input]
    }

    fn outputs(&self) -> Vec<Slot> {
        vec![self.output]
    }

    fn forward(&self, pass: &mut Forward<'_, F>) -> Result<(), RunError> {
        let (batch, length) = pass.shape();
        let rows: Vec<usize> = (0..batch).map(|b| b * length).collect();
        let x = pass.get(self.input);
        let out = Matrix {
            value: x.value.select(Axis(0), &rows),
            tangent: x.tangent.map(|x| x.select(Axis(0), &rows)),
        };
        pass.set(self.output, out)
    }

    fn backward(&self, pass: &mut Backward<'_, F>) -> Result<(), RunError> {
        let Some(d_out) = pass.take_gradient(self.output) else { return Ok(()) };
        let (_, length) = pass.shape();
        let shape = pass.get(self.input).value.dim();
        let put = |from: &Array2<F>| {
            let mut to = Array2::zeros(shape);
            for (b, row) in from.rows().into_iter().enumerate() {
                to.row_mut(b * length).assign(&row);
            }
            to
        };
        let d_x = Matrix { value: put(&d_out.value), tangent: d_out.tangent.as_ref().map(put) };
        pass.add_gradient(self.input, d_x);
        Ok(())
    }
}
