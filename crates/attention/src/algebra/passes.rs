//! The public passes of [`Variant`].

use super::{Arguments, Parameter, Trace, Variant};
use crate::{AttentionError, Precision};
use ndarray::{Array3, ArrayRef3};

impl Variant {
    /// Returns the shapes of the learned arrays for these q, k and v: full for a bias, the width d for the vectors of λ.
    ///
    /// # Errors
    /// Like [`Variant::forward`], for q, k, v and the choices.
    pub fn parameter_shapes<F>(
        &self,
        q: &ArrayRef3<F>,
        k: &ArrayRef3<F>,
        v: &ArrayRef3<F>,
    ) -> Result<Vec<(Parameter, Vec<usize>)>, AttentionError> {
        let (sizes, _) = self.check(q, k, v)?;
        Ok(self.parameters().into_iter().map(|name| (name, self.shape(name, &sizes).1)).collect())
    }

    /// Computes the output `[h, t, e]`, and keeps what derivatives and views of the pattern need.
    ///
    /// # Errors
    /// [`AttentionError`] with the name of the argument if shapes, head counts, parameters or choices do not fit.
    /// [`AttentionError::Overflow`] if finite rows have scores or an output too large for their type. A score that overflows
    /// downwards counts as −∞, which is an error only if the query has no other score.
    pub fn forward<F: Precision>(
        &self,
        arguments: &Arguments<F>,
    ) -> Result<(Array3<F>, Trace<F>), AttentionError> {
        F::algebra_forward(self, arguments, true)
    }

    /// Computes the output of [`Variant::forward`], but always pair by pair: the definition against which the tiled kernels are tested.
    ///
    /// # Errors
    /// Like [`Variant::forward`].
    pub fn forward_plain<F: Precision>(
        &self,
        arguments: &Arguments<F>,
    ) -> Result<(Array3<F>, Trace<F>), AttentionError> {
        F::algebra_forward(self, arguments, false)
    }

    /// Computes the gradients of a loss by all arguments from its gradient by the output.
    ///
    /// # Errors
    /// [`AttentionError::Shape`] if `d_out` has another shape than the output.
    pub fn backward<F: Precision>(
        &self,
        trace: &Trace<F>,
        d_out: &ArrayRef3<F>,
    ) -> Result<Arguments<F>, AttentionError> {
        F::algebra_backward(trace, d_out)
    }

    /// Computes the derivative of the output along a direction in all arguments (forward mode).
    ///
    /// # Errors
    /// [`AttentionError::Shape`] and [`AttentionError::Parameter`] if the direction does not have the shapes of the arguments.
    pub fn jvp<F: Precision>(
        &self,
        trace: &Trace<F>,
        direction: &Arguments<F>,
    ) -> Result<Array3<F>, AttentionError> {
        F::algebra_jvp(trace, direction)
    }
}
