//! The operations that a transformer is made of, each with its value, its derivative along a direction and its adjoint.
//!
//! An operation reads slots and parameters, and writes slots. Its forward function computes the outputs, and their derivatives when
//! the inputs or the parameters have a direction. Its backward function adds to the gradients of its inputs and parameters; with a
//! direction it gives the derivative of the gradient too, so that the same code computes products with the Hessian.

mod add;
mod array;
mod attend;
mod combine;
mod embed;
mod gate;
mod linear;
mod loss;
mod norm;
mod number;
mod rotate;
mod rows;
mod tiled;

pub(crate) use add::{Add, Scale, Softcap};
pub(crate) use array::{Matrix, View};
pub(crate) use attend::{Attend, ValueHeads, stack_heads};
pub(crate) use combine::{Combine, PairValues};
pub(crate) use embed::{Embed, Lookup};
pub(crate) use gate::Gate;
pub(crate) use linear::Linear;
pub(crate) use loss::CrossEntropy;
pub(crate) use norm::{Gain, Normalise};
pub(crate) use number::Number;
pub(crate) use rotate::{AngleTable, Rotate, angles};
pub(crate) use rows::First;

use crate::error::RunError;
use crate::pass::{Backward, Forward};

/// The index of an activation of a program.
pub(crate) type Slot = usize;

/// The index of a parameter of a model.
pub(crate) type Parameter = usize;

/// An operation of a program.
pub(crate) trait Operation<F>: Send + Sync {
    /// Returns the slots that the operation reads.
    fn inputs(&self) -> Vec<Slot>;

    /// Returns the slots that the operation writes.
    fn outputs(&self) -> Vec<Slot>;

    /// Computes the outputs.
    fn forward(&self, pass: &mut Forward<'_, F>) -> Result<(), RunError>;

    /// Adds to the gradients of the inputs and parameters.
    fn backward(&self, pass: &mut Backward<'_, F>) -> Result<(), RunError>;
}
