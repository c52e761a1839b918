/// Declares a trait of hot loops and implements it for `f32` and `f64`, each signature written once.
///
/// A public generic is compiled in the caller's crate, at the caller's optimisation level. A method of such a trait is
/// compiled where the macro stands. So a generic function calls `F::name(…)`, and the loop keeps the speed of our own
/// crates even in a debug build of the caller. For this reason the methods are not `#[inline]`, which would compile them
/// in the caller's crate as well.
///
/// Each method names the function behind it. `= loops::add` calls `loops::add`, which may be generic. An underscore in
/// the path stands for the precision: `= rows::_::add` calls `rows::f32::add` and `rows::f64::add`.
///
/// The trait is closed: its supertrait is [`Scalar`](crate::Scalar) or another sealed one. Its methods are hidden from
/// the documentation.
///
/// # Examples
/// ```
/// use collimate_tensor::{Scalar, hot_loops};
///
/// mod loops {
///     pub fn shift<F: collimate_tensor::Scalar, const N: usize>(x: &mut [F; N], by: F) {
///         x.iter_mut().for_each(|x| *x += by);
///     }
///     pub mod f32 {
///         pub fn bits(x: f32) -> u64 { x.to_bits().into() }
///     }
///     pub mod f64 {
///         pub fn bits(x: f64) -> u64 { x.to_bits() }
///     }
/// }
/// hot_loops! {
///     /// Loops over a few numbers.
///     pub trait Few: Scalar {
///         fn shift<const N: usize>(x: &mut [Self; N], by: Self) = loops::shift;
///         fn bits(x: Self) -> u64 = loops::_::bits;
///     }
/// }
/// let mut x = [1.0f32, 2.0];
/// Few::shift(&mut x, 0.5);
/// assert_eq!((x, Few::bits(1.0f32)), ([1.5, 2.5], 0x3f80_0000));
/// ```
#[macro_export]
macro_rules! hot_loops {
    ($(#[$meta:meta])* $vis:vis trait $trait:ident: $($bound:path),+ {
        $($(#[$doc:meta])* fn $name:ident $(<$(const $c:ident: $cty:ty),+>)? ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $($target:tt)::+;)*
    }) => {
        $(#[$meta])*
        $vis trait $trait: $($bound +)+ {
            $(
                $(#[$doc])*
                #[doc(hidden)]
                fn $name $(<$(const $c: $cty),+>)? ($($arg: $ty),*) $(-> $ret)?;
            )*
        }
        impl $trait for f32 {
            $(
                fn $name $(<$(const $c: $cty),+>)? ($($arg: $ty),*) $(-> $ret)? {
                    $crate::hot_loops!(@call f32 [] [$($target)*] ($($arg),*))
                }
            )*
        }
        impl $trait for f64 {
            $(
                fn $name $(<$(const $c: $cty),+>)? ($($arg: $ty),*) $(-> $ret)? {
                    $crate::hot_loops!(@call f64 [] [$($target)*] ($($arg),*))
                }
            )*
        }
    };
    (@call $f:ident [$($path:ident)*] [_ $($rest:tt)*] $args:tt) => {
        $crate::hot_loops!(@call $f [$($path)* $f] [$($rest)*] $args)
    };
    (@call $f:ident [$($path:ident)*] [$next:ident $($rest:tt)*] $args:tt) => {
        $crate::hot_loops!(@call $f [$($path)* $next] [$($rest)*] $args)
    };
    (@call $f:ident [$($path:ident)+] [] ($($arg:ident),*)) => {
        $($path)::+($($arg),*)
    };
}
