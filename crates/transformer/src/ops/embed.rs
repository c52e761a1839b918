//! Rows of tables: tokens, learned positions and token types.

use crate::error::RunError;
use crate::pass::{Backward, Forward, Real};
use crate::pass::{Lookup, Operation, Parameter, Slot};
use ndarray::Array2;

/// Computes out = x + rows of a table, or the rows alone without x.
pub(crate) struct Embed {
    pub(crate) lookup: Lookup,
    /// The table, `[v, d]`.
    pub(crate) table: Parameter,
    pub(crate) input: Option<Slot>,
    pub(crate) output: Slot,
}

impl<F: Real> Operation<F> for Embed {
    fn inputs(&self) -> Vec<Slot> {
        self.input.into_iter().collect()
    }

    fn outputs(&self) -> Vec<Slot> {
        vec![self.output]
    }

    fn forward(&self, pass: &mut Forward<'_, F>) -> Result<(), RunError> {
        let rows = pass.rows(self.lookup, self.table)?;
        let mut out = pass.weight(self.table).select(&rows);
        if let Some(input) = self.input {
            let mut sum = pass.take_or_copy(input);
            sum.add_scaled(out.view(), F::one());
            out = sum;
        }
        pass.set(self.output, out)
    }

    fn backward(&self, pass: &mut Backward<'_, F>) -> Result<(), RunError> {
        let Some(d_out) = pass.take_gradient(self.output) else { return Ok(()) };
        if pass.wants(self.table) {
            let rows = pass.rows(self.lookup, self.table)?;
            let shape = pass.parameter(self.table).value.dim();
            let mut by_table = pass.take_parameter_gradient(self.table);
            scatter(&rows, &d_out.value, &mut by_table.value);
            if let Some(tangent) = &d_out.tangent {
                scatter(&rows, tangent, by_table.tangent.get_or_insert_with(|| Array2::zeros(shape)));
            }
            pass.put_parameter_gradient(self.table, by_table);
        }
        if let Some(input) = self.input {
            pass.add_gradient(input, d_out);
        }
        Ok(())
    }
}

/// Adds row i of `from` to row `rows[i]` of `to`, in order.
fn scatter<F: Real>(rows: &[usize], from: &Array2<F>, to: &mut Array2<F>) {
    for (&row, from) in rows.iter().zip(from.rows()) {
        let mut to = to.row_mut(row);
        to += &from;
    }
}
