//! The inner loops of the optimisers for `f32` and `f64`.

use collimate_tensor::{Scalar, hot_loops};

/// The numbers of one Adam step, in `f64`.
///
/// Public only because a method of [`Precision`] takes it; it cannot be named outside this crate.
#[derive(Clone, Copy, Debug)]
pub struct AdamStep {
    /// The decay of the first moment.
    pub beta1: f64,
    /// The decay of the second moment.
    pub beta2: f64,
    /// The factor on the parameter that is added to the gradient.
    pub l2: f64,
    /// The factor on the parameter before the step: 1 − rate·decay.
    pub shrink: f64,
    /// The factor on m in the update `size·m / (root·√v + epsilon)`.
    pub size: f64,
    /// The factor on √v.
    pub root: f64,
    /// The number added to the root.
    pub epsilon: f64,
}

/// The numbers of one SGD step. Public for the reason given at [`AdamStep`].
#[derive(Clone, Copy, Debug)]
pub struct SgdStep {
    /// The learning rate.
    pub rate: f64,
    /// The decay of the velocity.
    pub momentum: f64,
    /// True for Nesterov's form.
    pub nesterov: bool,
    /// The factor on the parameter that is added to the gradient.
    pub l2: f64,
}

macro_rules! loops {
    ($f:ident) => {
        pub(crate) mod $f {
            use crate::kernels::{AdamStep, SgdStep};

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

            pub(crate) fn momentum(s: &SgdStep, g: &[$f], velocity: &mut [$f], w: &mut [$f]) {
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

            /// Returns the sum of squares in f64: eight sums over fixed lanes, added in a fixed order.
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

            /// Returns true if no number is larger in absolute value than `largest`, and none is NaN.
            pub(crate) fn all_within(x: &[$f], largest: $f) -> bool {
                x.iter().fold(true, |within, x| within & (x.abs() <= largest))
            }

            pub(crate) fn all_finite(x: &[$f]) -> bool {
                x.iter().fold(true, |finite, x| finite & x.is_finite())
            }
        }
    };
}

mod loops {
    loops!(f32);
    loops!(f64);
}

hot_loops! {
    /// A number that optimisers can update, `f32` or `f64`. The trait is sealed; its methods are the inner loops.
    pub trait Precision: Scalar {
        fn adam(step: &AdamStep, g: &[Self], m: &mut [Self], v: &mut [Self], w: &mut [Self]) = loops::_::adam;
        fn momentum(step: &SgdStep, g: &[Self], velocity: &mut [Self], w: &mut [Self]) = loops::_::momentum;
        fn descend(step: &SgdStep, g: &[Self], w: &mut [Self]) = loops::_::descend;
        fn scale_by(factor: f64, x: &mut [Self]) = loops::_::scale;
        fn sum_of_squares(x: &[Self]) -> f64 = loops::_::sum_of_squares;
        fn all_within(x: &[Self], largest: Self) -> bool = loops::_::all_within;
        fn all_finite(x: &[Self]) -> bool = loops::_::all_finite;
    }
}

/// Returns position and value of the first number that is NaN or infinite.
pub(crate) fn first_non_finite<F: Precision>(x: &[F]) -> Option<(usize, f64)> {
    if F::all_finite(x) {
        return None;
    }
    x.iter().position(|x| !x.is_finite()).map(|at| (at, x[at].to_f64()))
}
