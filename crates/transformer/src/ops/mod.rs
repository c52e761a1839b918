//! The operations that a transformer is made of, each with its value, its derivative along a direction and its adjoint.
//!
//! An operation reads slots and parameters, and writes slots. Its forward function computes the outputs, and their derivatives when
//! the inputs or the parameters have a direction. Its backward function adds to the gradients of its inputs and parameters; with a
//! direction it gives the derivative of the gradient too, so that the same code computes products with the Hessian.

mod add;
mod attend;
mod bounded;
mod combine;
mod embed;
mod experts;
mod gate;
mod linear;
mod loss;
mod norm;
mod pattern;
mod rotate;
mod routing;
mod rows;
mod tiled;

pub(crate) use add::{Add, Scale, Softcap};
pub(crate) use attend::{Attend, ValueHeads};
pub(crate) use bounded::Bounded;
pub(crate) use combine::{Combine, PairValues};
pub(crate) use embed::Embed;
pub(crate) use experts::{ExpertMatrix, Experts, Nonlinearity};
pub(crate) use gate::Gate;
pub(crate) use linear::Linear;
pub(crate) use loss::CrossEntropy;
pub(crate) use norm::{Gain, Normalise};
pub(crate) use rotate::Rotate;
pub(crate) use routing::Routing;
pub(crate) use rows::First;
