use super::backward::Backward;
use super::forward::Forward;
use super::precision::Real;
use super::program::Program;
use crate::arrays::Matrix;
use crate::error::RunError;
use std::ops::Range;

impl<F: Real> Program<F> {
    /// Runs a range of operations, cut at the number of operations, and returns the activations that are left.
    pub(crate) fn forward(
        &self,
        mut pass: Forward<'_, F>,
        range: Range<usize>,
    ) -> Result<Vec<Option<Matrix<F>>>, RunError> {
        for index in range.start..range.end.min(self.operations.len()) {
            let operation = &self.operations[index];
            pass.begin(index);
            operation.forward(&mut pass)?;
            pass.end(&operation.inputs());
        }
        Ok(pass.into_values())
    }

    /// Runs the operations from the last to the first, and returns the gradients by the parameters.
    pub(crate) fn backward(&self, pass: &mut Backward<'_, F>) -> Result<Vec<Option<Matrix<F>>>, RunError> {
        for operation in self.operations.iter().rev() {
            operation.backward(pass)?;
            pass.end(&operation.outputs());
        }
        Ok(pass.take_parameter_gradients())
    }
}
