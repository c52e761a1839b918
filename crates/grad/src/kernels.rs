//! The optimisers' inner loops for `f32` and `f64`, and the way from a generic caller to them.
//!
//! A public generic is compiled in the caller's crate at the caller's optimisation level. Handing its slices over to
//! a loop for the concrete type keeps the loop here.
#![allow(unsafe_code)]

use collimate_tensor::Scalar;
use std::any::TypeId;

/// A slice of `F` as a slice of `G` where the two are the same type.
pub(crate) fn same<F: 'static, G: 'static>(x: &[F]) -> Option<&[G]> {
    // SAFETY: the types are identical, so layout, validity and lifetime of the slice stay as they were.
    (TypeId::of::<F>() == TypeId::of::<G>())
        .then(|| unsafe { std::slice::from_raw_parts(x.as_ptr().cast::<G>(), x.len()) })
}

/// A mutable slice of `F` as one of `G` where the two are the same type.
pub(crate) fn same_mut<F: 'static, G: 'static>(x: &mut [F]) -> Option<&mut [G]> {
    // SAFETY: as in `same`; the exclusive borrow passes from `x` to the result.
    (TypeId::of::<F>() == TypeId::of::<G>())
        .then(|| unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast::<G>(), x.len()) })
}

/// The numbers of one Adam step, worked out in `f64`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamStep {
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    /// Added to the gradient, times the parameter.
    pub(crate) l2: f64,
    /// The parameter's factor before the step: 1 − rate·decay.
    pub(crate) shrink: f64,
    /// The update is `size·m / (root·√v + epsilon)`.
    pub(crate) size: f64,
    pub(crate) root: f64,
    pub(crate) epsilon: f64,
}

/// The numbers of one SGD step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SgdStep {
    pub(crate) rate: f64,
    pub(crate) momentum: f64,
    pub(crate) nesterov: bool,
    pub(crate) l2: f64,
}

macro_rules! loops {
    ($f:ident) => {
        pub(crate) mod $f {
            use super::{AdamStep, SgdStep};

            pub(crate) fn adam(s: &AdamStep, g: &[$f], m: &mut [$f], v: &mut [$f], w: &mut [$f]) {
                let (beta1, beta2, l2, shrink) = (s.beta1 as $f, s.beta2 as $f, s.l2 as $f, s.shrink as $f);
                // Rounded from f64: in f32, 1 − 0.999 would already be off by 5e-5.
                let (one1, one2) = ((1.0 - s.beta1) as $f, (1.0 - s.beta2) as $f);
                let (size, root, epsilon) = (s.size as $f, s.root as $f, s.epsilon as $f);
                for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
                    let g = g + l2 * *w;
                    *m = beta1 * *m + one1 * g;
                    *v = beta2 * *v + one2 * g * g;
                    *w = shrink * *w - size * *m / (root * v.sqrt() + epsilon);
                }
            }

            pub(crate) fn sgd(s: &SgdStep, g: &[$f], velocity: &mut [$f], w: &mut [$f]) {
                let (rate, momentum, l2) = (s.rate as $f, s.momentum as $f, s.l2 as $f);
                for ((w, &g), velocity) in w.iter_mut().zip(g).zip(velocity) {
                    let g = g + l2 * *w;
                    *velocity = momentum * *velocity + g;
                    let direction = if s.nesterov { g + momentum * *velocity } else { *velocity };
                    *w -= rate * direction;
                }
            }

            pub(crate) fn descend(s: &SgdStep, g: &[$f], w: &mut [$f]) {
                let (rate, l2) = (s.rate as $f, s.l2 as $f);
                for (w, &g) in w.iter_mut().zip(g) {
                    *w -= rate * (g + l2 * *w);
                }
            }

            pub(crate) fn scale(factor: f64, x: &mut [$f]) {
                let factor = factor as $f;
                for x in x {
                    *x *= factor;
                }
            }

            /// The sum of squares in f64: eight sums over fixed lanes, added in a fixed order.
            pub(crate) fn sum_of_squares(x: &[$f]) -> f64 {
                let mut lanes = [0.0f64; 8];
                let (blocks, rest) = x.as_chunks::<8>();
                for block in blocks {
                    for (lane, &x) in lanes.iter_mut().zip(block) {
                        *lane += f64::from(x) * f64::from(x);
                    }
                }
                lanes.iter().sum::<f64>() + rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>()
            }

            pub(crate) fn all_finite(x: &[$f]) -> bool {
                x.iter().fold(true, |finite, x| finite & x.is_finite())
            }
        }
    };
}

loops!(f32);
loops!(f64);

/// Runs the concrete loop that belongs to `F`: `Scalar` is sealed to these two.
macro_rules! dispatch {
    ($x:ty, $loops:ident => $body:expr, [$($slice:ident),*], [$($mutable:ident),*]) => {{
        if std::any::TypeId::of::<$x>() == std::any::TypeId::of::<f32>() {
            use $crate::kernels::f32 as $loops;
            $(let $slice = $crate::kernels::same::<$x, f32>($slice).expect("F is f32");)*
            $(let $mutable = $crate::kernels::same_mut::<$x, f32>($mutable).expect("F is f32");)*
            $body
        } else {
            use $crate::kernels::f64 as $loops;
            $(let $slice = $crate::kernels::same::<$x, f64>($slice).expect("Scalar is sealed to f32 and f64");)*
            $(let $mutable = $crate::kernels::same_mut::<$x, f64>($mutable).expect("Scalar is sealed to f32 and f64");)*
            $body
        }
    }};
}
pub(crate) use dispatch;

/// Position and value of the first number that is NaN or infinite.
pub(crate) fn first_non_finite<F: Scalar>(x: &[F]) -> Option<(usize, f64)> {
    let finite = dispatch!(F, loops => loops::all_finite(x), [x], []);
    if finite {
        return None;
    }
    x.iter().position(|x| !x.is_finite()).map(|at| (at, x[at].to_f64()))
}
