use crate::AttentionError;
use crate::algebra::{self, Arguments, Trace, Variant};
use crate::attention::Attention;
use crate::kernels::Loops;
use crate::linear::engine;
use crate::linear::problem::{LinearGradients, Problem, States};
use crate::tiled::{self, Gradients4, Intervention, Plan, SavedPass};
use collimate_tensor::hot_loops;
use ndarray::{ArcArray, Array3, Array4, ArrayRef3, ArrayView4, ArrayViewMut4, Ix4};

hot_loops! {
    /// The number types that attention is compiled for: f32 and f64.
    ///
    /// The loops are compiled in this crate, so they are optimised in any profile of the calling crate.
    pub trait Precision: Loops {
        /// Runs the tiled forward pass that keeps what derivatives need.
        fn attend(attention: &Attention, plan: Plan, arrays: [ArcArray<Self, Ix4>; 3], sink: Option<Vec<Self>>) -> Result<SavedPass<Self>, AttentionError> = tiled::run;
        /// Runs the tiled forward pass that keeps nothing.
        fn attend_into(attention: &Attention, plan: &Plan, arrays: [ArrayView4<'_, Self>; 3], intervention: Option<Intervention<'_, Self, Ix4>>, out: ArrayViewMut4<'_, Self>) -> Result<(), AttentionError> = tiled::run_into;
        /// Runs the tiled backward pass.
        fn gradients(saved: &SavedPass<Self>, d_out: &ArrayView4<'_, Self>) -> Result<Gradients4<Self>, AttentionError> = tiled::gradients;
        /// Computes the gradient by the logits of the sinks.
        fn sink_gradient(saved: &SavedPass<Self>, d_out: &ArrayView4<'_, Self>) -> Option<Vec<Self>> = tiled::sink_gradient;
        /// Runs the tiled forward-mode pass.
        fn along(saved: &SavedPass<Self>, direction: [ArrayView4<'_, Self>; 3]) -> Result<Array4<Self>, AttentionError> = tiled::along;
        /// Runs the forward pass of a variant.
        fn algebra_forward(variant: &Variant, arguments: &Arguments<Self>, may_tile: bool) -> Result<(Array3<Self>, Trace<Self>), AttentionError> = algebra::forward;
        /// Runs the backward pass of a variant.
        fn algebra_backward(trace: &Trace<Self>, d_out: &ArrayRef3<Self>) -> Result<Arguments<Self>, AttentionError> = algebra::backward;
        /// Runs the forward-mode pass of a variant.
        fn algebra_jvp(trace: &Trace<Self>, direction: &Arguments<Self>) -> Result<Array3<Self>, AttentionError> = algebra::jvp;
        /// Runs a recurrence.
        fn linear_forward(problem: &Problem<Self>) -> (Array3<Self>, States<Self>) = engine::forward;
        /// Runs the backward pass of a recurrence.
        fn linear_backward(problem: &Problem<Self>, states: &States<Self>, d_out: &ArrayRef3<Self>, d_state: &ArrayRef3<Self>) -> LinearGradients<Self> = engine::backward;
        /// Runs the forward-mode pass of a recurrence.
        fn linear_jvp(problem: &Problem<Self>, states: &States<Self>, direction: &LinearGradients<Self>) -> (Array3<Self>, Array3<Self>) = engine::jvp;
    }
}
