//! The precisions of a model.

use crate::description::Description;
use crate::pass::{Program, Real};
use crate::program::build;
use collimate_tensor::hot_loops;

/// The number types that a model computes in: f32 and f64.
#[expect(private_bounds, reason = "a program is no public type, and no other type can have this trait")]
pub trait Precision: Real + Compiled {}

impl Precision for f32 {}
impl Precision for f64 {}

hot_loops! {
    /// The parts of a model that are compiled here for both precisions, and not again in each crate that runs a model.
    pub(crate) trait Compiled: Real {
        fn build(description: &Description) -> Program<Self> = build;
    }
}
