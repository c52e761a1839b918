use crate::algebra::{self, Arguments, Trace, Variant};
use crate::backward::{Gradients4, Pass};
use crate::forward::Input;
use crate::hooked::TileEdit;
use crate::kernels::Tiles;
use crate::plan::Plan;
use crate::{AttentionError, HeadMap, RotaryTable};
use collimate_tensor::Scalar;
use ndarray::{Array3, Array4, ArrayRef3, ArrayView4, ArrayViewMut4};

/// An intervention on rows of the pattern: head, query, row.
pub(crate) type Edit<'a, F> = &'a (dyn Fn(usize, usize, &mut [F]) + Sync);

/// The types attention is compiled for: f32 and f64.
///
/// The loops are instantiated in this crate, so they are optimised whatever the profile of the calling crate.
pub trait Element: Scalar + kernels_of::Kernels + crate::linear::engine::Engine {}

impl Element for f32 {}
impl Element for f64 {}

/// The loops behind the public functions, as methods of a trait that cannot be named outside.
pub(crate) mod kernels_of {
    use super::*;

    pub trait Kernels: Tiles {
        fn rotate(table: &RotaryTable<Self>, first: usize, inverse: bool, x: &mut ArrayRef3<Self>);
        fn forward(
            input: &Input<'_, Self>,
            out: ArrayViewMut4<'_, Self>,
            log_sum_exp: Option<&mut Array3<Self>>,
        ) -> Result<(), AttentionError>;
        fn forward_editing_pattern(
            input: &Input<'_, Self>,
            out: ArrayViewMut4<'_, Self>,
            edit: TileEdit<'_, Self>,
        ) -> Result<(), AttentionError>;
        fn forward_editing(
            plan: &Plan,
            q: &ArrayRef3<Self>,
            k: &ArrayRef3<Self>,
            v: &ArrayRef3<Self>,
            edit: Edit<'_, Self>,
            out: &mut ArrayRef3<Self>,
        );
        fn apply_pattern(
            map: &HeadMap,
            pattern: &ArrayRef3<Self>,
            v: &ArrayRef3<Self>,
            out: &mut ArrayRef3<Self>,
        );
        fn backward(pass: &Pass<'_, Self>, d_out: &ArrayView4<'_, Self>) -> Gradients4<Self>;
        fn sink_gradient(pass: &Pass<'_, Self>, d_out: &ArrayView4<'_, Self>) -> Option<Vec<Self>>;
        fn jvp(
            pass: &Pass<'_, Self>,
            direction: [ArrayView4<'_, Self>; 3],
            sink: Option<&[Self]>,
        ) -> Array4<Self>;
        fn algebra_forward(
            variant: &Variant,
            arguments: &Arguments<Self>,
            may_tile: bool,
        ) -> Result<(Array3<Self>, Trace<Self>), AttentionError>;
        fn algebra_backward(
            trace: &Trace<Self>,
            d_out: &ArrayRef3<Self>,
        ) -> Result<Arguments<Self>, AttentionError>;
        fn algebra_jvp(
            trace: &Trace<Self>,
            direction: &Arguments<Self>,
        ) -> Result<Array3<Self>, AttentionError>;
    }

    macro_rules! compile_for {
        ($F:ty) => {
            impl Kernels for $F {
                fn rotate(table: &RotaryTable<$F>, first: usize, inverse: bool, x: &mut ArrayRef3<$F>) {
                    crate::rotary::rotate(table, first, inverse, x)
                }
                fn forward(
                    input: &Input<'_, $F>,
                    out: ArrayViewMut4<'_, $F>,
                    log_sum_exp: Option<&mut Array3<$F>>,
                ) -> Result<(), AttentionError> {
                    crate::forward::forward(input, out, log_sum_exp)
                }
                fn forward_editing_pattern(
                    input: &Input<'_, $F>,
                    out: ArrayViewMut4<'_, $F>,
                    edit: TileEdit<'_, $F>,
                ) -> Result<(), AttentionError> {
                    crate::hooked::forward_editing_pattern(input, out, edit)
                }
                fn forward_editing(
                    plan: &Plan,
                    q: &ArrayRef3<$F>,
                    k: &ArrayRef3<$F>,
                    v: &ArrayRef3<$F>,
                    edit: Edit<'_, $F>,
                    out: &mut ArrayRef3<$F>,
                ) {
                    crate::editing::forward_editing(plan, q, k, v, edit, out)
                }
                fn apply_pattern(
                    map: &HeadMap,
                    pattern: &ArrayRef3<$F>,
                    v: &ArrayRef3<$F>,
                    out: &mut ArrayRef3<$F>,
                ) {
                    crate::editing::apply_pattern(map, pattern, v, out)
                }
                fn backward(pass: &Pass<'_, $F>, d_out: &ArrayView4<'_, $F>) -> Gradients4<$F> {
                    crate::backward::backward(pass, d_out)
                }
                fn sink_gradient(pass: &Pass<'_, $F>, d_out: &ArrayView4<'_, $F>) -> Option<Vec<$F>> {
                    crate::backward::sink_gradient(pass, d_out)
                }
                fn jvp(
                    pass: &Pass<'_, $F>,
                    direction: [ArrayView4<'_, $F>; 3],
                    sink: Option<&[$F]>,
                ) -> Array4<$F> {
                    crate::jvp::jvp(pass, direction, sink)
                }
                fn algebra_forward(
                    variant: &Variant,
                    arguments: &Arguments<$F>,
                    may_tile: bool,
                ) -> Result<(Array3<$F>, Trace<$F>), AttentionError> {
                    algebra::forward(variant, arguments, may_tile)
                }
                fn algebra_backward(
                    trace: &Trace<$F>,
                    d_out: &ArrayRef3<$F>,
                ) -> Result<Arguments<$F>, AttentionError> {
                    algebra::backward(trace, d_out)
                }
                fn algebra_jvp(
                    trace: &Trace<$F>,
                    direction: &Arguments<$F>,
                ) -> Result<Array3<$F>, AttentionError> {
                    algebra::jvp(trace, direction)
                }
            }
        };
    }
    compile_for!(f32);
    compile_for!(f64);
}
