use super::backward::Backward;
use super::forward::{Forward, Keep};
use super::layout::Slot;
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
        self.backward_over(pass, 0..self.operations.len())?;
        Ok(pass.take_parameter_gradients())
    }

    /// Runs a range of operations from the last to the first.
    pub(crate) fn backward_over(
        &self,
        pass: &mut Backward<'_, F>,
        range: Range<usize>,
    ) -> Result<(), RunError> {
        for operation in self.operations[range].iter().rev() {
            operation.backward(pass)?;
            pass.end(&operation.outputs());
        }
        Ok(())
    }

    /// Runs segments from the last to the first, each of which computes its activations again from those that enter it.
    pub(crate) fn backward_by_segments(
        &self,
        pass: &mut Backward<'_, F>,
        segments: &[Range<usize>],
        mut entering: Vec<Option<Matrix<F>>>,
    ) -> Result<(), RunError> {
        for (index, segment) in segments.iter().enumerate().rev() {
            let mut none = ();
            let mut forward = Forward::new(pass.setting, &mut none, Keep::Everything);
            for slot in self.entering(segment) {
                let again = segments[..index].iter().any(|earlier| self.entering(earlier).contains(&slot));
                let x = if again { entering[slot].clone() } else { entering[slot].take() };
                forward.provide(slot, x.expect("the forward pass kept what enters a segment"));
            }
            pass.with_values(self.forward(forward, segment.clone())?);
            self.backward_over(pass, segment.clone())?;
        }
        Ok(())
    }

    /// Returns the ranges of the operations before the head: the embedding, each layer, and the final norm.
    pub(crate) fn segments(&self) -> Vec<Range<usize>> {
        let ends = self.residuals.iter().chain([&self.hidden]).map(|&slot| self.writer_of(slot) + 1);
        let mut start = 0;
        let mut segments = Vec::new();
        for end in ends.filter(|&end| end > 0) {
            if end > start {
                segments.push(start..end);
                start = end;
            }
        }
        segments
    }

    /// Returns the slots that a segment reads and does not write.
    pub(crate) fn entering(&self, segment: &Range<usize>) -> Vec<Slot> {
        let operations = &self.operations[segment.clone()];
        let written: Vec<Slot> = operations.iter().flat_map(|operation| operation.outputs()).collect();
        let mut entering: Vec<Slot> = operations.iter().flat_map(|operation| operation.inputs()).collect();
        entering.sort_unstable();
        entering.dedup();
        entering.retain(|slot| !written.contains(slot));
        entering
    }
}
