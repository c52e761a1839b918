//! The passes through a model: a program of operations, run forwards and backwards.

mod backward;
mod build;
mod forward;
mod input;
mod setting;

pub(crate) use backward::Backward;
pub(crate) use build::Program;
pub(crate) use forward::Forward;
pub use input::Input;
pub(crate) use input::Seen;
pub(crate) use setting::Setting;

/// The number types that a model computes in: f32 and f64.
pub trait Precision: collimate_attention::Precision + crate::ops::Number {}

impl Precision for f32 {}
impl Precision for f64 {}

pub(crate) use Precision as Real;
